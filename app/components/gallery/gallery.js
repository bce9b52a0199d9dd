/* A windowed gallery: only the rows in sight are elements. One view per mounted component; data that
   changes is laid into the same view, so nothing flickers and the scroll position stays. The page gets this file
   behind opened.js, which holds what a picture does once it is opened. */
const GAP = 8;
const DRAWN = "lensmith-labels";
const views = new WeakMap();

export default function ({ parentElement, data, setStateValue }) {
  const host = parentElement.querySelector(".gallery");
  let view = views.get(host);
  if (!view) views.set(host, (view = new View(host)));
  view.send = setStateValue;
  view.update(data);
  return () => view.close();
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function button(text, label, act) {
  const made = element("button", "", text);
  made.type = "button";
  made.ariaLabel = label;
  made.onclick = act;
  return made;
}

/* Whether labels were shown last; a person who has not said so sees them. */
function recall() {
  try {
    return localStorage.getItem(DRAWN) !== "off";
  } catch {
    return true;
  }
}

/* A word with its colour, if it has one, before it. */
function named(className, text, color, tag = "span") {
  const made = element(tag, className);
  if (color) made.append(element("i", "dot"));
  if (color) made.firstChild.style.background = color;
  made.append(element("b", "", text));
  return made;
}

class View extends Opened {
  constructor(host) {
    super();
    this.labelled = recall();
    this.id = `g${Math.random().toString(36).slice(2)}`;
    this.nodes = new Map();
    this.on = new Set();
    this.active = 0;
    this.anchor = 0;
    this.tiles = [];
    this.bar = element("div", "bar");
    this.count = element("span");
    this.count.setAttribute("aria-live", "polite");
    this.all = button("Select all", "Select all pictures", () => this.choose(this.tiles.map((t) => t[0])));
    this.none = button("Clear", "Clear the selection", () => this.choose([]));
    this.labels = this.makeToggle();
    this.bar.append(this.count, this.all, this.none,
      element("span", "keys", "Space selects, Shift extends, Enter opens"), this.labels);
    this.box = element("div", "box");
    this.box.tabIndex = 0;
    this.sizer = element("div", "sizer");
    this.box.append(this.sizer);
    host.replaceChildren(this.bar, this.box);
    this.box.addEventListener("scroll", () => this.draw(), { passive: true });
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.sizer.addEventListener("click", (event) => this.click(event));
    this.sizer.addEventListener("dblclick", (event) => this.open(this.indexOf(event)));
    this.observer = new ResizeObserver(() => this.layout());
    this.observer.observe(this.box);
  }

  makeToggle() {
    const toggle = button("Labels", "Labels on the pictures (L)", () => this.label(!this.labelled));
    toggle.className = "toggle";
    return toggle;
  }

  /* Draw the labels over the pictures or take them off, here and in the opened one. */
  label(on) {
    this.labelled = on;
    try {
      localStorage.setItem(DRAWN, on ? "on" : "off");
    } catch {
      // A browser that keeps nothing shows them again next time.
    }
    this.showToggles();
    for (const [id, node] of this.nodes) this.place(node, this.index.get(id));
    this.mark();
    if (this.dialog?.open) this.dress();
  }

  showToggles() {
    for (const toggle of [this.labels, this.largeLabels]) {
      if (!toggle) continue;
      toggle.hidden = !this.drawn;
      toggle.ariaPressed = String(this.labelled);
    }
  }

  overlay(i, size) {
    const [id, , , , , drawn] = this.tiles[i];
    return `${this.data.overlay.replace("{id}", encodeURIComponent(id))}?size=${size}&r=${drawn}`;
  }

  /* Lay the picture at `url` over another, or take away what lies there. */
  cover(image, url) {
    let over = image.nextElementSibling;
    if (!over?.classList.contains("over")) over = null;
    if (!url) return over?.remove();
    if (over && over.dataset.url === url) return;
    const fresh = element("img", "over");
    fresh.draggable = false;
    fresh.alt = "";
    fresh.dataset.url = url;
    fresh.onload = () => fresh.classList.add("there");
    fresh.src = url;
    over?.remove();
    image.after(fresh);
  }

  close() {
    this.observer.disconnect();
    this.dialog?.remove();
  }

  update(data) {
    if (this.data && this.data.token !== data.token) {
      this.on.clear();
    }
    this.data = data;
    this.tiles = data.tiles;
    this.index = new Map(this.tiles.map((tile, i) => [tile[0], i]));
    for (const id of [...this.on]) if (!this.index.has(id)) this.on.delete(id);
    this.active = Math.max(0, Math.min(this.active, this.tiles.length - 1));
    this.bar.hidden = !data.selectable || data.single;
    this.bar.style.display = this.bar.hidden ? "none" : "";
    this.box.classList.toggle("scrolls", data.rows !== null);
    this.box.classList.toggle("selectable", data.selectable);
    this.box.setAttribute("role", data.selectable ? "listbox" : "group");
    this.box.setAttribute("aria-label", data.label);
    if (data.selectable) this.box.setAttribute("aria-multiselectable", String(!data.single));
    this.drawn = this.tiles.some((tile) => tile[5]);
    this.showToggles();
    for (const node of this.nodes.values()) node.remove();
    const kept = this.nodes;
    this.nodes = new Map();
    this.layout(kept);
    this.arrive();
  }

  layout(kept = this.nodes) {
    const width = this.box.clientWidth;
    if (!width || !this.data) return;
    this.columns = Math.max(2, Math.floor((width + GAP) / (this.data.tile + GAP)));
    if (this.data.rows === null) this.columns = Math.min(this.columns, Math.max(this.tiles.length, 3));
    this.across = (width - GAP * (this.columns - 1)) / this.columns;
    this.down = Math.round(this.across * 1.22);
    const rows = Math.ceil(this.tiles.length / this.columns);
    const tall = Math.max(0, rows * (this.down + GAP) - GAP);
    this.sizer.style.height = `${tall}px`;
    if (this.data.rows !== null) {
      const shown = this.data.rows * (this.down + GAP) - GAP;
      this.box.style.height = `${Math.min(shown, Math.max(tall, this.down))}px`;
    } else {
      this.box.style.height = "";
    }
    this.draw(kept);
  }

  draw(kept = this.nodes) {
    const step = this.down + GAP;
    const scrolls = this.data.rows !== null;
    const top = scrolls ? this.box.scrollTop : 0;
    const seen = scrolls ? this.box.clientHeight : this.sizer.clientHeight;
    const first = Math.max(0, Math.floor(top / step) - 2) * this.columns;
    const last = Math.min(this.tiles.length, (Math.ceil((top + seen) / step) + 2) * this.columns);
    const wanted = new Map();
    for (let i = first; i < last; i++) {
      const id = this.tiles[i][0];
      const node = kept.get(id) ?? this.make(id);
      this.place(node, i);
      wanted.set(id, node);
      if (node.parentNode !== this.sizer) this.sizer.append(node);
    }
    for (const [id, node] of this.nodes) if (!wanted.has(id)) node.remove();
    this.nodes = wanted;
    this.mark();
  }

  make(id) {
    const node = element("div", "tile");
    node.id = `${this.id}-${id}`;
    const image = element("img");
    image.loading = "lazy";
    image.decoding = "async";
    image.draggable = false;
    image.alt = "";
    image.onload = () => image.classList.add("there");
    image.src = this.data.thumb.replace("{id}", encodeURIComponent(id));
    const tag = element("span", "tag");
    // For fingers and the mouse only: with keys, Enter opens the picture.
    const enlarge = button("⤢", "Enlarge", (event) => {
      event.stopPropagation();
      this.open(this.index.get(id));
    });
    enlarge.className = "enlarge";
    enlarge.tabIndex = -1;
    enlarge.setAttribute("aria-hidden", "true");
    enlarge.ondblclick = (event) => event.stopPropagation();
    node.append(image, tag, element("span", "tick", "✓"), enlarge);
    return node;
  }

  place(node, i) {
    const [id, label, parts, tone, about, drawn, more] = this.tiles[i];
    node.dataset.id = id;
    node.setAttribute("role", this.data.selectable ? "option" : "button");
    node.setAttribute("aria-label", `${label ? `${label.replace("✗", "wrong:").replace("\n", ", ")}, ` : ""}${about}`);
    if (this.data.selectable) {
      node.setAttribute("aria-setsize", this.tiles.length);
      node.setAttribute("aria-posinset", i + 1);
    }
    node.title = parts.length > 1 ? `${label} · ${about}` : about;
    node.classList.toggle("wrong", tone === "wrong");
    node.classList.toggle("look", tone === "look");
    this.cover(node.children[0], drawn && this.labelled ? this.overlay(i, "thumb") : "");
    const [tag, tick, enlarge] = [...node.children].slice(-3);
    tag.style.display = label ? "" : "none";
    tag.replaceChildren(...parts.map(([text, color]) => named("part", text, color)));
    if (more) tag.lastChild.append(element("span", "more", `+${more}`));
    tick.style.display = enlarge.style.display = this.data.selectable ? "" : "none";
    const row = Math.floor(i / this.columns);
    const column = i % this.columns;
    node.style.cssText = `width:${this.across}px;height:${this.down}px;` +
      `transform:translate(${column * (this.across + GAP)}px,${row * (this.down + GAP)}px)`;
  }

  mark() {
    const current = this.tiles[this.active]?.[0];
    for (const [id, node] of this.nodes) {
      node.classList.toggle("on", this.on.has(id));
      node.classList.toggle("active", id === current);
      if (this.data.selectable) node.setAttribute("aria-selected", String(this.on.has(id)));
    }
    this.box.setAttribute("aria-activedescendant", current ? `${this.id}-${current}` : "");
    const chosen = this.on.size;
    const all = this.tiles.length;
    this.count.textContent = chosen
      ? `${chosen.toLocaleString("en")} of ${all.toLocaleString("en")} selected`
      : `${all.toLocaleString("en")} ${all === 1 ? "picture" : "pictures"}`;
    this.none.style.visibility = chosen ? "" : "hidden";
    this.all.disabled = !this.tiles.length;
  }

  indexOf(event) {
    const node = event.target.closest(".tile");
    return node ? this.index.get(node.dataset.id) : -1;
  }

  click(event) {
    const i = this.indexOf(event);
    if (i < 0) return;
    this.active = i;
    if (!this.data.selectable) return this.open(i);
    if (event.shiftKey && !this.data.single) this.range(i);
    else this.toggle(i);
  }

  toggle(i) {
    const id = this.tiles[i][0];
    this.anchor = i;
    if (this.data.single) return this.choose(this.on.has(id) ? [] : [id]);
    const next = new Set(this.on);
    if (!next.delete(id)) next.add(id);
    this.choose(next);
  }

  range(i) {
    const [from, to] = [Math.min(this.anchor, i), Math.max(this.anchor, i)];
    this.choose([...this.on, ...this.tiles.slice(from, to + 1).map((tile) => tile[0])]);
  }

  choose(ids) {
    this.on = new Set(ids);
    this.mark();
    const token = this.data.token;
    const chosen = this.tiles.map((tile) => tile[0]).filter((id) => this.on.has(id));
    this.send("chosen", { ids: chosen, token });
  }

  key(event) {
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns };
    const ends = { Home: 0, End: this.tiles.length - 1 };
    if (event.key in steps || event.key in ends) {
      const to = event.key in ends ? ends[event.key] : this.active + steps[event.key];
      if (to >= 0 && to < this.tiles.length) this.active = to;
      if (event.shiftKey && this.data.selectable && !this.data.single) this.range(this.active);
      this.reveal();
    } else if (event.key === "Enter") {
      this.open(this.active);
    } else if (event.key === " " && this.data.selectable) {
      this.toggle(this.active);
    } else if (event.key.toLowerCase() === "a" && (event.ctrlKey || event.metaKey) && this.data.selectable && !this.data.single) {
      this.choose(this.tiles.map((tile) => tile[0]));
    } else if (event.key.toLowerCase() === "l" && this.drawn && !event.ctrlKey && !event.metaKey && !event.altKey) {
      this.label(!this.labelled);
    } else if (event.key === "Escape" && this.on.size) {
      this.choose([]);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  reveal() {
    const top = Math.floor(this.active / this.columns) * (this.down + GAP);
    if (this.data.rows !== null) {
      if (top < this.box.scrollTop) this.box.scrollTop = top;
      const below = top + this.down - this.box.clientHeight;
      if (below > this.box.scrollTop) this.box.scrollTop = below;
    }
    this.draw();
  }
}
