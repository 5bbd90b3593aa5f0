// Draws what /api/status, /api/ring and /api/nodes say, every two seconds while somebody looks.
//
// Names (of nodes, commands) come from outside: they are only ever put in as text, never as markup. What is drawn is made
// once and changed afterwards, so that focus and reading position stay where they are.
"use strict";

const EVERY = 2000;
const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);

function put(parent, name, attributes = {}, ...children) {
  const node = parent.namespaceURI === SVG || name === "svg" ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  parent.append(node);
  return node;
}
const set = (node, text) => { if (node.textContent !== text) node.textContent = text; };

// ---- a change of the nodes, in words ----

function moving(change) {
  const trouble = change["last-error"] ? ` (${change["last-error"]})` : "";
  if (change.state === "idle") return `Idle: no keys are moving.${trouble}`;
  const [done, left] = [change["keys-moved"], change["keys-left"]];
  const part = change.parts > 1 ? ` part ${change.part} of ${change.parts},` : "";
  const still = change["seconds-left"] >= 0 ? `, ${change["seconds-left"]} s left` : "";
  const back = change.back ? " taken back:" : "";
  return `Change ${change.change}, ${change.what}:${back} ${change.state},${part} ` +
    `${short(done)} of about ${short(done + left)} keys, ${short(change.speed)} per second${still}.${trouble}`;
}

// ---- numbers for people ----

function short(value) {
  if (value == null) return "–";
  for (const [unit, of] of [["G", 1e9], ["M", 1e6], ["k", 1e4]]) {
    if (value >= of) return (value / (unit === "k" ? 1e3 : of)).toPrecision(3).replace(/\.?0+$/, (z) => (z.startsWith(".") ? "" : z)) + " " + unit;
  }
  return value >= 100 || Number.isInteger(value) ? Math.round(value).toLocaleString("en") : value.toFixed(1);
}
function micros(us) {
  if (us == null) return "–";
  if (us < 1000) return `${Math.round(us)} µs`;
  return us < 1e6 ? `${(us / 1e3).toPrecision(3)} ms` : `${(us / 1e6).toPrecision(3)} s`;
}
function bytes(count) {
  if (count == null) return "–";
  const units = ["B", "KB", "MB", "GB", "TB"];
  let at = 0;
  for (; count >= 1024 && at < 4; at++) count /= 1024;
  return `${at && count < 100 ? count.toFixed(1) : Math.round(count)} ${units[at]}`;
}
const percent = (part) => (part == null ? "–" : `${(part * 100).toFixed(part < 0.1 ? 1 : 0)} %`);
function span(seconds) {
  const parts = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]].filter(([, of]) => seconds >= of).slice(0, 2);
  const text = [];
  for (const [unit, of] of parts) {
    text.push(`${Math.floor(seconds / of)} ${unit}`);
    seconds %= of;
  }
  return text.join(" ") || "0 s";
}
const clock = (ms) => new Date(ms).toLocaleTimeString("en-GB");

// ---- the ring ----

const turn = (part, radius) => [200 + radius * Math.sin(2 * Math.PI * part), 200 - radius * Math.cos(2 * Math.PI * part)].map((x) => x.toFixed(2));

function sector(from, to, inner, outer) {
  const end = Math.min(to, from + 0.99999);
  const large = end - from > 0.5 ? 1 : 0;
  return `M${turn(from, outer)}A${outer} ${outer} 0 ${large} 1 ${turn(end, outer)}L${turn(end, inner)}A${inner} ${inner} 0 ${large} 0 ${turn(from, inner)}Z`;
}
const arc = (from, to, radius) => `M${turn(from, radius)}A${radius} ${radius} 0 ${to - from > 0.5 ? 1 : 0} 1 ${turn(Math.min(to, from + 0.99999), radius)}`;

// Eight patterns beside eight colours: two nodes that share one are told apart by their names.
const OVER = [
  "", "M0 8L8 0M-2 2L2 -2M6 10L10 6", "M0 4H8", "dot", "M0 0L8 8M-2 6L2 10M6 -2L10 2", "M4 0V8", "M0 4H8M4 0V8", "M0 8L4 0L8 8",
];

function patterns(root) {
  const defs = put(root, "defs");
  OVER.forEach((over, at) => {
    const pattern = put(defs, "pattern", { id: `p${at}`, width: 8, height: 8, patternUnits: "userSpaceOnUse" });
    put(pattern, "rect", { width: 8, height: 8, class: `c${at}` });
    if (over === "dot") put(pattern, "circle", { cx: 4, cy: 4, r: 1.6, class: "over-dot" });
    else if (over) put(pattern, "path", { d: over, class: "over" });
  });
  const down = put(defs, "pattern", { id: "down", width: 7, height: 7, patternUnits: "userSpaceOnUse" });
  put(down, "rect", { width: 7, height: 7, class: "blank" });
  put(down, "path", { d: "M0 7L7 0M-2 2L2 -2M5 9L9 5", class: "hatch" });
}

const dial = { parts: [], slices: [], tags: [] };

function lookAt(index) {
  byId("dial").classList.toggle("dial-on", index != null);
  for (const list of [dial.parts, dial.slices, rows.map((row) => row.line)]) {
    list.forEach((node, at) => node?.classList.toggle("on", at === index));
  }
}

function drawRing(ring) {
  const root = byId("dial");
  root.replaceChildren();
  const svg = put(root, "svg", { viewBox: "0 0 400 400", role: "group", "aria-label": "Shares of the keys" });
  patterns(svg);
  Object.assign(dial, { parts: [], slices: [], tags: [] });
  let from = 0;
  ring.nodes.forEach((node, index) => {
    const to = from + node.share;
    const part = put(svg, "path", { d: sector(from, to, 138, 180), class: "share", tabindex: 0, role: "img" });
    put(part, "title");
    for (const [event, at] of [["mouseenter", index], ["focus", index], ["mouseleave", null], ["blur", null]]) {
      part.addEventListener(event, () => lookAt(at));
    }
    dial.parts.push(part);
    from = to;
  });
  if (ring.slices) drawSlices(svg, ring);
  from = 0;
  ring.nodes.forEach((node) => {
    const [x, y] = turn(from + node.share / 2, 159);
    const tag = node.share >= 0.045 ? put(svg, "text", { x, y, class: "tag" }) : null;
    dial.tags.push(tag);
    from += node.share;
  });
  dial.big = put(svg, "text", { x: 200, y: 205, class: "big" });
  put(svg, "text", { x: 200, y: 226, class: "under" }, "requests/s");
  dial.up = put(svg, "text", { x: 200, y: 246, class: "under" });
  const circle = ring.slices
    ? " Outer ring: the share of the keys. Inner ring: whose each 360th of the hashes is."
    : " The ring shows the shares of the keys.";
  set(byId("ring-note"), `${ring.title}. Epoch ${ring.epoch}.${circle}`);
}

// Whose each 360th of the hashes is, with marks at the quarters of the circle.
function drawSlices(svg, ring) {
  const paths = ring.nodes.map(() => "");
  const count = ring.slices.length;
  for (let at = 0; at < count; ) {
    let end = at + 1;
    while (end < count && ring.slices[end] === ring.slices[at]) end++;
    paths[ring.slices[at]] += arc(at / count, end / count, 125);
    at = end;
  }
  dial.slices = paths.map((d, index) => put(svg, "path", { d: d || "M0 0", class: `slice s${index % 8}`, "aria-hidden": "true" }));
  if (ring.distribution === "modula") return;
  let marks = "";
  for (let at = 0; at < 64; at++) marks += `M${turn(at / 64, 116)}L${turn(at / 64, at % 16 ? (at % 4 ? 113 : 110) : 106)}`;
  put(svg, "path", { d: marks, class: "grad", "aria-hidden": "true" });
  ["0", "4", "8", "c"].forEach((digit, at) => {
    const [x, y] = turn(at / 4, 95);
    put(svg, "text", { x, y, class: "grad-text", "aria-hidden": "true" }, `0x${digit}…`);
  });
}

// A name where there is little room: what tells it from the others, if all begin alike.
function brief(name, names, most) {
  if (name.length <= most) return name;
  let same = 0;
  while (names.length > 1 && same < name.length - 1 && names.every((other) => other[same] === name[same])) same++;
  const rest = name.slice(same);
  return rest.length > most ? `${rest.slice(0, most - 1)}…` : rest;
}

function paintRing(nodes, status, rate) {
  const names = nodes.map((node) => node.name);
  nodes.forEach((node, index) => {
    const part = dial.parts[index];
    if (!part) return;
    const down = node.state === "down";
    part.setAttribute("fill", down ? "url(#down)" : `url(#p${index % 8})`);
    part.classList.toggle("down", down);
    const text = `${node.name}: ${percent(node.share)} of the keys, ${node.state}`;
    part.setAttribute("aria-label", text);
    set(part.firstChild, text);
    const tag = dial.tags[index];
    if (tag) {
      set(tag, (down ? "▲ " : "") + brief(node.name, names, node.share > 0.12 ? 12 : 5));
      tag.classList.toggle("bad", down);
    }
  });
  set(dial.big, short(rate));
  set(dial.up, `${status.nodes.up} of ${status.nodes.all} nodes up`);
}

// ---- the lines ----

const WIDTH = 300;
const HEIGHT = 84;
const CHARTS = [
  { title: "Requests", unit: "/s", of: ["requests_per_s"], show: short },
  { title: "Errors", unit: "/s", of: ["errors_per_s"], show: short, look: "bad" },
  { title: "Node latency", of: ["p99_us", "p50_us"], names: ["p99", "p50"], show: micros },
  { title: "Sessions", of: ["sessions"], show: short },
];

function makeChart(chart) {
  const figure = put(byId("charts"), "figure");
  const caption = put(figure, "figcaption", {}, chart.title + (chart.unit ? ` ${chart.unit}` : ""));
  chart.at = put(caption, "span", { class: "at" });
  chart.now = put(caption, "b", { class: chart.names ? "two" : "" });
  chart.plot = put(figure, "div", { class: "plot", tabindex: 0, role: "img" });
  chart.top = put(chart.plot, "span", { class: "top", "aria-hidden": "true" });
  const svg = put(chart.plot, "svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  put(svg, "path", { d: `M0 ${HEIGHT / 2}H${WIDTH}`, class: "gridline" });
  chart.area = chart.of.length === 1 ? put(svg, "path", { class: `area ${chart.look ?? ""}` }) : null;
  chart.curves = chart.of.map((_, at) => put(svg, "path", { class: `curve ${at ? "two" : (chart.look ?? "")}` }));
  chart.cursor = put(svg, "path", { class: "cursor" });
  chart.names?.forEach((name, at) => {
    const key = put(caption, "span", { class: "at" });
    put(key, "span", { class: `key ${at ? "two" : ""}` });
    key.append(name);
    caption.insertBefore(key, chart.now);
  });
  chart.plot.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || !chart.count) return;
    event.preventDefault();
    chart.point = Math.max(0, Math.min(chart.count - 1, (chart.point ?? chart.count) + step));
    readout(chart);
    set(byId("news"), `${chart.title}: ${chart.now.textContent} ${chart.at.textContent}`);
  });
  chart.plot.addEventListener("pointermove", (event) => {
    const box = chart.plot.getBoundingClientRect();
    const part = (event.clientX - box.left) / box.width;
    chart.point = Math.round(part * SPAN) - (SPAN - chart.count);
    if (chart.point < 0 || chart.point >= chart.count) chart.point = null;
    readout(chart);
  });
  for (const event of ["pointerleave", "blur"]) {
    chart.plot.addEventListener(event, () => {
      chart.point = null;
      readout(chart);
    });
  }
}

const SPAN = 150;
const across = (at, count) => ((SPAN - count + at) / (SPAN - 1)) * WIDTH;

function drawChart(chart, history) {
  chart.history = history;
  chart.count = history.at_ms.length;
  const columns = chart.of.map((name) => history[name]);
  const most = nice(Math.max(chart.of[0] === "errors_per_s" ? 1 : 0, ...columns.flat().map((value) => value ?? 0)));
  set(chart.top, chart.show(most));
  columns.forEach((column, index) => {
    let d = "";
    let pen = false;
    column.forEach((value, at) => {
      if (value == null) return void (pen = false);
      d += `${pen ? "L" : "M"}${across(at, chart.count).toFixed(1)} ${(HEIGHT - (value / most) * (HEIGHT - 4)).toFixed(1)}`;
      pen = true;
    });
    chart.curves[index].setAttribute("d", d);
    if (chart.area && d) {
      chart.area.setAttribute("d", `${d}V${HEIGHT}H${across(0, chart.count).toFixed(1)}Z`);
    }
  });
  readout(chart);
  const last = (name) => history[name].at(-1) ?? null;
  const peak = Math.max(0, ...columns[0].map((value) => value ?? 0));
  chart.plot.setAttribute("aria-label", `${chart.title}: now ${chart.show(last(chart.of[0]))}, at most ${chart.show(peak)} in the last five minutes`);
}

// The value at the cursor, or the newest.
function readout(chart) {
  if (!chart.history) return;
  const at = Math.min(chart.point ?? chart.count - 1, chart.count - 1);
  const values = chart.of.map((name) => chart.show(chart.history[name][at] ?? null));
  set(chart.now, values.join(" · "));
  set(chart.at, chart.point == null ? "" : `at ${clock(chart.history.at_ms[at])}`);
  chart.cursor.setAttribute("d", chart.point == null ? "" : `M${across(at, chart.count).toFixed(1)} 0V${HEIGHT}`);
}

// The next round number: lines do not jump with every point.
function nice(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 5, 7.5, 10].find((step) => step * power >= value) * power;
}

// ---- the nodes ----

const rows = [];
const COLUMNS = [
  ["share", "Share", "n"], ["rate", "Requests/s", "n"], ["p50", "p50", "n"], ["p99", "p99", "n"], ["flight", "In flight", "n"],
  ["load", "Load", "n"], ["memory", "Memory", "n"], ["keys", "Keys", "n"], ["server", "Server", "wide"],
];

function makeRow(index) {
  const line = put(byId("node-rows"), "tr");
  const row = { line, cells: {}, rates: [] };
  const head = put(put(line, "th", { scope: "row" }), "div", { class: "node" });
  const swatch = put(head, "svg", { class: "swatch", viewBox: "0 0 22 22", "aria-hidden": "true" });
  row.swatch = put(swatch, "rect", { width: 22, height: 22, rx: 3, fill: `url(#p${index % 8})` });
  const names = put(head, "span");
  row.name = put(names, "span");
  row.address = put(names, "small");
  const state = put(line, "td", { "data-label": "State" });
  row.word = put(state, "span", { class: "word" });
  put(row.word, "span", { class: "mark", "aria-hidden": "true" });
  row.state = put(row.word, "span");
  row.why = put(state, "small", { class: "why" });
  for (const [key, label, look] of COLUMNS) row.cells[key] = put(line, "td", { class: look, "data-label": label });
  for (const key of ["share", "memory"]) {
    const cell = row.cells[key];
    row[key] = put(cell, "span");
    row[`${key}Bar`] = put(put(cell, "span", { class: "bar", "aria-hidden": "true" }), "i");
  }
  row.rate = put(row.cells.rate, "span");
  row.spark = put(put(row.cells.rate, "svg", { class: "spark", viewBox: "0 0 80 20", preserveAspectRatio: "none", "aria-hidden": "true" }), "path", { class: "curve" });
  line.addEventListener("mouseenter", () => lookAt(index));
  line.addEventListener("mouseleave", () => lookAt(null));
  return row;
}

function drawNodes(nodes, now) {
  rows.splice(nodes.length).forEach((row) => row.line.remove()); // nodes have left
  const most = Math.max(0.0001, ...nodes.map((node) => node.share));
  nodes.forEach((node, index) => {
    const row = (rows[index] ??= makeRow(index));
    const info = node.info ?? {};
    if (row.name.textContent !== node.name) row.rates.length = 0; // another node's
    set(row.name, node.name);
    set(row.address, node.address);
    if (row.word.dataset.state && row.word.dataset.state !== node.state) {
      set(byId("news"), `Node ${node.name} is ${node.state}${node.why ? `: ${node.why}` : ""}`);
    }
    row.word.dataset.state = node.state;
    row.swatch.setAttribute("fill", node.state === "down" || node.state === "out" ? "url(#down)" : `url(#p${index % 8})`);
    const since = node.since_ms ? ` ${span(Math.max(0, (now - node.since_ms) / 1000))}` : "";
    set(row.state, node.state + (node.state === "up" ? "" : since));
    set(row.why, node.why);
    set(row.share, percent(node.share));
    row.shareBar.style.setProperty("--v", node.share / most);
    row.rates.push(node.requests_per_s);
    if (row.rates.length > 60) row.rates.shift();
    set(row.rate, short(node.requests_per_s));
    row.spark.setAttribute("d", spark(row.rates));
    set(row.cells.p50, micros(node.latency_us.p50));
    set(row.cells.p99, micros(node.latency_us.p99));
    set(row.cells.flight, short(node.in_flight));
    set(row.cells.load, percent(info.cpu));
    set(row.memory, info.max_memory ? `${bytes(info.memory)} of ${bytes(info.max_memory)}` : bytes(info.memory));
    row.memoryBar.parentNode.hidden = !info.max_memory;
    row.memoryBar.style.setProperty("--v", info.max_memory ? Math.min(1, info.memory / info.max_memory) : 0);
    set(row.cells.keys, short(info.keys));
    // What it said before it went down is not what it is.
    for (const key of ["load", "memory", "keys", "server"]) row.cells[key].classList.toggle("old", node.state === "down" && info.at_ms > 0);
    set(row.cells.server, info.version ? `${info.version}, ${info.role}, up ${span(info.uptime_s)}` : "–");
  });
  while (rows.length > nodes.length) rows.pop().line.remove();
}

function spark(rates) {
  const most = Math.max(1, ...rates);
  return rates.map((rate, at) => `${at ? "L" : "M"}${(((60 - rates.length + at) / 59) * 80).toFixed(1)} ${(19 - (rate / most) * 18).toFixed(1)}`).join("");
}

// ---- tables, lists ----

function fill(body, lines, empty) {
  const columns = body.parentNode.tHead.rows[0].cells.length;
  body.replaceChildren();
  if (!lines.length) put(put(body, "tr"), "td", { colspan: columns, class: "none" }, empty);
  for (const [name, ...values] of lines) {
    const line = put(body, "tr");
    put(put(line, "th", { scope: "row" }), "code", {}, name);
    for (const value of values) put(line, "td", { class: value.hot ? "n hot" : "n" }, value.hot ?? value);
  }
}

function drawCommands({ frequent, slowest, window_s: seconds }) {
  set(byId("window"), seconds >= 55 ? "of the last minute" : `of the last ${Math.round(seconds)} s`);
  fill(byId("frequent"), frequent.map((one) => [
    command(one.name), short(one.calls_per_s), one.errors_per_s > 0 ? { hot: short(one.errors_per_s) } : "0", micros(one.node_mean_us), micros(one.own_mean_us),
  ]), "none was given");
  fill(byId("slowest"), slowest.map((one) => [
    command(one.name), micros(one.node_p99_us), micros(one.node_mean_us), short(one.calls_per_s),
  ]), "none went to a node");
}

function define(list, pairs) {
  pairs.forEach(([name, value], at) => {
    const item = list.children[at] ?? put(list, "div");
    if (!item.children.length) item.append(document.createElement("dt"), document.createElement("dd"));
    set(item.children[0], name);
    set(item.children[1], value);
  });
  while (list.children.length > pairs.length) list.lastChild.remove();
}

const command = (name) => name.replace("|", " ").toUpperCase();

function drawKeys({ hot, big, samples }) {
  const off = samples ? "none yet" : "none was looked at (keys.samples)";
  fill(byId("hot"), hot.map((one) => [one.key, short(one.per_s), percent(one.share)]), off);
  fill(byId("big"), big.map((one) => [one.key, bytes(one.bytes), command(one.command)]), "none passed (keys.big)");
}

const LOOK = { "node-down": "down", "node-up": "up", started: "up", stopping: "draining", refused: "down", closed: "down", admin: "down" };
let newest = "";

function drawEvents(events) {
  const state = JSON.stringify(events.map((event) => [event.id, event.count]));
  if (state === newest) return;
  newest = state;
  byId("event-rows").replaceChildren();
  for (const event of events) {
    const item = put(byId("event-rows"), "li");
    put(item, "time", { datetime: new Date(event.at_ms).toISOString(), title: new Date(event.at_ms).toLocaleString() }, clock(event.at_ms));
    const kind = put(item, "span", { class: "kind", "data-state": LOOK[event.kind] ?? "wait" });
    put(kind, "span", { class: "mark", "aria-hidden": "true" });
    kind.append(event.kind.replace("-", " "));
    const text = [event.node, event.text].filter(Boolean).join(": ") + (event.count > 1 ? ` (${event.count} times)` : "");
    put(item, "span", { class: "what" }, text);
  }
  if (!events.length) put(byId("event-rows"), "li", { class: "none" }, "nothing has happened");
}

// ---- pools ----

// Which one is shown stands in the address, so that it can be kept and sent to others; without, it is the first.
const pool = new URLSearchParams(location.search).get("pool");
const ofPool = (path) => (pool == null ? path : `${path}?pool=${encodeURIComponent(pool)}`);

function drawPools(names, shown) {
  const state = JSON.stringify([names, shown]);
  if (byId("pools").dataset.names === state) return;
  byId("pools").dataset.names = state;
  byId("pools").replaceChildren();
  for (const name of names) {
    const link = put(byId("pools"), "a", { href: `?pool=${encodeURIComponent(name)}` }, name);
    if (name === shown) link.setAttribute("aria-current", "page");
  }
  byId("pools").hidden = names.length === 0;
}

// ---- the whole ----

const STATES = { ready: "Ready", draining: "Draining", unready: "Not ready" };

function drawStatus(status) {
  const { sessions, errors, nodes } = status;
  byId("state").dataset.state = status.state;
  drawPools(status.pools, status.pool);
  set(byId("state-text"), STATES[status.state] + (status.why && status.state !== "draining" ? `: ${status.why}` : ""));
  define(byId("facts"), [
    ["serves", status.listen.join(", ")],
    ["workers", String(status.workers)],
    ["up", span((status.now_ms - status.started_ms) / 1000)],
    ["version", status.version],
  ]);
  define(byId("sessions"), [
    ["connected", `${short(sessions.now)} of ${short(sessions.max)}`], ["opened", short(sessions.opened)],
    ["blocked", short(sessions.blocked)], ["refused", short(sessions.refused)],
    ["subscribed", short(sessions.subscribed)], ["tracking", short(sessions.tracking)],
    ["held for them", bytes(status.bytes.buffered)],
  ]);
  const kinds = Object.entries(errors.by_kind).filter(([, count]) => count > 0).sort((one, other) => other[1] - one[1]);
  define(byId("errors"), kinds.length ? kinds.map(([kind, count]) => [kind, short(count)]) : [["none", ""]]);
  set(byId("moving-text"), moving(status.moving));
  for (const chart of CHARTS) drawChart(chart, status.history);
  drawCommands(status.commands);
  drawKeys(status.keys);
  drawEvents(status.events);
  const down = nodes.all - nodes.up;
  document.title = down ? `▲ ${down} of ${nodes.all} nodes down – Circlet` : "Circlet";
}

async function ask(path) {
  const answer = await fetch(ofPool(path), { cache: "no-store", signal: AbortSignal.timeout(10_000) });
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
  return answer.json();
}

let epoch = null;
let seen = 0;
let held = false;

async function look() {
  try {
    const [status, nodes] = await Promise.all([ask("/api/status"), ask("/api/nodes")]);
    if (status.started_ms + status.epoch !== epoch) {
      drawRing(await ask("/api/ring"));
      epoch = status.started_ms + status.epoch;
    }
    drawNodes(nodes.nodes, nodes.now_ms);
    drawStatus(status);
    paintRing(nodes.nodes, status, status.history.requests_per_s.at(-1) ?? 0);
    seen = Date.now();
    byId("alarm").hidden = true;
    document.body.dataset.looks = Number(document.body.dataset.looks ?? 0) + 1;
  } catch (error) {
    byId("alarm").hidden = false;
    set(byId("alarm"), `Circlet does not answer${seen ? ` since ${clock(seen)}` : ""} (${error.message}); what is shown is old. It is asked again.`);
  }
}

function tell() {
  const age = Math.round((Date.now() - seen) / 1000);
  set(byId("fresh"), held ? `held at ${clock(seen)}` : seen ? (age < 5 ? `live, ${clock(seen)}` : `${age} s old`) : "no answer yet");
}

async function run() {
  for (;;) {
    if (!held && !document.hidden) await look();
    tell();
    await new Promise((done) => setTimeout(done, EVERY));
  }
}

function hold() {
  held = !held;
  byId("hold").setAttribute("aria-pressed", String(held));
  tell();
}

byId("hold").addEventListener("click", hold);
document.addEventListener("keydown", (event) => {
  if (event.key === "p" && !event.ctrlKey && !event.metaKey && !event.altKey) hold();
});
CHARTS.forEach(makeChart);
run();
