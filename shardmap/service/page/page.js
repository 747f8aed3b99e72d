// The live page: reads state.json every second, and makes rates of two readings. Nothing else is loaded.
"use strict";

const INTERVAL = 1000;
const KEPT = 120; // seconds of history
const byId = (id) => document.getElementById(id);

let before = null;
let measure = "lookups";
let cells = []; // of the heat map, as drawn: {x, y, w, h, text}
const history = []; // {time, commands, hits, misses, p50, p99}

// -- numbers as people read them -------------------------------------------------------------------------------------

const group = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
function short(number) {
  if (number < 10000) return group.format(number);
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]]) {
    if (number >= size) return (number / size).toPrecision(3) + unit;
  }
  return String(number);
}
const small = (value) => value < 10 ? String(Number(value.toPrecision(2))) : short(value);
function bytes(number) {
  if (number < 1024) return number + " B";
  let unit = -1;
  do { number /= 1024; unit += 1; } while (number >= 1024 && unit < 4);
  return number.toFixed(number < 10 ? 2 : number < 100 ? 1 : 0) + " " + ["KiB", "MiB", "GiB", "TiB", "PiB"][unit];
}
function span(seconds) {
  const days = Math.floor(seconds / 86400), hours = Math.floor(seconds / 3600) % 24, minutes = Math.floor(seconds / 60) % 60;
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.floor(seconds)} s`;
}
function micros(value) {
  if (value === null) return "–";
  if (value >= 1e6) return (value / 1e6).toPrecision(3) + " s";
  return value >= 1000 ? (value / 1000).toPrecision(3) + " ms" : (value < 10 ? value.toPrecision(2) : Math.round(value)) + " µs";
}
const percent = (part) => (100 * part).toFixed(part > 0.999 || part < 0.1 ? 2 : 1) + "%";

// -- histograms: place i has the calls below 2**i * 250 ns -------------------------------------------------------------

function percentile(histogram, share) {
  const total = histogram.reduce((sum, each) => sum + each, 0);
  if (!total) return null;
  let passed = 0;
  for (let place = 0; place < histogram.length; place += 1) {
    const here = histogram[place];
    if (here && passed + here >= share * total) {
      // Evenly within its place: the ends alone would jump by factors of two.
      const end = 0.25 * 2 ** place, start = place ? end / 2 : 0;
      return start + (end - start) * Math.max(0, share * total - passed) / here;
    }
    passed += here;
  }
  return 0.25 * 2 ** (histogram.length - 1);
}
function minus(after, former) {
  return former ? after.map((each, place) => Math.max(0, each - former[place])) : after;
}
function sumOf(histograms) {
  const sum = new Array(24).fill(0);
  for (const histogram of histograms) histogram.forEach((each, place) => { sum[place] += each; });
  return sum;
}

// -- reading -----------------------------------------------------------------------------------------------------------

async function read() {
  const reply = await fetch("state.json", { cache: "no-store", signal: AbortSignal.timeout(5000) });
  if (!reply.ok) throw new Error(`HTTP ${reply.status}`);
  return reply.json();
}

async function tick() {
  const first = !before;
  try {
    const now = await read();
    show(now);
    document.body.toggleAttribute("data-stale", false);
  } catch (error) {
    status("bad", "no answer");
    document.body.toggleAttribute("data-stale", true);
  }
  // Rates need two readings: the second one comes soon.
  setTimeout(tick, first ? 300 : INTERVAL);
}

function status(state, text) {
  byId("status").dataset.state = state;
  byId("status-text").textContent = text;
}

function show(now) {
  // A restart sets the counters back.
  const former = before && now.uptime > before.uptime ? before : null;
  const seconds = former ? Math.max(0.05, now.time - former.time) : 1;
  const rate = (read) => former ? Math.max(0, (read(now) - read(former)) / seconds) : 0;
  const formerCommands = new Map((former ? former.commands : []).map((each) => [each.name, each]));
  const recent = now.commands.map((each) => {
    const last = formerCommands.get(each.name);
    return { ...each, rate: former ? Math.max(0, each.calls - (last ? last.calls : 0)) / seconds : 0,
      recent: former ? minus(each.histogram, last && last.histogram) : each.histogram };
  });
  const latest = sumOf(recent.map((each) => each.recent));
  const point = { time: now.time, commands: rate((s) => s.statistics.commands), hits: rate((s) => s.totals.hits),
    misses: rate((s) => s.totals.misses), p50: former ? percentile(latest, 0.5) : null, p99: former ? percentile(latest, 0.99) : null };
  if (!former) {
    history.length = 0;
    for (const each of now.history) {
      history.push({ ...each, p50: percentile(each.histogram, 0.5), p99: percentile(each.histogram, 0.99) });
    }
  } else {
    history.push(point);
  }
  while (history.length && (history.length > KEPT || history[0].time < now.time - KEPT)) history.shift();

  if (now.loading) status("warn", "loading the snapshot");
  else if (now.snapshot.error) status("warn", "snapshot failed");
  else status("good", "up " + span(now.uptime));
  byId("about").textContent = `${now.version} · speaks Redis ${now.redis_version} · ${now.addresses.join("  ")}`;
  tiles(now, point, former, latest);
  table(recent);
  facts(now);
  before = now;
  perShard = former ? shardValues(now, former, seconds) : shardValues(now, null, 1);
  draw();
}
let perShard = { lookups: [], entries: [], contended: [], per_cell: 1, number: 0, unit: "" };

function shardValues(now, former, seconds) {
  // Of one reading alone: the counts since the start.
  const comparable = former && former.shards.number === now.shards.number;
  const rates = (name) => comparable
    ? now.shards[name].map((each, i) => Math.max(0, each - former.shards[name][i]) / seconds) : now.shards[name];
  return { lookups: rates("lookups"), contended: rates("contended"), entries: now.shards.entries,
    per_cell: now.shards.per_cell, number: now.shards.number,
    unit: comparable ? " a second" : " in all" };
}

function tiles(now, point, former, latest) {
  const last = history.length ? history[history.length - 1] : point;
  byId("ops").textContent = former || history.length ? short(last.commands) : "–";
  byId("ops-note").textContent = `${short(now.statistics.commands)} in all`;
  byId("p99").textContent = micros(percentile(latest, 0.99));
  const looked = point.hits + point.misses, all = now.totals.hits + now.totals.misses;
  byId("hit").textContent = looked ? percent(point.hits / looked) : all ? percent(now.totals.hits / all) : "–";
  byId("hit-note").textContent = all ? `${percent(now.totals.hits / all)} of ${short(all)} in all` : "no look-ups yet";
  byId("entries").textContent = short(now.entries);
  byId("entries-note").textContent = `${short(now.expires)} with a time to live`;
  const memory = now.memory;
  byId("memory").textContent = bytes(memory.reserved);
  byId("memory-note").textContent = memory.max_memory
    ? `${percent(memory.reserved / memory.max_memory)} of ${bytes(memory.max_memory)}`
    : `${bytes(memory.content)} of keys and values`;
  const bar = byId("memory-bar"), part = memory.reserved / (memory.max_memory || memory.peak || 1);
  bar.hidden = !memory.max_memory;
  bar.toggleAttribute("data-full", part > 0.9);
  bar.firstElementChild.style.width = Math.min(100, 100 * part) + "%";
  byId("clients").textContent = short(now.statistics.clients);
  byId("clients-note").textContent = `${now.threads} loop${now.threads > 1 ? "s" : ""}, at most ${short(now.clients_max)}`;
}

function table(commands) {
  commands.sort((a, b) => b.rate - a.rate || b.calls - a.calls);
  const rows = commands.slice(0, 40).map((each) => {
    const counts = each.recent.some((number) => number) ? each.recent : each.histogram;
    return [each.name, before ? short(each.rate) : "–", short(each.calls), ...[0.5, 0.99].map((share) => {
      const value = percentile(counts, share);
      return value === null ? "–" : value < 10 ? value.toFixed(1) : short(Math.round(value));
    }), short(each.failed)];
  });
  byId("commands").replaceChildren(...(rows.length ? rows.map(row) : [emptyRow()]));
}
function row(texts) {
  const made = document.createElement("tr");
  made.append(...texts.map((text) => { const cell = document.createElement("td"); cell.textContent = text; return cell; }));
  return made;
}
function emptyRow() {
  const made = row(["no commands yet"]);
  made.firstChild.colSpan = 6;
  made.firstChild.className = "empty";
  return made;
}

function facts(now) {
  const s = now.statistics, m = now.memory;
  const snapshot = !now.snapshot.path ? "off" : now.snapshot.error ? now.snapshot.error
    : now.snapshot.in_progress ? "being written" : now.snapshot.last
      ? `${span(Math.max(0, now.time - now.snapshot.last))} ago, took ${now.snapshot.seconds.toFixed(2)} s` : "none yet";
  const rows = [
    ["Snapshot", snapshot, Boolean(now.snapshot.error)],
    ["Eviction", m.max_memory ? m.policy : "no bound"],
    ["Expired, evicted", `${short(now.totals.expired)}, ${short(now.totals.evicted)}`],
    ["Fragmentation", percent(m.fragmentation)],
    ["Overhead of an entry", m.overhead_per_entry ? m.overhead_per_entry.toFixed(1) + " B" : "–"],
    ["Resident memory", bytes(m.rss)],
    ["Held for readers", `${short(now.backlog)} former entries`],
    ["Network in, out", `${bytes(s.net_input_bytes)}, ${bytes(s.net_output_bytes)}`],
    ["Connections, refused", `${short(s.connections_received)}, ${short(s.connections_rejected)}`],
    ["Errors", `${short(s.errors)} replies, ${short(s.protocol_errors)} of protocol`],
    ["Transactions, aborted", `${short(s.transactions)}, ${short(s.transactions_aborted)}`],
    ["Slow commands, timeouts", `${short(s.slow_commands)}, ${short(s.timeouts)}`],
  ];
  byId("facts").replaceChildren(...rows.flatMap(([name, text, bad]) => {
    const term = document.createElement("dt"), value = document.createElement("dd");
    term.textContent = name;
    value.textContent = text;
    value.classList.toggle("bad", Boolean(bad));
    return [term, value];
  }));
}

// -- drawing -----------------------------------------------------------------------------------------------------------

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
function surface(id) {
  const canvas = byId(id), scale = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  pen.font = "11.5px system-ui, sans-serif";
  return { pen, width, height };
}
function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].find((step) => step * power >= value * 1.0001) * power;
}

function lines(id, series, label) {
  const { pen, width, height } = surface(id);
  const left = 46, right = 6, top = 8, bottom = 20;
  const most = ceiling(Math.max(0, ...series.flatMap(([name]) => history.map((point) => point[name] || 0))));
  const end = history.length ? history[history.length - 1].time : 0;
  const x = (time) => left + (width - left - right) * (1 - (end - time) / KEPT);
  const y = (value) => top + (height - top - bottom) * (1 - value / most);
  pen.lineWidth = 1;
  pen.fillStyle = color("--muted");
  pen.strokeStyle = color("--grid");
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  for (let step = 0; step <= 4; step += 1) {
    const value = most * step / 4, line = Math.round(y(value)) + 0.5;
    pen.beginPath();
    pen.moveTo(left, line);
    pen.lineTo(width - right, line);
    pen.stroke();
    pen.fillText(label(value), left - 8, line);
  }
  pen.textBaseline = "bottom";
  for (const [ago, text, align] of [[KEPT, "2 min ago", "left"], [60, "1 min", "center"], [0, "now", "right"]]) {
    pen.textAlign = align;
    pen.fillText(text, x(end - ago), height - 1);
  }
  for (const [name, hue, fill] of series) {
    pen.strokeStyle = color(hue);
    pen.lineWidth = 1.75;
    pen.lineJoin = "round";
    pen.beginPath();
    let drawing = false, first = 0, last = 0;
    for (const point of history) {
      if (point[name] === null) { drawing = false; continue; }
      last = x(point.time);
      if (drawing) pen.lineTo(last, y(point[name]));
      else { first = last; pen.moveTo(first, y(point[name])); }
      drawing = true;
    }
    pen.stroke();
    if (fill && drawing) {
      pen.lineTo(last, y(0));
      pen.lineTo(first, y(0));
      pen.globalAlpha = 0.09;
      pen.fillStyle = color(hue);
      pen.fill();
      pen.globalAlpha = 1;
    }
  }
}

function mix(low, high, part) {
  const parse = (text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
  const from = parse(low), to = parse(high);
  return `rgb(${from.map((each, i) => Math.round(each + (to[i] - each) * part)).join(" ")})`;
}

function heat() {
  const { pen, width, height } = surface("shards");
  const values = perShard[measure] || [];
  cells = [];
  if (!values.length) return;
  // Their number is a power of two: with such a number of columns every row is full.
  const columns = Math.min(values.length, 2 ** Math.max(0, Math.round(Math.log2(Math.sqrt(values.length * width / height)))));
  const rows = Math.ceil(values.length / columns);
  const gap = values.length > 300 ? 1 : 2, w = width / columns, h = height / rows;
  const most = Math.max(...values), low = color("--heat-low"), high = color("--heat-high");
  values.forEach((value, i) => {
    const cell = { x: (i % columns) * w, y: Math.floor(i / columns) * h, w, h, i, value };
    cells.push(cell);
    pen.fillStyle = mix(low, high, most ? value / most : 0);
    pen.beginPath();
    pen.roundRect(cell.x + gap / 2, cell.y + gap / 2, Math.max(1, w - gap), Math.max(1, h - gap), Math.min(4, w / 6, h / 6));
    pen.fill();
  });
  const unit = measure === "entries" ? "" : perShard.unit;
  byId("scale-high").textContent = short(most) + unit;
  byId("scale-note").textContent = `${group.format(perShard.number)} shards` + (perShard.per_cell > 1 ? `, ${perShard.per_cell} a cell` : "");
}

function draw() {
  lines("throughput", [["commands", "--one", true], ["hits", "--two", false], ["misses", "--three", false]], small);
  lines("latency", [["p50", "--one", false], ["p99", "--three", true]], small);
  heat();
}

function tip(event) {
  const box = byId("tip"), place = byId("shards").getBoundingClientRect();
  const x = event.clientX - place.left, y = event.clientY - place.top;
  const cell = cells.find((each) => x >= each.x && x < each.x + each.w && y >= each.y && y < each.y + each.h);
  box.hidden = !cell;
  if (!cell) return;
  const first = cell.i * perShard.per_cell;
  const name = perShard.per_cell > 1 ? `shards ${first}–${first + perShard.per_cell - 1}` : `shard ${first}`;
  box.textContent = `${name}\n${group.format(perShard.entries[cell.i])} entries\n${short(perShard.lookups[cell.i])} look-ups${perShard.unit}\n${short(perShard.contended[cell.i])} lock waits${perShard.unit}`;
  box.style.left = Math.min(event.clientX + 14, window.innerWidth - box.offsetWidth - 8) + "px";
  box.style.top = Math.min(event.clientY + 14, window.innerHeight - box.offsetHeight - 8) + "px";
}

for (const button of document.querySelectorAll("[data-measure]")) {
  button.addEventListener("click", () => {
    measure = button.dataset.measure;
    for (const each of document.querySelectorAll("[data-measure]")) each.setAttribute("aria-pressed", String(each === button));
    heat();
  });
}
byId("shards").addEventListener("pointermove", tip);
byId("shards").addEventListener("pointerleave", () => { byId("tip").hidden = true; });
window.addEventListener("resize", draw);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
tick();
