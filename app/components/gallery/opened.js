/* A picture of the gallery opened large: zoom, next and previous, its labels and what they are. */
const LONG = /\S{42,}/g; // paths, of which the end says most
const NARROW = 700; // px of a stage on which the lines of a full overlay would be too thin

class Opened {
  open(i) {
    if (i < 0 || !this.tiles.length) return;
    this.dialog ??= this.makeDialog();
    if (!this.dialog.open) this.dialog.showModal();
    this.show(i);
  }

  makeDialog() {
    const dialog = element("dialog");
    dialog.ariaLabel = "Picture";
    this.stage = element("div", "stage");
    this.large = element("img");
    this.large.draggable = false;
    this.large.onload = () => this.sheet.classList.add("there");
    this.large.onerror = () => {
      if (this.large.src.endsWith(this.fallback)) return;
      this.large.src = this.fallback;
      this.small = true;
      this.dress();
    };
    // The labels move and grow with the picture that they lie on.
    this.sheet = element("div", "sheet");
    this.names = element("div", "names");
    this.sheet.append(this.large, this.names);
    this.legend = element("ul", "legend");
    this.legend.ariaLabel = "Labels";
    this.stage.append(this.sheet, this.legend);
    this.about = element("p");
    this.largeLabels = this.makeToggle();
    this.showToggles();
    const foot = element("div", "foot");
    foot.append(button("‹", "Previous picture", () => this.show(this.active - 1)),
      button("›", "Next picture", () => this.show(this.active + 1)), this.about, this.largeLabels,
      button("−", "Zoom out", () => this.zoom(1 / 1.5)), button("+", "Zoom in", () => this.zoom(1.5)),
      button("✕", "Close", () => dialog.close()));
    dialog.append(this.stage, foot);
    this.stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2);
    }, { passive: false });
    this.stage.addEventListener("pointermove", (event) => {
      if (!event.buttons || this.scale === 1) return;
      this.shift = [this.shift[0] + event.movementX, this.shift[1] + event.movementY];
      this.turn();
    });
    this.stage.addEventListener("dblclick", () => this.zoom(this.scale > 1 ? 0 : 2.5));
    dialog.addEventListener("keydown", (event) => {
      const acts = { ArrowRight: () => this.show(this.active + 1), ArrowLeft: () => this.show(this.active - 1),
        "+": () => this.zoom(1.5), "-": () => this.zoom(1 / 1.5), 0: () => this.zoom(0),
        l: () => this.drawn && this.label(!this.labelled) };
      if (!acts[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      acts[event.key]();
    });
    new ResizeObserver(() => this.spread()).observe(this.stage);
    dialog.addEventListener("close", () => { this.note(""); this.reveal(); this.box.focus(); });
    this.box.parentNode.append(dialog);
    return dialog;
  }

  /* Open the picture that the address names, once; one that is not here does not stay in the address. */
  arrive() {
    if (this.arrived || this.data.opened === null) return;
    this.arrived = true;
    const wanted = new URL(location.href).searchParams.get("image");
    if (!wanted || wanted !== this.data.opened) return; // closed since the page was drawn
    const i = this.index.get(this.data.opened);
    if (i === undefined) this.note("");
    else this.open(i);
  }

  /* Keep the opened picture in the address, so that a link or a refresh comes back to it. The page is not
     drawn again for it: it reads the address the next time that something is asked of it. */
  note(id) {
    if (this.data.opened === null) return;
    const address = new URL(location.href);
    if ((address.searchParams.get("image") ?? "") === id) return;
    if (id) address.searchParams.set("image", id);
    else address.searchParams.delete("image");
    history.replaceState(history.state, "", address);
  }

  show(i) {
    if (i < 0 || i >= this.tiles.length) return;
    this.active = i;
    const [id, label, , , about] = this.tiles[i];
    this.note(id);
    this.fallback = this.data.thumb.replace("{id}", encodeURIComponent(id));
    this.large.src = this.data.full.replace("{id}", encodeURIComponent(id));
    this.large.alt = about;
    this.sheet.classList.remove("there");
    this.small = false;
    this.dress();
    const said = [label.split("\n")[0], about, `${i + 1} of ${this.tiles.length}`].filter(Boolean).join(" · ");
    this.about.textContent = said.replace(LONG, (word) => `${word.slice(0, 12)}…${word.slice(-22)}`);
    this.about.title = said;
    this.zoom(0);
  }

  zoom(factor) {
    this.scale = factor ? Math.min(12, Math.max(1, this.scale * factor)) : 1;
    if (this.scale === 1) this.shift = [0, 0];
    this.turn();
    this.spread();
  }

  turn() {
    this.stage.classList.toggle("zoomed", this.scale > 1);
    this.sheet.style.transform = `translate(${this.shift[0]}px,${this.shift[1]}px) scale(${this.scale})`;
    this.sheet.style.setProperty("--unzoom", 1 / this.scale);
  }

  openedSize() {
    if (this.small) return "thumb";
    return this.stage.clientWidth < NARROW ? "small" : "full";
  }

  /* Lay the labels over the opened picture and say beside it what they are. */
  async dress() {
    const i = this.active;
    const [id, , , , , drawn] = this.tiles[i];
    const wanted = drawn && this.labelled ? this.overlay(i, this.openedSize()) : "";
    this.cover(this.large, wanted);
    this.names.replaceChildren();
    this.legend.replaceChildren();
    this.words = null;
    if (!wanted) return;
    const address = `${this.data.legend.replace("{id}", encodeURIComponent(id))}?r=${drawn}`;
    const answer = await fetch(address).catch(() => null);
    const words = answer?.ok ? await answer.json() : null;
    // Another picture may have been opened, or the labels taken off, while this one's words were on their way.
    if (!words || this.large.nextElementSibling?.dataset.url !== wanted) return;
    this.words = words;
    this.legend.replaceChildren(...words.classes.map(([name, color, count]) => {
      const line = named("", name, color, "li");
      if (count > 1) line.append(element("span", "", count.toLocaleString("en")));
      return line;
    }));
    if (words.ignored) this.legend.append(element("li", "ignored", `${words.ignored.toLocaleString("en")} ignored`));
    this.names.replaceChildren(...words.names.map(([name, color]) => named("name", name, color)));
    this.spread();
  }

  /* Put the names where the picture is, which keeps its proportions in the middle of the stage. A name that
     would lie on another waits until there is room. */
  spread() {
    if (!this.words || this.small) return this.names.replaceChildren();
    const { width, height, names } = this.words;
    const [across, down] = [this.stage.clientWidth, this.stage.clientHeight];
    const scale = Math.min(across / width, down / height);
    const placed = [];
    [...this.names.children].forEach((tag, n) => {
      const [, , x, y] = names[n];
      const top = (down - height * scale) / 2 + y * height * scale;
      tag.style.left = `${(across - width * scale) / 2 + x * width * scale}px`;
      tag.style.top = `${top}px`;
      tag.classList.toggle("inside", top < 18);
      const [left, high] = [parseFloat(tag.style.left) * this.scale, top * this.scale];
      const [wide, tall] = [tag.offsetWidth, tag.offsetHeight];
      const free = placed.every(([x2, y2, w2, h2]) => left > x2 + w2 || x2 > left + wide || high > y2 + h2 || y2 > high + tall);
      if (free) placed.push([left, high, wide, tall]);
      tag.classList.toggle("waits", !free);
    });
  }
}
