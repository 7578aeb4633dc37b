// The machine that the gateway runs on: disk, processor, memory, descriptors, and its clock.

import { h, say } from "./dom.js";
import { bytes, count, duration, NONE } from "./format.js";

const TILES = [["disk", "Disk"], ["store", "Store"], ["cpu", "Processor"], ["memory", "Memory"], ["clock", "Clock"], ["files", "Open files"], ["up", "Running for"]];
const CLOCK_OFF_US = 1_000_000;  // a second: readings of devices without a clock are that far off, too

/** The panel of the first page. */
export class MachinePanel {
  constructor() {
    this.tiles = Object.fromEntries(TILES.map(([name, label]) => [name, { label, number: h("dd", {}, NONE), note: h("dd", { class: "note" }) }]));
    this.box = h("section", { class: "panel", "aria-label": "This machine" }, h("div", { class: "panel-head" }, h("h2", {}, "This machine")),
      h("dl", { class: "tiles machine" }, ...Object.values(this.tiles).map(({ label, number, note }) => h("div", { class: "tile" }, h("dt", {}, label), number, note))));
  }

  show({ machine, store, started_ms: startedMs, at_ms: atMs }) {
    const set = (name, number, note, problem = false) => {
      say(this.tiles[name].number, number);
      this.tiles[name].number.classList.toggle("problem", problem);
      say(this.tiles[name].note, note);
    };
    const used = machine.disk_bytes === null ? null : machine.disk_bytes - machine.disk_free_bytes;
    set("disk", used === null ? NONE : share(used, machine.disk_bytes), used === null ? "" : `used; ${size(machine.disk_free_bytes)} of ${size(machine.disk_bytes)} free`);
    set("store", size(store.bytes), store.limit_bytes ? `${share(store.used_bytes, store.limit_bytes)} of ${size(store.limit_bytes)} ${store.limit_reason === "size" ? "that it may take" : "that the disk has for it"}` : "",
      store.limit_bytes > 0 && store.used_bytes >= store.full_at_bytes);
    set("cpu", machine.cpu_percent === null ? NONE : `${machine.cpu_percent.toFixed(machine.cpu_percent < 10 ? 1 : 0)} %`,
      machine.load === null ? "" : `of one of ${machine.processors}; load ${machine.load.toFixed(2)}`);
    set("memory", machine.resident_bytes === null ? NONE : size(machine.resident_bytes), machine.memory_available_bytes === null ? "" : `the machine has ${size(machine.memory_available_bytes)} of ${size(machine.memory_bytes)} left`);
    set("clock", ...clockWords(machine.clock, store.waits_for_clock));
    set("files", machine.open_files === null ? NONE : count(machine.open_files), machine.open_files_max === null ? "" : `of ${count(machine.open_files_max)}`, machine.open_files > 0.9 * machine.open_files_max);
    set("up", duration(Math.floor((atMs - startedMs) / 1000) * 1000), machine.up_s === null ? "" : `the machine for ${duration(machine.up_s * 1000)}`);
  }
}

function clockWords(clock, waits) {
  if (waits) return ["not set", "readings wait for it", true];
  if (clock === null) return [NONE, "this system does not tell"];
  if (!clock.is_synchronised) return ["not kept", "no time daemon keeps it in step (NTP)"];
  const off = Math.abs(clock.offset_us);
  return [off < 1000 ? `${off} µs off` : `${(off / 1000).toFixed(1)} ms off`, `kept in step; at most ${(clock.error_us / 1000).toFixed(0)} ms off`, off > CLOCK_OFF_US];
}

function size(number) {
  return bytes(number).join(" ");
}

function share(part, whole) {
  return part && part < whole / 100 ? "under 1 %" : `${Math.round(100 * part / Math.max(1, whole))} %`;
}
