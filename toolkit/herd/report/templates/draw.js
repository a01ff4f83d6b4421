// Draws what is in view: bars where they can be told apart, else columns in which outcomes stand in proportion.

const MARGIN = { left: 48, right: 20, top: 24, bottom: 24 };
const ROW = 14; // pixels, where there is room
const ROWS = { least: 140, most: 520 };
const COLUMN = 2;
const LABEL = 12;

class Drawing {
  constructor(canvas, wakeups, view) {
    Object.assign(this, { canvas, wakeups, view });
    this.context = canvas.getContext("2d");
  }

  get width() {
    return this.canvas.clientWidth - MARGIN.left - MARGIN.right;
  }

  get rowHeight() {
    return this.height / Math.max(1, this.view.rows.length);
  }

  x(time) {
    return MARGIN.left + ((time - this.view.from) / (this.view.to - this.view.from)) * this.width;
  }

  time(x) {
    return this.view.from + ((x - MARGIN.left) / this.width) * (this.view.to - this.view.from);
  }

  row(y) {
    return Math.floor((y - MARGIN.top) / this.rowHeight);
  }

  middle(i) {
    return MARGIN.top + (this.view.rowOf[this.wakeups.worker[i]] + 0.5) * this.rowHeight;
  }

  draw() {
    this.#size();
    this.#colours();
    this.#axis();
    this.#labels();
    this.#clipped(() => {
      this.#arrivals();
      this.#wakeups();
      this.#selected();
    });
  }

  #size() {
    const { canvas, view } = this;
    this.height = Math.min(ROWS.most, Math.max(ROWS.least, view.rows.length * ROW));
    const ratio = Math.max(2, devicePixelRatio); // paper wants two
    const height = this.height + MARGIN.top + MARGIN.bottom;
    canvas.style.height = `${height}px`;
    canvas.width = canvas.clientWidth * ratio;
    canvas.height = height * ratio;
    this.context.scale(ratio, ratio);
    this.context.font = `${LABEL - 1}px system-ui, sans-serif`;
  }

  #colours() {
    const style = getComputedStyle(this.canvas);
    [this.ink, this.rule] = [style.color, style.borderTopColor];
    this.fills = this.wakeups.kinds.map(
      (_, kind) => getComputedStyle(document.querySelector(`.kind${kind}`)).backgroundColor,
    );
  }

  #clipped(paint) {
    this.context.save();
    this.context.beginPath();
    this.context.rect(MARGIN.left, 0, this.width, MARGIN.top + this.height);
    this.context.clip();
    paint();
    this.context.restore();
  }

  #axis() {
    const { context, view } = this;
    const step = niceStep((view.to - view.from) / Math.max(2, this.width / 110));
    context.textAlign = "center";
    context.textBaseline = "top";
    for (let time = Math.ceil(view.from / step) * step; time <= view.to; time += step) {
      context.fillStyle = this.rule;
      context.fillRect(this.x(time), MARGIN.top, 1, this.height);
      context.fillStyle = this.ink;
      context.fillText(tick(time, step), this.x(time), MARGIN.top + this.height + 6);
    }
  }

  #labels() {
    const { context, view } = this;
    context.fillStyle = this.ink;
    context.textAlign = "right";
    context.textBaseline = "middle";
    context.fillText("arrivals", MARGIN.left - 4, MARGIN.top / 3);
    const every = Math.ceil((LABEL + 2) / this.rowHeight);
    for (let row = 0; row < view.rows.length; row += every) {
      context.fillText(view.rows[row], MARGIN.left - 6, MARGIN.top + (row + 0.5) * this.rowHeight);
    }
  }

  #arrivals() {
    const { arrivalTime } = this.wakeups;
    this.context.fillStyle = this.ink;
    let last = -1;
    for (let i = lowerBound(arrivalTime, this.view.from); i < arrivalTime.length; i++) {
      const x = Math.round(this.x(arrivalTime[i]));
      if (arrivalTime[i] > this.view.to) break;
      if (x !== last) this.context.fillRect(x, 3, 1, MARGIN.top - 12);
      last = x;
    }
  }

  #wakeups() {
    const columns = Math.ceil(this.width / COLUMN);
    const kinds = this.wakeups.kinds.length;
    const counts = new Uint32Array(this.view.rows.length * columns * kinds);
    const scale = this.width / (this.view.to - this.view.from);
    this.view.each((i, row) => {
      const begin = this.wakeups.time[i];
      if ((this.wakeups.slept[i] - begin) * scale > 2 * COLUMN) return this.#bar(i, row);
      const column = Math.floor(((begin - this.view.from) * scale) / COLUMN);
      if (column >= 0 && column < columns) {
        counts[(row * columns + column) * kinds + this.wakeups.kind[i]]++;
      }
    });
    this.#columns(counts, columns, kinds);
  }

  #bar(i, row) {
    const { context, wakeups } = this;
    const [top, height] = [MARGIN.top + row * this.rowHeight, this.#filled];
    const runs = wakeups.time[i] + (wakeups.wait[i] || 0);
    const [x, middle, end] = [this.x(wakeups.time[i]), this.x(runs), this.x(wakeups.slept[i])];
    context.fillStyle = this.fills[wakeups.kind[i]];
    context.globalAlpha = 0.4;
    context.fillRect(x, top, middle - x, height);
    context.globalAlpha = 1;
    context.fillRect(middle, top, Math.max(1, end - middle), height);
  }

  get #filled() {
    return this.rowHeight > 6 ? this.rowHeight - 2 : this.rowHeight;
  }

  #columns(counts, columns, kinds) {
    for (let cell = 0; cell < counts.length; cell += kinds) {
      let all = 0;
      for (let kind = 0; kind < kinds; kind++) all += counts[cell + kind];
      if (all) this.#column(counts, cell, all, columns);
    }
  }

  #column(counts, cell, all, columns) {
    const place = cell / this.fills.length;
    const x = MARGIN.left + (place % columns) * COLUMN;
    let y = MARGIN.top + Math.floor(place / columns) * this.rowHeight;
    this.fills.forEach((fill, kind) => {
      const height = (counts[cell + kind] / all) * this.#filled;
      if (!height) return;
      this.context.fillStyle = fill;
      this.context.fillRect(x, y, COLUMN, height);
      y += height;
    });
  }

  #selected() {
    const { context, view, wakeups } = this;
    const i = view.selected;
    if (i === null || !view.holds(i)) return;
    const [x, end] = [this.x(wakeups.time[i]), this.x(wakeups.slept[i])];
    context.strokeStyle = this.ink;
    context.lineWidth = 2;
    const height = Math.max(6, this.rowHeight);
    context.strokeRect(x - 2, this.middle(i) - height / 2, Math.max(4, end - x + 4), height);
  }
}

// 1, 2 or 5 times a power of ten.
function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * [1, 2, 5, 10].find((factor) => power * factor >= least);
}

// A time on the axis, with as many digits as its step needs.
function tick(ns, step) {
  const [unit, size] = step < 1e9 ? ["ms", 1e6] : ["s", 1e9];
  const digits = Math.max(0, -Math.floor(Math.log10(step / size)));
  return `${(ns / size).toFixed(Math.min(6, digits))} ${unit}`;
}
