// Reads server-sent events with fetch, since EventSource cannot send the token as a header. A cookie
// would go to every port of this host.

const pause = 1000; // ms before the next attempt

// follow calls on(event, data) for each event, and say with how the connection is: "live", "lost" or
// "refused". It connects again until it is refused.
export async function follow(token, on, say) {
  for (;;) {
    try {
      const answer = await fetch("api/stream", { headers: { Authorization: `Bearer ${token}` } });
      if (answer.status === 401) {
        say("refused");
        return;
      }
      if (!answer.ok) throw new Error(answer.statusText);
      say("live");
      await read(answer.body, on);
    } catch {
      // The connection has ended; what is shown stays.
    }
    say("lost");
    await new Promise((done) => setTimeout(done, pause));
  }
}

async function read(body, on) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let parts = [];
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const pieces = value.split("\n\n");
    // A separator that came in two parts.
    if (parts.length > 0 && parts.at(-1).endsWith("\n") && value.startsWith("\n")) {
      dispatch(parts.join("").slice(0, -1), on);
      parts = [];
      pieces[0] = pieces[0].slice(1);
    }
    for (const piece of pieces.slice(0, -1)) {
      parts.push(piece);
      dispatch(parts.join(""), on);
      parts = [];
    }
    if (pieces.at(-1) !== "") parts.push(pieces.at(-1));
  }
}

function dispatch(block, on) {
  let event = "message";
  let data = "";
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) event = line.slice(7);
    if (line.startsWith("data: ")) data += line.slice(6);
  }
  if (data !== "") on(event, JSON.parse(data));
}
