// Makes and updates elements. Text is never read as HTML.

const svgSpace = "http://www.w3.org/2000/svg";

// h makes an HTML element. Properties that begin with "on" are listeners; null and false are left out.
export function h(tag, properties, ...children) {
  return fill(document.createElement(tag), properties, children);
}

// s makes an SVG element.
export function s(tag, properties, ...children) {
  return fill(document.createElementNS(svgSpace, tag), properties, children);
}

function fill(element, properties, children) {
  set(element, properties);
  element.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return element;
}

// set sets attributes, and only those that differ.
export function set(element, properties) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (name.startsWith("on")) {
      element.addEventListener(name.slice(2), value);
    } else if (value === null || value === undefined || value === false) {
      element.removeAttribute(name);
    } else if (element.getAttribute(name) !== String(value)) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
}

// text sets an element's text if it differs, so that a screen reader is not told again.
export function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

// keyed makes the children of parent those of the items, in their order. An element stays with its key,
// and with it the focus.
export function keyed(parent, items, key, make, update) {
  const have = parent.keyed ?? new Map();
  const now = new Map();
  let place = parent.firstChild;
  for (const item of items) {
    const k = key(item);
    const element = have.get(k) ?? make(item);
    have.delete(k);
    now.set(k, element);
    update?.(element, item);
    if (element === place) {
      place = place.nextSibling;
    } else {
      parent.insertBefore(element, place);
    }
  }
  for (const element of have.values()) element.remove();
  parent.keyed = now;
}

// replace puts other children into an element. What had the focus keeps it, if it is there again: the
// same kind of element at the same place.
export function replace(element, ...children) {
  const inside = [...element.querySelectorAll("a, button, select, input, summary, [tabindex]")];
  const at = inside.indexOf(document.activeElement);
  element.replaceChildren(...children.flat().filter(Boolean));
  if (at >= 0) element.querySelectorAll("a, button, select, input, summary, [tabindex]")[at]?.focus({ preventScroll: true });
}
