// A table of any length: only the rows that can be seen are in the page.

import { h, keyed, replace, set } from "./dom.js";

const beyond = 6; // rows above and below what can be seen

// list returns { element, show }. Columns have a title and a class; row(item) returns the cells, and key
// names an item. show(items) shows others; sameOrder tells what changed is inside the rows.
export function list({ label, name, columns, row, key, empty }) {
  const space = h("div", { class: "space" });
  const view = h("div", { class: "rows", role: "rowgroup", tabindex: "0", "aria-label": label, onscroll: draw, onkeydown: move }, space);
  const head = h("div", { role: "rowgroup" },
    h("div", { class: "row head", role: "row" }, columns.map((c) => h("div", { role: "columnheader", class: c.class }, c.title))));
  const nothing = h("p", { class: "empty", hidden: true }, empty);
  const table = h("div", { class: `list ${name}`, role: "table", "aria-label": label, "aria-colcount": columns.length }, head, view);
  const element = h("div", { class: "listing" }, table, nothing);
  let items = [];
  let height = 0;
  new ResizeObserver(() => {
    height = 0;
    draw();
  }).observe(view);

  function rowHeight() {
    height ||= parseFloat(getComputedStyle(table).getPropertyValue("--row")) || 40;
    return height;
  }

  function draw() {
    const size = rowHeight();
    const first = Math.max(0, Math.floor(view.scrollTop / size) - beyond);
    const last = Math.min(items.length, Math.ceil((view.scrollTop + view.clientHeight) / size) + beyond);
    const seen = [];
    for (let i = first; i < last; i++) seen.push(i);
    keyed(space, seen, (i) => key(items[i]), (i) => make(items[i]), (element, i) => {
      set(element, { "aria-rowindex": i + 2 });
      element.style.transform = `translateY(${i * size}px)`;
      element.index = i;
      if (element.item !== items[i]) fillRow(element, items[i]);
    });
  }

  function make(item) {
    const element = h("div", { class: "row", role: "row" });
    fillRow(element, item);
    return element;
  }

  function fillRow(element, item) {
    element.item = item;
    replace(element, row(item).map((cell, i) => h("div", { role: "cell", class: columns[i].class }, cell)));
  }

  // move goes from row to row with the keys that one expects.
  function move(event) {
    const page = Math.max(1, Math.floor(view.clientHeight / rowHeight()) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    const step = steps[event.key];
    if (step === undefined || items.length === 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const from = document.activeElement.closest?.(".row")?.index ?? (step > 0 ? -1 : 0);
    const index = Math.min(items.length - 1, Math.max(0, from + step));
    const top = index * rowHeight();
    if (top < view.scrollTop) view.scrollTop = top;
    if (top + rowHeight() > view.scrollTop + view.clientHeight) view.scrollTop = top + rowHeight() - view.clientHeight;
    draw();
    space.keyed.get(key(items[index]))?.querySelector("a, button")?.focus({ preventScroll: true });
  }

  function show(other, again = false) {
    items = other;
    set(table, { "aria-rowcount": items.length + 1 });
    space.style.height = `${items.length * rowHeight()}px`;
    nothing.hidden = items.length > 0;
    table.hidden = items.length === 0;
    if (again) for (const element of space.children) element.item = undefined;
    draw();
  }
  return { element, show };
}
