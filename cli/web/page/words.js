// Words, marks and numbers. Every state has a mark and a word, so that nobody needs to see its colour.

import { h } from "./dom.js";

// The states of pairs, links, gateways and findings: mark, class, word.
const states = {
  Up: ["✓", "good", "up"],
  Impaired: ["!", "warn", "impaired"],
  Unlinked: ["?", "idle", "no links"],
  Down: ["✗", "bad", "down"],
  Connecting: ["?", "idle", "connecting"],
  Ready: ["✓", "good", "ready"],
  Draining: ["!", "warn", "draining"],
  Starting: ["?", "idle", "starting"],
  NotReady: ["✗", "bad", "not ready"],
  Dead: ["✗", "bad", "dead"],
  Error: ["✗", "bad", "error"],
  Warning: ["!", "warn", "warning"],
  Fine: ["✓", "good", "fine"],
  Unknown: ["?", "idle", "not asked"],
};

// stateOf is { mark, tone, word } of a state.
export function stateOf(name) {
  const [mark, tone, word] = states[name] ?? ["?", "idle", name];
  return { mark, tone, word };
}

// badge is a state as an element.
export function badge(name, word) {
  const state = stateOf(name);
  return h("span", { class: `badge ${state.tone}` }, h("span", { class: "mark", "aria-hidden": "true" }, state.mark), word ?? state.word);
}

export const ms = (value) => (value ? `${trim(value)} ms` : "–");
export const percent = (value) => (value === undefined || value === null ? "–" : `${trim(value)} %`);

// rate is bytes per second in bits, as networks count.
export function rate(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  let bits = bytes * 8;
  for (const unit of ["bit/s", "kbit/s", "Mbit/s"]) {
    if (bits < 1000) return `${trim(bits)} ${unit}`;
    bits /= 1000;
  }
  return `${trim(bits)} Gbit/s`;
}

const trim = (value) => (value >= 100 ? Math.round(value) : Math.round(value * 10) / 10);

const clocks = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const dates = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });

// clock is a time of today, or with its date.
export function clock(time) {
  const date = new Date(time);
  const today = new Date().toDateString() === date.toDateString();
  return today ? clocks.format(date) : `${dates.format(date)} ${clocks.format(date)}`;
}

export const count = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

// to makes the address of a view.
export function to(view, ...names) {
  return `#/${[view, ...names.map(encodeURIComponent)].join("/")}`;
}

export const byText = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
