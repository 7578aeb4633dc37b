// Drills: an outage that an operator causes from here, what it does while it lasts, and the catching up afterwards.

import { Chart, inWords, spanInWords } from "./charts.js";
import { foreign, h, say } from "./dom.js";
import { FAULTS, inOneLine } from "./drill_notice.js";
import { clock, count, duration, NONE, plural, rate } from "./format.js";
import { ask } from "./live.js";

const SECONDS = [10, 30, 60, 120, 300, 900];
const LATENCIES = [1000, 4000, 10000, 30000];
const SAMPLES_MAX = 900;

export class DrillPage {
  title = "Drill";

  constructor(root, _, access) {
    this.access = access;
    this.names = "";
    this.trouble = h("p", { class: "trouble", role: "alert" });
    this.running = h("p", { class: "running", role: "status" }, "Looking…");
    this.left = h("p", { class: "note" });
    this.stop = h("button", { type: "button", class: "primary", hidden: true, onclick: () => this.send("DELETE") }, "Stop it");
    this.why = h("p", { class: "note" });
    this.root = root;
    root.append(h("div", { class: "page-head" }, h("div", {}, h("h1", {}, "Drill"),
      h("p", { class: "found" }, "Make a link fail for a while, and watch that nothing is lost. Readings are kept here meanwhile, as in any outage."))),
    this.trouble,
    h("section", { class: "panel", "aria-label": "The drill that runs" }, h("div", { class: "drill-now" }, h("div", {}, this.running, this.left), this.stop)),
    this.form(), this.figures(), this.chart());
  }

  form() {
    const choices = FAULTS.map(([fault, words, note], at) => h("label", {}, h("input", { type: "radio", name: "fault", value: fault, checked: at === 0, onchange: () => this.fit() }),
      h("strong", {}, words, " ", h("code", {}, fault)), h("span", { class: "note" }, note)));
    this.target = h("select", { id: "drill-target", name: "target", onchange: () => this.fit() });
    this.seconds = h("select", { id: "drill-seconds", name: "seconds" }, SECONDS.map((seconds) => h("option", { value: seconds, selected: seconds === 60 }, duration(seconds * 1000))));
    this.latency = h("select", { id: "drill-latency", name: "latency" }, LATENCIES.map((ms) => h("option", { value: ms, selected: ms === 4000 }, duration(ms))));
    this.latencyField = h("div", { class: "field", hidden: true }, h("label", { for: "drill-latency" }, "Later by"), this.latency);
    this.begin = h("button", { type: "submit", class: "primary" }, "Begin the drill");
    this.choices = h("fieldset", { class: "faults" }, h("legend", {}, "What fails"), ...choices);
    this.order = h("form", { onsubmit: (event) => { event.preventDefault(); this.start(); } }, this.choices,
      h("div", { class: "drill-more" }, h("div", { class: "field" }, h("label", { for: "drill-target" }, "On the way to"), this.target),
        h("div", { class: "field" }, h("label", { for: "drill-seconds" }, "For"), this.seconds), this.latencyField, this.begin));
    this.beginBox = h("section", { class: "panel", "aria-label": "Begin a drill" }, this.why, this.order);
    return this.beginBox;
  }

  figures() {
    this.values = {};
    const figure = (name, label) => {
      this.values[name] = h("span", { class: "number" }, NONE);
      this.values[`${name}Note`] = h("dd", { class: "note" });
      return h("div", { class: "figure" }, h("dt", {}, label), h("dd", {}, this.values[name]), this.values[`${name}Note`]);
    };
    return h("section", { class: "panel figures", "aria-label": "What it does" }, h("dl", {},
      figure("link", "Cloud"), figure("held", "Held back"), figure("drain", "Drain rate"), figure("catchUp", "Catching up")));
  }

  chart() {
    const host = h("div");
    const box = h("section", { class: "panel", "aria-label": "Backlog" },
      h("div", { class: "panel-head" }, h("h2", {}, "Backlog"), h("p", { class: "readout", "aria-hidden": "true" })), host);
    this.backlog = new Chart(host, { label: "Readings that wait", fromZero: true, series: [{ label: "held back", colour: "--accent", fill: true, format: count }] });
    return box;
  }

  /** What this fault, on this link, can be told. */
  fit() {
    const devices = this.target.value === "devices";
    for (const radio of this.choices.querySelectorAll("input")) {
      radio.disabled = devices && radio.value !== "down";
      if (devices) radio.checked = radio.value === "down";
    }
    this.latencyField.hidden = this.fault !== "latency";
  }

  get fault() { return this.choices.querySelector("input:checked").value; }

  start() {
    const [link, destination] = this.target.value === "devices" ? ["devices", null] : ["uplink", this.target.value || null];
    return this.send("POST", { fault: this.fault, seconds: Number(this.seconds.value), link, destination, latency_ms: Number(this.latency.value) });
  }

  async send(method, body) {
    say(this.trouble, "");
    this.begin.disabled = this.stop.disabled = true;
    try {
      this.told(await this.access.send(method, "/api/v1/drill", body));
    } catch (error) { say(this.trouble, error.message); } finally { this.begin.disabled = this.stop.disabled = false; }
  }

  async reload() {
    try {
      const [now, history] = await Promise.all([ask("/api/v1/now"), ask("/api/v1/history")]);
      this.history = { at: history.at_ms, backlog: history.backlog, step: history.step_ms };
      this.status(now);
    } catch { /* the live stream says when the gateway is back */ }
  }

  status({ status }) {
    this.offer(status.destinations);
    this.nowMs = status.at_ms;
    this.told(status.drill);
    this.show(status);
    const { history } = this;
    if (!history) return;
    if (status.at_ms > (history.at.at(-1) ?? 0)) {
      if (history.at.length && status.at_ms - history.at.at(-1) > 3 * history.step) { history.at.push(history.at.at(-1) + history.step); history.backlog.push(null); }
      history.at.push(status.at_ms);
      history.backlog.push(status.forward.backlog);
      while (history.at.length > SAMPLES_MAX) { history.at.shift(); history.backlog.shift(); }
    }
    const times = history.at.map((ms) => ms / 1000);
    this.backlog.set([times, history.backlog], `Over ${spanInWords(times)}: ${inWords(history.backlog)}`);
  }

  /** Where a drill can strike; drawn anew only if that changes, so that a choice stays. */
  offer(destinations) {
    const names = destinations.filter((each) => each.configured).map((each) => each.name);
    if (this.names === names.join()) return;
    this.names = names.join();
    this.target.replaceChildren(h("option", { value: "" }, names.length > 1 ? "every destination" : names[0]),
      ...(names.length > 1 ? names.map((name) => h("option", { value: name }, name)) : []), h("option", { value: "devices" }, "the devices (broker)"));
  }

  told(drill) {
    const { running, last, allowed } = drill;
    this.drill = drill;
    this.stop.hidden = !running || !this.access.mayOperate;
    this.beginBox.hidden = Boolean(running);
    this.order.hidden = !allowed || !this.access.mayOperate;
    say(this.running, running ? inOneLine(running) : "No drill runs.");
    if (running) say(this.left, `${duration(Math.max(0, Math.ceil((running.until_ms - (this.nowMs ?? running.since_ms)) / 1000)) * 1000)} to go. Begun by ${running.by} at ${clock(running.since_ms)}; it ends by itself.`);
    else say(this.left, last ? `The last one: ${inOneLine(last)}, ${clock(last.since_ms)} to ${clock(last.until_ms)}, by ${last.by}.` : "");
    const needs = [!this.access.mayOperate && (this.access.me.has_accounts ? "an operator who is logged in" : "an operator's account (tidegate edge setup-link makes the first one)"),
      !allowed && "maintenance mode"].filter(Boolean);
    const key = needs.join();
    if (this.needs !== key) {
      this.needs = key;
      this.why.replaceChildren(...(needs.length ? [`To begin a drill, it takes ${needs.join(" and ")}. `,
        !this.access.mayOperate && this.access.me.has_accounts ? h("a", { href: "#/login" }, "Log in") : "", " ", !allowed ? h("a", { href: "#/settings" }, "Maintenance mode") : ""] : []));
    }
    this.why.hidden = !needs.length;
  }

  show({ uplink, forward, ledger, drill, at_ms: atMs, devices_link: devices }) {
    const { values } = this;
    const onDevices = (drill.running ?? drill.last)?.order.link === "devices";
    const link = onDevices ? devices : uplink;
    say(values.link.parentElement.previousSibling, onDevices ? "Broker" : "Cloud");
    say(values.link, { up: "up", down: "down", unknown: "not tried" }[link.state]);
    values.linkNote.replaceChildren(`for ${duration(Math.floor((atMs - link.since_ms) / 1000) * 1000)}`, ...(link.state === "down" ? [", ", foreign(link.message ?? "")] : []));
    say(values.held, count(forward.backlog));
    say(values.heldNote, forward.oldest_unsent_ms === null ? "nothing waits here" : `the oldest for ${duration(forward.oldest_unsent_ms)}`);
    say(values.drain, rate(forward.drained_per_s));
    say(values.drainNote, `readings a second; ${rate(forward.received_per_s)} arrive`);
    say(values.catchUp, catchingUp(drill, forward, this));
    say(values.catchUpNote, ledger.balances ? `the ledger balances: ${plural(ledger.received, "reading", "readings")} received, ${count(ledger.delivered)} delivered, ${count(ledger.held)} held` : "the ledger does not balance");
  }

  unmount() { this.backlog.destroy(); }
}

/** During a drill nothing; afterwards how long it takes, and at last how long it took. */
function catchingUp({ running, last }, forward, page) {
  if (running) return "not yet";
  if (last && forward.backlog > last.held_before && page.doneSince !== last.since_ms) return forward.catch_up_s === null ? "waiting to retry" : `${duration(forward.catch_up_s * 1000)} to go`;
  if (last) page.doneSince = last.since_ms;  // a batch that comes later is no part of it
  return last ? "caught up" : "nothing to do";
}
