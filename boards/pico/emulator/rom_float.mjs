// SPDX-License-Identifier: MIT
// The boot ROM's floating-point entries, in the order of its tables (RP2040 datasheet, 2.8.3.2).
// Like the ROM's, they read denormals as zero and round conversions to integers down.
//
// Costs are cycles of the order of the datasheet's, not measured on a chip.

const COST = {
  single: [71, 74, 69, 71, 30, 30, 63, 37, 36, 38, 38, 55, 55, 50, 50, 600, 600, 670, 700, 540, 810,
    30, 600, 60, 60, 60, 60, 50, 50, 50, 50, 25],
  double: [91, 95, 155, 183, 40, 40, 169, 75, 74, 63, 62, 69, 68, 60, 60, 1617, 1618, 1891, 1900,
    1100, 1300, 40, 1600, 80, 80, 80, 80, 90, 90, 90, 90, 25],
};

const view = new DataView(new ArrayBuffer(8));

const flushed = (word, exponent) => ((word & exponent) === 0 ? (word & 0x80000000) >>> 0 : word >>> 0);

// A format reads and writes a value in consecutive registers.
const single = {
  words: 1,
  get(r, at) {
    view.setUint32(0, flushed(r[at], 0x7f800000));
    return view.getFloat32(0);
  },
  put(r, at, x) {
    view.setFloat32(0, x);
    r[at] = flushed(view.getUint32(0), 0x7f800000);
  },
};

const double = {
  words: 2,
  get(r, at) {
    const high = flushed(r[at + 1], 0x7ff00000);
    view.setUint32(0, high);
    view.setUint32(4, (high & 0x7ff00000) === 0 ? 0 : r[at]);
    return view.getFloat64(0);
  },
  put(r, at, x) {
    view.setFloat64(0, x);
    r[at] = view.getUint32(4);
    r[at + 1] = view.getUint32(0);
  },
};

const clamp = (x, low, high) => (Number.isNaN(x) ? 0 : Math.max(low, Math.min(high, Math.floor(x))));
const toInt = (r, x) => { r[0] = clamp(x, -(2 ** 31), 2 ** 31 - 1); };
const toUint = (r, x) => { r[0] = clamp(x, 0, 2 ** 32 - 1); };

function to64(r, x, low, high) {
  let n = 0n;
  if (x === Infinity) {
    n = high;
  } else if (x === -Infinity) {
    n = low;
  } else if (!Number.isNaN(x)) {
    n = BigInt(Math.floor(x));
    n = n < low ? low : n > high ? high : n;
  }
  r[0] = Number(n & 0xffffffffn);
  r[1] = Number((n >> 32n) & 0xffffffffn);
}
const toInt64 = (r, x) => to64(r, x, -(1n << 63n), (1n << 63n) - 1n);
const toUint64 = (r, x) => to64(r, x, 0n, (1n << 64n) - 1n);
const uint64 = (r) => (BigInt(r[1]) << 32n) | BigInt(r[0]);
const int64 = (r) => BigInt.asIntN(64, uint64(r));

const order = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

function setFlags(core, result) {
  core.Z = result === 0;
  core.C = result >= 0;
  core.N = result < 0;
  core.V = false;
}

// The entries of one table for format f; the last one converts to the other format.
function entries(f, other) {
  const a = (r) => f.get(r, 0);
  const b = (r) => f.get(r, f.words);
  const put = (r, x) => f.put(r, 0, x);
  const up = (r) => 2 ** (r[f.words] | 0); // fixed-point shift behind a float argument
  const down = (r, at) => 2 ** -(r[at] | 0); // ... and behind an integer of `at` words
  const compare = (r) => { r[0] = order(a(r), b(r)); };
  return [
    (r) => put(r, a(r) + b(r)),
    (r) => put(r, a(r) - b(r)),
    (r) => put(r, a(r) * b(r)),
    (r) => put(r, a(r) / b(r)),
    compare,
    (r, core) => setFlags(core, order(a(r), b(r))),
    (r) => put(r, Math.sqrt(a(r))),
    (r) => toInt(r, a(r)),
    (r) => toInt(r, a(r) * up(r)),
    (r) => toUint(r, a(r)),
    (r) => toUint(r, a(r) * up(r)),
    (r) => put(r, r[0] | 0),
    (r) => put(r, (r[0] | 0) * down(r, 1)),
    (r) => put(r, r[0]),
    (r) => put(r, r[0] * down(r, 1)),
    (r) => put(r, Math.cos(a(r))),
    (r) => put(r, Math.sin(a(r))),
    (r) => put(r, Math.tan(a(r))),
    (r) => { const x = a(r); put(r, Math.sin(x)); f.put(r, f.words, Math.cos(x)); },
    (r) => put(r, Math.exp(a(r))),
    (r) => put(r, Math.log(a(r))),
    compare,
    (r) => put(r, Math.atan2(a(r), b(r))),
    (r) => put(r, Number(int64(r))),
    (r) => put(r, Number(int64(r)) * down(r, 2)),
    (r) => put(r, Number(uint64(r))),
    (r) => put(r, Number(uint64(r)) * down(r, 2)),
    (r) => toInt64(r, a(r)),
    (r) => toInt64(r, a(r) * up(r)),
    (r) => toUint64(r, a(r)),
    (r) => toUint64(r, a(r) * up(r)),
    (r) => other.put(r, 0, a(r)),
  ];
}

const TABLES = {
  single: entries(single, double),
  double: entries(double, single),
};

// Runs entry `index` of the table ('single' or 'double') on the core's registers. Returns its cycles.
export function floatCall(table, index, core) {
  TABLES[table][index](core.registers, core);
  return COST[table][index];
}
