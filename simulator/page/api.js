// Speaks HTTP and WebSocket with the simulator (see PAGE_PROTOCOL.md).

/** A call the simulator refused; `message` is a sentence for the person. */
export class Refusal extends Error {
  constructor(answer, status) {
    super(answer.message || `The workspace answered ${status}.`);
    this.code = answer.error ?? "failed";
    this.answer = answer;
  }
}

async function answered(request) {
  let response;
  try {
    response = await request;
  } catch {
    throw new Refusal({ error: "unreachable", message: "The workspace cannot be reached. Is the simulator running?" }, 0);
  }
  let answer;
  try {
    answer = await response.json();
  } catch {
    throw new Refusal({ error: "not_json" }, response.status);
  }
  if (!response.ok || answer.ok === false) throw new Refusal(answer, response.status);
  return answer;
}

/** GET /_sim/<what> with query parameters. */
export const read = (what, query = {}) => answered(fetch(`/_sim/${what}?${new URLSearchParams(query)}`));

/** POST /_sim/<what> with a JSON body. */
export const post = (what, body) =>
  answered(fetch(`/_sim/${what}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }));

/** POST /_sim/upload: a file with where it goes. */
export function upload(fields, file) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) if (value) form.append(name, value);
  form.append("file", file, file.name);
  return answered(fetch("/_sim/upload", { method: "POST", body: form }));
}

/** One live connection for one person; reconnects by itself until `stop`. */
export class Live {
  constructor(as, { onevent, onopen, onlost }) {
    Object.assign(this, { as, onevent, onopen, onlost, tries: 0, stopped: false, opened: false });
    this.connect();
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/_sim/live?as=${encodeURIComponent(this.as)}`);
    this.socket.onopen = () => {
      const again = this.opened;
      this.tries = 0;
      this.opened = true;
      if (!this.stopped) this.onopen(again);
    };
    this.socket.onmessage = (frame) => !this.stopped && this.onevent(JSON.parse(frame.data));
    this.socket.onclose = () => this.lost();
  }

  lost() {
    if (this.stopped) return;
    this.onlost();
    this.tries += 1;
    this.timer = setTimeout(() => this.connect(), Math.min(250 * 2 ** this.tries, 5000));
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
    this.socket.close();
  }
}
