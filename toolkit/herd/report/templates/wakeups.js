// The wakeups of a recording: columns of numbers, as herd/report/timeline.py packs them.

// Seven bits a byte, the lowest first; the last byte of a number is below 128.
function varints(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const values = new Float64Array(bytes.reduce((count, byte) => count + (byte < 128), 0));
  let [at, value, scale] = [0, 0, 1];
  for (const byte of bytes) {
    value += (byte & 127) * scale;
    scale *= 128;
    if (byte < 128) {
      values[at++] = value;
      [value, scale] = [0, 1];
    }
  }
  return values;
}

function summed(values) {
  for (let i = 1; i < values.length; i++) values[i] += values[i - 1];
  return values;
}

// The first index whose value is not below `value`.
function lowerBound(values, value) {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

// Nanoseconds, for people.
function duration(ns) {
  const [unit, size] = ns < 1e6 ? ["µs", 1e3] : ns < 1e9 ? ["ms", 1e6] : ["s", 1e9];
  return `${+(ns / size).toPrecision(4)} ${unit}`;
}

const moment = (ns) => `${(ns / 1e6).toFixed(3)} ms`;

// Times are ns since the first of them; NaN is unknown.
class Wakeups {
  constructor(data) {
    const columns = Object.fromEntries(
      Object.entries(data.columns).map(([name, packed]) => [name, varints(packed)]),
    );
    Object.assign(this, data, columns);
    this.time = summed(this.time);
    this.arrivalTime = summed(this.arrivalTime);
    this.arrivedAt = new Map(
      Array.from(this.arrivalNumber, (number, i) => [number, this.arrivalTime[i]]),
    );
    this.count = this.time.length;
    this.wait = this.wait.map((value) => (value ? value - 1 : NaN));
    this.awake = this.awake.map((value) => (value ? value - 1 : NaN));
    this.slept = this.time.map((time, i) => this.#end(time, i));
    this.last = this.slept.reduce((latest, slept) => Math.max(latest, slept), this.end);
    this.longest = this.slept.reduce((most, slept, i) => Math.max(most, slept - this.time[i]), 0);
  }

  // Who wasn't seen to sleep again was awake when the recording ended, unless it is part of another wakeup.
  #end(time, i) {
    if (!Number.isNaN(this.awake[i])) return time + this.wait[i] + this.awake[i];
    return Number.isNaN(this.wait[i]) ? time : Math.max(time, this.end);
  }

  describe(i) {
    const lines = [`worker ${this.worker[i]}: ${this.kinds[this.kind[i]]}`];
    const arrived = this.arrivedAt.get(this.arrival[i]);
    const at = arrived === undefined ? "" : ` at ${moment(arrived)}`;
    if (this.arrival[i]) lines.push(`arrival ${this.arrival[i]}${at}`);
    lines.push(`woken at ${moment(this.time[i])} (cause: ${this.causes[this.cause[i]]})`);
    if (!Number.isNaN(this.wait[i])) lines.push(`ran ${duration(this.wait[i])} later`);
    if (!Number.isNaN(this.awake[i])) lines.push(`slept ${duration(this.awake[i])} after that`);
    return lines;
  }
}
