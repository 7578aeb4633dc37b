// Who is there: the login, the first account, the own account with its tokens, and requests that change something.

import { h, say } from "./dom.js";
import { clock } from "./format.js";
import { ask } from "./live.js";

const SETUP = /^#\/setup\/(.+)$/;
const PASSWORD_CHARS_MIN = 12;
const SCOPES = [["read", "look"], ["ingest", "post readings"], ["operate", "look, and change things"]];

/** Who makes this page's requests; `me` if the page came with it. `changed` is called after a login, a logout, or when a session is over. */
export class Access {
  constructor(changed, me) {
    this.me = me ?? { kind: "nobody", name: null, role: null, scopes: [], csrf: null, has_accounts: false };
    this.changed = changed;
  }

  /** Ask the gateway; whether the answer differs from what was known. */
  async look() {
    const me = await ask("/api/v1/me").catch(() => null);
    if (!me) return false;
    const before = this.me;
    this.me = me;
    this.show();
    return before.name !== me.name || before.role !== me.role;
  }

  get mayRead() { return this.me.scopes.includes("read"); }

  get mayOperate() { return this.me.scopes.includes("operate"); }

  /** The page for this address, if it is one of ours or nothing else may be shown: [match, Page, name], or null. */
  page(hash) {
    if (SETUP.test(hash)) return [SETUP.exec(hash), SetupPage, "account"];
    if (!this.mayRead || hash === "#/login") return [["", ""], LoginPage, "account"];
    if (hash === "#/account") return [["", ""], AccountPage, "account"];
    return null;
  }

  show() {
    const who = document.getElementById("who");
    who.hidden = this.me.kind !== "session" && !(this.mayRead && this.me.has_accounts);
    who.setAttribute("href", this.me.kind === "session" ? "#/account" : "#/login");
    say(who, this.me.kind === "session" ? this.me.name : "Log in");
  }

  /** A request that changes something. Throws an `Error` with the problem's detail. */
  async send(method, path, body) {
    const headers = { Accept: "application/json", "Content-Type": "application/json" };
    if (this.me.csrf) headers["X-CSRF-Token"] = this.me.csrf;
    const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    const told = await answer.json().catch(() => ({}));
    if (answer.ok) return told;
    throw new Error(told.detail ?? `the gateway answered ${answer.status}`);
  }

  /** One of the ways in: afterwards this page is somebody's. */
  async enter(path, body) {
    this.me = await this.send("POST", path, body);
    this.show();
  }

  async leave() {
    await this.send("POST", "/api/v1/logout");
    await this.look();
    this.changed("#/");
  }
}

/** A form whose button waits for the answer; what went wrong is said below it. */
function form(label, fields, submit) {
  const problem = h("p", { class: "trouble", role: "alert" });
  const button = h("button", { type: "submit", class: "primary" }, label);
  const node = h("form", { class: "entry", onsubmit: async (event) => {
    event.preventDefault();
    button.disabled = true;
    say(problem, "");
    try {
      await submit(Object.fromEntries(new FormData(node)));
    } catch (error) {
      say(problem, sentence(error.message));
      node.querySelector("input[type=password]")?.select();
    } finally {
      button.disabled = false;
    }
  } }, ...fields, h("div", { class: "buttons" }, button), problem);
  return node;
}

function sentence(text) {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${text.endsWith(".") ? "" : "."}`;
}

function field(label, attributes, note) {
  const id = `field-${attributes.name}`;
  return h("div", { class: "field" }, h("label", { for: id }, label),
    h("input", { id, required: true, spellcheck: "false", autocapitalize: "none", "aria-describedby": note && `${id}-note`, ...attributes }),
    note && h("p", { class: "note", id: `${id}-note` }, note));
}

function nameField() {
  return field("Name", { name: "name", autocomplete: "username", maxlength: 32, pattern: "[a-z0-9][a-z0-9._\\-]{0,31}" });
}

function newPasswordField(name) {
  return field("New password", { name, type: "password", autocomplete: "new-password", minlength: PASSWORD_CHARS_MIN, maxlength: 256 },
    `At least ${PASSWORD_CHARS_MIN} characters. A few words are better than one with signs in it.`);
}

class Entrance {
  still = true;

  unmount() { /* nothing runs */ }

  reload() { /* nothing to load */ }
}

class LoginPage extends Entrance {
  title = "Log in";

  constructor(root, _, access) {
    super();
    const panel = h("section", { class: "panel entrance" }, h("h1", {}, "Log in"));
    root.append(panel);
    if (!access.me.has_accounts) {
      panel.append(h("p", {}, "Nobody has an account yet. The gateway's log has a link that makes the first one; ",
        h("code", {}, "tidegate edge setup-link"), " prints a new one."));
      return;
    }
    const here = location.hash;
    panel.append(form("Log in", [nameField(), field("Password", { name: "password", type: "password", autocomplete: "current-password", maxlength: 1024 })],
      async (filled) => {
        await access.enter("/api/v1/login", filled);
        access.changed(here === "#/login" ? "#/" : here);
      }));
    panel.querySelector("input").focus();
  }
}

class SetupPage extends Entrance {
  title = "First account";

  constructor(root, link, access) {
    super();
    root.append(h("section", { class: "panel entrance" }, h("h1", {}, "Make the first account"),
      h("p", {}, "It may look and change things. More accounts: ", h("code", {}, "tidegate edge user add"), "."),
      form("Make it", [nameField(), newPasswordField("password")], async (filled) => {
        await access.enter("/api/v1/setup", { link, ...filled });
        access.changed("#/");
      })));
    root.querySelector("input").focus();
  }
}

class AccountPage extends Entrance {
  title = "Account";

  constructor(root, _, access) {
    super();
    this.access = access;
    const { me } = access;
    const out = h("button", { type: "button", class: "quiet", onclick: () => access.leave().catch((error) => say(trouble, sentence(error.message))) }, "Log out");
    const trouble = h("p", { class: "trouble", role: "alert" });
    const role = me.role === "operator" ? "Operator: may look and change things." : "Viewer: may look.";
    root.append(h("div", { class: "page-head" }, h("div", {}, h("h1", {}, me.name ?? "Nobody"), h("p", { class: "found" }, me.kind === "session" ? role : "Not logged in.")),
      me.kind === "session" && out), trouble);
    if (me.kind !== "session") return;
    const done = h("p", { class: "note", role: "status" });
    const change = form("Change password", [
      field("Old password", { name: "old", type: "password", autocomplete: "current-password", maxlength: 1024 }), newPasswordField("new")],
    async (filled) => {
      await access.enter("/api/v1/me/password", filled);
      change.reset();
      say(done, "Changed. Every other login of this account is over.");
    });
    const user = h("input", { type: "text", name: "username", autocomplete: "username", value: me.name, hidden: true, readonly: true });
    change.prepend(user);
    root.append(h("section", { class: "panel", "aria-labelledby": "password-head" }, h("h2", { id: "password-head" }, "Password"), change, done));
    if (access.mayOperate) root.append(this.tokens());
  }

  tokens() {
    this.rows = h("tbody");
    this.made = h("p", { class: "made", role: "status", hidden: true });
    this.trouble = h("p", { class: "trouble", role: "alert" });
    const scopes = h("fieldset", { class: "field" }, h("legend", {}, "May"), ...SCOPES.map(([scope, words]) =>
      h("label", { class: "check" }, h("input", { type: "checkbox", name: `scope-${scope}`, value: scope }), `${words} (${scope})`)));
    const add = form("Make token", [
      field("Name of the program", { name: "program", autocomplete: "off", maxlength: 32, pattern: "[a-z0-9][a-z0-9._\\-]{0,31}" }), scopes,
      field("Days (empty: for good)", { name: "days", type: "number", min: 1, max: 3650, required: false })],
    async (filled) => {
      const wanted = SCOPES.map(([scope]) => filled[`scope-${scope}`]).filter(Boolean);
      const told = await this.access.send("POST", "/api/v1/tokens", { name: filled.program, scopes: wanted, days: filled.days ? Number(filled.days) : null });
      add.reset();
      this.made.hidden = false;
      this.made.replaceChildren(`The token of ${told.name}, shown this once: `, h("code", {}, told.token));
      await this.list();
    });
    return h("section", { class: "panel", "aria-labelledby": "tokens-head" }, h("h2", { id: "tokens-head" }, "Tokens of programs"),
      h("div", { class: "sideways", tabindex: "0", role: "region", "aria-label": "Tokens, a table" }, h("table", { class: "plain" },
        h("thead", {}, h("tr", {}, ...["Name", "May", "Last used", "Ends", ""].map((head) => h("th", { scope: "col" }, head || h("span", { class: "hidden" }, "Revoke"))))), this.rows)),
      this.trouble, this.made, add);
  }

  async reload() {
    if (this.rows) await this.list();
  }

  async list() {
    const { tokens } = await ask("/api/v1/tokens").catch((error) => { say(this.trouble, sentence(error.message)); return { tokens: [] }; });
    this.rows.replaceChildren(...tokens.map((one) => h("tr", {}, h("th", { scope: "row" }, one.name), h("td", {}, one.scopes.join(", ")),
      h("td", {}, one.used_ms === null ? "never" : clock(one.used_ms)), h("td", {}, one.expires_ms === null ? "never" : clock(one.expires_ms)),
      h("td", {}, h("button", { type: "button", class: "quiet", "aria-label": `Revoke ${one.name}`, onclick: () => this.revoke(one.name) }, "Revoke")))));
    if (!tokens.length) this.rows.append(h("tr", {}, h("td", { colspan: 5, class: "empty" }, "None yet.")));
  }

  async revoke(name) {
    try {
      await this.access.send("DELETE", `/api/v1/tokens/${encodeURIComponent(name)}`);
    } catch (error) {
      say(this.trouble, sentence(error.message));
    }
    await this.list();
  }
}
