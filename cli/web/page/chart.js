// Draws numbers over time.

import { h, s } from "./dom.js";
import { clock } from "./words.js";

const [width, height] = [300, 60];

// chart is a figure with a heading that says the numbers, too. A series has values, a word and a class;
// write makes text of a value.
export function chart({ title, times, series, write, floor }) {
  const known = series.flatMap((one) => one.values).filter((v) => v !== null);
  const top = Math.max(floor, ...known);
  const now = series.map((one) => `${one.word} ${write(one.values.findLast((v) => v !== null))}`.trim()).join(", ");
  const said = known.length === 0 ? "not measured yet" : `${now}; at most ${write(Math.max(...known))}`;
  const picture = s("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    s("path", { class: "ground", d: `M0 ${height - 1}H${width}` }),
    series.map((one) => s("path", { class: `curve ${one.tone}`, d: curve(one.values, top) })));
  const since = times.length > 1 ? `since ${clock(times[0])}` : "";
  return h("figure", { class: "chart" }, h("figcaption", null, h("b", null, title), ` ${said}`), picture, h("small", null, since));
}

// spark is a curve without words, for a row that has the words.
export function spark(values, floor) {
  return s("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    s("path", { class: "curve first", d: curve(values, Math.max(floor, ...values)) }));
}

// curve is a path with gaps where nothing was measured.
function curve(values, top) {
  const step = width / Math.max(1, values.length - 1);
  let path = "";
  let pen = "M";
  values.forEach((value, i) => {
    if (value === null) {
      pen = "M";
      return;
    }
    path += `${pen}${(i * step).toFixed(1)} ${(height - 2 - (value / top) * (height - 6)).toFixed(1)}`;
    pen = "L";
  });
  return path;
}
