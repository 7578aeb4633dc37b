// The store: what it takes, who has read how far, and the ledger's totals.

import { h, s, say } from "./dom.js";
import { bytes, count, duration, money, NONE, plural } from "./format.js";
import { ask } from "./live.js";

const EVERY_MS = 2000;
const CURSORS = [
  [/^forward\/(.+)$/, (name) => `Forwarder to ${name}`, "what it has accepted, without a gap"],
  [/^sieve\/(.+)$/, (name) => `Deadband of ${name}`, "what is judged, to be sent or not"],
  [/^live\/(.+)$/, (name) => `Live lane of ${name}`, "from here on it is sent as live, not as backfill"],
  [/^windows\/log$/, () => "Rollups", "what is in a window"],
  [/^rules\/log$/, () => "Alert rules", "what they have looked at"],
  [/^ledger\/received$/, () => "Ledger: received", "written every few seconds; a restart reads the rest again"],
  [/^ledger\/delivered\/(.+)$/, (name) => `Ledger: delivered to ${name}`, "written every few seconds; a restart reads the rest again"],
];
const TOTALS = {
  received: ["Received", "committed to the log, each once"],
  duplicates: ["Duplicates", "arrived again and were recognised"],
  quarantined: ["In quarantine", "can never be delivered, kept with the reason"],
  thinned: ["Thinned", "dropped unsent for room; their rollups are kept"],
  expired: ["Expired", "dropped unsent for age or room"],
  suppressed: ["Suppressed", "not to be sent: a deadband, or no raw readings"],
  before: ["Before", "received before a destination was there"],
  undecodable: ["Not understood", "messages that never became readings"],
  lost: ["Lost by devices", "never received, and their device no longer holds them"],
};

const ALWAYS = new Set(["received", "duplicates", "quarantined", "undecodable", "lost"]);

export class StorePage {
  title = "Store";

  constructor(root) {
    this.values = {};
    this.notes = {};
    const figure = (name, label, note) => {
      this.values[name] = h("span", { class: "number" }, NONE);
      this.notes[name] = h("dd", { class: "note" }, note);
      return h("div", { class: "figure" }, h("dt", {}, label), h("dd", {}, this.values[name]), this.notes[name]);
    };
    this.health = h("p", { class: "found", role: "status" });
    this.cursors = h("tbody");
    this.totals = h("tbody");
    this.destinations = h("tbody");
    root.append(h("div", { class: "page-head" }, h("div", {}, h("h1", {}, "Store"), this.health)),
      h("section", { class: "panel figures", "aria-label": "Size" }, h("dl", {}, figure("bytes", "On the disk", "database and write-ahead log"),
        figure("held", "Held", "readings wait for the cloud"), figure("head", "Log position", "entries ever written"), figure("quarantine", "Quarantine", "")),
        this.budget = h("div", { class: "budget" })),
      h("section", { class: "panel", "aria-label": "Destinations" }, h("div", { class: "panel-head" }, h("h2", {}, "Destinations")),
        h("div", { class: "sideways", tabindex: "0" }, h("table", { class: "plain" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Destination"),
          ...["Delivered", "Held", "Catch up", "This month", "Month's end"].map((name) => h("th", { scope: "col", class: "numeric" }, name)))), this.destinations))),
      h("div", { class: "two" },
        h("section", { class: "panel", "aria-label": "Consumers of the log" }, h("div", { class: "panel-head" }, h("h2", {}, "Consumers of the log")),
          h("table", { class: "plain" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Consumer"), h("th", { scope: "col", class: "numeric" }, "Position"), h("th", { scope: "col", class: "numeric" }, "Behind"))), this.cursors)),
        h("section", { class: "panel", "aria-label": "Ledger totals" }, h("div", { class: "panel-head" }, h("h2", {}, "Ledger totals")),
          h("table", { class: "plain" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Entry"), h("th", { scope: "col", class: "numeric" }, "Count"))), this.totals))),
      h("section", { class: "panel", "aria-label": "Retention" }, h("div", { class: "panel-head" }, h("h2", {}, "Retention"), h("p", { class: "note" }, "what may stay here, and for how long")),
        h("table", { class: "plain" }, this.retention = h("tbody"))));
    this.timer = setInterval(() => this.reload(), EVERY_MS);
  }

  async reload() {
    const store = await ask("/api/v1/store").catch(() => null);
    if (!store) return;
    const [size, sizeUnit] = bytes(store.bytes);
    say(this.values.bytes, `${size} ${sizeUnit}`);
    say(this.values.head, count(store.head));
    say(this.values.quarantine, count(store.quarantine));
    this.notes.quarantine.replaceChildren(h("a", { href: "#/quarantine" }, store.quarantine ? "look at it, retry, delete" : "nothing to look at"));
    this.retention.replaceChildren(...keeps(store.retention).map(([label, note, value]) => h("tr", {}, h("th", { scope: "row" }, label, h("span", { class: "note" }, note)), h("td", { class: "numeric" }, value))));
    this.cursors.replaceChildren(...store.cursors.filter((cursor) => cursor.name !== "log/head").map((cursor) => {
      const [label, note] = named(cursor.name);
      return h("tr", {}, h("th", { scope: "row" }, label, h("span", { class: "note" }, note)), h("td", { class: "numeric" }, count(cursor.position)), h("td", { class: "numeric" }, count(cursor.behind)));
    }));
    this.totals.replaceChildren(...Object.entries(store.totals).filter(([name, number]) => number > 0 || ALWAYS.has(name)).sort(([one], [other]) => place(one) - place(other)).map(([name, number]) => {
      const [label, note] = total(name);
      return h("tr", {}, h("th", { scope: "row" }, label, h("span", { class: "note" }, note)), h("td", { class: "numeric" }, count(number)));
    }));
  }

  status({ status }) {
    say(this.values.held, count(status.forward.backlog));
    say(this.notes.bytes, status.store.full_in_s === null ? "database and write-ahead log" : `full in ${duration(status.store.full_in_s * 1000)}, at the rates of now`);
    this.destinations.replaceChildren(...status.destinations.map(row));
    this.fill(status.store);
    say(this.health, status.store.healthy ? "Healthy: what is acknowledged is on the disk." : `The store refuses: ${status.store.error}`);
    if (status.waiting_messages > 0) this.health.title = `${plural(status.waiting_messages, "message", "messages")} wait for their commit`;
  }

  /** How much of the budget is used, and where it is full. */
  fill({ used_bytes: used, limit_bytes: limit, full_at_bytes: full, limit_reason: reason }) {
    if (!limit) return;
    const size = (number) => bytes(number).join(" ");
    const words = `${size(used)} of ${size(limit)} used (${used && used < limit / 100 ? "under 1" : Math.round(100 * used / limit)} %), ${reason === "size" ? "as configured" : "what the disk has for it"}; full at ${size(full)}`;
    const wide = (number) => Math.round(1000 * Math.min(1, number / limit));
    this.budget.replaceChildren(h("h2", {}, "Budget"),
      s("svg", { class: "strip", viewBox: "0 0 1000 20", preserveAspectRatio: "none", role: "img", "aria-label": words },
        s("rect", { class: used >= full ? "lost" : "delivered", x: 0, y: 0, width: Math.max(2, wide(used)), height: 20 }), s("rect", { class: "missing", x: wide(full), y: 0, width: 3, height: 20 })),
      h("p", { class: "note" }, words));
  }

  unmount() { clearInterval(this.timer); }
}

function row(each) {
  const { forecast } = each;
  const state = !each.configured ? "not configured: held until it is back or forgotten" : each.paused ? "paused" : each.link?.state === "down" ? "down" : "";
  const cells = [count(each.delivered), count(each.held), each.catch_up_s === null ? "growing" : each.held ? duration(each.catch_up_s * 1000) : "caught up",
    forecast ? amount(forecast.month_bytes, forecast.month_cost, forecast.currency) : NONE, forecast ? amount(forecast.month_end_bytes, forecast.month_end_cost, forecast.currency) : NONE];
  return h("tr", {}, h("th", { scope: "row" }, each.name, h("span", { class: "note" }, state)), ...cells.map((cell) => h("td", { class: "numeric" }, cell)));
}

function amount(size, cost, currency) {
  return size === null ? NONE : cost === null ? bytes(size).join(" ") : `${bytes(size).join(" ")}, ${money(cost, currency)}`;
}

const POLICIES = { block: ["intake stops", "nothing more is acknowledged; devices keep their readings"], "drop-oldest": ["the oldest go", "unsent or not; the ledger counts them"], "thin-oldest": ["the oldest go", "their rollups stay"] };

/** The retention as rows: label, note, value. */
function keeps(retention) {
  const size = (number) => bytes(number).join(" ");
  const [full, fullNote] = POLICIES[retention.on_full] ?? [retention.on_full, ""];
  return [
    ["When full", fullNote, full],
    ["Size", "of the store at the most", size(retention.disk_bytes_max)],
    ["Free space", "that is left to the volume", size(retention.free_bytes_min)],
    ["Age", "after which an unsent reading is given up", retention.age_s_max === null ? "without a limit" : duration(retention.age_s_max * 1000)],
    ["Delivered readings", "stay for", retention.keep_sent_s ? duration(retention.keep_sent_s * 1000) : "no longer than until all have them"],
    ["Quarantine", "of messages that were never understood, at the most", `${size(retention.quarantine_bytes_max)}, ${count(retention.quarantine_rows_max)} items`],
  ];
}

/** What a total is called; `thinned@archive` is another destination's. */
function total(name) {
  if (name.startsWith("delivered/")) return [`Delivered to ${name.slice(10)}`, "accepted by it"];
  const [kind, destination] = name.split("@");
  const [label, note] = TOTALS[kind] ?? [kind.replaceAll("_", " "), ""];
  return destination ? [`${label} for ${destination}`, note] : [label, note];
}

/** Received, then delivered, then what went other ways. */
function place(name) {
  return name === "received" ? 0 : name.startsWith("delivered/") ? 1 : 2;
}

function named(name) {
  for (const [pattern, label, note] of CURSORS) {
    const match = pattern.exec(name);
    if (match) return [label(match[1]), note];
  }
  return [name, ""];
}
