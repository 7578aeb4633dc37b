// One device: its values live, and what became of every reading.

import { AlertsPanel } from "./alerts.js";
import { Chart, inWords } from "./charts.js";
import { CommandsPanel } from "./commands.js";
import { battery, clockOffset, firmware, link } from "./devices.js";
import { foreign, h, say } from "./dom.js";
import { ago, clock, count, daysLeft, named, NONE, plural, unit, value } from "./format.js";
import { BatteryPanel, HistoryPanel } from "./history.js";
import { bootStrip, timeStrip } from "./ledger_strip.js";
import { ask } from "./live.js";

const CHARTS_FIRST = 4;
const READINGS_MAX = 600;
const LATE_MS = 60_000;       // received longer after it was measured than this: drawn as late, never as live
const LEDGER_EVERY_MS = 5000;

export class DevicePage {
  title = "Device";

  constructor(root, key, access) {
    this.key = key;
    this.query = `?device=${key}`;
    this.root = root;
    this.charts = new Map();
    this.readings = null;
    this.all = false;
    this.nowMs = Date.now();
    root.append(h("p", { class: "crumb" }, h("a", { href: "#/devices" }, "← Devices")));
    this.name = h("h1", {}, "…");
    this.site = h("p", { class: "found" });
    this.tiles = h("dl", { class: "tiles" });
    this.plots = h("div", { class: "plots" });
    this.more = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => { this.all = true; this.drawCharts(); } });
    this.strips = h("div", { class: "strips" });
    this.alerts = new AlertsPanel(access, key);
    this.orders = new CommandsPanel(access);
    this.recent = h("div", {}, this.plots, this.more);
    this.history = new HistoryPanel(key, (wanted) => { this.recent.hidden = !wanted; });
    this.power = new BatteryPanel(key);
    root.append(h("div", { class: "page-head" }, h("div", {}, this.name, this.site)),
      h("section", { class: "panel", "aria-label": "At a glance" }, this.tiles), this.alerts.box,
      h("section", { "aria-label": "Readings" }, this.history.chooser, this.recent, this.history.node), this.power.node, this.orders.node,
      h("section", { class: "panel", "aria-label": "Ledger" }, h("div", { class: "panel-head" }, h("h2", {}, "What became of every reading")), this.strips));
  }

  async reload() {
    this.history.reload();
    this.power.reload();
    try {
      const detail = await ask(`/api/v1/devices/${this.key}`);
      this.readings = detail.readings;
      this.showRow(detail.row);
      this.drawCharts();
      this.drawLedger(detail);
    } catch (error) {
      if (!this.readings) { say(this.name, "No such device"); say(this.site, error.message); }
    }
  }

  commands(told) { this.orders.show(told); }

  status(now) {
    this.nowMs = this.history.nowMs = now.status.at_ms;
    this.alerts.status(now);
    if (this.row) say(this.seen, ago(this.row.last_seen_ms, this.nowMs));
    if (performance.now() - (this.ledgerAt ?? 0) > LEDGER_EVERY_MS) this.renewLedger();
  }

  async renewLedger() {
    this.ledgerAt = performance.now();
    const detail = await ask(`/api/v1/devices/${this.key}`).catch(() => null);
    if (detail) { this.showRow(detail.row); this.drawLedger(detail); }
  }

  device(update) {
    this.showRow(update.row);
    const { readings } = this;
    const fresh = update.readings;
    if (!readings || !fresh.seq.length) return;
    const known = readings.seq.length;
    for (const name of ["received_at_ms", "taken_at_ms", "boot", "seq", "synced"]) readings[name].push(...fresh[name]);
    readings.columns = fresh.columns;
    fresh.numbers.forEach((column, at) => {
      readings.numbers[at] ??= new Array(known).fill(null);
      readings.numbers[at].push(...column);
    });
    const over = readings.seq.length - READINGS_MAX;
    if (over > 0) for (const column of [readings.received_at_ms, readings.taken_at_ms, readings.boot, readings.seq, readings.synced, ...readings.numbers]) column.splice(0, over);
    this.drawCharts();
  }

  showRow(row) {
    const first = !this.row;
    this.row = row;
    this.orders.of(row);
    if (first) this.orders.reload();
    if (this.name.textContent !== row.device) this.name.replaceChildren(foreign(row.device));
    if (this.site.textContent !== `Site ${row.site}`) this.site.replaceChildren("Site ", foreign(row.site));
    this.seen = h("span", {}, ago(row.last_seen_ms, this.nowMs));
    const tile = (label, content, note) => h("div", { class: "tile" }, h("dt", {}, label), h("dd", {}, content), note && h("dd", { class: "note" }, note));
    const measured = row.taken_at_ms === null ? null : `measured ${clock(row.taken_at_ms)}`;
    const texts = row.values.filter((one) => typeof one.value !== "number");
    this.tiles.replaceChildren(
      tile("Last seen", this.seen, measured),
      tile("Battery", battery(row), daysLeft(row.days_left)),
      tile("Link", link(row)),
      tile("Clock", clockOffset(row), "its clock against the gateway's"),
      tile("Firmware", firmware(row), row.update && `update: ${row.update}`),
      tile("Received", count(row.received), row.boot === null ? null : `boot ${count(row.boot)}, seq ${count(row.seq)}`),
      tile("Missing", row.missing ? h("strong", { class: "problem" }, count(row.missing)) : "0", row.lost ? `${count(row.lost)} lost for good` : "none lost for good"),
      tile("Held", count(row.held), row.quarantined ? `${count(row.quarantined)} in quarantine` : "none in quarantine"),
      ...texts.map((one) => tile(foreign(named(one.name)), h("span", { class: "text" }, foreign(value(one.value, 256))))));
  }

  drawCharts() {
    const { readings } = this;
    const shown = this.all ? readings.columns.length : Math.min(CHARTS_FIRST, readings.columns.length);
    const order = readings.taken_at_ms.map((_, at) => at).sort((a, b) => readings.taken_at_ms[a] - readings.taken_at_ms[b]);
    if (!readings.columns.length && !this.plots.firstChild) this.plots.append(h("p", { class: "panel empty" }, "No number since the gateway started."));
    for (let at = 0; at < shown; at += 1) this.drawChart(at, order);
    const hidden = readings.columns.length - shown;
    this.more.hidden = hidden <= 0;
    say(this.more, `Show ${plural(hidden, "more value", "more values")}`);
  }

  drawChart(at, order) {
    const { readings } = this;
    const { name, unit: symbol } = readings.columns[at];
    let chart = this.charts.get(at);
    if (!chart) {
      if (!this.charts.size) this.plots.replaceChildren();
      const host = h("div");
      const last = h("strong", {});
      const late = h("p", { class: "key", hidden: true }, h("span", { class: "rings" }, "late (received over a minute after it was measured)"));
      this.plots.append(h("section", { class: "panel", "aria-label": named(name) }, h("div", { class: "panel-head" },
        h("h2", {}, foreign(named(name))), h("p", { class: "readout", "aria-hidden": "true" }), h("p", { class: "last" }, last, " ", h("span", { class: "unit" }, foreign(unit(symbol))))), late, host));
      chart = new Chart(host, { label: named(name), height: 9.5, series: [
        { label: "", colour: "--accent", format: value }, { label: "late", colour: "--late", points: "only", format: value }] });
      Object.assign(chart, { last, late });
      this.charts.set(at, chart);
    }
    const data = points(readings, readings.numbers[at], order);
    const latest = this.row.values.find((one) => one.name === name && one.unit === symbol);
    say(chart.last, latest ? value(latest.value) : NONE);
    chart.late.hidden = !data[2].some((number) => number !== null);
    chart.set(data, inWords(readings.numbers[at], value));
  }

  drawLedger({ boots, boots_total: total }) {
    this.ledgerAt = performance.now();
    const parts = boots.map(bootStrip);
    const byTime = this.readings && timeStrip(boots, this.readings);
    if (byTime) parts.unshift(byTime);
    if (total > boots.length) parts.push(h("p", { class: "note" }, `and ${plural(total - boots.length, "older boot", "older boots")}`));
    this.strips.replaceChildren(...(parts.length ? parts : [h("p", { class: "empty" }, "Nothing received yet.")]));
  }

  unmount() {
    this.history.unmount();
    this.power.unmount();
    for (const chart of this.charts.values()) chart.destroy();
  }
}

/** [times, live, late] in the order of measuring; a pause of three usual steps is a gap. */
function points(readings, numbers, order) {
  const steps = [];
  for (let at = 1; at < order.length; at += 1) steps.push(readings.taken_at_ms[order[at]] - readings.taken_at_ms[order[at - 1]]);
  const usual = steps.length ? [...steps].sort((a, b) => a - b)[Math.floor(steps.length / 2)] : 0;
  const [times, live, late] = [[], [], []];
  let before = null;
  for (const at of order) {
    const taken = readings.taken_at_ms[at];
    const number = numbers[at] ?? null;
    if (before !== null && usual > 0 && taken - before > 3 * usual) { times.push((before + usual) / 1000); live.push(null); late.push(null); }
    const isLate = readings.received_at_ms[at] - taken > LATE_MS;
    times.push(taken / 1000);
    live.push(isLate ? null : number);
    late.push(isLate ? number : null);
    before = taken;
  }
  return [times, live, late];
}
