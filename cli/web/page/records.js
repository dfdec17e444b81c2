// Views: what is not right, and what has happened. One entry can be chosen, and is shown in full.

import { h, replace, text } from "./dom.js";
import { list } from "./list.js";
import { badge, byText, clock, count, to } from "./words.js";

// records is a view of objects of one kind. make turns [key, object] into a record: state, time,
// cluster, object, reason, message.
function records({ store, kind, title, empty, make, compare }) {
  const search = h("input", { id: "search", type: "search", placeholder: "object, reason, words", autocomplete: "off", spellcheck: "false", oninput: show });
  const only = h("input", { id: "only", type: "checkbox", onchange: show });
  const sum = h("p", { class: "sum", role: "status" });
  const whole = h("div", { class: "whole", "aria-live": "polite" });
  const table = list({
    label: title, name: "records", empty, key: (r) => r.key, row,
    columns: [{ title: "Object", class: "first" }, { title: "State" }, { title: "Time" }, { title: "Cluster" }, { title: "Reason" }, { title: "Message", class: "long" }],
  });
  const element = h("div", { class: "view" }, h("h2", null, title),
    h("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
      h("label", { for: "search" }, "Filter"), search, h("label", null, only, kind === "event" ? " warnings only" : " errors only")), sum, whole, table.element);
  let all = [];

  function row(r) {
    return [h("button", { type: "button", class: "plain", onclick: () => choose(r) }, r.object), badge(r.state), r.time ? clock(r.time) : "–", r.cluster, r.reason || "–", r.message];
  }

  function choose(r) {
    replace(whole, h("h3", null, r.object, " ", badge(r.state)), h("p", null, r.message),
      h("p", { class: "quiet" }, [`cluster ${r.cluster}`, r.reason, r.time && clock(r.time), r.count > 1 && `${r.count} times`].filter(Boolean).join(" · ")),
      r.link && h("p", null, h("a", { href: r.link }, "See this Service")));
  }

  function show() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const left = all.filter((r) => (!only.checked || r.severe) && words.every((word) => r.text.includes(word)));
    table.show(left);
    text(sum, left.length === all.length ? count(all.length, "entry").replace("entrys", "entries") : `${left.length} of ${all.length} entries`);
  }

  function update(changed) {
    if (changed && !changed.has(kind)) return;
    const before = new Map(all.map((r) => [r.key, r]));
    all = store.entries(kind).map(([key, object]) => {
      const was = before.get(key);
      if (was?.of === object) return was; // so its row stays
      const r = { key, of: object, ...make(object) };
      r.text = `${r.cluster} ${r.object} ${r.reason} ${r.message}`.toLowerCase();
      return r;
    }).sort(compare);
    show();
  }
  return { element, update, title: () => title };
}

export function problems({ store }) {
  return records({
    store, kind: "now/finding", title: "What is not right", empty: "✓ Nothing is wrong.",
    make: (f) => ({
      state: f.severity, severe: f.severity === "Error", time: f.since, cluster: f.cluster, message: f.message, reason: [f.condition, f.reason].filter(Boolean).join(": "),
      object: [f.kind, [f.namespace, f.name].filter(Boolean).join("/")].filter(Boolean).join(" "),
      link: ["ServiceExport", "ServiceImport"].includes(f.kind) ? to("service", f.namespace, f.name) : null,
    }),
    compare: (a, b) => byText(a.state, b.state) || byText(a.cluster, b.cluster) || byText(a.object, b.object) || byText(a.key, b.key),
  });
}

export function events({ store }) {
  return records({
    store, kind: "event", title: "Events", empty: "Nothing has happened since the page began.",
    make: (e) => ({ ...e, state: e.warning ? "Warning" : "Fine", severe: Boolean(e.warning) }),
    compare: (a, b) => byText(b.time, a.time) || byText(a.key, b.key),
  });
}
