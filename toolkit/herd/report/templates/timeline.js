// The timeline: what is in view, and every way to change that.

const SHORTEST = 1000; // ns in view
const PAGE = 50; // rows of the table
const REACH = 5; // pixels between pointer and bar

class View {
  constructor(wakeups) {
    this.wakeups = wakeups;
    this.shows = wakeups.kinds.map(() => true);
    this.selected = null;
    this.showWorkers(Array.from({ length: wakeups.workers }, (_, worker) => worker));
    this.show(wakeups.begin, wakeups.end); // of the load: workers start before it
  }

  show(from, to) {
    const span = Math.min(this.wakeups.last, Math.max(SHORTEST, to - from));
    this.from = Math.max(0, Math.min(from, this.wakeups.last - span));
    this.to = this.from + span;
  }

  zoom(factor, around = (this.from + this.to) / 2) {
    this.show(around - (around - this.from) * factor, around + (this.to - around) * factor);
  }

  move(ns) {
    const span = this.to - this.from;
    const from = Math.max(0, Math.min(this.from + ns, this.wakeups.last - span));
    this.show(from, from + span);
  }

  showWorkers(rows) {
    this.rows = rows;
    this.rowOf = new Int32Array(this.wakeups.workers).fill(-1);
    rows.forEach((worker, row) => (this.rowOf[worker] = row));
  }

  passes(i) {
    return this.shows[this.wakeups.kind[i]] && this.rowOf[this.wakeups.worker[i]] >= 0;
  }

  holds(i) {
    const { time, slept } = this.wakeups;
    return this.passes(i) && time[i] <= this.to && slept[i] >= this.from;
  }

  // Calls visit(wakeup, row) for each that is in view and passes the filters, in the order of time.
  each(visit) {
    const { time, worker, longest, count } = this.wakeups;
    for (let i = lowerBound(time, this.from - longest); i < count && time[i] <= this.to; i++) {
      if (this.holds(i)) visit(i, this.rowOf[worker[i]]);
    }
  }

  // The wakeup of a row that is nearest to a time, at most `reach` from it.
  nearest(row, time, reach) {
    let [best, distance] = [null, reach];
    this.each((i, its) => {
      const { time: begin, slept } = this.wakeups;
      const away = Math.max(begin[i] - time, time - slept[i], 0);
      if (its === row && away <= distance) [best, distance] = [i, away];
    });
    return best;
  }

  // Selects the next wakeup that passes the filters (step 1) or the one before (-1), and brings it into view.
  step(step) {
    const first = lowerBound(this.wakeups.time, this.from) - (step > 0 ? 1 : 0);
    let i = (this.selected ?? first) + step;
    while (i >= 0 && i < this.wakeups.count && !this.passes(i)) i += step;
    if (!(i >= 0 && i < this.wakeups.count)) return;
    this.selected = i;
    const time = this.wakeups.time[i];
    if (time < this.from || time > this.to) this.move(time - (this.from + this.to) / 2);
  }
}

// "0-3,7" → [0, 1, 2, 3, 7]; null: not understood
function parseWorkers(text, count) {
  const found = new Set();
  for (const part of text.split(",").map((each) => each.trim())) {
    const match = /^(\d+)(?:\s*-\s*(\d+))?$/.exec(part);
    const [first, last] = match ? [+match[1], +(match[2] ?? match[1])] : [1, 0];
    if (first > last || last >= count) return null;
    for (let worker = first; worker <= last; worker++) found.add(worker);
  }
  return [...found].sort((a, b) => a - b);
}

class Timeline {
  constructor(section) {
    this.find = (selector) => section.querySelector(selector);
    this.wakeups = new Wakeups(JSON.parse(this.find("#timeline-data").textContent));
    this.view = new View(this.wakeups);
    this.canvas = this.find("#canvas");
    this.drawing = new Drawing(this.canvas, this.wakeups, this.view);
    this.table = new ViewTable(this.find("#rows"), this.wakeups, this.view);
    this.pointers = new Map();
    this.#listen();
    this.paint();
    performance.mark("timeline drawn");
  }

  paint() {
    this.asked = null;
    this.drawing.draw();
    this.table.fill();
    this.#tell();
    let shown = 0;
    this.view.each(() => shown++);
    const { from, to } = this.view;
    this.find("#status").textContent =
      `${moment(from)} to ${moment(to)}: ${shown} of ${this.wakeups.count} wakeups in view`;
  }

  change(act) {
    act();
    this.asked ??= requestAnimationFrame(() => this.paint());
  }

  #listen() {
    const { canvas } = this;
    const on = (target, name, act) => target.addEventListener(name, act);
    on(canvas, "wheel", (event) => this.#wheel(event));
    on(canvas, "keydown", (event) => this.#key(event));
    on(canvas, "pointerdown", (event) => this.#press(event));
    on(canvas, "pointermove", (event) => this.#point(event));
    for (const name of ["pointerup", "pointercancel"]) {
      on(canvas, name, (event) => this.pointers.delete(event.pointerId));
    }
    on(canvas, "pointerleave", () => this.#select(null));
    on(this.find("#controls"), "input", () => this.change(() => this.#filter()));
    on(this.find("#controls"), "submit", (event) => event.preventDefault());
    for (const button of this.find("#controls").querySelectorAll("button")) {
      on(button, "click", () => this.change(() => this.#act(button.name)));
    }
    on(document.documentElement, "repaint", () => this.paint());
    new ResizeObserver(() => this.change(() => {})).observe(canvas.parentElement);
  }

  #act(name) {
    const { view } = this;
    const step = (view.to - view.from) / 4;
    const acts = {
      in: () => view.zoom(0.5),
      out: () => view.zoom(2),
      earlier: () => view.move(-step),
      later: () => view.move(step),
      all: () => view.show(0, this.wakeups.last),
      next: () => this.#step(1),
      previous: () => this.#step(-1),
    };
    acts[name]();
  }

  #key(event) {
    const names = {
      "+": "in", "=": "in", "-": "out", ArrowLeft: "earlier", ArrowRight: "later",
      Home: "all", 0: "all", n: "next", p: "previous",
    };
    const name = names[event.key];
    if (!name || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.change(() => this.#act(name));
  }

  // Towards the page's end it zooms out; when all is in view, the wheel scrolls the page again.
  #wheel(event) {
    const { view } = this;
    const all = view.from === 0 && view.to === this.wakeups.last;
    if (event.deltaY > 0 && all) return;
    event.preventDefault();
    const across = (event.deltaX / this.drawing.width) * (view.to - view.from);
    this.change(() => {
      view.zoom(Math.exp(event.deltaY * 0.002), this.drawing.time(event.offsetX));
      if (event.deltaX) view.move(across);
    });
  }

  #press(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event.offsetX);
  }

  // One pointer drags, two pinch, and one that isn't pressed hovers.
  #point(event) {
    const was = this.pointers.get(event.pointerId);
    if (was === undefined) return this.#hover(event);
    const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId);
    this.pointers.set(event.pointerId, event.offsetX);
    this.change(() => this.#drag(was, event.offsetX, other?.[1]));
  }

  #drag(was, now, other) {
    const { view, drawing } = this;
    if (other === undefined) view.move(drawing.time(was) - drawing.time(now));
    else view.zoom(Math.abs(was - other) / Math.max(1, Math.abs(now - other)), drawing.time(other));
  }

  #hover(event) {
    const reach = drawingReach(this.drawing, this.view);
    const time = this.drawing.time(event.offsetX);
    this.#select(this.view.nearest(this.drawing.row(event.offsetY), time, reach));
  }

  #step(step) {
    this.view.step(step);
    const i = this.view.selected;
    if (i !== null) this.find("#told").textContent = this.wakeups.describe(i).join(", ");
  }

  #select(i) {
    if (i !== this.view.selected) this.change(() => (this.view.selected = i));
  }

  // Beside the selected wakeup, on the side where there is room.
  #tell() {
    const tip = this.find("#tip");
    const i = this.view.selected;
    tip.hidden = i === null || !this.view.holds(i);
    if (tip.hidden) return;
    tip.textContent = this.wakeups.describe(i).join("\n");
    const [x, y] = [this.drawing.x(this.wakeups.time[i]), this.drawing.middle(i)];
    const left = x > this.canvas.clientWidth / 2 ? x - tip.offsetWidth - 12 : x + 12;
    const top = y > this.canvas.clientHeight / 2 ? y - tip.offsetHeight - 12 : y + 12;
    tip.style.left = `${Math.max(0, left)}px`;
    tip.style.top = `${top}px`;
  }

  #filter() {
    const form = this.find("#controls");
    for (const box of form.querySelectorAll("[name=kind]")) {
      this.view.shows[+box.value] = box.checked;
    }
    const { workers } = form.elements;
    const all = this.wakeups.workers;
    const rows = parseWorkers(workers.value.trim() || `0-${all - 1}`, all);
    workers.ariaInvalid = String(rows === null);
    this.find("#workers-error").textContent =
      rows === null ? `numbers from 0 to ${all - 1}, such as 0-3,7` : "";
    if (rows) this.view.showWorkers(rows);
    this.#select(null);
  }
}

const drawingReach = (drawing, view) => (REACH / drawing.width) * (view.to - view.from);

// What is in view, for those who don't see the picture: a page of rows at a time.
class ViewTable {
  constructor(details, wakeups, view) {
    Object.assign(this, { details, wakeups, view, first: 0 });
    details.addEventListener("toggle", () => this.fill());
    const button = (name) => details.querySelector(`button[name=${name}]`);
    button("before").addEventListener("click", () => this.#turn(-PAGE));
    button("after").addEventListener("click", () => this.#turn(PAGE));
  }

  #turn(rows) {
    this.first += rows;
    this.fill();
  }

  fill() {
    if (!this.details.open) return;
    const found = [];
    this.view.each((i) => found.push(i));
    const last = Math.floor(Math.max(0, found.length - 1) / PAGE) * PAGE;
    this.first = Math.max(0, Math.min(this.first, last));
    const shown = found.slice(this.first, this.first + PAGE);
    const table = this.details.querySelector("table");
    table.caption.textContent = shown.length
      ? `${this.first + 1} to ${this.first + shown.length} of ${found.length} wakeups in view`
      : "no wakeup in view";
    table.tBodies[0].replaceChildren(...shown.map((i) => this.#row(i)));
  }

  #row(i) {
    const { time, worker, kinds, kind, causes, cause, arrival, wait, awake } = this.wakeups;
    const us = (ns) => (Number.isNaN(ns) ? "unknown" : (ns / 1e3).toFixed(1));
    const row = document.createElement("tr");
    const cells = [
      (time[i] / 1e6).toFixed(3), worker[i], kinds[kind[i]], causes[cause[i]], arrival[i] || "none",
      us(wait[i]), us(awake[i]),
    ];
    for (const text of cells) row.insertCell().textContent = text;
    return row;
  }
}

const section = document.getElementById("timeline");
if (section?.querySelector("#timeline-data")) new Timeline(section);
