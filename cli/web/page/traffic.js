// What links and pairs of clusters do over time, from the samples.

// linkId names a link as the server does.
export const linkId = (from, link, to) => [from, link.gateway, to, link.remoteGateway].join("/");

// history is the samples, the oldest first.
export function history(store) {
  return store.entries("sample").sort(([a], [b]) => (a < b ? -1 : 1)).map(([, sample]) => sample);
}

const [rtt, loss, sent, received] = [0, 1, 2, 3];

// ofLink is a link's series: times, rtt in ms, loss in percent, sent and received in bytes per second.
export function ofLink(samples, id) {
  const series = (what) => samples.map((sample) => sample.links[id]?.[what] ?? null);
  return { times: samples.map((sample) => sample.time), rtt: series(rtt), loss: series(loss), sent: series(sent), received: series(received) };
}

// ofPair is the same of all links of a pair together: the shortest round trip, the greatest loss, and
// the bytes from a to b and from b to a. Where both sides were asked, each says what it sends.
export function ofPair(samples, pair) {
  const all = pair.sides.flatMap((side) => (side.links ?? []).map((link) => ({ id: linkId(side.from, link, side.id), fromA: side.from === pair.a })));
  const both = pair.sides.length > 1;
  const fold = (pick, join) => samples.map((sample) => {
    const values = all.map((link) => pick(sample.links[link.id] ?? [], link)).filter((v) => v !== null && v !== undefined);
    return values.length > 0 ? values.reduce((x, y) => join(x, y)) : null;
  });
  const add = (x, y) => x + y;
  const toward = (fromA) => fold((m, link) => (link.fromA === fromA ? m[sent] : both ? null : m[received]), add);
  return {
    times: samples.map((sample) => sample.time),
    rtt: fold((m) => m[rtt], Math.min),
    loss: fold((m) => m[loss], Math.max),
    sent: toward(true),
    received: toward(false),
  };
}
