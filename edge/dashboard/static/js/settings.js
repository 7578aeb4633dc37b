// How the gateway is set: its configuration as it holds, and the two things that an operator may switch.

import { h, say } from "./dom.js";
import { clock } from "./format.js";
import { ask } from "./live.js";

const LEVELS = ["debug", "info", "warning", "error"];

export class SettingsPage {
  title = "Settings";

  constructor(root, _, access) {
    this.access = access;
    this.trouble = h("p", { class: "trouble", role: "alert" });
    this.level = h("select", { id: "level", disabled: !access.mayOperate, onchange: () => this.switch("PUT", "log-level", { level: this.level.value }) },
      ...LEVELS.map((level) => h("option", { value: level }, level)));
    this.mode = h("p", { role: "status" });
    this.button = h("button", { type: "button", class: "primary", hidden: !access.mayOperate, onclick: () => this.turn() }, "…");
    this.sections = h("div", { class: "sections" });
    root.append(h("div", { class: "page-head" }, h("div", {}, h("h1", {}, "Settings"),
      h("p", { class: "found" }, "What holds now. It is changed in the configuration file; secrets are not shown."))), this.trouble,
      h("div", { class: "two" },
        h("section", { class: "panel", "aria-labelledby": "mode-head" }, h("div", { class: "panel-head" }, h("h2", { id: "mode-head" }, "Maintenance mode")), this.mode, h("div", { class: "buttons" }, this.button)),
        h("section", { class: "panel", "aria-labelledby": "log-head" }, h("div", { class: "panel-head" }, h("h2", { id: "log-head" }, "Log")),
          h("div", { class: "field" }, h("label", { for: "level" }, "Lowest level that is written, until the next restart"), this.level),
          !access.mayOperate && h("p", { class: "note" }, "Only an operator may switch these. ", access.me.has_accounts ? h("a", { href: "#/login" }, "Log in")
            : h("span", {}, "Nobody has an account yet: ", h("code", {}, "tidegate edge setup-link"))))),
      this.sections);
  }

  async reload() {
    try {
      this.draw(await ask("/api/v1/settings"));
    } catch (error) {
      say(this.trouble, error.message);
    }
  }

  status(now) {
    this.told(now.status.maintenance);
  }

  async switch(method, what, body) {
    say(this.trouble, "");
    try {
      this.draw(await this.access.send(method, `/api/v1/settings/${what}`, body));
    } catch (error) {
      say(this.trouble, error.message);
    }
  }

  turn() {
    return this.active ? this.switch("DELETE", "maintenance") : this.switch("PUT", "maintenance", { minutes: 60 });
  }

  told(active) {
    this.active = active;
    say(this.mode, active ? `On since ${clock(active.since_ms)}, by ${active.by}, until ${clock(active.until_ms)}.` : "Off. It says on every page that somebody works here, and allows what is allowed only then.");
    say(this.button, active ? "End it" : "Begin, for an hour");
  }

  draw(told) {
    this.level.value = told.log_level;
    this.told(told.maintenance);
    this.sections.replaceChildren(...Object.entries(told.settings).map(([name, values]) => {
      const rows = flat(values, name);
      return h("details", { class: "panel", open: rows.length < 12 }, h("summary", {}, h("h2", {}, name)),
        rows.length ? h("table", { class: "plain" }, h("tbody", {}, ...rows.map(([key, value]) => h("tr", {}, h("th", { scope: "row" }, key), h("td", {}, value))))) : h("p", { class: "note" }, "none"));
    }));
  }

  unmount() { /* nothing runs */ }
}

/** Dotted keys and their values as text. */
function flat(value, key) {
  if (value !== null && typeof value === "object" && Object.keys(value).length) {
    return Object.entries(value).flatMap(([name, inner]) => flat(inner, Array.isArray(value) ? `${key}[${name}]` : `${key}.${name}`));
  }
  if (value !== null && typeof value === "object") return [];
  return [[key, value === null ? "not set" : String(value)]];
}
