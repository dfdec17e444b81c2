// View: the Services of the clusterset, with filters.

import { h, text } from "./dom.js";
import { list } from "./list.js";
import { badge, byText, count, to } from "./words.js";

const tests = {
  all: () => true,
  wrong: (s) => Boolean(s.trouble),
  conflict: (s) => Boolean(s.conflict),
  unready: (s) => ready(s).ready === 0,
};

const ready = (s) => (s.from ?? []).reduce((sum, e) => ({ ready: sum.ready + e.ready, endpoints: sum.endpoints + e.endpoints }), { ready: 0, endpoints: 0 });

export function services({ store, where }) {
  const search = h("input", { id: "search", type: "search", placeholder: "name, namespace, address, cluster", autocomplete: "off", spellcheck: "false", oninput: show });
  const only = h("select", { id: "only", onchange: show }, [["all", "all"], ["wrong", "not right"], ["conflict", "in conflict"], ["unready", "without ready endpoint"]]
    .map(([value, word]) => h("option", { value }, word)));
  const cluster = h("select", { id: "cluster", onchange: show }, h("option", { value: "" }, "all clusters"));
  const sum = h("p", { class: "sum", role: "status" });
  const table = list({
    label: "Services", name: "services", empty: "No Service is like that.", key: (s) => `${s.namespace}/${s.name}`, row,
    columns: [{ title: "Service", class: "first" }, { title: "State" }, { title: "Exported by" }, { title: "Ready" }, { title: "Imported by", class: "wide" },
      { title: "Clusterset IP", class: "wide" }, { title: "Ports", class: "wide" }],
  });
  const element = h("div", { class: "view" }, h("h2", null, "Services"),
    h("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
      h("label", { for: "search" }, "Filter"), search, h("label", { for: "only" }, "Show"), only, h("label", { for: "cluster" }, "Cluster"), cluster), sum, table.element);
  let all = [];
  let wanted = where.query.get("cluster") ?? "";

  function row(s) {
    const { ready: yes, endpoints } = ready(s);
    const exporters = (s.exports ?? []).map((e) => e.cluster);
    const others = (s.from ?? []).map((e) => e.cluster).filter((id) => !exporters.includes(id)); // clusters that nobody asked
    return [h("a", { href: to("service", s.namespace, s.name) }, h("span", { class: "quiet" }, `${s.namespace}/`), s.name),
      s.conflict ? badge("Warning", "conflict") : badge(s.trouble || "Fine"), some([...exporters, ...others].sort(byText)), `${yes}/${endpoints}`,
      some(s.imports ?? []), s.headless ? "headless" : (s.ips ?? []).join(", ") || "–", (s.ports ?? []).join(", ") || "–"];
  }

  // show filters, and shows what is left.
  function show() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    wanted = cluster.value;
    const left = all.filter((s) => tests[only.value](s) && (wanted === "" || s.of.has(wanted)) && words.every((word) => s.text.includes(word)));
    table.show(left.map((s) => s.service));
    text(sum, left.length === all.length ? count(all.length, "Service") : `${left.length} of ${count(all.length, "Service")}`);
  }

  function update(changed) {
    if (changed && !changed.has("now/service") && !changed.has("now/cluster")) return;
    all = store.all("now/service").map((service) => {
      const of = new Set([...(service.exports ?? []).map((e) => e.cluster), ...(service.from ?? []).map((e) => e.cluster), ...(service.imports ?? [])]);
      const said = `${service.namespace}/${service.name} ${(service.ips ?? []).join(" ")} ${[...of].join(" ")}`.toLowerCase();
      return { service, of, text: said, trouble: service.trouble, conflict: service.conflict, from: service.from };
    }).sort((a, b) => byText(a.service.namespace, b.service.namespace) || byText(a.service.name, b.service.name));
    const ids = store.all("now/cluster").map((c) => c.id).sort(byText);
    if (ids.length !== cluster.options.length - 1) {
      cluster.replaceChildren(h("option", { value: "" }, "all clusters"), ...ids.map((id) => h("option", { value: id }, id)));
      cluster.value = ids.includes(wanted) ? wanted : "";
    }
    show();
  }
  return { element, update, title: () => "Services" };
}

// some is a few names, and how many more there are.
function some(names) {
  if (names.length === 0) return "–";
  return names.length <= 3 ? names.join(", ") : `${names.slice(0, 2).join(", ")} and ${names.length - 2} more`;
}
