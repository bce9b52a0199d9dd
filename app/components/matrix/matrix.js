/* Rows are truth, columns prediction. Blue on the diagonal, red beside it, both by their share of the row. */
const MODES = { count: "count", row: "by row", column: "by column" };
const views = new WeakMap();

export default function ({ parentElement, data, setTriggerValue }) {
  const host = parentElement.querySelector(".matrix");
  const view = views.get(host) ?? { mode: "count" };
  views.set(host, view);
  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const rowSums = data.counts.map(sum);
  const columnSums = data.columns.map((_, c) => sum(data.counts.map((row) => row[c])));

  function text(r, c) {
    const n = data.counts[r][c];
    if (!n) return "";
    if (view.mode === "count") return n.toLocaleString("en");
    return `${Math.round((100 * n) / (view.mode === "row" ? rowSums[r] : columnSums[c]))} %`;
  }

  function chip(mode) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = MODES[mode];
    made.setAttribute("aria-pressed", String(view.mode === mode));
    made.onclick = () => { view.mode = mode; draw(); };
    return made;
  }

  function cell(r, c) {
    const n = data.counts[r][c];
    const share = rowSums[r] ? n / rowSums[r] : 0;
    const right = data.rows[r] === data.columns[c];
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text(r, c);
    made.dataset.cell = `${r},${c}`;
    made.ariaLabel = `${data.row_title} ${data.rows[r]}, ${data.column_title} ${data.columns[c]}: ${n} images`;
    made.disabled = !n;
    const chosen = view.cell && view.cell[0] === r && view.cell[1] === c;
    made.setAttribute("aria-pressed", String(Boolean(chosen)));
    if (n) {
      const strength = right ? 45 + 55 * share : Math.min(85, 12 + 190 * share);
      made.style.background =
        `color-mix(in srgb, var(${right ? "--ls-diagonal" : "--ls-error"}) ${strength.toFixed(0)}%, var(--ls-card))`;
      made.classList.toggle("strong", right ? strength > 55 : strength > 70);
    }
    made.onclick = () => {
      view.cell = [r, c];
      draw();
      host.querySelector(`[data-cell="${r},${c}"]`).focus();
      setTriggerValue("cell", [r, c]);
    };
    return made;
  }

  function heading(name, scope) {
    const made = document.createElement("th");
    made.scope = scope;
    made.textContent = name;
    made.title = name;
    return made;
  }

  function draw() {
    const chips = document.createElement("div");
    chips.className = "chips";
    chips.append(...Object.keys(MODES).map(chip));
    const table = document.createElement("table");
    table.ariaLabel = data.title;
    table.style.minWidth = `${100 + 46 * data.columns.length}px`;
    const top = table.createTHead().insertRow();
    top.append(document.createElement("td"), ...data.columns.map((name) => heading(name, "col")));
    const body = table.createTBody();
    data.counts.forEach((row, r) => {
      const line = body.insertRow();
      line.append(heading(data.rows[r], "row"));
      row.forEach((_, c) => line.insertCell().append(cell(r, c)));
    });
    table.onkeydown = walk;
    const scroll = document.createElement("div");
    scroll.className = "scroll";
    scroll.append(table);
    scroll.onscroll = () => fade(scroll);
    view.observer?.disconnect();
    view.observer = new ResizeObserver(() => fade(scroll));
    view.observer.observe(scroll);
    const axis = document.createElement("div");
    axis.className = "axis";
    axis.textContent = `rows: ${data.row_title} · columns: ${data.column_title} · choose a cell to see its images`;
    host.replaceChildren(chips, scroll, axis);
  }

  // A table that goes on beyond the right edge shows it.
  function fade(scroll) {
    scroll.classList.toggle("more", scroll.scrollLeft + scroll.clientWidth < scroll.scrollWidth - 2);
  }

  function walk(event) {
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const step = steps[event.key];
    const at = event.target.dataset?.cell?.split(",").map(Number);
    if (!step || !at) return;
    event.preventDefault();
    for (let [r, c] = at; ;) {
      r += step[0];
      c += step[1];
      const next = host.querySelector(`[data-cell="${r},${c}"]`);
      if (!next) return;
      if (!next.disabled) return next.focus();
    }
  }

  const asked = JSON.stringify(data.cell);
  if (asked !== view.asked) {
    view.asked = asked;
    view.cell = data.cell;
  }
  const focused = host.getRootNode().activeElement?.dataset?.cell;
  draw();
  if (focused) host.querySelector(`[data-cell="${focused}"]`)?.focus();
}
