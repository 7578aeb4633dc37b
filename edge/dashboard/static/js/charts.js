// Charts: uPlot with our colours. Gaps are null and stay gaps.

import { count, duration } from "./format.js";

let library = null;

/** uPlot, fetched with the first chart: what is to be read at a glance does not wait for it. */
function loaded() {
  library ??= new Promise((done, failed) => {
    const style = document.createElement("link");
    Object.assign(style, { rel: "stylesheet", href: new URL("../vendor/uPlot.min.css", import.meta.url) });
    const script = document.createElement("script");
    Object.assign(script, { src: new URL("../vendor/uPlot.iife.min.js", import.meta.url), onload: () => done(globalThis.uPlot), onerror: failed });
    document.head.append(style, script);
  });
  return library;
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function rem() {
  return parseFloat(getComputedStyle(document.documentElement).fontSize);
}

function axis(more) {
  return { stroke: colour("--muted"), font: `${Math.round(0.75 * rem())}px system-ui, sans-serif`, ticks: { show: false },
    grid: { stroke: colour("--line"), width: 1 }, ...more };
}

function tick(number) {
  const size = Math.abs(number);
  if (size !== 0 && (size >= 1e6 || size < 1e-3)) return number.toExponential(1).replace("e+", "e");
  return number.toLocaleString("en", { maximumFractionDigits: 3 });
}

/** Points that no line reaches: those between two gaps. */
function alone(plot, index) {
  const numbers = plot.data[index];
  const found = [];
  for (let at = 0; at < numbers.length; at += 1) if (known(numbers[at]) && !known(numbers[at - 1]) && !known(numbers[at + 1])) found.push(at);
  return found;
}

function known(number) {
  return number !== null && number !== undefined;
}

/** `series`: [{label, colour (a CSS variable), fill, dash, thin, points, format}]; `bands`: uPlot's, filled; times in seconds since 1970, or with `elapsed` since the start; height in rem. */
export class Chart {
  constructor(host, { label, series, bands = [], fromZero = false, elapsed = false, height = 11.25 }) {
    this.host = host;
    this.options = { label, series, bands, fromZero, elapsed, height };
    this.data = null;
    loaded().then((uPlot) => { this.uPlot = uPlot; this.redraw(); }, () => { library = null; });
    host.classList.add("chart");
    host.setAttribute("role", "img");
    host.setAttribute("aria-label", label);
    this.readout = host.parentElement?.querySelector(".readout") ?? null;
    this.resized = new ResizeObserver(() => this.fit());
    this.resized.observe(host);
    this.rethemed = () => this.redraw();
    addEventListener("tidegate-theme", this.rethemed);
  }

  /** `data`: [times, values…]; `summary`: the same in words, for those who do not see it. */
  set(data, summary) {
    this.data = data;
    this.host.setAttribute("aria-label", `${this.options.label}. ${summary}`);
    if (this.plot) this.plot.setData(data);
    else this.redraw();
  }

  redraw() {
    if (!this.uPlot || !this.data || !this.host.clientWidth) return;
    this.plot?.destroy();
    const { series, bands, fromZero } = this.options;
    this.plot = new this.uPlot({
      width: this.host.clientWidth,
      height: this.height(),
      padding: [10, 1.8 * rem(), 0, 0],
      legend: { show: false },
      cursor: { sync: { key: this.uPlot.sync("time").key, setSeries: false }, drag: { x: false, y: false }, points: { size: 7 } },
      scales: { x: { time: true }, y: { range: (_, low, high) => this.range(low, high, fromZero) } },
      axes: [
        axis({ size: 1.75 * rem(), gap: 0.4 * rem(), space: 5 * rem(), values: (_, at) => at.map((t) => this.options.elapsed ? duration(t * 1000) : this.span() > 172_800 ? new Date(t * 1000).toLocaleDateString("en-GB", { day: "numeric", month: "short" }) : new Date(t * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", ...(this.span() < 300 && { second: "2-digit" }) })) }),
        axis({ size: 3.2 * rem(), gap: 0.4 * rem(), space: 2.2 * rem(), values: (_, at) => at.map(tick) }),
      ],
      bands: bands.map((band) => ({ fill: `color-mix(in srgb, ${colour("--accent")} 20%, transparent)`, ...band })),
      series: [{}, ...series.map((one) => ({
        label: one.label,
        stroke: colour(one.colour),
        width: one.points === "only" ? 0 : one.thin ? 1 : 2,
        dash: one.dash,
        fill: one.fill ? `color-mix(in srgb, ${colour(one.colour)} 16%, transparent)` : undefined,
        points: one.thin ? { show: false } : one.points === "only" ? { show: true, size: 5, stroke: colour(one.colour), fill: colour("--panel") } : { show: true, size: 5, stroke: colour(one.colour), fill: colour(one.colour), filter: alone },
        paths: one.points === "only" ? () => null : undefined,
      }))],
      hooks: { setCursor: [(plot) => this.read(plot)] },
    }, this.data, this.host);
  }

  span() {
    const times = this.data[0];
    return times.length ? times.at(-1) - times[0] : 0;
  }

  height() {
    return Math.round(this.options.height * rem());
  }

  range(low, high, fromZero) {
    if (low === null || high === null) return [0, 1];
    if (fromZero) return [0, Math.max(1, high * 1.08)];
    const room = (high - low) * 0.1 || Math.abs(high) * 0.05 || 1;
    const [from, to] = [low - room, high + room];
    return Number.isFinite(from) && Number.isFinite(to) ? [from, to] : [low, high];
  }

  read(plot) {
    if (!this.readout) return;
    const at = plot.cursor.idx;
    if (at === null || at === undefined) { this.readout.textContent = ""; return; }
    const when = new Date(this.data[0][at] * 1000);
    const time = this.options.elapsed ? duration(this.data[0][at] * 1000) : this.span() > 86_000 ? when.toLocaleString("en-GB") : when.toLocaleTimeString("en-GB");
    const parts = this.options.series.map((one, index) => [one, this.data[index + 1][at]])
      .filter(([, number]) => number !== null && number !== undefined)
      .map(([one, number]) => `${one.label} ${(one.format ?? tick)(number)}`);
    this.readout.textContent = [time, ...parts].join("  ·  ");
  }

  fit() {
    if (!this.plot) this.redraw();
    else if (this.host.clientWidth) this.plot.setSize({ width: this.host.clientWidth, height: this.height() });
  }

  destroy() {
    this.data = null;
    this.resized.disconnect();
    removeEventListener("tidegate-theme", this.rethemed);
    this.plot?.destroy();
  }
}

/** What a screen reader says of a column: where it stands, and its highest. */
export function inWords(numbers, format = count) {
  const all = numbers.filter(known);
  if (!all.length) return "Nothing measured yet.";
  let [low, high] = [Infinity, -Infinity];
  for (const number of all) { low = Math.min(low, number); high = Math.max(high, number); }
  return `Last ${format(all.at(-1))}, lowest ${format(low)}, highest ${format(high)}.`;
}

export function spanInWords(times) {
  return times.length > 1 ? `the last ${duration((times.at(-1) - times[0]) * 1000)}` : "just now";
}
