// Alerts: what needs somebody, the worst first, and the button that says that somebody has seen it.

import { foreign, h, icon, say, show } from "./dom.js";
import { ago, clock, plural } from "./format.js";
import { ask } from "./live.js";

const SHOWN = 20;
const SEVERITIES = { critical: ["Critical", "bad"], warning: ["Warning", "warn"], info: ["Information", "busy"] };

/** The panel of a page. `device`: only this device's alerts; null: everybody's. */
export class AlertsPanel {
  constructor(access, device = null) {
    this.access = access;
    this.device = device;
    this.revision = null;
    this.loads = 0;
    this.count = h("p", { class: "found", role: "status" });
    this.list = h("ul", { class: "alert-list" });
    this.empty = h("p", { class: "empty" }, "Looking…");
    this.trouble = h("p", { class: "trouble", role: "alert" });
    this.box = h("section", { class: "panel alerts", "aria-label": "Alerts" },
      h("div", { class: "panel-head" }, h("h2", {}, "Alerts"), this.count), this.trouble, this.empty, this.list);
  }

  /** Ask again if something has changed. */
  status(now) {
    this.nowMs = now.status.at_ms;
    if (now.status.alerts.revision !== this.revision) this.load(now.status.alerts.revision);
  }

  async load(revision = null) {
    const device = this.device === null ? "" : `&device=${this.device}`;
    const load = ++this.loads;
    try {
      const page = await ask(`/api/v1/alerts?state=open&order=worst&limit=${SHOWN}${device}`);
      if (load !== this.loads) return; // a later question has a newer answer
      this.revision = revision;
      this.draw(page);
    } catch (error) { say(this.empty, error.message); }
  }

  draw({ total, items }) {
    const active = items.filter((one) => one.active).length;
    const waiting = items.filter((one) => one.acknowledged_ms === null).length;
    this.empty.hidden = total > 0;
    say(this.empty, this.device === null ? "No alerts: nothing needs you." : "No alerts for this device.");
    say(this.count, total ? `${plural(active, "active", "active")}, ${waiting} not acknowledged${total > items.length ? `; ${items.length} of ${total} shown` : ""}` : "");
    show(this.list, items.map((one) => this.item(one)));
  }

  item(one) {
    const [word, sign] = SEVERITIES[one.severity];
    const who = one.device_key === null ? foreign(one.device) : h("a", { href: `#/devices/${one.device_key}` }, foreign(one.device));
    const state = one.active ? `active since ${clock(one.raised_ms)}` : `passed ${ago(one.cleared_ms, this.nowMs ?? one.cleared_ms)}`;
    const known = one.acknowledged_ms === null
      ? this.access.mayOperate && h("button", { type: "button", class: "quiet", "aria-label": `Acknowledge ${one.rule} of ${one.device}`, onclick: () => this.acknowledge(one.id) }, "Acknowledge")
      : h("span", { class: "note" }, "seen by ", foreign(one.acknowledged_by));
    return h("li", { class: `alert ${one.severity}`, "data-id": one.id, "data-active": String(one.active) },
      h("span", { class: "severity" }, icon(sign), word),
      h("div", { class: "what" }, h("p", {}, h("strong", {}, foreign(one.message))),
        h("p", { class: "note" }, foreign(one.rule), " · ", who, ` · ${state}`, one.count > 1 && ` · ${one.count} times`)), known);
  }

  async acknowledge(id) {
    say(this.trouble, "");
    try {
      await this.access.send("POST", `/api/v1/alerts/${id}/acknowledge`, {});
      this.load();
    } catch (error) { say(this.trouble, error.message); }
  }
}
