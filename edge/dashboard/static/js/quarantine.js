// The quarantine: what could not be accepted, why, its bytes; try it again, or give it up.

import { confirmed } from "./confirm.js";
import { h, say } from "./dom.js";
import { bytes, clock, count, plural } from "./format.js";
import { fromBase64, hexdump, visible } from "./hex.js";
import { ask } from "./live.js";

const EVERY_MS = 5000;
const PAGE = 50;
const RETRY_MAX = 100;      // of one request
const PREVIEW_CHARS = 120;
const SHOWN_BYTES = 4096;   // of one payload: 256 lines
const REASON_CHARS = 90;
const INGEST = "ingest";

export class QuarantinePage {
  title = "Quarantine";

  constructor(root, _, access) {
    this.access = access;
    this.before = [];  // where each page that was left begins
    this.chosen = new Set();
    this.shown = [];
    this.found = h("p", { class: "found", role: "status" });
    this.trouble = h("p", { class: "trouble", role: "alert" });
    this.done = h("p", { class: "made", role: "status", hidden: true });
    this.reason = h("select", { id: "reason", onchange: () => this.turn([]) }, h("option", { value: "" }, "every reason"));
    this.list = h("ul", { class: "items" });
    this.empty = h("p", { class: "empty" }, "Looking…");
    this.newer = h("button", { type: "button", class: "quiet", onclick: () => this.turn(this.before.slice(0, -1)) }, "Newer");
    this.older = h("button", { type: "button", class: "quiet", onclick: () => this.turn([...this.before, this.shown.at(-1).id]) }, "Older");
    root.append(h("div", { class: "page-head" }, h("div", {}, h("p", { class: "crumb" }, h("a", { href: "#/store" }, "Store")), h("h1", {}, "Quarantine"), this.found),
      h("div", { class: "filters" }, h("label", { for: "reason" }, "Only with the reason", this.reason))),
    this.trouble, this.done, h("section", { class: "panel", "aria-label": "Items" }, this.tools(), this.empty, this.list, h("div", { class: "pager" }, this.newer, this.older)));
    this.timer = setInterval(() => this.reload(), EVERY_MS);
  }

  tools() {
    const button = (label, act, more = "") => h("button", { type: "button", class: `quiet ${more}`, onclick: act }, label);
    this.all = h("input", { type: "checkbox", "aria-label": "Choose all that are shown", onchange: () => { this.chosen = new Set(this.all.checked ? this.shown.map((one) => one.id) : []); this.draw(); } });
    this.retryChosen = button("Try again", () => this.retry([...this.chosen]));
    this.purgeChosen = button("Delete", () => this.purgeIds([...this.chosen]));
    this.purgeReason = button("Delete all with this reason", () => this.purgeAll());
    this.many = h("span", { class: "note" });
    if (this.access.mayOperate) return h("div", { class: "tools" }, h("label", { class: "check" }, this.all, this.many), this.retryChosen, this.purgeChosen, this.purgeReason);
    return h("p", { class: "note" }, "Only an operator may try items again, or delete them. ", this.access.me.has_accounts && h("a", { href: "#/login" }, "Log in"));
  }

  /** Go to a page; `before` are the ids that the pages up to it begin before. */
  turn(before) {
    this.before = before;
    this.chosen.clear();
    for (const box of this.list.querySelectorAll(".item > input")) box.checked = false;
    this.count();
    return this.reload(true);
  }

  async reload(turned = false) {
    const query = new URLSearchParams({ order: "newest", limit: PAGE });
    if (this.before.length) query.set("before", this.before.at(-1));
    if (this.reason.value) query.set("reason", this.reason.value);
    const asked = query.toString();
    this.asked = asked;
    try {
      const [page, reasons] = await Promise.all([ask(`/api/v1/quarantine?${asked}`), ask("/api/v1/quarantine/reasons")]);
      if (this.asked !== asked) return;
      this.offer(reasons.reasons);
      say(this.found, page.count ? `${plural(page.count, "item", "items")}, kept here until somebody decides.` : "Nothing is in quarantine.");
      const same = page.items.length === this.shown.length && page.items.every((one, at) => one.id === this.shown[at].id);
      if (same && !turned && this.list.childElementCount) return;
      this.shown = page.items;
      this.chosen = new Set(this.shown.map((one) => one.id).filter((id) => this.chosen.has(id)));
      this.draw();
    } catch (error) { say(this.trouble, error.message); }
  }

  /** The reasons to choose from; the chosen one stays. */
  offer(reasons) {
    const key = JSON.stringify(reasons.map((each) => [each.reason, each.count]));
    if (this.offered === key) return;
    this.offered = key;
    const { value } = this.reason;
    const names = reasons.map((each) => each.reason);
    this.reason.replaceChildren(h("option", { value: "" }, "every reason"), ...reasons.map((each) => h("option", { value: each.reason }, `${cut(visible(each.reason), REASON_CHARS)} (${count(each.count)})`)),
      value && !names.includes(value) && h("option", { value }, `${cut(visible(value), REASON_CHARS)} (0)`));
    this.reason.value = value;
  }

  draw() {
    this.empty.hidden = this.shown.length > 0;
    say(this.empty, this.before.length ? "No older ones." : "None.");
    this.newer.hidden = this.before.length === 0;
    this.older.hidden = this.shown.length < PAGE;
    const opened = this.opened?.id;
    this.list.replaceChildren(...this.shown.map((one) => this.item(one)));
    if (opened !== undefined) this.list.querySelector(`[data-id="${opened}"]`)?.append(this.opened.box);
    this.count();
  }

  count() {
    const many = this.chosen.size;
    this.all.checked = many > 0 && many === this.shown.length;
    this.all.indeterminate = many > 0 && many < this.shown.length;
    say(this.many, many ? `${count(many)} chosen` : "Choose all");
    this.retryChosen.disabled = this.purgeChosen.disabled = many === 0;
    this.purgeReason.hidden = !this.reason.value;
  }

  item(one) {
    const topic = one.topic ? visible(one.topic) : "a reading's line";
    const box = this.access.mayOperate && h("input", { type: "checkbox", checked: this.chosen.has(one.id), "aria-label": `Choose item ${one.id}`,
      onchange: (event) => { if (event.target.checked) this.chosen.add(one.id); else this.chosen.delete(one.id); this.count(); } });
    const start = one.payload_text === null ? hexdump(fromBase64(one.payload_base64), 16).slice(8) : cut(visible(one.payload_text), PREVIEW_CHARS);
    return h("li", { class: "item", "data-id": one.id }, box || h("span"), h("div", { class: "what" },
      h("p", {}, h("strong", {}, h("bdi", {}, topic))), h("p", { class: "problem reason" }, visible(one.reason)),
      h("p", { class: "beginning" }, start || "(empty)"),
      h("p", { class: "note" }, `No. ${one.id} · ${clock(one.at_ms)} · ${bytes(one.payload_bytes).join(" ")} · ${one.source === INGEST ? "not understood" : `refused by ${visible(one.source)}`}`)),
    h("button", { type: "button", class: "quiet", "aria-label": `Show item ${one.id}`, "aria-expanded": String(this.opened?.id === one.id), onclick: (event) => this.open(one.id, event.target) }, "Show"));
  }

  /** One item whole, below its line; again: closed. */
  async open(id, button) {
    const was = this.opened?.id;
    this.opened?.box.remove();
    this.opened = null;
    for (const each of this.list.querySelectorAll("[aria-expanded]")) each.setAttribute("aria-expanded", "false");
    if (was === id) return;
    say(this.trouble, "");
    try {
      const one = await ask(`/api/v1/quarantine/${id}`);
      const content = fromBase64(one.payload_base64);
      const cutAt = content.length > SHOWN_BYTES ? `The first ${count(SHOWN_BYTES)} of ${plural(content.length, "byte", "bytes")}; all of it: tidegate edge quarantine show ${id}` : plural(content.length, "byte", "bytes");
      const act = (label, run) => h("button", { type: "button", class: "quiet", onclick: run }, label);
      const box = h("div", { class: "opened", "data-opened": id }, h("p", { class: "note" }, cutAt),
        h("pre", { class: "bytes hex", tabindex: "0", "aria-label": "Bytes in hexadecimal" }, hexdump(content, SHOWN_BYTES)),
        one.payload_text !== null && h("pre", { class: "bytes", tabindex: "0", "aria-label": "The same as text" }, cut(visible(one.payload_text), SHOWN_BYTES)),
        this.access.mayOperate && h("div", { class: "buttons" }, one.source === INGEST && act("Try this again", () => this.retry([id])), " ", act("Delete this", () => this.purgeIds([id]))));
      this.opened = { id, box };
      this.list.querySelector(`[data-id="${id}"]`)?.append(box);
      button.setAttribute("aria-expanded", "true");
    } catch (error) { say(this.trouble, error.message); }
  }

  async retry(ids) {
    const told = await this.act(async () => {
      const results = [];
      for (let at = 0; at < ids.length; at += RETRY_MAX) {
        results.push(...(await this.access.send("POST", "/api/v1/quarantine/retry", { ids: ids.slice(at, at + RETRY_MAX) })).results);
      }
      return results;
    });
    if (!told) return;
    const taken = told.filter((each) => each.outcome === "taken");
    const readings = taken.reduce((sum, each) => sum + each.stored, 0);
    const still = told.length - taken.length;
    this.tell(`${plural(taken.length, "message was", "messages were")} understood (${plural(readings, "reading", "readings")})${still ? `; ${count(still)} stay here: ${cut(visible(told.find((each) => each.why)?.why ?? ""), 200)}` : ""}.`);
  }

  async purgeIds(ids) {
    if (!(await confirmed(`Delete ${plural(ids.length, "item", "items")} for good?`, "What they hold is gone then; the ledger keeps the count.", "Delete"))) return;
    const told = await this.act(() => this.access.send("POST", "/api/v1/quarantine/purge", { ids }));
    if (told) this.tell(`${plural(told.purged, "item was", "items were")} deleted.`);
  }

  async purgeAll() {
    const reason = this.reason.value;
    if (!(await confirmed("Delete all with this reason for good?", `Every item whose reason begins “${cut(visible(reason), 200)}”, also those that are not shown.`, "Delete them all"))) return;
    const told = await this.act(() => this.access.send("POST", "/api/v1/quarantine/purge", { reason }));
    this.reason.value = "";
    if (told) this.tell(`${plural(told.purged, "item was", "items were")} deleted.`);
  }

  /** Do something that changes the list; what it says, or undefined if it was refused. */
  async act(run) {
    say(this.trouble, "");
    this.done.hidden = true;
    try {
      return await run();
    } catch (error) {
      say(this.trouble, error.message);
      return undefined;
    }
  }

  tell(words) {
    say(this.done, words);
    this.done.hidden = false;
    this.opened = null;
    this.turn(this.before);
  }

  unmount() { clearInterval(this.timer); }
}

function cut(text, charsMax) {
  return text.length > charsMax ? `${text.slice(0, charsMax)}…` : text;
}
