// The outages: what the links did, how long, why, what was held meanwhile, and how soon it was made up for.

import { h, say } from "./dom.js";
import { clock, count, duration, NONE, plural } from "./format.js";
import { lane } from "./lane.js";
import { ask } from "./live.js";
import { Replayed } from "./replayed.js";

const EVERY_MS = 3000;
const ROWS = 200;     // of the table: older ones are in the recording
const TICKS = 6;
const HOUR_MS = 3_600_000;
const SPANS = [["0.0417", "hour"], ["1", "24 hours"], ["7", "7 days"], ["30", "30 days"], ["", "all that is kept"]];
const LINKS = [["uplink", "Cloud"], ["devices", "Devices"]];
const FURTHER = "uplink/";  // and the name of a further destination

export class OutagesPage {
  title = "Outages";

  constructor(root) {
    this.span = h("select", { id: "span", onchange: () => { this.offer(); this.draw(); } }, SPANS.map(([days, words]) => h("option", { value: days }, words)));
    this.found = h("p", { class: "found", role: "status" });
    this.download = h("a", { class: "button", download: "gateway.outage.jsonl.gz" }, "Download the recording");
    this.lanes = h("div", { class: "lanes" });
    this.rows = h("tbody");
    this.more = h("p", { class: "note" });
    const column = (words, numeric) => h("th", { scope: "col", class: numeric && "numeric" }, words);
    root.append(
      h("div", { class: "page-head" }, h("div", {}, h("h1", {}, "Outages"), this.found),
        h("div", { class: "filters" }, h("label", { for: "span" }, "Of the last", this.span), this.download)),
      h("section", { class: "panel", "aria-label": "Timeline" }, h("div", { class: "panel-head" }, h("h2", {}, "What the links did"),
        h("ul", { class: "classes legend" }, h("li", { class: "up" }, "up"), h("li", { class: "down" }, "outage"), h("li", { class: "drill" }, "drill"), h("li", { class: "off" }, "not recorded"))), this.lanes),
      h("section", { class: "panel", "aria-label": "Every outage" }, h("div", { class: "panel-head" }, h("h2", {}, "Every outage")),
        h("div", { class: "sideways", tabindex: "0", role: "region", "aria-label": "Every outage, a table" }, h("table", { class: "plain outages" }, h("thead", {}, h("tr", {}, column("Began"), column("Link"), column("Cause"), column("Lasted", true), column("Held at most", true), column("Made up for in", true))), this.rows)), this.more));
    this.replayed = new Replayed(root);
    this.offer();
    this.timer = setInterval(() => this.reload(), EVERY_MS);
  }

  async reload() {
    try {
      this.kept = await ask("/api/v1/outages?limit=2000");
    } catch (error) {
      say(this.found, error.message);
      return;
    }
    this.draw();
  }

  /** A link that goes or comes is told of at once. */
  status({ status }) {
    const states = status.recorded.map(({ link, state }) => `${link} ${state}`).join();
    this.recorded = status.recorded.map(({ link }) => link);
    if (this.states !== undefined && this.states !== states) this.reload();
    this.states = states;
  }

  /** The recording of what is shown. */
  offer() {
    this.download.setAttribute("href", `/api/v1/outages/recording?format=gz${this.span.value ? `&days=${this.span.value}` : ""}`);
  }

  draw() {
    const { kept } = this;
    if (!kept) return;
    if (this.chosen === undefined) {  // a gateway that is new says more about its first hour than about its first day
      this.chosen = kept.alive_us - kept.start_us < HOUR_MS * 1000 ? "0.0417" : "1";
      this.span.value = this.chosen;
      this.offer();
    }
    const end = kept.alive_us;
    const start = this.span.value ? end - Number(this.span.value) * 24 * HOUR_MS * 1000 : kept.start_us;
    const shown = kept.outages.filter((outage) => (outage.end_us ?? end) >= start);
    const links = linksOf([...(this.recorded ?? []), ...shown.map((outage) => outage.link)]);
    say(this.found, summary(links, shown, start, end));
    this.lanes.replaceChildren(...links.map(([link, label]) => lane(label, shown.filter((outage) => outage.link === link), kept, start, end)), axis(kept, start, end));
    this.rows.replaceChildren(...(shown.length ? shown.slice(0, ROWS).map(row) : [h("tr", {}, h("td", { colspan: "6", class: "empty" }, "None."))]));
    say(this.more, shown.length > ROWS ? `and ${plural(shown.length - ROWS, "older one", "older ones")}: see the recording` : "");
  }

  unmount() {
    clearInterval(this.timer);
    this.replayed.destroy();
  }
}

/** Every link with its label: the two that there always are, and those to further destinations. */
function linksOf(names) {
  const further = [...new Set(names)].filter((name) => name.startsWith(FURTHER)).sort();
  return [...LINKS, ...further.map((name) => [name, labelOf(name)])];
}

function labelOf(name) {
  return LINKS.find(([link]) => link === name)?.[1] ?? name.replace(FURTHER, "");
}

function summary(links, shown, start, end) {
  if (!shown.length) return "No outage.";
  const parts = links.map(([link, label]) => {
    const of = shown.filter((outage) => outage.link === link && !outage.is_drill);
    const us = of.reduce((sum, outage) => sum + (outage.end_us ?? end) - Math.max(outage.start_us, start), 0);
    return of.length ? `${label}: ${plural(of.length, "outage", "outages")}, ${duration(us / 1000)} in all` : `${label}: none`;
  });
  const drills = shown.filter((outage) => outage.is_drill).length;
  return `${parts.join(". ")}.${drills ? ` Not counted: ${plural(drills, "drill", "drills")}.` : ""}`;
}

function axis(kept, start, end) {
  const last = kept.alive === null ? null : Date.parse(kept.alive);
  const ticks = Array.from({ length: TICKS }, (_, at) => {
    const before = (end - start) / 1000 * (1 - at / (TICKS - 1));
    return h("span", {}, last === null ? (before < 1000 ? "now" : `${duration(before)} ago`) : moment(last - before, (end - start) / 1000));
  });
  return h("div", { class: "lane axis", "aria-hidden": "true" }, h("span", { class: "name" }), h("div", { class: "ticks" }, ticks));
}

/** A tick: the time of day, or, over more than two days, the day. */
function moment(ms, spanMs) {
  const at = new Date(ms);
  return spanMs > 48 * HOUR_MS ? at.toLocaleDateString("en-CA") : at.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
}

function row(outage) {
  const began = outage.started === null ? "clock not set" : clock(Date.parse(outage.started));
  const why = outage.is_drill ? `drill: ${outage.why}` : outage.why;
  const lasts = outage.end_us === null;
  const catchUp = lasts ? NONE : outage.catch_up_us === null ? "not yet" : duration(outage.catch_up_us / 1000);
  return h("tr", {}, h("th", { scope: "row" }, began), h("td", {}, labelOf(outage.link)), h("td", {}, why),
    h("td", { class: "numeric" }, duration(outage.duration_us / 1000), lasts && h("strong", { class: "problem" }, " so far")),
    h("td", { class: "numeric" }, outage.held_max !== null ? count(outage.held_max) : NONE), h("td", { class: "numeric" }, outage.held_max !== null ? catchUp : NONE));
}
