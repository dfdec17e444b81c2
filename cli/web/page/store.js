// Holds what the server has sent: objects by key, by their kinds such as now/cluster or event.

const kindOf = (key) => {
  const [first, second] = key.split("/", 2);
  return first === "now" ? `now/${second}` : first;
};

export class Store {
  #kinds = new Map();
  #changed = new Set();
  #listener = () => {};

  // listen has the function called with the kinds that have changed, once for each picture of the
  // screen.
  listen(listener) {
    this.#listener = listener;
  }

  // apply takes a change, or the whole state.
  apply(event, { put = {}, gone = [] }) {
    const before = this.#changed.size;
    if (event === "whole") {
      for (const kind of this.#kinds.keys()) this.#changed.add(kind);
      this.#kinds.clear();
    }
    for (const [key, value] of Object.entries(put)) {
      const kind = kindOf(key);
      if (!this.#kinds.has(kind)) this.#kinds.set(kind, new Map());
      this.#kinds.get(kind).set(key, value);
      this.#changed.add(kind);
    }
    for (const key of gone) {
      this.#kinds.get(kindOf(key))?.delete(key);
      this.#changed.add(kindOf(key));
    }
    if (before > 0 || this.#changed.size === 0) return;
    requestAnimationFrame(() => {
      const changed = this.#changed;
      this.#changed = new Set();
      this.#listener(changed);
    });
  }

  // all are the objects of a kind, in no order.
  all(kind) {
    return [...(this.#kinds.get(kind)?.values() ?? [])];
  }

  // entries are the objects of a kind with their keys.
  entries(kind) {
    return [...(this.#kinds.get(kind)?.entries() ?? [])];
  }

  // get is one object, undefined if there is none.
  get(key) {
    return this.#kinds.get(kindOf(key))?.get(key);
  }
}
