// A replay: what `tidegate outage replay … --plot run.json` wrote, drawn here. The file is read by the page and sent nowhere.

import { Chart, inWords } from "./charts.js";
import { foreign, h, say } from "./dom.js";
import { count, duration, plural } from "./format.js";
import { lane } from "./lane.js";

const BYTES_MAX = 32 * 1024 * 1024;  // a month of moments is far less
const EXPECTED = "expected what tidegate outage replay --plot NAME.json wrote";

export class Replayed {
  constructor(root) {
    this.file = h("input", { type: "file", id: "replay", accept: ".json,application/json", onchange: () => this.read() });
    this.said = h("p", { class: "note", role: "status" }, "Draws what tidegate outage replay … --plot run.json wrote. The file stays on this device.");
    this.drawn = h("div", { class: "replay" });
    this.charts = [];
    root.append(h("section", { class: "panel", "aria-label": "A replay" },
      h("div", { class: "panel-head" }, h("h2", {}, "A replay"), h("label", { for: "replay" }, h("span", { class: "hidden" }, "The file with its course"), this.file)), this.said, this.drawn));
  }

  async read() {
    const [file] = this.file.files;
    if (!file) return;
    let run;
    try {
      run = checked(file.size > BYTES_MAX ? null : JSON.parse(await file.text()));
    } catch {
      this.clear();
      say(this.said, `${file.name}: ${EXPECTED}`);
      return;
    }
    this.draw(run);
  }

  draw({ title, outages, course }) {
    this.clear();
    const [start, end] = [course.at_ms[0], course.at_ms.at(-1)];
    say(this.said, `${title}: ${duration(end - start)}, ${plural(outages.length, "outage", "outages")}, ${count(course.backlog.reduce((most, each) => Math.max(most, each ?? 0), 0))} held at most.`);
    const strip = lane("uplink", outages.map((each) => ({ start_us: each.start_ms * 1000, end_us: each.end_ms * 1000 })), { start_us: start * 1000, gaps: [] }, start * 1000, end * 1000);
    this.drawn.append(h("div", { class: "lanes" }, strip));
    const times = course.at_ms.map((at) => (at - start) / 1000);
    this.plot("Backlog (readings)", times, course.backlog, count);
    this.plot("Cloud lag (seconds)", times, course.lag_ms.map((each) => each === null ? null : each / 1000), (seconds) => duration(seconds * 1000));
  }

  plot(label, times, numbers, format) {
    const host = h("div");
    this.drawn.append(h("div", {}, h("div", { class: "panel-head" }, h("h3", {}, foreign(label)), h("p", { class: "readout", "aria-hidden": "true" })), h("div", {}, host)));
    const chart = new Chart(host, { label, series: [{ label, colour: "--accent", fill: true, thin: true, format }], fromZero: true, elapsed: true });
    chart.readout = host.parentElement.parentElement.querySelector(".readout");
    chart.set([times, numbers], inWords(numbers, format));
    this.charts.push(chart);
  }

  clear() {
    this.destroy();
    this.drawn.replaceChildren();
  }

  destroy() {
    for (const chart of this.charts) chart.destroy();
    this.charts = [];
  }
}

/** The run, if it is one. Throws what says no more than that it is none. */
function checked(run) {
  const { title, outages, course } = run;
  const columns = [course.at_ms, course.backlog, course.lag_ms];
  const numbers = (list) => list.every((each) => each === null || Number.isFinite(each));
  const whole = typeof title === "string" && course.at_ms.length > 0 && columns.every((each) => Array.isArray(each) && each.length === course.at_ms.length && numbers(each))
    && Array.isArray(outages) && outages.every((each) => Number.isFinite(each.start_ms) && Number.isFinite(each.end_ms));
  if (!whole) throw new TypeError(EXPECTED);
  return run;
}
