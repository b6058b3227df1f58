// Fills the page: live numbers from server-sent events, chart and lists from /api/chart.
// Every text that came from outside is set as text, never as HTML.

import { clock, draw } from "/chart.js";

const at = (id) => document.getElementById(id);
const canvas = at("chart");
let chart = { from_ms: 0, newest_ms: 0, points: [], streams: [], moments: [] };
let minutes = 15;
let stream = "";
let hoverX = null;

const whole = (number) => Math.round(number).toLocaleString("en");
const text = (id, value) => { at(id).textContent = value; };

function age(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 120) return `${s} s`;
  if (s < 7200) return `${Math.floor(s / 60)} min`;
  return s < 172800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`;
}

function span(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return s < 86400 ? `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min` : age(ms);
}

// What the box says: a cause as it is, or since when something is away and that nothing is lost by it.
function told(status) {
  const since = status.retrying_since_ms;
  if (status.state !== "retrying" || since === null) return status.cause;
  return `DEGRADED since ${clock(since)} (${span(Date.now() - since)}) – ${status.cause}; nothing is lost, trying again`;
}

function state(word, cause) {
  const pill = at("state");
  pill.textContent = word;
  pill.className = `pill ${word.split(" ")[0]}`;
  at("cause").hidden = !cause;
  text("cause", cause ?? "");
}

function showStatus(status) {
  const jobs = [status, status.beside].filter(Boolean);
  // Of two jobs the one that stands still is what somebody must see.
  const shown = jobs.find((job) => ["halted", "retrying"].includes(job.state)) ?? status;
  state(shown.state, told(shown));
  text("job", status.job ? jobs.map((job) => `job ${job.job}`).join(" · ") : "");
  const chat = jobs.find((job) => job.pipeline === "chat");
  const shop = jobs.find((job) => job.pipeline === "commerce");
  for (const id of ["chat", "rates", "lists"]) at(id).hidden = !chat;
  at("shop").hidden = !shop;
  if (chat) showChat(chat);
  if (shop) showShop(shop);
}

function showShop(status) {
  text("shop-rate", whole(status.events_per_second));
  text("shop-lag", status.lag_records ? `${whole(status.lag_records)} still to read` : "caught up");
  for (const id of ["accepted", "duplicates", "conflicts", "quarantined"]) text(id, whole(status[id]));
  text("shop-batches", `batch ${whole(status.batches)}`);
  text("files", whole(status.files.read));
  text("files-not", `${whole(status.files.duplicates)} known, ${whole(status.files.faulty)} faulty`);
  const next = status.partitions.reduce((sum, one) => sum + one.next, 0);
  text("read", whole(next));
  const places = status.partitions.map((one) => `${one.name}: ${whole(one.next)} of ${whole(one.end)}`);
  text("partitions", places.join(" · ") || "\u00a0");
  at("partitions").title = at("partitions").textContent;
}

function showChat(status) {
  text("rate", whole(status.events_per_second));
  text("lag", status.lag_records ? `${whole(status.lag_records)} still to read` : "caught up");
  text("counted", whole(status.counted));
  text("batches", `batch ${whole(status.batches)}`);
  text("watermark", status.watermark_ms === null ? "none yet" : clock(status.watermark_ms));
  const behind = status.watermark_ms === null ? "" : `${age(Date.now() - status.watermark_ms)} ago`;
  const holder = status.holder ? `held by ${status.holder.name}: ${status.holder.reason}` : "";
  text("holder", [behind, holder].filter(Boolean).join(" · ") || "\u00a0");
  at("holder").title = at("holder").textContent;
  text("open", `${whole(status.open_windows)} open`);
  text("final", `${whole(status.final_windows)} final`);
  text("late", whole(status.late));
  text("missed", status.window_misses ? `${whole(status.window_misses)} windows missed` : "none missed");
  text("dead", whole(status.dead_letters));
  text("memory", status.rss_bytes ? `memory ${whole(status.rss_bytes / 1048576)} MB` : "\u00a0");
}

function follow() {
  const live = new EventSource("/api/live");
  live.onmessage = (message) => showStatus(JSON.parse(message.data));
  // The browser opens it again by itself.
  live.onerror = () => state("lost connection", null);
}

function element(tag, content, className) {
  const made = document.createElement(tag);
  made.textContent = content;
  if (className) made.className = className;
  return made;
}

function mood(sentiment) {
  if (sentiment === null) return element("td", "–");
  const word = sentiment > 0.05 ? "up" : sentiment < -0.05 ? "down" : "";
  return element("td", `${sentiment > 0 ? "+" : ""}${sentiment.toFixed(2)}`, word);
}

function showStreams(streams) {
  at("streams").replaceChildren(...streams.map((one) => {
    const row = document.createElement("tr");
    row.append(
      element("td", one.stream),
      element("td", `${one.rate.toFixed(1)}/s`, "number"),
      element("td", whole(one.chatters), "number"),
      element("td", one.viewers === null ? "–" : whole(one.viewers), "number"),
      mood(one.sentiment),
      element("td", one.emotes.slice(0, 4).join(" "), "emotes"),
    );
    row.firstChild.title = one.stream;
    if (one.stream === stream) row.className = "chosen";
    row.addEventListener("click", () => choose(one.stream === stream ? "" : one.stream));
    return row;
  }));
}

function showMoments(moments) {
  at("calm").hidden = moments.length > 0;
  at("moments").replaceChildren(...moments.slice(0, 20).map((moment) => {
    const item = document.createElement("li");
    item.append(
      element("time", clock(moment.start_ms)),
      element("b", moment.stream),
      element("p", moment.description),
    );
    return item;
  }));
}

function redraw() {
  at("empty").hidden = chart.points.length > 0;
  const found = draw(canvas, chart, hoverX);
  const tip = at("tip");
  tip.hidden = found === null;
  if (found === null) return;
  const rate = `${found.point.rate.toFixed(1)} messages/s`;
  tip.replaceChildren(
    element("div", `${clock(found.point.start_ms)}  ${rate}`),
    ...(found.point.is_final ? [] : [element("div", "still filling, will change")]),
    ...found.moments.map((moment) => element("div", `${moment.stream}: ${moment.description}`, "moment")),
  );
  const room = canvas.clientWidth - tip.offsetWidth - 4;
  const left = found.x > canvas.clientWidth / 2 ? found.x - tip.offsetWidth - 12 : found.x + 12;
  tip.style.left = `${Math.max(4, Math.min(left, room))}px`;
}

let asked = 0;
async function ask() {
  if (at("rates").hidden) return;
  const mine = ++asked;
  try {
    const answer = await fetch(`/api/chart?minutes=${minutes}&stream=${encodeURIComponent(stream)}`);
    if (!answer.ok) return;
    const fresh = await answer.json();
    // An answer to an older question must not undo a newer one.
    if (mine !== asked) return;
    chart = fresh;
    redraw();
    showStreams(chart.streams);
    showMoments(chart.moments);
  } catch {
    // The live numbers say that the connection is lost.
  }
}

function choose(name) {
  stream = name;
  at("stream").hidden = name === "";
  text("stream", `${name} ×`);
  ask();
}

at("stream").addEventListener("click", () => choose(""));
for (const button of at("ranges").children) {
  button.addEventListener("click", () => {
    minutes = Number(button.dataset.minutes);
    for (const other of at("ranges").children) other.setAttribute("aria-pressed", String(other === button));
    ask();
  });
}
canvas.addEventListener("pointermove", (event) => { hoverX = event.offsetX; redraw(); });
canvas.addEventListener("pointerleave", () => { hoverX = null; redraw(); });
window.addEventListener("resize", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

follow();
ask();
setInterval(ask, 2000);
