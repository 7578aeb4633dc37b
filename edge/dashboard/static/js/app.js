// The frame around the pages: which page, the live stream, the theme, and what is said when the gateway is away.

import { Access } from "./access.js";
import { h, say } from "./dom.js";
import { drillNotice } from "./drill_notice.js";
import { clock } from "./format.js";
import { Live } from "./live.js";
import { NowPage } from "./now.js";

const main = document.getElementById("main");
const link = document.getElementById("link");
const linkText = document.getElementById("link-text");
const banner = document.getElementById("banner");
// The first page comes with this file; another one when it is asked for, so that the first paint does not wait for it.
const from = (file, name) => async () => (await import(`./${file}.js`))[name];
const ROUTES = [
  [/^#\/devices\/(\d+)$/, from("device", "DevicePage"), "devices"],
  [/^#\/devices$/, from("devices", "DevicesPage"), "devices"],
  [/^#\/outages$/, from("outages", "OutagesPage"), "outages"],
  [/^#\/topics$/, from("topics", "TopicsPage"), "topics"],
  [/^#\/store$/, from("store", "StorePage"), "store"],
  [/^#\/quarantine$/, from("quarantine", "QuarantinePage"), "store"],
  [/^#\/drill$/, from("drill", "DrillPage"), "drill"],
  [/^#\/settings$/, from("settings", "SettingsPage"), "settings"],
  [/^(#\/?)?$/, () => NowPage, "now"],
];

let turn = 0;
let page = null;
let started = null;
let first = JSON.parse(document.getElementById("first")?.textContent ?? "null"); // what the page came with
const access = new Access((hash) => { history.replaceState(null, "", hash); show(null); route(); }, first?.me);

function show(text) {
  banner.hidden = !text;
  say(banner, text ?? "");
}

const live = new Live({
  status(now) {
    show(null);
    const restarted = started !== null && started !== now.status.started_ms;
    started = now.status.started_ms;
    say(document.getElementById("version"), `Tidegate ${now.status.version}, running since ${clock(started)}`);
    const { maintenance } = now.status;
    const notice = document.getElementById("maintenance");
    notice.hidden = !maintenance;
    say(notice, maintenance ? `Maintenance mode, begun by ${maintenance.by}, until ${clock(maintenance.until_ms)}.` : "");
    drillNotice(document.getElementById("drill"), now.status.drill);
    if (restarted) page.reload();
    page.status?.(now);
  },
  trouble(problem) { show(`The gateway's store does not answer: ${problem.message}`); },
  devices(changed) { page.devices?.(changed); },
  device(update) { page.device?.(update); },
  commands(told) { page.commands?.(told); },
  state(state) {
    link.dataset.state = state;
    document.body.classList.toggle("stale", state === "lost");
    say(linkText, state === "live" ? "Live" : "Reconnecting");
    if (state === "lost") access.look().then((differs) => differs && route());
    if (state === "lost") show(`No answer from the gateway since ${clock(Date.now())}. Trying again by itself; the figures below are from before.`);
    else { show(null); page.reload(); }
  },
});

async function route() {
  const hash = location.hash;
  if (hash === "#main") return;
  const own = access.page(hash);
  const found = (own && [own[0], () => own[1], own[2]]) ?? ROUTES.map(([pattern, load, name]) => [pattern.exec(hash), load, name]).find(([match]) => match);
  const [match, load, name] = found ?? [["", ""], () => NowPage, "now"];
  const mine = (turn += 1);
  const Page = await load();
  if (mine !== turn) return; // another page was asked for meanwhile
  for (const anchor of document.querySelectorAll("nav a")) {
    if (anchor.dataset.page === name) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
  const isFirst = page === null;
  page?.unmount();
  main.replaceChildren();
  delete document.documentElement.dataset.elsewhere;
  page = new Page(main, match[1], access, first?.now);
  first = null;
  link.hidden = Boolean(page.still);
  document.title = `${page.title} – Tidegate`;
  page.reload();
  if (page.still) live.stop();
  else live.open(page.query ?? "");
  if (!isFirst && !page.still) main.focus({ preventScroll: true });
  scrollTo(0, 0);
}

const THEMES = { auto: "Theme: automatic", light: "Theme: light", dark: "Theme: dark" };
const themeButton = document.getElementById("theme");

function theme(next) {
  if (next === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try { localStorage.setItem("tidegate-theme", next); } catch { /* it holds for this page only */ }
  themeButton.replaceChildren(h("span", { class: `theme-sign ${next}`, "aria-hidden": "true" }), h("span", { class: "theme-words" }, THEMES[next]));
  dispatchEvent(new Event("tidegate-theme"));
}

themeButton.addEventListener("click", () => {
  const order = Object.keys(THEMES);
  theme(order[(order.indexOf(document.documentElement.dataset.theme ?? "auto") + 1) % order.length]);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("tidegate-theme")));

theme(document.documentElement.dataset.theme ?? "auto");
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
addEventListener("hashchange", route);
if (first) access.show();
else await access.look();
route();
