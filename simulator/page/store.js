// Holds what the person sees of the workspace, keeps it fresh and tells the page what changed.

import { Live, Refusal, post, read, upload } from "./api.js";

const PAGE = 50;
const key = (channel, ts) => `${channel}/${ts}`;

/** The workspace through one person's eyes. Events: workspace, messages, thread, modal, home, connection, notice, arrived. */
export class Store extends EventTarget {
  constructor(as) {
    super();
    this.as = as;
    this.connected = false;
    this.reset();
  }

  reset() {
    this.users = new Map();
    this.channels = new Map();
    this.groups = new Map();
    this.histories = new Map();
    this.threads = new Map();
    this.loads = new Set(); // for each answer on its way: what arrived since it was asked for
    this.notices = new Map();
    this.commands = [];
    this.shortcuts = [];
    this.links = [];
    this.modal = [];
    this.home = null;
    this.team = { id: "", name: "Local workspace" };
    this.app = { name: "app", bot_user: "", connected: false };
    this.me = null;
  }

  tell(type, detail = {}) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  // ---- looking things up -------------------------------------------------------------------------------------------

  /** What mrkdwn needs to name people, channels and groups. */
  get names() {
    return { me: this.me?.id, user: (id) => this.users.get(id), channel: (id) => this.channels.get(id), group: (id) => this.groups.get(id) };
  }

  get appName() {
    const bot = this.users.get(this.app.bot_user);
    return bot?.real_name || bot?.name || this.app.name;
  }

  get people() {
    return [...this.users.values()].filter((user) => !user.is_bot && !user.deleted && user.id !== "USLACKBOT");
  }

  channelTitle(channel) {
    if (channel.kind !== "im") return channel.name;
    const user = this.users.get(channel.with_user);
    return user?.real_name || user?.name || channel.name;
  }

  messages(channel) {
    return sorted(this.histories.get(channel)?.messages);
  }

  threadMessages(channel, ts) {
    return sorted(this.threads.get(key(channel, ts)));
  }

  find(channel, ts) {
    const top = this.histories.get(channel)?.messages.get(ts);
    if (top) return top;
    for (const [name, thread] of this.threads) if (name.startsWith(`${channel}/`) && thread.has(ts)) return thread.get(ts);
    return null;
  }

  // ---- starting and staying fresh ----------------------------------------------------------------------------------

  async start() {
    await this.load();
    this.live?.stop();
    this.live = new Live(this.me.id, {
      onevent: (event) => this.receive(event),
      onopen: (again) => {
        this.connected = true;
        this.tell("connection");
        if (again) this.resync();
      },
      onlost: () => {
        this.connected = false;
        this.tell("connection");
      },
    });
  }

  stop() {
    this.live?.stop();
  }

  async load() {
    const answer = await read("workspace", { as: this.as });
    this.take(answer);
    const mine = [...this.channels.values()].filter((channel) => channel.is_member || channel.kind === "im");
    await Promise.all(mine.map((channel) => this.loadHistory(channel.id).catch(() => null)));
    this.reads = new Reads(this);
    this.tell("workspace");
  }

  take(answer) {
    this.team = answer.team;
    this.users = new Map(answer.users.map((user) => [user.id, user]));
    this.channels = new Map(answer.channels.map((channel) => [channel.id, channel]));
    this.groups = new Map(answer.groups.map((group) => [group.id, group]));
    this.app = answer.app;
    this.commands = answer.commands ?? [];
    this.shortcuts = answer.shortcuts ?? [];
    this.links = answer.links ?? [];
    this.modal = answer.modal ?? [];
    this.home = answer.home;
    this.me = this.users.get(answer.me);
  }

  /** Read everything again after a lost connection. */
  async resync() {
    try {
      this.take(await read("workspace", { as: this.as }));
      await Promise.all([...this.histories.keys()].map((channel) => this.loadHistory(channel)));
      await Promise.all([...this.threads.keys()].map((name) => this.loadThread(...name.split("/"))));
    } catch (problem) {
      if (!(problem instanceof Refusal)) throw problem;
      return;
    }
    for (const type of ["workspace", "modal", "home"]) this.tell(type);
  }

  async reloadWorkspace() {
    const before = new Set(this.channels.keys());
    this.take(await read("workspace", { as: this.as }));
    this.tell("workspace");
    for (const channel of this.channels.values()) {
      if (!before.has(channel.id) && channel.is_member) await this.loadHistory(channel.id).catch(() => null);
    }
  }

  async loadHistory(channel) {
    const [answer, catchUp] = await this.meanwhile(() => read("history", { as: this.as, channel, limit: PAGE }));
    const kept = this.histories.get(channel);
    const messages = new Map(answer.messages.map((message) => [message.ts, message]));
    const oldest = answer.messages[0]?.ts;
    let more = answer.has_more;
    if (kept && more && oldest) {
      for (const [ts, message] of kept.messages) if (ts < oldest) messages.set(ts, message);
      more = kept.more;
    }
    this.histories.set(channel, { messages, more });
    catchUp();
    this.tell("messages", { channel });
  }

  async loadOlder(channel) {
    const history = this.histories.get(channel);
    if (!history?.more || history.loading) return;
    history.loading = true;
    try {
      const before = sorted(history.messages)[0]?.ts;
      const answer = await read("history", { as: this.as, channel, limit: PAGE, before });
      for (const message of answer.messages) history.messages.set(message.ts, message);
      history.more = answer.has_more;
    } finally {
      history.loading = false;
    }
    this.tell("messages", { channel });
  }

  async loadThread(channel, ts) {
    const [answer, catchUp] = await this.meanwhile(() => read("thread", { as: this.as, channel, ts }));
    this.threads.set(key(channel, ts), new Map(answer.messages.map((message) => [message.ts, message])));
    catchUp();
    this.tell("thread", { channel, ts });
  }

  /** Ask for something; returns the answer, and how to catch up with what arrived later than it was made. */
  async meanwhile(asking) {
    const arrived = [];
    this.loads.add(arrived);
    try {
      return [await asking(), () => arrived.forEach((again) => again())];
    } finally {
      this.loads.delete(arrived);
    }
  }

  receive(event) {
    switch (event.type) {
      case "message":
        this.put(event.message, true);
        break;
      case "message_changed":
        this.put(event.message, false);
        break;
      case "message_deleted":
        this.drop(event);
        break;
      case "modal":
        this.modal = event.stack;
        this.tell("modal", { reason: event.reason });
        break;
      case "home":
        this.home = event.view;
        this.tell("home");
        break;
      case "workspace":
        this.reloadWorkspace().catch(() => null);
        break;
      case "app":
        Object.assign(this.app, { transport: event.transport, connected: event.connected });
        this.tell("connection");
        break;
      case "notice":
        this.notice(event.where ?? {}, event.text.replace(/^This app\b/, this.appName), event.level);
        break;
      case "reloaded":
        this.resync();
        break;
      default: // hello, and whatever a newer simulator may add
    }
  }

  /** Take a new or changed message in; `fresh` ones are announced as having arrived. */
  put(message, fresh = false) {
    for (const arrived of this.loads) arrived.push(() => this.put(message));
    const { channel, ts, thread_ts: top } = message;
    const isReply = top && top !== ts;
    const history = this.histories.get(channel);
    const inTime = history && (!history.more || history.messages.size === 0 || ts >= sorted(history.messages)[0].ts);
    const known = this.find(channel, ts) !== null;
    if (history && inTime && (!isReply || message.broadcast)) history.messages.set(ts, message);
    const thread = this.threads.get(key(channel, top ?? ts));
    if (thread) thread.set(ts, message);
    if (!isReply || message.broadcast) this.tell("messages", { channel });
    if (thread) this.tell("thread", { channel, ts: top ?? ts });
    if (fresh && !known) this.tell("arrived", { message });
  }

  drop({ channel, ts, thread_ts: top }) {
    for (const arrived of this.loads) arrived.push(() => this.drop({ channel, ts, thread_ts: top }));
    this.histories.get(channel)?.messages.delete(ts);
    this.threads.get(key(channel, top ?? ts))?.delete(ts);
    this.tell("messages", { channel });
    this.tell("thread", { channel, ts: top ?? ts });
  }

  /** Show a sentence near a message or view for a while. */
  notice(where, text, level = "error") {
    const name = where.view_id ?? key(where.channel, where.ts);
    const entry = { text, level };
    this.notices.set(name, entry);
    this.tell("notice", { where, text, level });
    setTimeout(() => {
      if (this.notices.get(name) !== entry) return;
      this.notices.delete(name);
      this.tell("notice", { where, text: "", level });
    }, 12000);
  }

  // ---- acting ------------------------------------------------------------------------------------------------------

  /** POST as the present person. */
  act(what, body = {}) {
    return post(what, { as: this.me.id, ...body });
  }

  async type(channel, text, thread = null, broadcast = false) {
    const answer = await this.act("type", { channel, text, ...(thread ? { thread_ts: thread, broadcast } : {}) });
    for (const message of [answer.message, ...(answer.messages ?? [])]) if (message?.ts) this.put(message);
    return answer;
  }

  async upload(channel, thread, text, file) {
    const answer = await upload({ as: this.me.id, channel, thread_ts: thread, text }, file);
    if (answer.message) this.put(answer.message);
    return answer;
  }

  /** Turn an outcome into the sentence to show, or null when the app answered. */
  outcomeFault(outcome) {
    if (!outcome || outcome.answered) return null;
    const name = this.appName;
    return {
      timeout: `${name} did not respond within 3 seconds.`,
      http_error: `${name} did not respond: it answered with an error.`,
      connection_failed: `${name} did not respond: it cannot be reached.`,
      not_connected: `${name} did not respond: it is not connected.`,
    }[outcome.reason] ?? (outcome.text ? `${name}: ${outcome.text}` : `${name} did not respond.`);
  }
}

/** What each person has read, kept in this browser. */
class Reads {
  constructor(store) {
    this.store = store;
    this.name = `andon-page:read:${store.team.id}:${store.me.id}`;
    try {
      this.marks = JSON.parse(localStorage.getItem(this.name)) ?? {};
    } catch {
      this.marks = {};
    }
    const start = this.baseline();
    for (const channel of store.channels.keys()) {
      const newest = store.messages(channel).at(-1)?.ts ?? "0";
      const mark = this.marks[channel];
      if (mark === undefined) this.marks[channel] = start < newest ? start : newest;
      else if (mark > newest && newest !== "0") this.marks[channel] = newest; // another, younger workspace
    }
    this.keep();
  }

  /** The newest message when this browser first saw the workspace: older ones count as read for everybody. */
  baseline() {
    const name = `andon-page:start:${this.store.team.id}`;
    const newest = [...this.store.channels.keys()].map((id) => this.store.messages(id).at(-1)?.ts ?? "0").sort().at(-1) ?? "0";
    const kept = localStorage.getItem(name);
    if (kept && (kept <= newest || newest === "0")) return kept;
    localStorage.setItem(name, newest);
    return newest;
  }

  keep() {
    localStorage.setItem(this.name, JSON.stringify(this.marks));
  }

  at(name) {
    return this.marks[name] ?? "0";
  }

  mark(name, ts) {
    if (!ts || ts <= this.at(name)) return false;
    this.marks[name] = ts;
    this.keep();
    return true;
  }

  unread(channel) {
    const me = this.store.me.id;
    return this.store.messages(channel).filter((message) => message.ts > this.at(channel) && message.author?.id !== me);
  }

  /** Count what asks for this person by name in a channel, or everything in a direct message. */
  mentions(channel) {
    const wanted = [`<@${this.store.me.id}>`, "<!here", "<!channel", "<!everyone"];
    for (const group of this.store.groups.values()) if (group.members.includes(this.store.me.id)) wanted.push(`<!subteam^${group.id}`);
    const isDirect = this.store.channels.get(channel)?.kind === "im";
    return this.unread(channel).filter((message) => isDirect || wanted.some((word) => hasWord(message, word))).length;
  }
}

function hasWord(message, word) {
  return (message.text ?? "").includes(word) || (message.blocks?.length > 0 && JSON.stringify(message.blocks).includes(word));
}

function sorted(messages) {
  return messages ? [...messages.values()].sort((one, other) => (one.ts < other.ts ? -1 : 1)) : [];
}
