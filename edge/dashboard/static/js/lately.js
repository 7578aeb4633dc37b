// What happened while nobody looked: the links over the last 24 hours, the weakest battery, the device that is silent longest.

import { foreign, h, say } from "./dom.js";
import { ago, clock, count, daysLeft, duration, NONE, plural } from "./format.js";
import { ask } from "./live.js";

const DAY_US = 86_400_000_000;
const EVERY_MS = 15_000;     // the recorder writes an outage some seconds after its end
const OUTAGES_MAX = 500;      // of a day: beyond, the page of outages tells
const LOW_PERCENT = 20;
const LOW_DAYS = 30;          // time enough to bring another one
const OUTAGE_FIELDS = "link,started,start_us,end_us,held_max,catch_up_us,is_drill";
const DEVICE_FIELDS = "key,device,last_seen_ms,battery_percent,battery_v,days_left";
const TILES = [["uplink", "Cloud away"], ["devices", "Broker away"], ["battery", "Weakest battery"], ["silent", "Longest silent"]];

/** The panel of the first page. */
export class LatelyPanel {
  constructor() {
    this.tiles = Object.fromEntries(TILES.map(([name, label]) => [name, { label, number: h("dd", {}, NONE), note: h("dd", { class: "note" }) }]));
    this.since = h("p", { class: "note" });
    this.askedMs = -EVERY_MS;
    this.box = h("section", { class: "panel lately", "aria-label": "The last 24 hours" }, h("div", { class: "panel-head" }, h("h2", {}, "The last 24 hours"), this.since),
      h("dl", { class: "tiles" }, ...Object.entries(this.tiles).map(([name, { label, number, note }]) => h("div", { class: "tile", "data-tile": name }, h("dt", {}, label), number, note))));
  }

  /** Ask again when a link went or came, and every quarter of a minute. */
  status({ status }) {
    this.nowMs = status.at_ms;
    this.live = { uplink: status.uplink, devices: status.devices_link };
    const links = `${status.uplink.since_ms} ${status.devices_link.since_ms} ${status.devices}`;
    if (this.links === links && performance.now() - this.askedMs < EVERY_MS) return;
    this.links = links;
    this.askedMs = performance.now();
    this.load();
  }

  async load() {
    try {
      const [kept, weakest, silent] = await Promise.all([ask(`/api/v1/outages?limit=${OUTAGES_MAX}&fields=${OUTAGE_FIELDS}`),
        ask(`/api/v1/devices?sort=battery&limit=1&fields=${DEVICE_FIELDS}`), ask(`/api/v1/devices?sort=seen&limit=1&fields=${DEVICE_FIELDS}`)]);
      for (const [link] of TILES.slice(0, 2)) this.showLink(link, kept);
      this.showBattery(weakest.items[0]);
      this.showSilent(silent.items[0]);
      say(this.since, kept.start_us > kept.alive_us - DAY_US ? `links recorded for ${duration((kept.alive_us - kept.start_us) / 1000)}` : "");
    } catch { /* the next look asks again */ }
  }

  /** The recorder's file is some seconds behind: of an outage that lasts, the live status knows how long. */
  showLink(name, { outages, alive_us: end }) {
    const start = end - DAY_US;
    const live = this.live[name];
    const lasts = live.state === "down";
    const ended = outages.filter((one) => one.link === name && !one.is_drill && (one.end_us ?? end) >= start && !(lasts && one.end_us === null));
    const number = ended.length + (lasts ? 1 : 0);
    if (!number) { this.set(name, "never", ["no outage"]); return; }
    const ms = ended.reduce((sum, one) => sum + ((one.end_us ?? end) - Math.max(one.start_us, start)) / 1000, lasts ? this.nowMs - live.since_ms : 0);
    const [last] = ended;
    const began = lasts ? live.since_ms : last.started && Date.parse(last.started);
    const held = !lasts && last.held_max ? `, ${count(last.held_max)} held` : "";
    const after = lasts ? ", it lasts" : !held ? "" : last.catch_up_us === null ? ", not made up for yet" : `, made up for in ${duration(last.catch_up_us / 1000)}`;
    this.set(name, duration(ms), [h("a", { href: "#/outages" }, plural(number, "outage", "outages")), `; the last${began ? ` at ${clock(began)}` : ""}${held}${after}`], lasts);
  }

  showBattery(row) {
    const percent = row?.battery_percent ?? null;
    const volts = row?.battery_v ?? null;
    if (percent === null && volts === null) { this.set("battery", NONE, ["no device reports one"]); return; }
    const left = row.days_left;
    this.set("battery", percent === null ? `${volts.toFixed(2)} V` : `${count(percent)} %`, [device(row), left && ` · ${daysLeft(left)}`],
      (percent !== null && percent < LOW_PERCENT) || (left && left.high !== null && left.low < LOW_DAYS));
  }

  showSilent(row) {
    if (!row) this.set("silent", NONE, ["no device yet"]);
    else if (row.last_seen_ms === null) this.set("silent", NONE, [device(row), " was not heard since the gateway started"]);
    else this.set("silent", ago(row.last_seen_ms, this.nowMs), ["heard last: ", device(row)]);
  }

  set(name, number, note, problem = false) {
    const tile = this.tiles[name];
    say(tile.number, number);
    tile.number.classList.toggle("problem", Boolean(problem));
    tile.note.replaceChildren(...note.filter(Boolean));
  }
}

function device(row) {
  return h("a", { href: `#/devices/${row.key}` }, foreign(row.device));
}
