// The one live stream of this page, and what is known of the connection. Comes back by itself.

const SILENT_MS = 5000;   // the gateway speaks every second: after this the link is not to be trusted
const REOPEN_MS = 10000;  // after this the stream is opened anew
const AGAIN_MS = 2000;

export class Live {
  /** `handlers`: status, trouble, devices, device, commands (each takes its document), state ("live" or "lost"). */
  constructor(handlers) {
    this.handlers = handlers;
    this.query = "";
    this.state = "connecting";
    this.heardAt = performance.now();
    setInterval(() => this.watch(), 1000);
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.close();
      else if (this.wanted) this.open(this.query);
    });
    addEventListener("pagehide", () => this.close());
  }

  /** Open, or change what is asked for. */
  open(query) {
    this.close();
    this.wanted = true;
    this.query = query;
    if (document.hidden) return;
    this.heardAt = performance.now();
    const source = new EventSource(`/api/v1/live${query}`);
    this.source = source;
    source.addEventListener("error", () => {
      if (this.source !== source) return;
      this.become("lost");
      if (source.readyState === EventSource.CLOSED) this.timer = setTimeout(() => this.open(this.query), AGAIN_MS);
    });
    for (const name of ["status", "trouble", "devices", "device", "commands"]) {
      source.addEventListener(name, (event) => {
        if (this.source !== source) return;
        this.heardAt = performance.now();
        this.become("live");
        this.handlers[name](JSON.parse(event.data));
      });
    }
  }

  /** Close, and stay closed until `open`: for pages that show nothing live. */
  stop() {
    this.wanted = false;
    this.close();
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  watch() {
    if (!this.source) return;
    const silent = performance.now() - this.heardAt;
    if (silent > SILENT_MS) this.become("lost");
    if (silent > REOPEN_MS) this.open(this.query);
  }

  become(state) {
    if (this.state === state) return;
    this.state = state;
    this.handlers.state(state);
  }
}

/** A document of the API. Throws an `Error` with the problem's detail. */
export async function ask(path, signal) {
  const answer = await fetch(path, { signal, headers: { Accept: "application/json" } });
  if (answer.ok) return answer.json();
  const problem = await answer.json().catch(() => ({}));
  throw new Error(problem.detail ?? `the gateway answered ${answer.status}`);
}
