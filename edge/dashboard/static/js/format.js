// Numbers, times and units as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 });
const COUNT_LONG_MAX = 1e9;
const DAY_MS = 86_400_000;

export const NONE = "–";

export function count(number) {
  if (number === null || number === undefined) return NONE;
  return Math.abs(number) < COUNT_LONG_MAX ? whole.format(number) : short.format(number);
}

export function rate(perSecond) {
  if (perSecond === null || perSecond === undefined) return NONE;
  if (perSecond === 0) return "0";
  return perSecond < 10 ? perSecond.toFixed(1) : count(perSecond);
}

export function plural(number, one, many) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** A span of time with its two largest units. */
export function duration(ms) {
  if (ms === null || ms === undefined) return NONE;
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const steps = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const at = steps.findIndex(([, size]) => seconds >= size);
  const [unit, size] = steps[at];
  const first = Math.floor(seconds / size);
  if (first >= 1000) return `${count(first)} ${unit}`;
  const next = steps[at + 1];
  const second = next ? Math.floor((seconds % size) / next[1]) : 0;
  return second ? `${first} ${unit} ${second} ${next[0]}` : `${first} ${unit}`;
}

/** How long ago, coarse enough to be calm. */
export function ago(atMs, nowMs) {
  if (atMs === null || atMs === undefined) return "not yet";
  const ms = nowMs - atMs;
  if (ms < 2000) return "now";
  if (ms < 60_000) return `${Math.floor(ms / 1000)} s ago`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min ago`;
  if (ms < 2 * DAY_MS) return `${Math.floor(ms / 3_600_000)} h ago`;
  return `${Math.floor(ms / DAY_MS)} d ago`;
}

/** A clock time; with the date if it is not today. */
export function clock(atMs) {
  const at = new Date(atMs);
  const time = at.toLocaleTimeString("en-GB");
  return at.toDateString() === new Date().toDateString() ? time : `${at.toLocaleDateString("en-CA")} ${time}`;
}

/** A sum of money, with the currency's own number of digits. */
export function money(amount, currency) {
  return new Intl.NumberFormat("en", { style: "currency", currency, currencyDisplay: "code" }).format(amount);
}

export function bytes(number) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let at = 0;
  while (number >= 1000 && at < units.length - 1) { number /= 1000; at += 1; }
  return [at && number < 100 ? number.toFixed(1) : whole.format(number), units[at]];
}

/** A measured value. Very large and very small numbers are written with an exponent, texts are cut. */
export function value(content, charsMax = 60) {
  if (typeof content === "boolean") return content ? "yes" : "no";
  if (typeof content === "string") return content.length > charsMax ? `${content.slice(0, charsMax)}…` : content;
  if (content === null || content === undefined) return NONE;
  const size = Math.abs(content);
  if (size !== 0 && (size >= 1e7 || size < 1e-3)) return content.toExponential(3);
  return content.toLocaleString("en", { maximumFractionDigits: size < 10 ? 3 : size < 1000 ? 2 : 1 });
}

const UNITS = { Cel: "°C", "%RH": "% RH", "%EL": "%", "/": "", m3: "m³", "m/s2": "m/s²", "ug/m3": "µg/m³", Ohm: "Ω", deg: "°", count: "" };

/** A SenML unit symbol as people write it. */
export function unit(symbol) {
  return symbol === null ? "" : (UNITS[symbol] ?? symbol);
}

export function named(name) {
  return name.replaceAll("_", " ");
}

export function ranges(list, shown = 12) {
  const newest = list.slice(-shown).map(([first, last]) => (first === last ? count(first) : `${count(first)}–${count(last)}`));
  return (list.length > shown ? "… " : "") + newest.join(", ");
}

/** How long a battery lasts, as people say it. */
export function daysLeft(left) {
  if (!left) return null;
  const whole = (days) => (days >= 10 ? Math.round(days) : Math.round(days * 10) / 10).toLocaleString("en");
  if (left.high === null) return `over ${whole(left.low)} d`;
  const [low, high] = [whole(left.low), whole(left.high)];
  return low === high ? `${low} d left` : `${low}–${high} d left`;
}
