// Begins the page: token, stream, and which view is shown.

import { set, text } from "./dom.js";
import { follow } from "./stream.js";
import { Store } from "./store.js";
import { count } from "./words.js";
import { clusters } from "./clusters.js";
import { services } from "./services.js";
import { service } from "./service.js";
import { events, problems } from "./records.js";

// The views by the first part of the address. Some parts lead to the same view.
const views = { clusters, cluster: clusters, pair: clusters, services, service, problems, events };
const parents = { cluster: "clusters", pair: "clusters", service: "services" };

const store = new Store();
const main = document.getElementById("main");
const token = takeToken();
let shown = { make: null, view: null };

// takeToken takes the token out of the address, and keeps it for as long as this tab is open.
function takeToken() {
  const given = /^#token=([A-Za-z0-9]+)$/.exec(location.hash)?.[1];
  if (given) {
    sessionStorage.setItem("token", given);
    history.replaceState(null, "", "#/clusters");
  }
  return sessionStorage.getItem("token") ?? "";
}

// ask asks the server for more than the stream has.
async function ask(path) {
  const answer = await fetch(`api/${path}`, { headers: { Authorization: `Bearer ${token}` } });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

function route() {
  const [path, query] = location.hash.replace(/^#\//, "").split("?", 2);
  const [name, ...names] = path.split("/").map(decodeURIComponent);
  const make = views[name] ?? clusters;
  const where = { name, names, query: new URLSearchParams(query) };
  const before = shown.make;
  if (make !== before) {
    shown.view?.close?.();
    shown = { make, view: make({ store, ask, where }) };
    main.replaceChildren(shown.view.element);
    if (before) main.focus({ preventScroll: true }); // a screen reader begins at the new view
    scrollTo(0, 0);
  } else {
    shown.view.go?.(where);
  }
  shown.view.update(null);
  for (const link of document.querySelectorAll("nav a")) {
    set(link, { "aria-current": link.dataset.view === (parents[name] ?? name) ? "page" : null });
  }
  document.title = `${shown.view.title(where)} · tombolo`;
}

function header() {
  const all = store.get("now/set");
  text(document.getElementById("set"), all?.id ?? "");
  const problems = document.getElementById("problems");
  const number = (all?.errors ?? 0) + (all?.warnings ?? 0);
  text(problems, number > 0 ? String(number) : "");
  set(problems, { class: all?.errors > 0 ? "number bad" : "number warn", "aria-label": number > 0 ? count(number, "problem") : null,
    role: number > 0 ? "img" : null, hidden: number === 0 });
  const notices = document.getElementById("notices");
  text(notices, store.all("notice").join("\n"));
  set(notices, { hidden: notices.textContent === "" });
}

function say(state) {
  const connection = document.getElementById("connection");
  const words = { live: "● live", lost: "○ connection lost: what is shown is old", refused: "✗ no access" };
  text(connection, words[state]);
  set(connection, { class: state });
  if (state !== "refused") return;
  const p = document.createElement("p");
  p.className = "refused";
  p.textContent = "This tab has no valid token. Open the address that kubectl tombolo web has printed; each run of it has a new one.";
  main.replaceChildren(p);
}

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", () => {
  if (location.hash.startsWith("#token=")) location.reload(); // another run's address, in this tab
  else route();
});
store.listen((changed) => {
  header();
  shown.view?.update(changed);
});
if (!location.hash.startsWith("#/")) history.replaceState(null, "", "#/clusters");
header();
route();
if (token) follow(token, (event, change) => store.apply(event, change), say);
else say("refused");
