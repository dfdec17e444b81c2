// View: one Service in depth. The server plans where flows go; this view asks it again when something
// may have changed.

import { h, replace, text } from "./dom.js";
import { bar, diagram, inWords, levels, portOf, portsOf } from "./flows.js";
import { badge, count, percent, to } from "./words.js";

const pause = 1000; // ms between two questions at least

export function service({ ask, where }) {
  const heading = h("h2");
  const state = h("p", { class: "sum", role: "status" }, "Asking…");
  const port = h("select", { id: "port", onchange: show });
  const down = h("select", { id: "down", onchange: () => (location.hash = `${to("service", ...names)}${down.value ? `?down=${encodeURIComponent(down.value)}` : ""}`) });
  const choices = h("form", { class: "filters", onsubmit: (event) => event.preventDefault() },
    h("label", { for: "port" }, "Port"), port, h("label", { for: "down" }, "What if this cluster goes?"), down);
  const body = h("div", { class: "depth" });
  const element = h("div", { class: "view service" }, h("p", null, h("a", { href: to("services") }, "All Services")), heading, state, choices, body);
  let names = where.names;
  let gone = where.query.get("down") ?? "";
  let depth;
  let raw = "";
  let waiting = false;
  let closed = false;

  async function load() {
    const question = `service?name=${encodeURIComponent(names.join("/"))}&down=${encodeURIComponent(gone)}`;
    try {
      const answer = await ask(question);
      const said = JSON.stringify(answer);
      if (said === raw || closed) return;
      [depth, raw] = [answer, said];
      text(state, "");
      show();
    } catch (error) {
      raw = "";
      text(state, String(error.message));
      replace(body);
    }
  }

  function show() {
    if (!depth) return;
    options(port, portsOf([...(depth.flows ?? []), ...(depth.without ?? [])]).map((name) => [name, name]), port.value);
    options(down, [["", "none: as it is now"], ...(depth.canGo ?? []).map((id) => [id, id])], gone);
    const open = new Set([...body.querySelectorAll("details[open]")].map((d) => d.id));
    replace(body, ...parts(depth, port.value));
    for (const details of body.querySelectorAll("details")) details.open = open.has(details.id);
  }

  // update asks again: what has changed may be of this Service.
  function update(changed) {
    text(heading, names.join("/"));
    if (!changed) {
      raw = "";
      load();
      return;
    }
    if (!changed.has("pass") || waiting) return;
    waiting = true;
    setTimeout(() => {
      waiting = false;
      if (!closed) load();
    }, pause);
  }

  function go(where) {
    [names, gone] = [where.names, where.query.get("down") ?? ""];
  }
  return { element, update, go, close: () => (closed = true), title: () => names.join("/") };
}

function options(select, all, value) {
  const same = all.length === select.options.length && all.every(([v], i) => select.options[i].value === v);
  if (!same) select.replaceChildren(...all.map(([v, word]) => h("option", { value: v }, word)));
  select.value = all.some(([v]) => v === value) ? value : (all[0]?.[0] ?? "");
  select.disabled = all.length === 0;
}

function parts(d, port) {
  const flows = (d.flows ?? []).filter((flow) => !flow.headless);
  const without = (d.without ?? []).filter((flow) => !flow.headless);
  const pictures = [flows.length > 0 && port && diagram(flows, port, "New flows now")];
  if (d.ifDown && port) pictures.push(diagram(without, port, `New flows if cluster ${d.ifDown} goes`));
  return [
    ...(d.findings ?? []).map((f) => h("p", { class: "finding" }, badge(f.severity), ` ${f.cluster}: ${f.kind}${f.condition ? `, ${f.condition} (${f.reason})` : ""}: ${f.message}`)),
    h("div", { class: "pictures" }, pictures),
    d.ifDown && port && changes(flows, without, d.ifDown, port),
    sources(d),
    ...(d.flows ?? []).map((flow) => ofFlow(flow, port)),
  ];
}

// changes says in words what the clients of each cluster would see.
function changes(flows, without, down, port) {
  const rows = flows.map((flow) => {
    const then = flow.from === down ? "it goes itself" : inWords(without.find((w) => w.from === flow.from), port);
    return h("tr", null, h("th", { scope: "row" }, flow.from), h("td", null, inWords(flow, port)), h("td", null, then));
  });
  return table(`If cluster ${down} goes`, ["Clients in", "New flows now go to", "New flows then go to"], rows);
}

function sources(d) {
  const from = new Map();
  for (const e of d.exports ?? []) from.set(e.cluster, { export: e });
  for (const i of d.imports ?? []) for (const e of i.from ?? []) {
    const have = from.get(e.cluster) ?? {};
    if (!have.most || e.endpoints >= have.most.endpoints) from.set(e.cluster, { ...have, most: e });
  }
  const rows = [...from].sort().map(([id, { export: e, most }]) => h("tr", null, h("th", { scope: "row" }, id),
    h("td", null, !e ? badge("Unknown", "exported, not asked") : e.conflict ? badge("Warning", "conflict") : badge(e.ready ? "Fine" : "Error", e.ready ? "exported" : "not exported")),
    h("td", null, e?.for ? e.for.join(", ") || "nobody" : "all"), h("td", null, most ? `${most.ready} of ${most.endpoints}` : "–")));
  const imports = (d.imports ?? []).map((i) => h("tr", null, h("th", { scope: "row" }, i.cluster), h("td", null, i.type), h("td", null, (i.ips ?? []).join(", ") || "–"),
    h("td", null, (i.ports ?? []).join(", ") || "–"), h("td", null, i.policy || "–")));
  return h("div", { class: "sides" }, table("Exported by", ["Cluster", "State", "For", "Endpoints ready"], rows),
    table("Imported by", ["Cluster", "Type", "Clusterset IPs", "Ports", "TrafficPolicy"], imports));
}

// ofFlow is one cluster's decision: shares, failover, and why each endpoint is in or out.
function ofFlow(flow, name) {
  const heading = h("h3", null, `From cluster ${flow.from}`);
  const at = flow.node ? `As node ${flow.node}${flow.zone ? ` in zone ${flow.zone}` : ""} decides, by the objects.` : "The cluster has no node.";
  if (flow.headless) return h("section", { class: "flow" }, heading, h("p", null, "The Service is headless: clients choose among the addresses of all ready endpoints."));
  const port = portOf(flow, name);
  if (!port) return h("section", { class: "flow" }, heading, h("p", null, "It does not serve this port."), ...skipped(flow));
  const more = [port.policy && `TrafficPolicy ${port.policy}`, `scheduler ${port.scheduler}`, port.affinitySeconds > 0 && `clients stay for ${port.affinitySeconds} s`];
  const endpoints = port.endpoints.map((e) => h("tr", null, h("th", { scope: "row" }, `${e.address}${e.port ? ` : ${e.port}` : ""}`), h("td", null, e.cluster),
    h("td", null, e.zone || "–"), h("td", null, e.level || "–"), h("td", null, e.weight > 0 ? `in, weight ${e.weight}` : "out"), h("td", { class: "long" }, e.why)));
  return h("section", { class: "flow" }, heading,
    h("p", null, `${port.outcome}. ${at} ${more.filter(Boolean).join(", ")}.`),
    h("ul", { class: "shares" }, port.shares.map((share) => h("li", null, h("span", null, `${share.cluster}: ${percent(share.percent)} of new flows`), bar(share.percent)))),
    weights(flow.policy), h("h4", null, "In this order"), levels(port), ...skipped(flow),
    h("details", { id: `why-${flow.from}` }, h("summary", null, `Why each of ${count(port.endpoints.length + (port.moreEndpoints ?? 0), "endpoint")} is in or out`),
      table(`Endpoints for clients in ${flow.from}`, ["Endpoint", "Cluster", "Zone", "Level", "Flows", "Why"], endpoints),
      port.moreEndpoints > 0 && h("p", null, `${port.moreEndpoints} more are not listed: kubectl tombolo explain -o wide lists all.`)));
}

const skipped = (flow) => (flow.skipped ?? []).map((said) => h("p", { class: "finding" }, badge("Warning", "not served"), ` ${said}`));

// weights is what the TrafficPolicy asks for.
function weights(policy) {
  if (!policy) return null;
  const steps = (policy.failover ?? []).map((step) => [...(step.clusters ?? []), ...(step.regions ?? []).map((r) => `region ${r}`)].join(" and "));
  const said = [
    steps.length > 0 && `failover: ${steps.join(", then ")}`,
    policy.weights?.length > 0 && `weights: ${policy.weights.map((w) => `${w.cluster} ${w.weight}`).join(", ")}`,
    policy.spillover && `spillover at ${policy.spillover.overprovisioningPercent} %`,
  ];
  return h("p", null, `The policy asks for ${said.filter(Boolean).join("; ") || "nothing but a scheduler"}.`);
}

function table(caption, heads, rows) {
  if (rows.length === 0) return h("p", null, `${caption}: none.`);
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, h("table", null, h("caption", null, caption),
    h("thead", null, h("tr", null, heads.map((title) => h("th", { scope: "col" }, title)))), h("tbody", null, rows)));
}
