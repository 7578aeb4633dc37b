// What became of every reading of a device, as strips: by seq for each boot, and by time for what is known to the minute.

import { h, s } from "./dom.js";
import { clock, count, ranges } from "./format.js";

const STRIP = 1000;
const LEAST = 2; // units: what is drawn is seen
const CLASSES = [
  ["delivered", "delivered", "the cloud has accepted them"], ["held", "held", "they wait here"],
  ["quarantined", "in quarantine", "they can never be delivered"],
  ["thinned", "thinned", "dropped for want of room; their rollups are kept"], ["expired", "expired", "dropped for their age or for want of room"],
  ["suppressed", "not to be sent", "a deadband, or a destination without raw readings"],
  ["missing", "missing", "they never arrived, yet"], ["lost", "lost", "the device no longer holds them"],
];
const NAMED = new Set(["quarantined", "thinned", "expired", "missing", "lost"]);
const ABSENT = new Set(["missing", "lost"]);

function svg() {
  return s("svg", { class: "strip", viewBox: `0 0 ${STRIP} 20`, preserveAspectRatio: "none", "aria-hidden": "true", focusable: "false" });
}

function bar(name, x, width) {
  const tall = ABSENT.has(name);
  return s("rect", { class: name, x, y: tall ? 0 : 4, width: Math.max(LEAST, width), height: tall ? 20 : 12 });
}

/** One boot by seq. */
export function bootStrip(boot) {
  const end = Math.max(boot.last_seq ?? 0, ...CLASSES.map(([name]) => boot[name].ranges.at(-1)?.[1] ?? 0)) + 1;
  const first = Math.max(0, ...CLASSES.filter(([name]) => boot[name].truncated).map(([name]) => boot[name].ranges[0][0]));
  const scale = STRIP / (end - first);
  const strip = svg();
  for (const [name] of CLASSES) {
    for (const [from, to] of boot[name].ranges) {
      if (to >= first) strip.append(bar(name, (Math.max(from, first) - first) * scale, (to + 1 - Math.max(from, first)) * scale));
    }
  }
  const words = CLASSES.filter(([name]) => boot[name].count).map(([name, label, why]) => h("li", { class: name, title: why },
    h("strong", {}, count(boot[name].count)), ` ${label}`, NAMED.has(name) && h("span", { class: "where" }, ` seq ${ranges(boot[name].ranges)}`)));
  return h("div", { class: "boot" }, h("h3", {}, `Boot ${count(boot.boot)}`, h("span", { class: "note" }, ` seq ${count(first)} to ${count(end - 1)}`)), strip, h("ul", { class: "classes" }, ...words));
}

/** All boots by time, as far back as the recent readings say when a seq was measured; null if they say nothing. */
export function timeStrip(boots, readings) {
  const known = boots.map((boot) => [boot, anchors(readings, boot.boot)]).filter(([, points]) => points.length > 1);
  if (!known.length) return null;
  const from = Math.min(...known.map(([, points]) => points[0][1]));
  const to = Math.max(...known.map(([, points]) => points.at(-1)[1]));
  if (to <= from) return null;
  const scale = STRIP / (to - from);
  const strip = svg();
  const counts = new Map();
  for (const [name] of CLASSES) {
    for (const [boot, points] of known) {
      for (const [low, high] of boot[name].ranges) {
        const [first, last] = [Math.max(low, points[0][0]), Math.min(high, points.at(-1)[0])];
        if (first > last) continue;
        counts.set(name, (counts.get(name) ?? 0) + last - first + 1);
        const begin = measuredAt(points, first - 0.5);
        strip.append(bar(name, (begin - from) * scale, (measuredAt(points, last + 0.5) - begin) * scale));
      }
    }
  }
  const words = CLASSES.filter(([name]) => counts.get(name)).map(([name, label, why]) => h("li", { class: name, title: why }, h("strong", {}, count(counts.get(name))), ` ${label}`));
  return h("div", { class: "boot by-time" }, h("h3", {}, "By time", h("span", { class: "note" }, ` measured ${clock(from)} to ${clock(to)}`)), strip,
    h("p", { class: "scale note", "aria-hidden": "true" }, ...[0, 0.25, 0.5, 0.75, 1].map((part) => h("span", {}, clock(from + part * (to - from))))), h("ul", { class: "classes" }, ...words));
}

/** [seq, measured] of one boot's recent readings, by seq; a clock that was set back is left out. */
function anchors(readings, boot) {
  const points = [];
  readings.seq.forEach((seq, at) => { if (readings.boot[at] === boot) points.push([seq, readings.taken_at_ms[at]]); });
  points.sort((a, b) => a[0] - b[0]);
  return points.filter(([seq, taken], at) => at === 0 || (taken >= points[at - 1][1] && seq > points[at - 1][0]));
}

/** When a seq was measured: on the line between those around it, and no further out than they reach. */
function measuredAt(points, seq) {
  let [low, high] = [0, points.length - 1];
  if (seq <= points[0][0]) return points[0][1];
  if (seq >= points[high][0]) return points[high][1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (points[middle][0] <= seq) low = middle;
    else high = middle;
  }
  const [[seq0, at0], [seq1, at1]] = [points[low], points[high]];
  return at0 + ((seq - seq0) / (seq1 - seq0)) * (at1 - at0);
}
