// All devices as a table that draws only what is seen: 10,000 rows cost as much as 30.

import { foreign, h, say } from "./dom.js";
import { ago, count, daysLeft, duration, named, NONE, plural, unit, value } from "./format.js";
import { ask } from "./live.js";

const CHUNK = 100;
const MORE_ROWS = 8;        // drawn above and below what is seen
const CHUNKS_KEPT = 12;
const TYPING_MS = 200;
const REFRESH_MS = 4000;    // how often what is seen is asked for again, to keep order and sums true
const VALUES_SHOWN = 3;

const COLUMNS = [
  { name: "device", label: "Device" },
  { name: "values", label: "Last values", fixed: true },
  { name: "seen", label: "Seen", first: "-" },
  { name: "battery", label: "Battery", number: true },
  { name: "radio", label: "Link", fixed: true, number: true, wide: true },
  { name: "offset", label: "Clock", fixed: true, number: true, wide: true },
  { name: "firmware", label: "Firmware", fixed: true, wide: true },
  { name: "missing", label: "Missing", first: "-", number: true },
  { name: "lost", label: "Lost", first: "-", number: true, wide: true, wider: true },
  { name: "held", label: "Held", first: "-", number: true, wide: true, wider: true },
  { name: "received", label: "Received", first: "-", number: true, wide: true },
];

export class DevicesPage {
  title = "Devices";
  query = "?devices=true";

  constructor(root) {
    this.chunks = new Map();
    this.asking = new Map();
    this.total = 0;
    this.nowMs = Date.now();
    this.filter = { q: "", site: "", sort: "device" };
    root.append(this.head(), this.table());
    this.refresh = setInterval(() => this.renew(), REFRESH_MS);
  }

  head() {
    this.found = h("p", { class: "found", role: "status" });
    this.sites = h("select", { id: "site", onchange: () => this.ask({ site: this.sites.value }) }, h("option", { value: "" }, "All sites"));
    this.bySite = h("button", { type: "button", class: "button group", "aria-pressed": "false", onclick: () => { this.ask({ sort: this.filter.sort === "site" ? "device" : "site" }); this.showSort(); } }, "Group by site");
    const search = h("input", { id: "search", type: "search", placeholder: "Name or site", autocomplete: "off", spellcheck: "false", maxlength: 64,
      oninput: () => { clearTimeout(this.typing); this.typing = setTimeout(() => this.ask({ q: search.value.trim() }), TYPING_MS); } });
    return h("div", { class: "page-head" }, h("div", {}, h("h1", {}, "Devices"), this.found),
      h("div", { class: "filters" }, this.bySite, h("label", { for: "search" }, "Search ", search), h("label", { for: "site" }, "Site ", this.sites)));
  }

  table() {
    this.headers = new Map();
    const row = h("tr", { "aria-rowindex": 1 }, ...COLUMNS.map((column) => {
      const button = column.fixed ? column.label : h("button", { type: "button", class: "sort", onclick: () => this.sortBy(column) }, column.label);
      const cell = h("th", { scope: "col", class: this.cellClass(column) }, button);
      this.headers.set(column.name, cell);
      return cell;
    }));
    this.above = h("tr", { class: "spacer", "aria-hidden": "true" }, h("td"));
    this.below = h("tr", { class: "spacer", "aria-hidden": "true" }, h("td"));
    this.body = h("tbody", {}, this.above, this.below);
    this.grid = h("table", { class: "devices", "aria-label": "Devices" }, h("thead", {}, row), this.body);
    this.empty = h("p", { class: "empty", hidden: true }, "No device matches.");
    this.scroller = h("div", { class: "panel scroller", tabindex: 0, role: "region", "aria-label": "Table of devices, scrollable" }, this.grid, this.empty);
    this.scroller.addEventListener("scroll", () => this.soon(), { passive: true });
    this.resized = new ResizeObserver(() => this.soon());
    this.resized.observe(this.scroller);
    this.showSort();
    return this.scroller;
  }

  cellClass(column) {
    return [column.name, column.number && "numeric", column.wide && "wide", column.wider && "wider"].filter(Boolean).join(" ");
  }

  sortBy(column) {
    const now = this.filter.sort;
    const other = now === column.name ? `-${column.name}` : now === `-${column.name}` ? column.name : `${column.first ?? ""}${column.name}`;
    this.ask({ sort: other });
    this.showSort();
  }

  showSort() {
    const { sort } = this.filter;
    this.bySite.setAttribute("aria-pressed", String(sort === "site"));
    for (const [name, cell] of this.headers) {
      if (sort === name) cell.setAttribute("aria-sort", "ascending");
      else if (sort === `-${name}`) cell.setAttribute("aria-sort", "descending");
      else cell.removeAttribute("aria-sort");
    }
  }

  /** A new question: from the top. */
  ask(change) {
    Object.assign(this.filter, change);
    this.forget();
    this.scroller.scrollTop = 0;
    this.want(0);
  }

  forget() {
    for (const asked of this.asking.values()) asked.abort();
    this.asking.clear();
    this.chunks.clear();
  }

  reload() { this.renew(true); }

  /** What is seen, again; the old rows stay until the new ones are here. */
  renew(all = false) {
    if (all) for (const at of [...this.chunks.keys()]) if (!this.seen().includes(at)) this.chunks.delete(at);
    for (const at of this.seen()) this.want(at, true);
  }

  seen() {
    const [first, last] = this.window();
    const chunks = [];
    for (let at = Math.floor(first / CHUNK); at <= Math.floor(Math.max(first, last - 1) / CHUNK); at += 1) chunks.push(at);
    return chunks;
  }

  async want(at, again = false) {
    if (this.asking.has(at) || (!again && this.chunks.has(at))) return;
    const control = new AbortController();
    this.asking.set(at, control);
    const { q, site, sort } = this.filter;
    const words = new URLSearchParams({ q, sort, offset: at * CHUNK, limit: CHUNK });
    if (site) words.set("site", site);
    try {
      const page = await ask(`/api/v1/devices?${words}`, control.signal);
      this.total = page.total;
      this.chunks.set(at, page.items);
      while (this.chunks.size > CHUNKS_KEPT) this.chunks.delete([...this.chunks.keys()].find((key) => !this.seen().includes(key)) ?? at);
      this.showSites(page.site_counts);
    } catch (error) {
      if (error.name !== "AbortError") say(this.found, "The devices could not be read; trying again.");
      return;
    } finally {
      if (this.asking.get(at) === control) this.asking.delete(at);
    }
    say(this.found, `${plural(this.total, "device", "devices")}${q || site ? " found" : ""}`);
    this.empty.hidden = this.total > 0;
    this.draw();
  }

  showSites(sites) {
    const told = JSON.stringify(sites);
    if (told === this.toldSites) return;
    this.toldSites = told;
    const chosen = this.filter.site;
    this.sites.replaceChildren(h("option", { value: "" }, "All sites"), ...Object.entries(sites).map(([site, devices]) => h("option", { value: site }, `${site} (${count(devices)})`)));
    this.sites.value = chosen;
  }

  rowHeight() {
    this.height ??= parseFloat(getComputedStyle(this.grid).getPropertyValue("--row"));
    return this.height;
  }

  window() {
    const height = this.rowHeight();
    const first = Math.max(0, Math.floor(this.scroller.scrollTop / height) - MORE_ROWS);
    const last = Math.ceil((this.scroller.scrollTop + this.scroller.clientHeight) / height) + MORE_ROWS;
    return [Math.min(first, this.total), Math.min(last, this.total)];
  }

  soon() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => { this.frame = 0; this.height = null; this.draw(); });
  }

  draw() {
    const [first, last] = this.window();
    const focused = document.activeElement?.closest?.("tr[data-key]")?.dataset.key;
    const rows = [];
    for (let at = first; at < last; at += 1) {
      const chunk = Math.floor(at / CHUNK);
      const device = this.chunks.get(chunk)?.[at % CHUNK];
      if (!this.chunks.has(chunk)) this.want(chunk);
      const before = this.chunks.get(Math.floor((at - 1) / CHUNK))?.[(at - 1) % CHUNK];
      rows.push(this.row(device, at, this.filter.sort === "site" && before?.site !== device?.site));
    }
    this.above.firstChild.style.height = `${first * this.rowHeight()}px`;
    this.below.firstChild.style.height = `${(this.total - last) * this.rowHeight()}px`;
    this.above.hidden = first === 0;
    this.below.hidden = last >= this.total;
    this.grid.setAttribute("aria-rowcount", this.total + 1);
    this.body.replaceChildren(this.above, ...rows, this.below);
    if (focused) this.body.querySelector(`tr[data-key="${focused}"] a`)?.focus({ preventScroll: true });
  }

  row(device, at, isFirstOfSite) {
    if (!device) return h("tr", { "aria-rowindex": at + 2, class: "waiting" }, h("td", {}, "…"));
    const cells = {
      device: [h("a", { href: `#/devices/${device.key}` }, foreign(device.device)), h("span", { class: "site" }, foreign(device.site))],
      values: values(device.values),
      seen: [ago(device.last_seen_ms, this.nowMs)],
      battery: [battery(device), device.days_left && h("span", { class: "left" }, daysLeft(device.days_left))],
      radio: [link(device)],
      offset: [clockOffset(device)],
      firmware: [firmware(device)],
      missing: [problem(device.missing)],
      lost: [problem(device.lost)],
      held: [count(device.held)],
      received: [count(device.received)],
    };
    return h("tr", { "aria-rowindex": at + 2, "data-key": device.key, class: isFirstOfSite && "first-of-site" }, ...COLUMNS.map((column) => h("td", { class: this.cellClass(column) }, ...cells[column.name])));
  }

  status(now) {
    this.nowMs = now.status.at_ms;
    this.soon();
  }

  /** Rows that changed are put in place; order and totals follow with the next look. */
  devices(changed) {
    const byKey = new Map(changed.rows.map((row) => [row.key, row]));
    for (const chunk of this.chunks.values()) chunk.forEach((row, at) => { if (byKey.has(row.key)) chunk[at] = byKey.get(row.key); });
    this.soon();
  }

  unmount() {
    clearInterval(this.refresh);
    clearTimeout(this.typing);
    cancelAnimationFrame(this.frame);
    this.resized.disconnect();
    this.forget();
  }
}

function values(list) {
  const shown = list.filter((one) => !one.name.startsWith("battery_"));
  if (!shown.length) return [NONE];
  const parts = shown.slice(0, VALUES_SHOWN).map((one) => h("span", { class: "value", title: named(one.name) },
    h("span", { class: "name" }, foreign(named(one.name)), " "), h("span", { class: "content" }, foreign(value(one.value, 24))), " ", h("span", { class: "unit" }, foreign(unit(one.unit)))));
  return shown.length > VALUES_SHOWN ? [...parts, h("span", { class: "unit" }, `+${shown.length - VALUES_SHOWN}`)] : parts;
}

export function battery({ battery_v: volts, battery_percent: percent }) {
  if (volts === null && percent === null) return NONE;
  const parts = [percent !== null && `${value(Math.round(percent))} %`, volts !== null && `${value(volts)} V`].filter(Boolean);
  return parts.join(" · ");
}

/** What the device says of its radio, or else the share of its readings that arrived. */
export function link(row) {
  if (row.link) return foreign(`${value(row.link.value)} ${unit(row.link.unit)}`.trim());
  const sent = row.received + row.missing + row.lost;
  return sent ? `${value(Math.floor((1000 * row.received) / sent) / 10)} %` : NONE;
}

/** How far its clock is off; under a second is the way of the message. */
export function clockOffset({ clock_offset_ms: ms }) {
  if (ms === null) return NONE;
  return Math.abs(ms) < 1000 ? "in step" : `${duration(Math.abs(ms))} ${ms > 0 ? "behind" : "ahead"}`;
}

export function firmware(row) {
  return row.firmware === null ? NONE : foreign(row.firmware);
}

function problem(number) {
  return number ? h("strong", { class: "problem" }, count(number)) : "0";
}
