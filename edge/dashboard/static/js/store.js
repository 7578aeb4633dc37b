// The store: what it takes, who has read how far, and the ledger's totals.

import { h, say } from "/static/js/dom.js";
import { bytes, count, NONE, plural } from "/static/js/format.js";
import { ask } from "/static/js/live.js";

const EVERY_MS = 2000;
const CURSORS = [
  [/^forward\/(.+)$/, (name) => `Forwarder to ${name}`, "what the cloud has accepted"],
  [/^ledger\/received$/, () => "Ledger: received", "written every few seconds; a restart reads the rest again"],
  [/^ledger\/delivered\/(.+)$/, (name) => `Ledger: delivered to ${name}`, "written every few seconds; a restart reads the rest again"],
];
const TOTALS = {
  received: ["Received", "committed to the log, each once"],
  duplicates: ["Duplicates", "arrived again and were recognised"],
  quarantined: ["In quarantine", "can never be delivered, kept with the reason"],
  undecodable: ["Not understood", "messages that never became readings"],
  lost: ["Lost by devices", "never received, and their device no longer holds them"],
};

export class StorePage {
  title = "Store";

  constructor(root) {
    this.values = {};
    const figure = (name, label, note) => {
      this.values[name] = h("span", { class: "number" }, NONE);
      return h("div", { class: "figure" }, h("dt", {}, label), h("dd", {}, this.values[name]), h("dd", { class: "note" }, note));
    };
    this.health = h("p", { class: "found", role: "status" });
    this.cursors = h("tbody");
    this.totals = h("tbody");
    root.append(h("div", { class: "page-head" }, h("div", {}, h("h1", {}, "Store"), this.health)),
      h("section", { class: "panel figures", "aria-label": "Size" }, h("dl", {}, figure("bytes", "On the disk", "database and write-ahead log"),
        figure("held", "Held", "readings wait for the cloud"), figure("head", "Log position", "entries ever written"), figure("devices", "Devices", "ever heard"))),
      h("div", { class: "two" },
        h("section", { class: "panel", "aria-label": "Consumers of the log" }, h("div", { class: "panel-head" }, h("h2", {}, "Consumers of the log")),
          h("table", { class: "plain" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Consumer"), h("th", { scope: "col", class: "numeric" }, "Position"), h("th", { scope: "col", class: "numeric" }, "Behind"))), this.cursors)),
        h("section", { class: "panel", "aria-label": "Ledger totals" }, h("div", { class: "panel-head" }, h("h2", {}, "Ledger totals")),
          h("table", { class: "plain" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Entry"), h("th", { scope: "col", class: "numeric" }, "Count"))), this.totals))));
    this.timer = setInterval(() => this.reload(), EVERY_MS);
  }

  async reload() {
    const store = await ask("/api/v1/store").catch(() => null);
    if (!store) return;
    const [size, sizeUnit] = bytes(store.bytes);
    say(this.values.bytes, `${size} ${sizeUnit}`);
    say(this.values.head, count(store.head));
    say(this.values.devices, count(store.devices));
    this.cursors.replaceChildren(...store.cursors.filter((cursor) => cursor.name !== "log/head").map((cursor) => {
      const [label, note] = named(cursor.name);
      return h("tr", {}, h("th", { scope: "row" }, label, h("span", { class: "note" }, note)), h("td", { class: "numeric" }, count(cursor.position)), h("td", { class: "numeric" }, count(cursor.behind)));
    }));
    this.totals.replaceChildren(...Object.entries(store.totals).sort(([one], [other]) => place(one) - place(other)).map(([name, number]) => {
      const [label, note] = TOTALS[name] ?? [name.startsWith("delivered/") ? `Delivered to ${name.slice(10)}` : name, name.startsWith("delivered/") ? "accepted by the cloud" : ""];
      return h("tr", {}, h("th", { scope: "row" }, label, h("span", { class: "note" }, note)), h("td", { class: "numeric" }, count(number)));
    }));
  }

  status({ status }) {
    say(this.values.held, count(status.forward.backlog));
    say(this.health, status.store.healthy ? "Healthy: what is acknowledged is on the disk." : `The store refuses: ${status.store.error}`);
    if (status.waiting_messages > 0) this.health.title = `${plural(status.waiting_messages, "message", "messages")} wait for their commit`;
  }

  unmount() { clearInterval(this.timer); }
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
