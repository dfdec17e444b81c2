// View: clusters and links. A cluster or a pair may be chosen.

import { h, replace, text } from "./dom.js";
import { list } from "./list.js";
import { picture, stateOfCluster } from "./picture.js";
import { history, linkId, ofLink, ofPair } from "./traffic.js";
import { chart, spark } from "./chart.js";
import { badge, byText, clock, count, ms, percent, rate, to } from "./words.js";

export function clusters({ store, where }) {
  const sum = h("p", { class: "sum" });
  const drawn = picture();
  const detail = h("section", { class: "detail", "aria-label": "What is chosen" });
  const table = list({
    label: "Pairs of clusters", name: "pairs", empty: "No cluster knows another one.", key: (p) => `${p.a} ${p.b}`, row,
    columns: [{ title: "Clusters", class: "first" }, { title: "State" }, { title: "Links" }, { title: "RTT" }, { title: "Loss", class: "wide" },
      { title: "Throughput", class: "wide" }, { title: "RTT, last minutes", class: "wide" }],
  });
  const element = h("div", { class: "view clusters" }, h("h2", null, "Clusters and links"), sum, h("div", { class: "sides" }, h("div", { class: "left" }, drawn.element, table.element), detail));
  let chosen = where.names;
  let samples = [];
  new ResizeObserver(() => draw()).observe(drawn.element);

  const latest = (pair) => {
    const series = ofPair(samples.slice(-1), pair);
    return [series.sent[0] ?? null, series.received[0] ?? null];
  };

  function row(pair) {
    const series = ofPair(samples.slice(-60), pair);
    const [there, back] = latest(pair);
    return [h("a", { href: to("pair", pair.a, pair.b) }, `${pair.a} – ${pair.b}`), badge(pair.state), `${pair.linksUp}/${pair.linksTotal}`, ms(pair.rtt),
      percent(pair.loss ?? 0), there === null ? "–" : `→ ${rate(there)} ← ${rate(back)}`, spark(series.rtt, 5)];
  }

  const sorted = () => ({
    all: store.all("now/cluster").sort((x, y) => byText(x.id, y.id)),
    pairs: store.all("now/pair").sort((x, y) => byText(x.a, y.a) || byText(x.b, y.b)),
  });

  function draw() {
    const { all, pairs } = sorted();
    drawn.show({ clusters: all, pairs, chosen, traffic: latest });
  }

  function update(changed) {
    if (changed && !["now/set", "now/cluster", "now/pair", "sample"].some((kind) => changed.has(kind))) return;
    samples = history(store);
    const set = store.get("now/set");
    text(sum, !set ? "Reading the clusters…" : `${count(set.clusters, "cluster")}, ${set.asked} of them asked; ${count(set.services, "Service")}. ${
      set.errors + set.warnings === 0 ? "✓ Nothing is wrong." : `${count(set.errors, "error")}, ${count(set.warnings, "warning")}.`}`);
    const { all, pairs } = sorted();
    draw();
    table.show(pairs.filter((p) => chosen.length !== 1 || p.a === chosen[0] || p.b === chosen[0]), true);
    const [a, b] = chosen;
    const pair = pairs.find((p) => p.a === a && p.b === b);
    const cluster = all.find((c) => c.id === a);
    if (pair) replace(detail, ofThePair(pair, samples));
    else if (cluster && b === undefined) replace(detail, ofTheCluster(cluster));
    else replace(detail, h("p", null, chosen.length > 0 ? "There is no such cluster or pair." : "Choose a cluster or a link to see more of it."));
  }

  function go(where) {
    chosen = where.names;
    if (chosen.length > 0) requestAnimationFrame(() => detail.scrollIntoView({ block: "nearest" }));
  }
  return { element, update, go, title: () => (chosen.length > 0 ? chosen.join(" – ") : "Clusters") };
}

function ofThePair(pair, samples) {
  const series = ofPair(samples, pair);
  const many = [{ values: series.sent, word: `→ ${pair.b}`, tone: "first" }, { values: series.received, word: `→ ${pair.a}`, tone: "second" }];
  return [
    h("h3", null, `${pair.a} – ${pair.b} `, badge(pair.state)),
    chart({ title: "Round trip", times: series.times, floor: 2, write: ms, series: [{ values: series.rtt, word: "", tone: "first" }] }),
    chart({ title: "Loss", times: series.times, floor: 5, write: percent, series: [{ values: series.loss, word: "", tone: "first" }] }),
    chart({ title: "Throughput", times: series.times, floor: 1000, write: rate, series: many }),
    ...pair.sides.map((side) => linksOf(side, samples)),
    h("p", null, h("a", { href: to("clusters") }, "Close")),
  ];
}

// linksOf says which gateway carries what, as one side sees it.
function linksOf(side, samples) {
  const rows = (side.links ?? []).map((link) => {
    const series = ofLink(samples.slice(-1), linkId(side.from, link, side.id));
    const number = (values, write) => (values[0] === undefined || values[0] === null ? "–" : write(values[0]));
    return h("tr", null, h("th", { scope: "row" }, `${link.gateway} → ${link.remoteGateway}`), h("td", null, badge(link.state)),
      h("td", null, series.rtt[0] ? ms(series.rtt[0]) : ms(link.rttMilliseconds)), h("td", null, percent(series.loss[0] ?? link.lossPercent ?? 0)),
      h("td", null, number(series.sent, rate)), h("td", null, number(series.received, rate)),
      h("td", { class: "long" }, [link.message, link.since && `since ${clock(link.since)}`].filter(Boolean).join("; ")));
  });
  const heads = ["Gateways", "State", "RTT", "Loss", "Sent", "Received", "More"];
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Links as ${side.from} sees them` }, h("table", null,
    h("caption", null, `As ${side.from} sees it: ${side.reachable ? "reachable" : "not reachable"}`),
    h("thead", null, h("tr", null, heads.map((title) => h("th", { scope: "col" }, title)))), h("tbody", null, rows)));
}

function ofTheCluster(c) {
  const facts = [["State", badge(stateOfCluster(c))], ["Region", c.region], ["CIDRs", c.cidrs?.join(", ")], ["Context", c.context], ["Hub", c.hub], ["DNS", c.dns],
    ["Nodes that serve", c.context && `${c.nodesServing ?? 0} of ${c.nodes ?? 0}`], ["Exports", c.context && (c.exports ?? 0)], ["Imports", c.context && (c.imports ?? 0)]];
  const gateways = (c.gateways ?? []).map((g) => h("tr", null, h("th", { scope: "row" }, g.name), h("td", null, badge(g.state)), h("td", null, g.lane ?? "–"), h("td", null, g.endpoint ?? "–")));
  return [
    h("h3", null, `Cluster ${c.id}`),
    c.context ? null : h("p", null, "Nobody asked this cluster: name its context with --contexts. This is what others say of it."),
    h("dl", null, facts.filter(([, value]) => value !== undefined && value !== "").flatMap(([name, value]) => [h("dt", null, name), h("dd", null, value)])),
    gateways.length > 0 && h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Gateways" }, h("table", null, h("caption", null, "Gateways"),
      h("thead", null, h("tr", null, ["Name", "State", "Lane", "Endpoint"].map((title) => h("th", { scope: "col" }, title)))), h("tbody", null, gateways))),
    h("p", null, h("a", { href: `${to("services")}?cluster=${encodeURIComponent(c.id)}` }, "Its Services"), " · ", h("a", { href: to("clusters") }, "Close")),
  ];
}
