// What is said of a drill on every page.

import { say } from "./dom.js";
import { clock, duration } from "./format.js";

// Toxiproxy's names stand beside our words.
export const FAULTS = [
  ["down", "Refuse", "connections are refused at once"],
  ["timeout", "Cut", "nothing gets through, nothing comes back"],
  ["latency", "Slow", "everything gets through, but late"],
  ["reset_peer", "Lose answers", "what is sent arrives, its answer does not: nobody here knows"],
  ["http_error", "Answer 503", "the cloud answers that it cannot"],
];

/** What is said on every page while a drill runs, or may begin. */
export function drillNotice(node, drill) {
  node.hidden = !drill.running && !drill.allowed;
  say(node, drill.running ? `Drill: ${inOneLine(drill.running)}, begun by ${drill.running.by}, until ${clock(drill.running.until_ms)}. This outage is made on purpose.`
    : drill.allowed ? "Drills may be begun on this gateway." : "");
}

/** A drill in words: what, on which way, and Toxiproxy's name for it. */
export function inOneLine({ order }) {
  const [, words] = FAULTS.find(([fault]) => fault === order.fault) ?? ["", order.fault];
  const late = order.fault === "latency" ? ` by ${duration(order.latency_ms)}` : "";
  const where = order.link === "devices" ? "the devices" : order.destination ?? "the cloud";
  return `${words}${late} on the way to ${where} (${order.fault})`;
}
