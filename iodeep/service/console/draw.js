// Elements out of data. Text goes in as text, never as markup; a part that did not change is left alone, so nothing jumps.

const SVG = "http://www.w3.org/2000/svg";
export const by = (id) => document.getElementById(id);

export function make(tag, { text, ...attributes } = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined && value !== null) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  made.append(...children.filter(Boolean));
  return made;
}

export function svg(tag, attributes = {}, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

export function say(id, text) {
  const found = by(id);
  const shown = text || "\u00a0";
  if (found.textContent !== shown) found.textContent = shown;
}

export function fill(id, rows, makeRow, empty) {
  const found = by(id);
  const now = JSON.stringify(rows);
  if (found.dataset.drawn === now) return;
  found.dataset.drawn = now;
  found.replaceChildren(...(rows.length ? rows.map(makeRow) : [make("li", {}, make("span", { class: "muted", text: empty }))]));
}

const SHAPES = {
  waiting: "M6.5 1.5a5 5 0 1 0 .01 0M6.5 4v2.6l1.8 1.2",
  running: "M6.5 1.5a5 5 0 1 1-4.6 3M1.6 1.4l.3 3.1 3-.4",
  retrying: "M2 5.5a4.6 4.6 0 0 1 8.6-1M11 1.6v3.2H7.8M11 7.5a4.6 4.6 0 0 1-8.6 1M2 11.4V8.2h3.2",
  done: "M2 7l3 3.2L11 3.2",
  refused: "M6.5 1.5a5 5 0 1 0 .01 0M3 10l7-7",
  failed: "M6.5 1.2 12 11.3H1ZM6.5 5v3M6.5 9.8v.1",
  cancelled: "M2.5 2.5l8 8M10.5 2.5l-8 8",
};

export function stateMark(state) {
  const icon = svg("svg", { viewBox: "0 0 13 13", "aria-hidden": "true" });
  icon.append(svg("path", { d: SHAPES[state], fill: "none", stroke: "currentColor", "stroke-width": "1.6", "stroke-linecap": "round", "stroke-linejoin": "round" }));
  return make("span", { class: "state", "data-state": state }, icon, make("span", { text: state[0].toUpperCase() + state.slice(1) }));
}

let rate = [];
const HEIGHT = 132;
const GROUND = 110;

export function bars(values) {
  rate = values;
  redraw();
}

export function redraw() {
  const chart = by("rate");
  const width = Math.round(chart.clientWidth);
  const now = JSON.stringify([width, rate]);
  if (!width || chart.dataset.drawn === now) return;
  chart.dataset.drawn = now;
  chart.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  const most = Math.max(1, ...rate);
  const pitch = width / Math.max(1, rate.length);
  const parts = [svg("line", { x1: 0, x2: width, y1: GROUND + 0.5, y2: GROUND + 0.5 })];
  rate.forEach((value, hour) => {
    const height = value ? Math.max(3, (value / most) * 92) : 1;
    const bar = svg("rect", { x: hour * pitch + 2, width: pitch - 4, y: GROUND - height, height, rx: 2, class: value ? "some" : "none" });
    bar.append(svg("title", {}, `${value} done ${rate.length - 1 - hour} to ${rate.length - hour} hours ago`));
    parts.push(bar);
  });
  const highest = rate.lastIndexOf(most);
  if (highest >= 0) parts.push(svg("text", { x: (highest + 0.5) * pitch, y: 12, "text-anchor": "middle" }, String(most)));
  for (const [x, anchor, words] of [[2, "start", "24 h ago"], [width / 2, "middle", "12 h ago"], [width - 2, "end", "now"]]) parts.push(svg("text", { x, y: 127, "text-anchor": anchor }, words));
  chart.replaceChildren(...parts);
}

export function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 119.5) return `${Math.round(seconds)} s`;
  if (seconds < 5940) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} d`;
}

export function bytes(count) {
  for (const [unit, size] of [["TB", 1e12], ["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) if (count >= size) return `${(count / size).toFixed(1)} ${unit}`;
  return `${count} B`;
}

export const since = (moment) => span(Math.max(0, (Date.now() - new Date(moment)) / 1000));
