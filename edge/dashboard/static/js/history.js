// What a device measured: charts of a span, with the band between lowest and highest; and where its battery leads.

import { Chart, inWords } from "./charts.js";
import { foreign, h, say } from "./dom.js";
import { daysLeft, named, NONE, unit, value } from "./format.js";
import { ask } from "./live.js";

const EVERY_MS = 15_000;
const BATTERY_EVERY_MS = 600_000;
const POINTS = 600;
const DAY_MS = 86_400_000;
const SPANS = [["live", "Live", 0], ["15m", "15 min", 900_000], ["6h", "6 h", 6 * 3_600_000], ["24h", "24 h", DAY_MS], ["7d", "7 d", 7 * DAY_MS]];
const CHARTS_FIRST = 4;
const WHY = { "too-short": "No forecast yet: it takes a day of levels.", "not-falling": "Its level does not fall.", "no-level": "It reports no level." };

export class HistoryPanel {
  /** `live`: told whether the live charts are wanted. */
  constructor(key, live) {
    this.key = key;
    this.live = live;
    this.span = 0;
    this.nowMs = Date.now();
    this.charts = new Map();
    this.all = false;
    this.asked = 0;
    this.buttons = SPANS.map(([id, label, ms]) => h("button", { type: "button", class: "quiet span", "data-span": id, "aria-pressed": String(ms === 0), onclick: () => this.choose(ms) }, label));
    this.said = h("p", { class: "note", role: "status" });
    this.plots = h("div", { class: "plots history" });
    this.more = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => { this.all = true; this.reload(); } }, "Show the other values");
    this.chooser = h("div", { class: "spans", role: "group", "aria-label": "Span of the charts" }, ...this.buttons, this.said);
    this.node = h("div", { hidden: true }, this.plots, this.more);
    this.timer = setInterval(() => this.span && this.reload(), EVERY_MS);
  }

  choose(ms) {
    this.span = ms;
    SPANS.forEach(([, , of], at) => this.buttons[at].setAttribute("aria-pressed", String(of === ms)));
    this.node.hidden = ms === 0;
    this.live(ms === 0);
    say(this.said, "");
    if (ms) this.reload();
  }

  async reload() {
    if (!this.span) return;
    const [mine, span] = [this.asked += 1, this.span];
    try {
      const { values } = await ask(`/api/v1/devices/${this.key}/values`);
      const shown = this.all ? values : values.slice(0, CHARTS_FIRST);
      this.more.hidden = shown.length === values.length;
      const to = this.nowMs;
      const lines = await Promise.all(shown.map((one) => this.line(one, to - span, to)));
      if (mine !== this.asked) return;
      if (!lines.length) say(this.said, "No number was kept of this device.");
      lines.forEach((line, at) => this.draw(shown[at], line));
      if (lines.length) say(this.said, told(lines, this.nowMs));
    } catch (error) {
      if (mine === this.asked) say(this.said, error.message);
    }
  }

  line(one, from, to) {
    const words = new URLSearchParams({ value: one.name, from, to, limit: POINTS });
    if (one.unit !== null) words.set("unit", one.unit);
    return ask(`/api/v1/devices/${this.key}/series?${words}`);
  }

  draw(one, line) {
    const id = JSON.stringify([one.name, one.unit]);
    let chart = this.charts.get(id);
    if (!chart) {
      const host = h("div");
      const late = h("p", { class: "key", hidden: true }, h("span", { class: "rings" }, "holds late readings"));
      this.plots.append(h("section", { class: "panel", "aria-label": `History of ${named(one.name)}` }, h("div", { class: "panel-head" },
        h("h2", {}, foreign(named(one.name)), " ", h("span", { class: "unit" }, foreign(unit(one.unit)))), h("p", { class: "readout", "aria-hidden": "true" })), late, host));
      chart = new Chart(host, { label: named(one.name), height: 9.5, bands: [{ series: [3, 2], dir: -1 }], series: [
        { label: "mean", colour: "--accent", format: value }, { label: "lowest", colour: "--band", format: value, thin: true },
        { label: "highest", colour: "--band", format: value, thin: true }, { label: "late", colour: "--late", points: "only", format: value }] });
      chart.late = late;
      this.charts.set(id, chart);
    }
    const times = line.at_ms.map((at) => at / 1000);
    const lateOnes = line.mean.map((number, at) => (line.late[at] ? number : null));
    chart.late.hidden = !lateOnes.some((number) => number !== null);
    chart.set([times, line.mean, line.low, line.high, lateOnes], inWords(line.mean, value));
  }

  unmount() {
    clearInterval(this.timer);
    for (const chart of this.charts.values()) chart.destroy();
  }
}

function told(lines, nowMs) {
  const first = Math.min(...lines.map((line) => line.at_ms[0] ?? nowMs));
  const step = Math.max(...lines.map((line) => line.step_ms));
  const begins = nowMs - first > 120_000 ? ` Kept since ${new Date(first).toLocaleString("en-GB")}.` : "";
  return `${step ? `A point stands for ${step < 120_000 ? `${step / 1000} s` : `${Math.round(step / 60_000)} min`}.` : "Every reading."}${begins}`;
}

export class BatteryPanel {
  constructor(key) {
    this.key = key;
    this.host = h("div");
    this.left = h("strong", {});
    this.node = h("section", { class: "panel battery-curve", "aria-label": "Battery", hidden: true }, h("div", { class: "panel-head" }, h("h2", {}, "Battery"),
      h("p", { class: "readout", "aria-hidden": "true" }), h("p", { class: "last" }, this.left)), this.host);
    this.timer = setInterval(() => this.reload(), BATTERY_EVERY_MS);
  }

  async reload() {
    const told = await ask(`/api/v1/devices/${this.key}/battery`).catch(() => null);
    const known = told?.percent.some((number) => number !== null);
    this.node.hidden = !known;
    if (!known) return;
    say(this.left, daysLeft(told.days_left) ?? WHY[told.why] ?? NONE);
    this.chart ??= new Chart(this.host, { label: "Battery", height: 9.5, fromZero: true, bands: [{ series: [4, 3], dir: -1 }], series: [
      { label: "level", colour: "--accent", format: (number) => `${value(number)} %` }, { label: "likely", colour: "--muted", dash: [5, 4], format: (number) => `${value(number)} %` },
      { label: "soonest", colour: "--band", thin: true, format: (number) => `${value(number)} %` }, { label: "latest", colour: "--band", thin: true, format: (number) => `${value(number)} %` }] });
    this.chart.set(curve(told), `${inWords(told.percent, value)} ${this.left.textContent}`);
  }

  unmount() {
    clearInterval(this.timer);
    this.chart?.destroy();
  }
}

/** [times, level, likely, soonest, latest]: what was, and straight lines to where it is empty. */
function curve({ at_ms: at, percent, days_left: left }) {
  const times = at.map((ms) => ms / 1000);
  const [likely, low, high] = [0, 1, 2].map(() => new Array(times.length).fill(null));
  const level = [...percent];
  if (left) {
    const [from, now] = [times.at(-1), percent.at(-1) ?? 0];
    const slowest = left.high ?? Infinity;
    const horizon = Math.min(left.high ?? 2 * left.likely, 2 * left.likely);
    for (const line of [likely, low, high]) line[times.length - 1] = now;
    for (const days of [...new Set([left.low, left.likely, horizon])].sort((a, b) => a - b)) {
      times.push(from + days * 86_400);
      level.push(null);
      likely.push(Math.max(0, now * (1 - days / left.likely)));
      low.push(Math.max(0, now * (1 - days / left.low)));
      high.push(Math.max(0, now * (1 - days / slowest)));
    }
  }
  return [times, level, likely, low, high];
}
