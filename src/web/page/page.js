// Draws what /api/views tells, in place: each view is the whole truth, so that nothing needs to be remembered between two of them but how far
// the eye has got (a scroll position, a tile under the pointer).
//
// Names come from people's own objects and are not to be trusted: text reaches the page through textContent and attributes only.
"use strict";

// ---------------------------------------------------------------- numbers

const NONE = "–";
const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const cents = new Intl.NumberFormat("en-US", { maximumFractionDigits: 2, minimumFractionDigits: 2 });
const tenth = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1, minimumFractionDigits: 1 });

const count = (value) => (value == null ? NONE : whole.format(value));
const rate = (value) => `${value < 100 ? tenth.format(value) : whole.format(value)}/s`;
const percent = (value) => (value == null ? NONE : `${whole.format(value)} %`);
// As the server's own sentences have it: below a dollar to a hundredth of a cent, for what a message costs is that little.
const money = (value) => (value == null ? NONE : `$${value < 1 ? value.toFixed(4) : cents.format(value)}`);
const hourly = (value) => (value == null ? NONE : `$${value === 0 ? "0" : value < 1 ? value.toFixed(3) : cents.format(value)}`);

function span(seconds) {
  if (seconds == null) return NONE;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const all = Math.round(seconds);
  if (all < 60) return `${all} s`;
  const minutes = Math.floor(all / 60);
  return minutes < 60 ? `${minutes} min ${all % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function clock(seconds) {
  const [all, two] = [Math.floor(seconds), (part) => String(part).padStart(2, "0")];
  const [hours, minutes] = [Math.floor(all / 3600), Math.floor(all / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(all % 60)}` : `${minutes}:${two(all % 60)}`;
}

const total = (items, of) => items.reduce((sum, item) => sum + of(item), 0);
// Percentiles of several queues cannot be added; the worst is told.
const worst = (items, of) => items.map(of).reduce((most, value) => (value == null ? most : Math.max(most ?? value, value)), null);

// ---------------------------------------------------------------- elements

const byId = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

function draw(tag, attributes = {}) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// Only what differs is written, so that nothing is laid out or spoken anew without need.
function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

function attribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

const figures = new Map();
for (const element of document.querySelectorAll("[data-figure]")) {
  const name = element.dataset.figure;
  figures.set(name, [...(figures.get(name) ?? []), element]);
}

// Shows a figure, and keeps it beside for programs: `data-value` is the bare number, empty where there is none.
function figure(name, value, shown) {
  for (const element of figures.get(name)) {
    attribute(element, "data-value", value == null ? "" : String(value));
    text(element, shown(value));
  }
}

const keys = new WeakMap();

// Makes the children of an element those of a list: those that stay are kept and updated, whatever happens around them.
function reconcile(parent, items, keyOf, create, update) {
  const wanted = new Map();
  for (const item of items) {
    // Two of one name are still two.
    let key = keyOf(item);
    while (wanted.has(key)) key += "'";
    wanted.set(key, item);
  }
  const present = new Map();
  for (const child of [...parent.children]) {
    if (wanted.has(keys.get(child))) present.set(keys.get(child), child);
    else child.remove();
  }
  let place = parent.firstElementChild;
  for (const [key, item] of wanted) {
    let child = present.get(key);
    if (!child) keys.set((child = create(item)), key);
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
    update(child, item);
  }
}

// A bar of parts, each as wide as its share of the whole.
function meter(element, parts, whole, label) {
  reconcile(element, parts, ([name]) => name, ([name]) => make("i", name), (part, [, value]) => {
    part.style.width = `${whole > 0 ? (100 * value) / whole : 0}%`;
  });
  attribute(element, "aria-label", label);
}

// ---------------------------------------------------------------- cards

function showHead(view) {
  text(byId("title"), view.title);
  text(byId("headline"), view.headline);
  text(byId("note"), view.note);
  document.body.dataset.phase = view.clock.drained ? "drained" : "running";
  figure("clock.seconds", view.clock.seconds, clock);
  figure("clock.speed", view.clock.speed, (speed) => (speed == null ? "max" : speed === 1 ? "real" : `×${Number(speed.toFixed(1))}`));
  figure("clock.seed", view.clock.seed, (seed) => (seed == null ? NONE : String(seed)));
  for (const element of figures.get("clock.seed")) element.closest("div").hidden = view.clock.seed == null;
}

const names = (items) => (items.length === 1 ? items[0].name : `${items.length} in all`);

function showQueues(queues) {
  const sum = (of) => total(queues, of);
  const [waiting, inFlight, done] = [sum((queue) => queue.waiting), sum((queue) => queue.inFlight), sum((queue) => queue.done)];
  text(byId("queue-names"), names(queues));
  figure("queue.waiting", waiting, count);
  figure("queue.inFlight", inFlight, count);
  figure("queue.done", done, count);
  figure("queue.arrived", sum((queue) => queue.arrived), count);
  figure("queue.redelivered", sum((queue) => queue.redelivered), count);
  figure("queue.rate", sum((queue) => queue.rate), rate);
  figure("queue.waitP50", worst(queues, (queue) => queue.waitP50Seconds), span);
  figure("queue.waitP99", worst(queues, (queue) => queue.waitP99Seconds), span);
  const label = `${count(done)} done, ${count(inFlight)} in flight, ${count(waiting)} waiting`;
  meter(byId("queue-meter"), [["done", done], ["flight", inFlight], ["queued", waiting]], done + inFlight + waiting, label);
}

function showWorkers(workloads) {
  const sum = (of) => total(workloads, of);
  const parts = {
    running: sum((workload) => workload.running),
    starting: sum((workload) => workload.starting),
    waiting: sum((workload) => workload.waiting),
    stopping: sum((workload) => workload.stopping),
  };
  const wanted = sum((workload) => workload.wanted);
  text(byId("worker-names"), names(workloads));
  figure("workers.wanted", wanted, count);
  for (const [name, value] of Object.entries(parts)) figure(`workers.${name}`, value, count);
  figure("workers.min", sum((workload) => workload.min), count);
  figure("workers.max", sum((workload) => workload.max), count);
  const present = parts.running + parts.starting + parts.waiting + parts.stopping;
  const label = `${parts.running} run, ${parts.starting} start, ${parts.waiting} need a node, ${parts.stopping} stop; ${wanted} are wanted`;
  const shares = [["running", parts.running], ["starting", parts.starting], ["nodeless", parts.waiting], ["stopping", parts.stopping]];
  meter(byId("worker-meter"), shares, Math.max(present, wanted), label);
}

function showCost(cost) {
  const saving = cost.onDemand > 0 ? 100 * (1 - cost.soFar / cost.onDemand) : null;
  figure("cost.soFar", cost.soFar, money);
  figure("cost.onDemand", cost.onDemand, money);
  figure("cost.saving", saving, percent);
  figure("cost.perHour", cost.perHour, hourly);
  figure("cost.perThousand", cost.perThousand, money);
  byId("saving").classList.toggle("none", saving == null);
  const bars = byId("cost-bars");
  const most = Math.max(cost.onDemand, cost.soFar);
  bars.querySelector(".paid i").style.width = `${most > 0 ? (100 * cost.soFar) / most : 0}%`;
  bars.querySelector(".else i").style.width = `${most > 0 ? (100 * cost.onDemand) / most : 0}%`;
  attribute(bars, "aria-label", `paid ${money(cost.soFar)}; the same machines on demand would have been ${money(cost.onDemand)}`);
}

function showTable(view) {
  const many = view.queues.length > 1;
  document.body.classList.toggle("many", many);
  byId("queues").hidden = !many;
  if (!many) return;
  const row = () => make("tr", "", ...Array.from({ length: 7 }, () => make("td")));
  reconcile(byId("queue-rows"), view.queues, (queue) => queue.name, row, (element, queue) => {
    const workers = view.workloads.filter((workload) => workload.queue === queue.name);
    const cells = [
      queue.name, count(queue.waiting), count(queue.inFlight), count(queue.done), rate(queue.rate), span(queue.waitP99Seconds),
      `${total(workers, (workload) => workload.running)} of ${total(workers, (workload) => workload.wanted)}`,
    ];
    cells.forEach((cell, index) => text(element.children[index], cell));
  });
}

// ---------------------------------------------------------------- nodes

const STATES = {
  ordered: "asked for, not bought yet",
  booting: "booting",
  ready: "ready",
  interrupted: "the cloud takes it back",
  leaving: "leaving",
};
const CAPACITY = { spot: "Spot", "on-demand": "on demand", ordered: "ordered" };
const nodeOf = new WeakMap();

function showNodes(nodes) {
  const inState = (...states) => nodes.filter((node) => states.includes(node.state));
  const ready = inState("ready");
  figure("nodes.total", nodes.length, count);
  figure("nodes.ready", ready.length, count);
  figure("nodes.spot", ready.filter((node) => node.capacityType === "spot").length, count);
  figure("nodes.onDemand", ready.filter((node) => node.capacityType !== "spot").length, count);
  figure("nodes.booting", inState("ordered", "booting").length, count);
  byId("no-nodes").hidden = nodes.length > 0;

  const groups = new Map();
  for (const node of nodes) {
    const capacity = node.capacityType ?? "ordered";
    const type = node.instanceType ?? "not bought yet";
    const key = `${capacity} ${type}`;
    if (!groups.has(key)) groups.set(key, { key, capacity, type, nodes: [] });
    groups.get(key).nodes.push(node);
  }
  const order = Object.keys(CAPACITY);
  const sorted = [...groups.values()].sort(
    (one, other) => order.indexOf(one.capacity) - order.indexOf(other.capacity) || one.type.localeCompare(other.type, "en", { numeric: true }),
  );
  reconcile(byId("groups"), sorted, (group) => group.key, createGroup, updateGroup);
  showTip();
}

function createGroup() {
  const head = make("p", "group-name", make("b"), make("span", "badge"), make("span", "price"));
  return make("li", "group", head, make("ul", "tiles"));
}

function updateGroup(element, group) {
  const [type, badge, price] = element.firstElementChild.children;
  element.className = `group ${group.capacity === "on-demand" ? "on-demand" : ""}`;
  text(type, group.type);
  badge.className = `badge ${group.capacity in CAPACITY ? group.capacity : "ordered"}`;
  text(badge, CAPACITY[group.capacity] ?? group.capacity);
  // Zones have prices of their own.
  const prices = group.nodes.map((node) => node.pricePerHour);
  const [least, most] = [Math.min(...prices), Math.max(...prices)];
  text(price, least === most ? `${hourly(least)}/h${prices.length > 1 ? " each" : ""}` : `${hourly(least)} to ${hourly(most)}/h`);
  reconcile(element.lastElementChild, group.nodes, (node) => node.name, createTile, updateTile);
}

function createTile() {
  const tile = make("li", "tile", make("i"), make("span"));
  tile.tabIndex = 0;
  return tile;
}

function updateTile(tile, node) {
  const [fill, label] = tile.children;
  nodeOf.set(tile, node);
  attribute(tile, "data-state", node.state);
  const asked = Math.min(1, Math.max(0, node.cpuAsked));
  fill.style.height = `${(100 * asked).toFixed(1)}%`;
  const labels = { ordered: "…", booting: `${Math.floor(node.ageSeconds)}s`, ready: String(node.pods), interrupted: `! ${node.pods}`, leaving: "out" };
  text(label, labels[node.state] ?? "?");
  attribute(tile, "aria-label", `${node.name}: ${STATES[node.state] ?? node.state}, ${node.pods} pods`);
}

function details(node) {
  const of = [node.instanceType ?? "no type yet", CAPACITY[node.capacityType] ?? "not bought", node.zone].filter(Boolean).join(", ");
  return [
    node.name,
    of,
    `${STATES[node.state] ?? node.state}, asked for ${span(node.ageSeconds)} ago`,
    `${node.pods} pods ask for ${percent(100 * node.cpuAsked)} of ${tenth.format(node.cpu)} vCPUs`,
    `${hourly(node.pricePerHour)} an hour, on demand ${hourly(node.onDemandPerHour)}`,
    `pool ${node.pool}`,
  ].join("\n");
}

let pointed = null;

function showTip() {
  const tip = byId("tip");
  tip.hidden = !pointed?.isConnected;
  if (tip.hidden) return;
  text(tip, details(nodeOf.get(pointed)));
  const [place, size] = [pointed.getBoundingClientRect(), tip.getBoundingClientRect()];
  const left = Math.max(6, Math.min(place.left, innerWidth - size.width - 6));
  const below = place.bottom + 6;
  tip.style.transform = `translate(${left}px, ${below + size.height < innerHeight ? below : place.top - size.height - 6}px)`;
}

function point(target) {
  pointed = target?.closest?.(".tile") ?? null;
  showTip();
}

for (const event of ["pointerover", "focusin"]) byId("groups").addEventListener(event, ({ target }) => point(target));
for (const event of ["pointerleave", "focusout"]) byId("groups").addEventListener(event, () => point(null));
addEventListener("keydown", ({ key }) => key === "Escape" && point(null));

// ---------------------------------------------------------------- decisions

const SORTS = {
  scale: "scale", launch: "launch", retire: "retire", interruption: "interruption", stockOut: "out of stock", world: "world", unplaced: "no node",
};

function showDecisions(decisions) {
  // A decision may be worded anew while it goes on; it is told apart by when it came, and counted from the oldest of that moment.
  const moments = new Map();
  const keyed = decisions.toReversed().map((decision) => {
    const moment = `${decision.atMs} ${decision.sort}`;
    moments.set(moment, (moments.get(moment) ?? 0) + 1);
    return { key: `${moment} ${moments.get(moment)}`, decision };
  });
  reconcile(byId("decisions"), keyed.reverse(), ({ key }) => key, createDecision, (row, { decision }) => updateDecision(row, decision));
}

function createDecision() {
  const what = make("p", "what", make("span", "sort"), make("span"), make("span", "times"));
  return make("li", "decision", make("time"), make("div", "", what, make("p", "why")));
}

function updateDecision(row, decision) {
  const [time, body] = row.children;
  const [what, why] = body.children;
  const [sort, sentence, times] = what.children;
  text(time, clock(decision.atMs / 1000));
  attribute(row, "data-sort", decision.sort);
  sort.className = `sort ${decision.sort in SORTS ? decision.sort : ""}`;
  text(sort, SORTS[decision.sort] ?? decision.sort);
  text(sentence, decision.what);
  text(times, decision.count > 1 ? ` ×${count(decision.count)}` : "");
  text(why, decision.why);
  why.hidden = decision.why === "";
}

function showTally(tally) {
  for (const name of ["spot", "onDemand", "interruptions", "stockOuts", "mostNodes"]) figure(`tally.${name}`, tally[name], count);
}

// ---------------------------------------------------------------- charts

const MARGIN = { left: 46, right: 12, top: 7, bottom: 18 };
const SPANS = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 604800];
// An empty world has an axis of a minute.
const LEAST_SPAN = 60;

// A step between grid lines that people can add up: 1, 2 or 5 times a power of ten.
function step(most, lines) {
  const power = 10 ** Math.floor(Math.log10(most / lines));
  return [1, 2, 5, 10].map((factor) => factor * power).find((size) => most / size <= lines);
}

class Chart {
  // `series`: {key, name, shape}; areas stand on each other, a line stands alone; `shape` "line" may be "under" (filled) or "dashed".
  constructor(id, title, series, { shown = count, least = 4, integer = true } = {}) {
    Object.assign(this, { title, series, shown, least, integer, layout: "" });
    this.figure = byId(id);
    const caption = make("figcaption", "", make("b", "", title));
    this.values = series.map(({ key, name, shape }) => {
      const value = make("data");
      caption.append(make("span", `s-${key} ${shape === "area" ? "area" : shape === "dashed" ? "dashed" : ""}`, series.length > 1 ? `${name} ` : "", value));
      return value;
    });
    this.marked = make("span", "marked", "taken");
    this.marked.hidden = true;
    caption.append(this.marked);
    this.svg = draw("svg", { role: "img" });
    this.grid = this.svg.appendChild(draw("g"));
    this.paths = series.map(({ key, shape }) => {
      const group = this.svg.appendChild(draw("g", { class: `s-${key}` }));
      if (shape === "area") return { area: group.appendChild(draw("path", { class: "area" })) };
      const under = shape === "under" ? group.appendChild(draw("path", { class: "under" })) : null;
      return { under, line: group.appendChild(draw("path", { class: shape === "dashed" ? "line dashed" : "line" })) };
    });
    this.marks = this.svg.appendChild(draw("g"));
    this.cross = this.svg.appendChild(draw("line", { class: "cross", visibility: "hidden" }));
    this.plot = make("div", "plot");
    this.plot.append(this.svg);
    this.figure.append(caption, this.plot);
    this.svg.addEventListener("pointermove", (event) => cross(this.secondsAt(event.clientX)));
    this.svg.addEventListener("pointerleave", () => cross(null));
  }

  secondsAt(clientX) {
    return ((clientX - this.svg.getBoundingClientRect().left - MARGIN.left) / this.across) * this.end;
  }

  x(seconds) {
    return MARGIN.left + (seconds / this.end) * this.across;
  }

  y(value) {
    return MARGIN.top + this.down - (value / this.most) * this.down;
  }

  show(points, end, at, marks) {
    const { width, height } = this.size;
    [this.across, this.down] = [width - MARGIN.left - MARGIN.right, height - MARGIN.top - MARGIN.bottom];
    if (this.across < 20 || this.down < 20) return;
    this.end = end;
    const stacked = this.series.some(({ shape }) => shape === "area");
    const tops = points.map((point) => (stacked ? total(this.series, ({ key }) => point[key]) : Math.max(...this.series.map(({ key }) => point[key]))));
    const highest = tops.reduce((most, value) => Math.max(most, value), this.least);
    let size = step(highest, this.down > 110 ? 4 : 3);
    if (this.integer) size = Math.max(1, size);
    this.most = Math.ceil(highest / size - 1e-9) * size;
    this.showGrid(size, width);

    const floor = points.map(() => 0);
    this.series.forEach(({ key, shape }, index) => {
      const { line, under, area } = this.paths[index];
      const values = points.map((point) => point[key]);
      if (area) {
        const ceiling = values.map((value, place) => value + floor[place]);
        area.setAttribute("d", points.length ? `${this.steps(points, ceiling, "M")}${this.steps(points, floor, "L", true)}Z` : "");
        ceiling.forEach((value, place) => (floor[place] = value));
        return;
      }
      const path = points.length ? this.steps(points, values, "M") : "";
      line.setAttribute("d", path);
      under?.setAttribute("d", path && `${path}L${this.x(points.at(-1).seconds).toFixed(1)},${this.y(0)}L${this.x(points[0].seconds).toFixed(1)},${this.y(0)}Z`);
    });

    this.marked.hidden = marks.length === 0;
    reconcile(this.marks, marks, ({ key }) => key, () => draw("path", { class: "mark" }), (mark, { seconds }) => {
      mark.setAttribute("d", `M${this.x(seconds).toFixed(1)},${MARGIN.top + 7}l-4,-7h8z`);
    });
    this.showValues(points, at);
  }

  // What holds at a point holds until the next one.
  steps(points, values, first, backwards = false) {
    let path = "";
    const places = points.map((_, place) => place);
    if (backwards) places.reverse();
    for (const place of places) {
      const [x, y] = [this.x(points[place].seconds).toFixed(1), this.y(values[place]).toFixed(1)];
      if (path === "") path = `${first}${x},${y}`;
      else path += backwards ? `V${y}H${x}` : `H${x}V${y}`;
    }
    return path;
  }

  showGrid(size, width) {
    const time = SPANS.find((seconds) => this.end / seconds <= Math.max(3, this.across / 60)) ?? SPANS.at(-1);
    const layout = [width, this.down, this.most, size, time, Math.round(this.end)].join();
    if (layout === this.layout) return;
    this.layout = layout;
    const lines = [];
    const bottom = MARGIN.top + this.down;
    for (let value = 0; value <= this.most + size / 2; value += size) {
      const y = this.y(value).toFixed(1);
      lines.push({ key: `y${lines.length}`, line: { x1: MARGIN.left, x2: MARGIN.left + this.across, y1: y, y2: y }, at: { x: MARGIN.left - 6, y, dy: "0.33em", "text-anchor": "end" }, label: this.shown(value) });
    }
    for (let seconds = 0; seconds <= this.end; seconds += time) {
      const x = this.x(seconds).toFixed(1);
      lines.push({ key: `x${seconds}`, line: { x1: x, x2: x, y1: bottom, y2: bottom + 3 }, at: { x, y: bottom + 14, "text-anchor": "middle" }, label: clock(seconds) });
    }
    const create = () => {
      const group = draw("g");
      group.append(draw("line", { class: "grid" }), draw("text"));
      return group;
    };
    reconcile(this.grid, lines, ({ key }) => key, create, (group, { line, at, label }) => {
      for (const [name, value] of Object.entries(line)) attribute(group.firstChild, name, String(value));
      for (const [name, value] of Object.entries(at)) attribute(group.lastChild, name, String(value));
      text(group.lastChild, label);
    });
  }

  // The legend tells the figures under the pointer, or the present ones.
  showValues(points, at) {
    const point = at == null ? points.at(-1) : points.findLast(({ seconds }) => seconds <= at) ?? points[0];
    this.series.forEach(({ key }, index) => text(this.values[index], point ? this.shown(point[key]) : NONE));
    const told = this.series.map(({ key, name }) => `${name} ${point ? this.shown(point[key]) : NONE}`).join(", ");
    if (at == null) attribute(this.svg, "aria-label", `${this.title} over time; at present: ${told}`);
    attribute(this.cross, "visibility", at == null ? "hidden" : "visible");
    if (at == null) return;
    const x = this.x(Math.min(this.end, Math.max(0, at))).toFixed(1);
    for (const [name, value] of Object.entries({ x1: x, x2: x, y1: MARGIN.top, y2: MARGIN.top + this.down })) this.cross.setAttribute(name, value);
  }
}

const charts = [
  new Chart("chart-waiting", "Messages waiting", [{ key: "waiting", name: "waiting", shape: "under" }]),
  new Chart("chart-replicas", "Replicas", [
    { key: "running", name: "running", shape: "under" },
    { key: "wanted", name: "wanted", shape: "dashed" },
  ]),
  new Chart("chart-nodes", "Nodes", [
    { key: "spot", name: "Spot", shape: "area" },
    { key: "onDemand", name: "on demand", shape: "area" },
    { key: "booting", name: "booting", shape: "area" },
  ]),
  new Chart("chart-money", "USD an hour", [{ key: "perHour", name: "USD an hour", shape: "under" }], { shown: hourly, least: 0.01, integer: false }),
];
const nodesChart = charts[2];

let crossed = null;

function cross(seconds) {
  crossed = seconds;
  schedule();
}

// Old decisions fall off the view's end; what hit the nodes stays marked.
const marks = new Map();
let latest = 0;

function showCharts(view) {
  if (view.clock.seconds < latest) marks.clear();
  latest = view.clock.seconds;
  for (const { sort, atMs } of view.decisions) {
    if (sort === "interruption") marks.set(atMs, { key: `${atMs}`, seconds: atMs / 1000 });
  }
  const end = Math.max(LEAST_SPAN, view.clock.seconds);
  // The last point holds until now.
  const points = view.course.length ? [...view.course, { ...view.course.at(-1), seconds: Math.max(view.clock.seconds, view.course.at(-1).seconds) }] : [];
  for (const chart of charts) chart.show(points, end, crossed, chart === nodesChart ? [...marks.values()] : []);
}

const sizes = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) charts.find((chart) => chart.plot === target).size = contentRect;
  schedule();
});
for (const chart of charts) {
  chart.size = { width: 0, height: 0 };
  sizes.observe(chart.plot);
}

// ---------------------------------------------------------------- the whole

let view = null;
let scheduled = false;

// However many views and pointers move between two frames, a frame draws once.
function schedule() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    if (view) show();
  });
}

function show() {
  showHead(view);
  showQueues(view.queues);
  showWorkers(view.workloads);
  showCost(view.cost);
  showTable(view);
  showNodes(view.nodes);
  showTally(view.tally);
  showDecisions(view.decisions);
  showCharts(view);
  speak();
}

// A screen reader hears the headline now and then, and the end at once.
const BETWEEN_SENTENCES_MS = 15_000;
let spoken = -Infinity;

function speak() {
  const ended = view.clock.drained && byId("spoken").textContent !== view.headline;
  if (!ended && performance.now() - spoken < BETWEEN_SENTENCES_MS) return;
  spoken = performance.now();
  text(byId("spoken"), view.headline);
}

// ---------------------------------------------------------------- the line to the server

const AGAIN_MS = 1_000;
// The server says every few seconds that it lives, whether or not there is news.
const SILENCE_MS = 12_000;
let source = null;
let heard = 0;

function link(state, sentence) {
  document.body.dataset.link = state;
  attribute(byId("link"), "data-state", state);
  text(byId("link"), sentence);
}

function take(next) {
  view = next;
  document.title = view.clock.drained ? "drained · Springtide" : `${count(total(view.queues, (queue) => queue.waiting))} waiting · Springtide`;
  schedule();
}

function connect() {
  heard = performance.now();
  source = new EventSource("/api/views");
  source.onmessage = ({ data }) => {
    heard = performance.now();
    take(JSON.parse(data));
    link("live", "live");
  };
  source.addEventListener("alive", () => (heard = performance.now()));
  source.onerror = lose;
}

function lose() {
  source?.close();
  source = null;
  link("lost", "connection lost, trying again");
  document.title = "connection lost · Springtide";
  setTimeout(connect, AGAIN_MS);
}

// Under `/?still` the page shows one moment and stays at it, for a picture or a printer.
async function stand() {
  const answer = await fetch("/api/view");
  take(await answer.json());
  link("still", "one moment");
}

if (location.search === "?still") {
  stand();
} else {
  setInterval(() => source && performance.now() - heard > SILENCE_MS && lose(), AGAIN_MS);
  connect();
}
