// What the gateway tells a device: set the interval, report, reboot; and what became of it, live.

import { foreign, h, say, show } from "./dom.js";
import { clock } from "./format.js";
import { ask } from "./live.js";

const SHOWN = 8;
const STATES = {
  waiting: "waiting for the device", sent: "sent, not answered yet", acknowledged: "done", refused: "refused",
  failed: "failed", expired: "expired", cancelled: "cancelled",
};

export class CommandsPanel {
  constructor(access) {
    this.access = access;
    const interval = h("input", { id: "command-interval", type: "number", min: 0.01, max: 86400, step: "any", required: true, value: 60 });
    const button = (label, name) => h("button", { type: "button", class: "quiet", onclick: () => this.send(name, {}) }, label);
    this.said = h("p", { class: "note", role: "status" });
    this.rows = h("tbody");
    this.table = h("table", { class: "commands", "aria-label": "Newest commands", hidden: true },
      h("thead", {}, h("tr", {}, ...["Command", "Issued", "State", ""].map((label) => h("th", { scope: "col" }, label)))), this.rows);
    this.empty = h("p", { class: "empty" }, "No command was given yet.");
    this.node = h("section", { class: "panel", "aria-label": "Commands" }, h("div", { class: "panel-head" }, h("h2", {}, "Commands")),
      h("form", { class: "orders", hidden: !access.mayOperate, onsubmit: (event) => { event.preventDefault(); this.send("set-interval", { interval_s: interval.valueAsNumber }); } },
        h("label", { for: "command-interval" }, "Interval in seconds ", interval), h("button", { type: "submit", class: "quiet" }, "Set interval"),
        button("Report now", "report-now"), button("Reboot", "reboot")),
      !access.mayOperate && h("p", { class: "note" }, "Only an operator may give one."),
      this.said, this.empty, this.table);
  }

  of(row) { this.path = `/api/v1/devices/${encodeURIComponent(row.site)}/${encodeURIComponent(row.device)}/commands`; }

  async reload() {
    const told = await ask(this.path).catch(() => null);
    if (told) this.show(told);
  }

  show({ commands }) {
    this.table.hidden = !commands.length;
    this.empty.hidden = commands.length > 0;
    show(this.rows, commands.slice(0, SHOWN).map((one) => h("tr", { "data-id": one.id, "data-state": one.state },
      h("td", {}, words(one)), h("td", {}, clock(one.issued_at_ms)),
      h("td", { class: "state" }, STATES[one.state] ?? one.state, one.detail && h("span", { class: "note" }, " ", foreign(one.detail))),
      h("td", {}, one.open && this.access.mayOperate && h("button", { type: "button", class: "quiet", onclick: () => this.change("DELETE", `${this.path}/${encodeURIComponent(one.id)}`) }, "Cancel")))));
  }

  send(name, args) { return this.change("POST", this.path, { name, args }); }

  async change(method, path, body) {
    try {
      const told = await this.access.send(method, path, body);
      say(this.said, told.state === "cancelled" ? "Called back." : "It waits for the device's next contact.");
    } catch (error) {
      say(this.said, error.message);
    }
    await this.reload();
  }
}

function words({ name, args }) {
  const [value] = Object.values(args);
  return value === undefined ? name : `${name} ${value}${name === "set-interval" ? " s" : ""}`;
}
