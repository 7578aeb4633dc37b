// The topics: a live tree of what arrives at the broker, who takes it, and a rule to start from where nobody does.

import { foreign, h, say } from "./dom.js";
import { clock, count, NONE, plural, rate } from "./format.js";
import { ask } from "./live.js";

const EVERY_MS = 2000;
const TYPING_MS = 250;

export class TopicsPage {
  title = "Topics";

  constructor(root) {
    this.nodes = new Map();
    this.found = h("p", { class: "found", role: "status" }, "Listening …");
    this.search = h("input", { type: "search", id: "search", autocomplete: "off", spellcheck: "false", oninput: () => this.typed() });
    this.tree = h("ul", { class: "tree" });
    this.empty = h("p", { class: "empty" }, "Nothing heard yet. A topic shows as soon as something is published to it.");
    this.one = h("section", { class: "panel one-topic", "aria-label": "One topic", tabindex: "-1", hidden: true });
    root.append(
      h("div", { class: "page-head" }, h("div", {}, h("h1", {}, "Topics"), this.found), h("div", { class: "filters" }, h("label", { for: "search" }, "Search", this.search))),
      this.one,
      h("section", { class: "panel", "aria-label": "What arrives" }, this.empty, this.tree));
    this.timer = setInterval(() => this.reload(), EVERY_MS);
  }

  typed() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => { this.forget(); this.reload(); }, TYPING_MS);
  }

  async reload() {
    const query = this.search.value;
    let answer;
    try {
      answer = await ask(`/api/v1/topics?q=${encodeURIComponent(query)}`);
    } catch (error) {
      say(this.found, error.message);
      return;
    }
    if (query === this.search.value) this.draw(answer);
    if (this.shown) this.explain(this.shown);
  }

  draw(answer) {
    const parts = [plural(answer.total, "topic", "topics")];
    if (answer.total > answer.topics.length) parts.push(`the first ${count(answer.topics.length)} are shown: search for the others`);
    if (answer.beyond) parts.push(`${plural(answer.beyond, "message", "messages")} of topics that found no room`);
    if (answer.pausing) parts.push("the broker is busy: one second of five is listened to");
    say(this.found, answer.problem ? `The broker cannot be listened to: ${answer.problem}` : `${parts.join("; ")}.`);
    this.empty.hidden = answer.topics.length > 0;
    const here = new Set(answer.topics.map((topic) => topic.topic));
    if ([...this.nodes.values()].some((node) => node.leaf && !here.has(node.path))) this.forget();
    for (const topic of answer.topics) this.leaf(topic);
  }

  forget() {
    this.nodes.clear();
    this.tree.replaceChildren();
  }

  /** The node of a path and all above it; a level holds its topics in a `details`, open as far as it is short. */
  branch(levels) {
    if (!levels.length) return this.tree;
    const path = `${levels.join("/")}/`;
    let node = this.nodes.get(path);
    if (!node) {
      node = { path, list: h("ul", {}) };
      this.nodes.set(path, node);
      const name = levels.at(-1);
      this.branch(levels.slice(0, -1)).append(h("li", {}, h("details", { open: levels.length <= 4 }, h("summary", {}, foreign(name === "" ? "(empty)" : name), "/"), node.list)));
    }
    return node.list;
  }

  leaf(topic) {
    let node = this.nodes.get(topic.topic);
    if (!node) {
      const levels = topic.topic.split("/");
      node = { path: topic.topic, leaf: true, who: h("span", { class: "who" }), speed: h("span", { class: "speed" }), said: h("code", { class: "said" }) };
      this.nodes.set(topic.topic, node);
      const name = h("button", { type: "button", class: "topic", onclick: () => this.show(topic.topic) }, foreign(levels.at(-1) === "" ? "(empty)" : levels.at(-1)));
      this.branch(levels.slice(0, -1)).append(h("li", { class: "leaf" }, name, node.who, node.speed, node.said));
    }
    node.who.dataset.state = topic.taken_by === null ? "nobody" : topic.problem === null ? "taken" : "refused";
    say(node.who, topic.taken_by === null ? "nobody takes it" : topic.problem === null ? topic.taken_by : `${topic.taken_by}: not understood`);
    say(node.speed, topic.retained && !topic.per_s ? "retained" : `${rate(topic.per_s)}/s`);
    say(node.said, topic.preview);
  }

  async show(topic) {
    this.shown = topic;
    await this.explain(topic);
    this.one.scrollIntoView({ block: "nearest" });
    this.one.focus({ preventScroll: true });
  }

  async explain(topic) {
    const told = await ask(`/api/v1/topics/one?topic=${encodeURIComponent(topic)}`).catch((error) => ({ error }));
    if (this.shown !== topic) return;
    this.one.hidden = false;
    const text = JSON.stringify(told);
    if (text === this.told) return;
    this.told = text;
    this.one.replaceChildren(...(told.error ? [h("p", {}, told.error.message)] : this.explained(told)));
  }

  explained({ topic, payload, is_text: isText, is_whole: isWhole, explanation, suggestion }) {
    const close = h("button", { type: "button", class: "quiet", onclick: () => { this.shown = null; this.one.hidden = true; } }, "Close");
    return [
      h("div", { class: "panel-head" }, h("h2", {}, foreign(topic)), close),
      h("p", { class: "outcome" }, outcome(explanation)),
      explanation.readings.length > 0 && h("ul", { class: "becomes" }, explanation.readings.slice(0, 5).map((reading) => h("li", {},
        `${reading.seq === null ? "" : `boot ${reading.boot}, seq ${reading.seq}, `}${clock(reading.taken_at_ms)}: `,
        reading.values.map((one, at) => [at ? ", " : "", foreign(`${one.name} ${one.value}${one.unit ? ` ${one.unit}` : ""}`)])))),
      h("h3", {}, isText ? "Its last message" : "Its last message, byte by byte", isWhole ? "" : " (the beginning)"),
      h("pre", { class: "bytes", tabindex: "0" }, payload || NONE),
      suggestion && h("h3", {}, "A rule to start from"),
      suggestion && h("p", { class: "note" }, "Put it into the gateway's configuration, correct names and units, and start the gateway again. Where {device} stands is a guess."),
      suggestion && h("pre", { class: "bytes", tabindex: "0" }, suggestion),
    ].filter(Boolean);
  }

  unmount() { clearInterval(this.timer); clearTimeout(this.typing); }
}

function outcome({ taken_by: takenBy, site, device, problem, readings }) {
  if (takenBy === null) return "No rule takes it, so the gateway is not subscribed to it: nothing of it is stored.";
  if (takenBy === "gateway") return "The gateway itself says it, to the device.";
  const who = takenBy === "native" ? "The gateway's own contract takes it" : [`The rule “`, foreign(takenBy), "” takes it"];
  if (problem !== null) return [who, ", but it is not understood and goes to quarantine: ", foreign(problem)];
  if (!readings.length) return [who, "; it holds no reading."];
  return [who, ", as of ", foreign(`${site}/${device}`), ":"];
}
