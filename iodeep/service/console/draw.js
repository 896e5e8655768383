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
  retrying: "M2 5.5a4.6 4.6 0 0 1 8.600-1M11 1.600v3.200H7.800M11 7.500a4.600 4.600 0 0 1-8.600 1M2 11.400V8.200h3.200",
  done: "M2 7l3 3.200L11 3.200",
  refused: "M6.500 1.500a5 5 0 1 0 .01 0M3 10l7-7",
  failed: "M6.500 1.200 12 11.300H1ZM6.500 5v3M6.500 9.800v.1",
  cancelled: "M2.500 2.500l8 8M10.500 2.500l-8 8",
};

export function stateMark(state) {
  const icon = svg("svg", { viewBox: "0 0 13 13", "aria-hidden": "true" });
  icon.append(svg("path", { d: SHAPES[state], fill: "none", stroke: "currentColor", "stroke-width": "1.6", "stroke-linecap": "round", "stroke-linejoin": "round" }));
  return make("span", { class: "state", "data-state": state }, icon, make("span", { text: state[0].toUpperCase() + state.slice(1) }));
}

export function bars(id, values) {
  const chart = by(id);
  const now = JSON.stringify(values);
  if (chart.dataset.drawn === now) return;
  chart.dataset.drawn = now;
  const most = Math.max(1, ...values);
  const parts = [svg("line", { x1: 0, x2: 480, y1: 110.5, y2: 110.5 })];
  values.forEach((value, hour) => {
    const height = value ? Math.max(3, (value / most) * 92) : 1;
    const bar = svg("rect", { x: hour * 20 + 2, width: 16, y: 110 - height, height, rx: 2, class: value ? "some" : "none" });
    bar.append(svg("title", {}, `${value} done ${23 - hour} to ${24 - hour} hours ago`));
    parts.push(bar);
    if (value === most && value) parts.push(svg("text", { x: hour * 20 + 10, y: 104 - height, "text-anchor": "middle" }, String(value)));
  });
  for (const [x, anchor, words] of [[2, "start", "24 h ago"], [240, "middle", "12 h ago"], [478, "end", "now"]]) parts.push(svg("text", { x, y: 127, "text-anchor": anchor }, words));
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
