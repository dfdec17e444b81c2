// Where flows go, as a picture and in words.

import { h, s } from "./dom.js";
import { badge, byText, count, percent } from "./words.js";

const [rowHeight, left, right, width] = [52, 170, 330, 440];

// portsOf names the ports that any of the flows has.
export function portsOf(flows) {
  const all = new Map();
  for (const flow of flows) for (const p of flow.ports ?? []) all.set(portName(p), p);
  return [...all.keys()].sort(byText);
}

const portName = (p) => `${p.port}/${p.protocol}${p.portName ? ` (${p.portName})` : ""}, ${p.address.includes(":") ? "IPv6" : "IPv4"}`;

// portOf is a flow's port of that name.
export const portOf = (flow, name) => (flow.ports ?? []).find((p) => portName(p) === name);

// inWords is where a flow goes: "east 60 %, west 40 %".
export function inWords(flow, name) {
  const port = flow && portOf(flow, name);
  if (!port) return "nothing is served";
  return port.shares.map((share) => `${share.cluster} ${percent(share.percent)}`).join(", ") || port.outcome;
}

// diagram draws clients at the left, and the clusters whose endpoints get their flows at the right. The
// breadth of a band is its share.
export function diagram(flows, port, title) {
  const targets = [...new Set(flows.flatMap((flow) => (portOf(flow, port)?.endpoints ?? []).map((e) => e.cluster)))].sort(byText);
  const height = Math.max(flows.length, targets.length, 1) * rowHeight;
  const y = (i, n) => (height / n) * (i + 0.5);
  const bend = (right - left) / 2;
  const bands = flows.flatMap((flow, i) => {
    let from = -50; // the bands of a client lie one above the other
    return (portOf(flow, port)?.shares ?? []).map((share) => {
      const [y1, y2] = [y(i, flows.length) + (from + share.percent / 2) * breadth, y(targets.indexOf(share.cluster), targets.length)];
      from += share.percent;
      return s("path", { class: "band", "stroke-width": 1 + share.percent * breadth, d: `M${left} ${y1}C${left + bend} ${y1} ${right - bend} ${y2} ${right} ${y2}` });
    });
  });
  const clients = flows.flatMap((flow, i) => [
    s("text", { class: "name", x: left - 10, y: y(i, flows.length) - 2, "text-anchor": "end" }, clip(flow.from, 20)),
    s("text", { class: "quiet", x: left - 10, y: y(i, flows.length) + 14, "text-anchor": "end" }, clip(inWords(flow, port), 26)),
  ]);
  const ends = targets.map((id, i) => s("text", { class: "name", x: right + 10, y: y(i, targets.length) + 5 }, clip(id, 14)));
  const said = flows.map((flow) => `from ${flow.from} to ${inWords(flow, port)}`).join("; ");
  return h("figure", { class: "flows" }, h("figcaption", null, title),
    s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}: ${said || "no flows"}` }, bands, clients, ends));
}

const breadth = 0.16; // of a band, for each percent

const clip = (words, length) => (words.length > length ? `${words.slice(0, length - 1)}…` : words);

// levels is the order in which sets of endpoints are used: failover as a picture.
export function levels(port) {
  return h("ol", { class: "levels" }, port.levels.filter((level) => level.endpoints > 0).map((level) => h("li", { class: level.sharePercent > 0 ? "used" : "" },
    h("div", { class: "level" }, h("b", null, level.name), h("span", null, `${level.ready} of ${count(level.endpoints, "endpoint")} ready`),
      badge(level.sharePercent > 0 ? "Up" : level.ready > 0 ? "Unlinked" : "Down", level.sharePercent > 0 ? `gets ${percent(level.sharePercent)}` : level.ready > 0 ? "stands by" : "cannot be used")),
    bar(level.sharePercent), level.note && h("small", null, level.note))));
}

// bar shows a share beside its number.
export function bar(share) {
  return s("svg", { class: "bar", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
    s("rect", { class: "whole", width: 100, height: 6 }), s("rect", { class: "part", width: share, height: 6 }));
}
