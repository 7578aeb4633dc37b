// The first page: is it working, what is held back, and where does it stick.

import { AlertsPanel } from "./alerts.js";
import { Chart, inWords, spanInWords } from "./charts.js";
import { h, icon, say } from "./dom.js";
import { MachinePanel } from "./machine.js";
import { bytes, clock, count, duration, money, NONE, plural, rate } from "./format.js";
import { LatelyPanel } from "./lately.js";
import { ask } from "./live.js";

const SAMPLES_MAX = 900;
const FRESH_MS = 15_000;  // what waits less than this is the rhythm of batches, no backlog (as in the sentence)
const LEVELS = { ok: "All well", busy: "Working on it", warn: "Attention", bad: "Trouble" };

export class NowPage {
  title = "Now";

  constructor(root, _, access, first) {
    this.history = null;
    this.alerts = new AlertsPanel(access);
    this.lately = new LatelyPanel();
    this.machine = new MachinePanel();
    root.append(this.verdict(), this.alerts.box, h("div", { class: "panel figures" }, this.figures(), this.ledger()), this.flow(), this.lately.box, this.charts(), this.lanes(), this.machine.box);
    if (first) this.show(first);
  }

  verdict() {
    this.sign = h("span", { class: "sign" });
    this.level = h("p", { class: "level" });
    this.headline = h("h1", {}, "Looking…");
    this.detail = h("p", { class: "detail" });
    this.verdictBox = h("section", { class: "verdict", "data-level": "busy", "aria-label": "Is it working" },
      this.sign, h("div", { "aria-live": "polite", "aria-atomic": "true" }, this.level, this.headline, this.detail));
    return this.verdictBox;
  }

  flow() {
    const node = (name, title) => {
      const parts = { state: h("p", { class: "state" }), since: h("p", { class: "since" }) };
      parts.box = h("li", { class: "node", "data-node": name }, icon(name), h("div", {}, h("h3", {}, title), parts.state, parts.since));
      return parts;
    };
    const pipe = (words) => {
      const parts = { rate: h("strong", {}, NONE), note: h("span", { class: "note" }), wrong: h("span", { class: "wrong" }) };
      parts.box = h("li", { class: "pipe" }, h("p", {}, parts.rate, h("span", { class: "unit" }, " /s ", words)),
        h("span", { class: "track", "aria-hidden": "true" }), parts.note, parts.wrong);
      return parts;
    };
    this.nodes = { devices: node("devices", "Devices"), gateway: node("gateway", "This gateway"), cloud: node("cloud", "Cloud") };
    this.pipes = { in: pipe("arrive"), out: pipe("sent") };
    return h("section", { class: "panel flow", "aria-label": "Flow of readings" }, h("h2", { class: "hidden" }, "Flow of readings"),
      h("ol", {}, this.nodes.devices.box, this.pipes.in.box, this.nodes.gateway.box, this.pipes.out.box, this.nodes.cloud.box));
  }

  figures() {
    this.values = {};
    const figure = (name, label, note) => {
      this.values[name] = { number: h("span", { class: "number" }, NONE), note: h("dd", { class: "note" }, note) };
      return h("div", { class: "figure" }, h("dt", {}, label), h("dd", {}, this.values[name].number), this.values[name].note);
    };
    return h("section", { "aria-label": "Backlog" }, h("h2", { class: "hidden" }, "Backlog"), h("dl", {},
      figure("held", "Held back", "readings wait here"), figure("oldest", "Oldest unsent", "since it was received"),
      figure("drain", "Drain rate", "readings a second"), figure("catchUp", "Time to catch up", "at these rates")));
  }

  ledger() {
    const term = (name, label) => {
      this.values[name] = { number: h("span", { class: "number" }, NONE) };
      return h("span", { class: `term ${name}` }, this.values[name].number, h("span", { class: "label" }, label));
    };
    const sign = (text) => h("span", { class: "operator" }, text);
    this.balance = h("p", { class: "balance" });
    this.others = h("p", { class: "others" });
    return h("section", { class: "ledger", "aria-label": "Delivery ledger" },
      h("div", { class: "ledger-head" }, h("h2", {}, "Delivery ledger"), this.balance),
      h("p", { class: "equation" }, term("received", "received"), sign("="), term("delivered", "delivered"), sign("+"),
        term("waiting", "held"), sign("+"), term("quarantined", "in quarantine")), this.others);
  }

  lanes() {
    this.rows = h("tbody");
    this.lanesBox = h("section", { class: "panel", "aria-label": "Lanes" }, h("div", { class: "panel-head" }, h("h2", {}, "Lanes"), h("p", { class: "note" }, "what each has yet to send, in the order of service")),
      h("div", { class: "sideways", tabindex: "0", role: "region", "aria-label": "Lanes, a table" }, h("table", { class: "plain" }, h("thead"), this.rows)));
    return this.lanesBox;
  }

  showLanes(destinations) {
    const served = destinations.filter((each) => each.configured);
    const names = [...new Set(served.flatMap((each) => Object.keys(each.lanes)))];
    const key = served.map((each) => each.name).join();
    if (this.served !== key) {
      this.served = key;
      this.rows.previousSibling.replaceChildren(h("tr", {}, h("th", { scope: "col" }, "Lane"), ...served.map((each) => h("th", { scope: "col", class: "numeric" }, each.name))));
    }
    this.lanesBox.hidden = names.length === 0;
    this.rows.replaceChildren(...names.map((name) => h("tr", {}, h("th", { scope: "row" }, lane(name)),
      ...served.map((each) => h("td", { class: "numeric" }, name in each.lanes ? count(each.lanes[name]) : NONE)))));
  }

  charts() {
    const panel = (title, label, series) => {
      const host = h("div");
      const box = h("section", { class: "panel", "aria-label": `${title} over time` },
        h("div", { class: "panel-head" }, h("h2", {}, title), h("p", { class: "readout", "aria-hidden": "true" })),
        series.length > 1 && h("p", { class: "key" }, ...series.map((one) => h("span", { class: one.key }, one.label))), host);
      return [box, new Chart(host, { label, series, fromZero: true })];
    };
    const [backlog, backlogChart] = panel("Backlog", "Readings that wait", [{ label: "held back", colour: "--accent", fill: true, format: count }]);
    const [rates, ratesChart] = panel("Rates", "Readings a second", [
      { label: "arrive", colour: "--accent", key: "solid", format: rate }, { label: "sent", colour: "--ink", dash: [5, 4], key: "dashed", format: rate }]);
    this.backlogChart = backlogChart;
    this.ratesChart = ratesChart;
    return h("div", { class: "two" }, backlog, rates);
  }

  async reload() {
    try {
      const [now, history] = await Promise.all([ask("/api/v1/now"), ask("/api/v1/history")]);
      this.history = history;
      this.show(now);
      this.alerts.status(now);
      this.lately.status(now);
      this.draw();
    } catch { /* the live stream says when the gateway is back */ }
  }

  status(now) {
    this.show(now);
    this.alerts.status(now);
    this.lately.status(now);
    if (!this.history || now.status.at_ms <= (this.history.at_ms.at(-1) ?? 0)) return;
    const { forward, at_ms: atMs } = now.status;
    const { history } = this;
    const columns = [["backlog", forward.backlog], ["oldest_unsent_ms", forward.oldest_unsent_ms], ["received_per_s", forward.received_per_s], ["drained_per_s", forward.drained_per_s]];
    if (history.at_ms.length && atMs - history.at_ms.at(-1) > 3 * history.step_ms) this.push(history.at_ms.at(-1) + history.step_ms, columns.map(([name]) => [name, null]));
    this.push(atMs, columns);
    this.draw();
  }

  push(atMs, columns) {
    this.history.at_ms.push(atMs);
    for (const [name, number] of columns) this.history[name].push(number);
    if (this.history.at_ms.length <= SAMPLES_MAX) return;
    this.history.at_ms.shift();
    for (const [name] of columns) this.history[name].shift();
  }

  draw() {
    const { history } = this;
    const times = history.at_ms.map((ms) => ms / 1000);
    const over = spanInWords(times);
    this.backlogChart.set([times, history.backlog], `Over ${over}: ${inWords(history.backlog)}`);
    this.ratesChart.set([times, history.received_per_s, history.drained_per_s],
      `Over ${over}: arriving: ${inWords(history.received_per_s, rate)} Sent: ${inWords(history.drained_per_s, rate)}`);
  }

  show({ verdict, status }) {
    this.showVerdict(verdict);
    this.showLanes(status.destinations);
    this.machine.show(status);
    this.showFlow(verdict, status);
    const { forward, ledger } = status;
    const { values } = this;
    say(values.held.number, count(forward.backlog));
    const fresh = forward.backlog > 0 && status.uplink.state === "up" && forward.oldest_unsent_ms < FRESH_MS;
    say(values.held.note, !forward.backlog ? "nothing waits here" : fresh || status.store.full_in_s === null ? "readings wait here" : `full in ${duration(status.store.full_in_s * 1000)}`);
    say(values.oldest.note, forward.backlog ? "since it was received" : "all is sent");
    say(values.catchUp.note, forward.backlog === 0 ? "nothing to catch up" : fresh ? "the next batch is on its way" : forward.catch_up_s === null ? "the backlog does not shrink" : `at the rates of now${takes(status.destinations[0]?.forecast)}`);
    say(values.oldest.number, forward.oldest_unsent_ms === null ? "none" : duration(forward.oldest_unsent_ms));
    say(values.drain.number, rate(forward.drained_per_s));
    say(values.catchUp.number, forward.backlog === 0 ? "caught up" : fresh ? "keeping up" : forward.catch_up_s === null ? "growing" : duration(forward.catch_up_s * 1000));
    say(values.received.number, count(ledger.received));
    say(values.delivered.number, count(ledger.delivered));
    say(values.waiting.number, count(ledger.held));
    say(values.quarantined.number, count(ledger.quarantined));
    if (this.balance.dataset.ok !== String(ledger.balances)) {
      this.balance.dataset.ok = String(ledger.balances);
      this.balance.replaceChildren(icon(ledger.balances ? "ok" : "bad"), ledger.balances ? "balances" : "does not balance");
    }
    say(this.others, `Besides: ${plural(ledger.duplicates, "duplicate", "duplicates")} recognised, ${count(ledger.lost)} lost by devices, ${plural(ledger.undecodable, "message", "messages")} not understood.${ways(ledger)}`);
  }

  showVerdict(verdict) {
    if (this.verdictBox.dataset.level !== verdict.level || !this.sign.firstChild) {
      this.verdictBox.dataset.level = verdict.level;
      this.sign.replaceChildren(icon(verdict.level));
    }
    say(this.level, LEVELS[verdict.level]);
    say(this.headline, verdict.headline);
    say(this.detail, verdict.detail);
  }

  showFlow(verdict, status) {
    const { devices, gateway, cloud } = this.nodes;
    say(devices.state, plural(status.devices, "device", "devices"));
    this.showLink(devices, status.devices_link, status.at_ms, "Broker");
    say(gateway.state, status.store.healthy ? `${count(status.forward.backlog)} held` : "store refuses");
    say(gateway.since, status.waiting_messages ? `${plural(status.waiting_messages, "message", "messages")} not committed yet` : "all that arrived is on disk");
    gateway.box.dataset.state = status.store.healthy ? "up" : "down";
    say(cloud.state, { up: "Connected", down: "Not reachable", unknown: "Not tried yet" }[status.uplink.state]);
    this.showLink(cloud, status.uplink, status.at_ms, null);
    this.showPipe(this.pipes.in, status.forward.received_per_s, verdict.stuck_at === "devices" || verdict.stuck_at === "gateway",
      errors(status.ingest.undecodable_last_minute, "message not understood", "messages not understood"));
    this.showPipe(this.pipes.out, status.forward.drained_per_s, verdict.stuck_at === "cloud",
      errors(status.forward.failed_last_minute, "request failed", "requests failed"));
  }

  showLink(node, link, nowMs, name) {
    const words = { up: "connected", down: "not reachable", unknown: "not tried yet" }[link.state];
    const since = `since ${clock(link.since_ms)} (${duration(Math.floor((nowMs - link.since_ms) / 1000) * 1000)})`;
    const cause = link.why === null ? "" : `: ${link.why}`;
    const text = name ? `${name} ${words} ${since}${cause}` : `${since}${cause}`;
    say(node.since, text);
    node.since.title = link.message ?? "";
    node.box.dataset.state = link.state;
  }

  showPipe(pipe, perSecond, stuck, wrong) {
    say(pipe.rate, rate(perSecond));
    pipe.box.dataset.state = stuck ? "stuck" : perSecond > 0 ? "flowing" : "still";
    say(pipe.note, stuck ? "✕ stuck here" : perSecond > 0 ? "" : "nothing to move");
    say(pipe.wrong, wrong);
  }

  unmount() {
    this.backlogChart.destroy();
    this.ratesChart.destroy();
  }
}

/** What went wrong in the last minute, if anything did. */
function errors(number, one, many) {
  return number > 0 ? `${plural(number, one, many)} in the last minute` : "";
}

/** A lane in words: `rollups/60` is the rollups of windows of a minute. */
function lane(name) {
  const [kind, seconds] = name.split("/");
  return seconds ? `${kind} of ${duration(Number(seconds) * 1000)}` : { notices: "alerts and notices" }[kind] ?? kind;
}

/** What catching up takes, as the end of a sentence. */
function takes(forecast) {
  if (!forecast?.catch_up_bytes) return "";
  const cost = forecast.catch_up_cost === null ? "" : `, ${money(forecast.catch_up_cost, forecast.currency)}`;
  return `: ${bytes(forecast.catch_up_bytes).join(" ")}${cost}`;
}

/** Where received readings went that are none of the equation's three, if any did. */
function ways(ledger) {
  const found = ["thinned", "expired", "suppressed"].filter((name) => ledger[name] > 0).map((name) => `${count(ledger[name])} ${name}`);
  return found.length ? ` Received, and not to be sent: ${found.join(", ")}.` : "";
}
