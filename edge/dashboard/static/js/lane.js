// One link's strip of a timeline: what it did, between two instants in microseconds.

import { h, s } from "./dom.js";
import { plural } from "./format.js";

const WIDTH = 1000;   // of the timeline, in its own units
const BAR_MIN = 3;    // a short outage is still seen

/** `kept`: from when on, and with which gaps, anything is known. */
export function lane(label, outages, kept, start, end) {
  const at = (us) => Math.min(WIDTH, Math.max(0, (us - start) / Math.max(1, end - start) * WIDTH));
  const bar = (name, from, to) => s("rect", { class: name, x: Math.min(at(from), WIDTH - BAR_MIN), y: 0, width: Math.max(BAR_MIN, at(to) - at(from)), height: 20 });
  const strip = s("svg", { class: "strip", viewBox: `0 0 ${WIDTH} 20`, preserveAspectRatio: "none", role: "img",
    "aria-label": `${label}: ${plural(outages.length, "outage", "outages")}` });
  if (kept.start_us > start) strip.append(bar("off", start, kept.start_us));
  strip.append(s("rect", { class: "up", x: at(kept.start_us), y: 7, width: WIDTH - at(kept.start_us), height: 6 }));
  for (const gap of kept.gaps) if (gap.end_us > start) strip.append(bar("off", gap.start_us, gap.end_us));
  for (const outage of outages) strip.append(bar(outage.is_drill ? "drill" : "down", outage.start_us, outage.end_us ?? end));
  return h("div", { class: "lane" }, h("span", { class: "name" }, label), strip);
}
