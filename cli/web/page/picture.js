// The picture of clusters and links.

import { h, keyed, s, set, text } from "./dom.js";
import { ms, percent, rate, stateOf, to } from "./words.js";

const card = { width: 132, height: 48 };
const small = { width: 96, height: 48 };
const most = 12; // clusters that are drawn as cards, with every link

// place puts n clusters on an ellipse inside a picture of that width. Pure.
export function place(n, width) {
  const cards = n <= (width < 500 ? 6 : most);
  const box = !cards ? { width: 22, height: 22 } : width < 500 ? small : card;
  const height = n <= 2 ? 150 : cards ? Math.min(520, 200 + 40 * n) : Math.min(620, Math.max(width, 300));
  const [rx, ry] = [(width - box.width) / 2 - 8, (height - box.height) / 2 - 8];
  const start = n === 2 ? Math.PI : -Math.PI / 2;
  const at = [];
  for (let i = 0; i < n; i++) {
    const angle = start + (i * 2 * Math.PI) / n;
    at.push(n === 1 ? [width / 2, height / 2] : [width / 2 + rx * Math.cos(angle), height / 2 + ry * Math.sin(angle)]);
  }
  return { cards, box, height, at };
}

// stateOfCluster is what its card says.
export const stateOfCluster = (c) => (!c.context ? "Unknown" : c.trouble || "Fine");

// picture returns { element, show }.
export function picture() {
  const edges = s("g");
  const nodes = s("g");
  const drawing = s("svg", { class: "picture", role: "group", "aria-label": "Picture of clusters and links" }, edges, nodes);
  const note = h("p", { class: "note", hidden: true });
  const element = h("div", { class: "drawing" }, drawing, note);

  // show draws clusters and pairs, both sorted. chosen names the clusters that are looked at; traffic
  // returns the latest bytes per second of a pair, both ways.
  function show({ clusters, pairs, chosen, traffic }) {
    const width = Math.max(280, Math.round(element.clientWidth));
    const { cards, box, height, at } = place(clusters.length, width);
    set(drawing, { viewBox: `0 0 ${width} ${height}`, width, height });
    const where = new Map(clusters.map((c, i) => [c.id, at[i]]));
    const drawn = pairs.filter((p) => where.has(p.a) && where.has(p.b) && (cards || p.state !== "Up" || chosen.includes(p.a) || chosen.includes(p.b)));
    keyed(edges, drawn, (p) => `${p.a} ${p.b}`, makeEdge, (e, p) => drawEdge(e, p, { where, cards, chosen, traffic, words: cards && pairs.length <= 3 && width >= 500 }));
    keyed(nodes, clusters, (c) => `${cards} ${c.id}`, () => makeNode(cards), (e, c) => drawNode(e, c, { where, box, cards, chosen, ring: width >= 700, middle: [width / 2, height / 2] }));
    const hidden = pairs.length - drawn.length;
    note.hidden = hidden === 0;
    text(note, hidden === 0 ? "" : `${hidden} pairs whose links are up are not drawn. Choose a cluster to see its own.`);
  }
  return { element, show };
}

function makeEdge() {
  return s("a", null, s("path", { class: "wide" }), s("path", { class: "line" }), s("circle", { r: 11 }), s("text", { class: "mark" }), s("text", { class: "words" }));
}

function drawEdge(element, pair, { where, cards, chosen, traffic, words }) {
  const [[x1, y1], [x2, y2]] = [where.get(pair.a), where.get(pair.b)];
  const [x, y] = [(x1 + x2) / 2, (y1 + y2) / 2];
  const state = stateOf(pair.state);
  const [wide, line, circle, mark, label] = element.children;
  const [there, back] = words ? traffic(pair) : [null, null];
  const numbers = [ms(pair.rtt), percent(pair.loss ?? 0), there === null ? "" : `→ ${rate(there)} ← ${rate(back)}`].filter(Boolean).join(" · ");
  const shown = pair.state === "Down" ? "down" : numbers;
  const said = `${pair.a} – ${pair.b}: ${state.word}, ${shown}; ${pair.linksUp} of ${pair.linksTotal} links up`;
  const isChosen = chosen.includes(pair.a) && chosen.includes(pair.b);
  set(element, { href: to("pair", pair.a, pair.b), class: `edge ${state.tone}${isChosen ? " chosen" : ""}`, "aria-label": said, tabindex: cards ? null : -1 });
  const d = `M${x1.toFixed(1)} ${y1.toFixed(1)}L${x2.toFixed(1)} ${y2.toFixed(1)}`;
  set(wide, { d });
  set(line, { d });
  const marked = cards || state.tone !== "good";
  set(circle, { cx: x, cy: y, visibility: marked ? null : "hidden" });
  set(mark, { x, y: y + 5, visibility: marked ? null : "hidden" });
  text(mark, state.mark);
  set(label, { x, y: y - 18 });
  text(label, words ? shown : "");
}

function makeNode(cards) {
  return cards ? s("a", null, s("rect", { rx: 8 }), s("text", { class: "mark" }), s("text", null, s("tspan", { class: "name" }), " ", s("tspan", { class: "more" })))
    : s("a", null, s("circle"), s("text", { class: "mark" }), s("text", { class: "name" }));
}

function drawNode(element, cluster, { where, box, cards, chosen, ring, middle }) {
  const [x, y] = where.get(cluster.id);
  const state = stateOf(stateOfCluster(cluster));
  const gateways = cluster.gateways ?? [];
  const ready = gateways.filter((g) => g.state === "Ready").length;
  const more = cluster.context ? `${ready}/${gateways.length} gateways` : "not asked";
  const shown = cards ? clip(cluster.id, box.width < 110 ? 8 : 12) : cluster.id;
  set(element, { href: to("cluster", cluster.id), class: `node ${state.tone}${chosen.includes(cluster.id) ? " chosen" : ""}`, "aria-label": `cluster ${shown} ${more}: ${state.word}` });
  const [shape, mark, name] = element.children;
  text(mark, state.mark);
  if (!cards) {
    const right = x >= middle[0];
    const turn = (Math.atan2(y - middle[1], x - middle[0]) * 180) / Math.PI + (right ? 0 : 180);
    set(shape, { cx: x, cy: y, r: ring ? 9 : 4 });
    set(mark, { x, y: y + 4, visibility: ring ? null : "hidden" });
    set(name, { transform: `translate(${x.toFixed(1)} ${y.toFixed(1)}) rotate(${turn.toFixed(1)})`, x: right ? -14 : 14, y: 4, "text-anchor": right ? "end" : "start", visibility: ring ? null : "hidden" });
    text(name, cluster.id);
    return;
  }
  const left = x - box.width / 2;
  set(shape, { x: left, y: y - box.height / 2, width: box.width, height: box.height });
  set(mark, { x: left + 14, y: y - 3 });
  const [first, second] = name.children;
  set(first, { x: left + 26, y: y - 3 });
  text(first, shown);
  set(second, { x: left + 10, y: y + 15 });
  text(second, more);
}

const clip = (name, length) => (name.length > length ? `${name.slice(0, length - 1)}…` : name);
