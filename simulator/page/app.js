// Puts the page together: one person's store, the panes, moving between places and the keys of the whole page.

import { Refusal } from "./api.js";
import { syncBlocks } from "./blocks.js";
import { Composer } from "./composer.js";
import { announce, append, fill, h, icon, isTyping, link, safeUrl } from "./dom.js";
import { Surface } from "./elements.js";
import { Fields } from "./fields.js";
import { showHelp, singleKeys } from "./help.js";
import { avatar } from "./message.js";
import { Modals } from "./modals.js";
import { mrkdwn, plain } from "./mrkdwn.js";
import { closePopup, dialog, menu, toast } from "./overlay.js";
import { Pane } from "./pane.js";
import { matching, picker } from "./picker.js";
import { parsePlace, writePlace } from "./place.js";
import { drawSidebar, sidebarKeys } from "./sidebar.js";
import { Store } from "./store.js";

const at = (id) => document.getElementById(id);

/** The page for one person; changing the person starts another one in its place. */
class Page {
  constructor() {
    this.place = { home: false, channel: null, message: null, thread: null };
    this.store = null;
    this.modals = null;
    this.build();
  }

  build() {
    const context = (inThread) => {
      const page = this;
      return {
        get store() {
          return page.store;
        },
        inThread,
        openThread: (message) => this.go({ channel: message.channel, thread: message.thread_ts ?? message.ts }),
        address: (message) => this.address(message),
        where: (id) => `#${this.store.channels.get(id)?.name ?? id}`,
      };
    };
    this.main = new Pane(at("messages-box"), at("messages"), context(false), {
      onTop: () => this.older(), onRead: () => this.markRead(),
    });
    this.thread = new Pane(at("thread-box"), at("thread-messages"), context(true), { onRead: () => this.markThreadRead() });
    at("sidebar").addEventListener("keydown", (event) => sidebarKeys(event, at("sidebar")));
    at("sidebar").addEventListener("click", (event) => {
      // Where one already is there is no new address, but on a phone the list still has to give way.
      if (event.target.closest("a")?.getAttribute("href") === location.hash) this.arrive();
    });
    at("people").addEventListener("click", () => this.chooseUser());
    at("help").addEventListener("click", () => showHelp());
    at("back").addEventListener("click", () => this.view("list"));
    at("thread-close").addEventListener("click", () => this.closeThread());
    document.addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("visibilitychange", () => !document.hidden && this.main.stick && this.markRead());
    window.addEventListener("hashchange", () => this.arrive());
    window.addEventListener("popstate", () => {
      const as = new URLSearchParams(location.search).get("as");
      if (this.store && as && as !== this.store.me?.name && as !== this.store.me?.id) this.become(as);
    });
  }

  // ---- who ---------------------------------------------------------------------------------------------------------

  async become(as) {
    this.store?.stop();
    closePopup();
    document.body.classList.add("is-loading");
    const store = new Store(as);
    this.store = store;
    this.listen(store);
    try {
      if (!as) throw new Refusal({ error: "no_such_user", message: "" });
      await store.start();
    } catch (problem) {
      if (!(problem instanceof Refusal)) throw problem;
      return this.failed(problem, as);
    }
    if (this.store !== store) return undefined;
    store.openedAt = [...store.channels.keys()].map((id) => store.messages(id).at(-1)?.ts ?? "0").sort().at(-1);
    this.modals ??= new Modals(store);
    Object.assign(this.modals, { store });
    this.modals.forms.clear();
    this.modals.refresh();
    this.composers();
    document.body.classList.remove("is-loading", "is-failed");
    this.place = { home: false, channel: null, message: null, thread: null };
    this.drawTop();
    this.arrive(true);
    return undefined;
  }

  failed(problem, as) {
    document.body.classList.remove("is-loading");
    document.body.classList.add("is-failed");
    const retry = h("button", { type: "button", class: "button is-primary", onclick: () => this.become(as) }, "Try again");
    fill(at("failure"), h("h1", {}, "Nothing to show yet"), h("p", {}, problem.message), retry);
    clearTimeout(this.retry);
    if (problem.code === "unreachable") this.retry = setTimeout(() => document.body.classList.contains("is-failed") && this.become(as), 3000);
  }

  chooseUser() {
    const { store } = this;
    if (!store?.me) return;
    menu(at("people"), "Who are you?", store.people.map((user) => ({
      label: user.real_name || user.name, hint: [`@${user.name}`, user.is_guest ? "guest" : "", user.is_external ? "external" : ""].filter(Boolean).join(" · "),
      lead: avatar(user, "is-small"), checked: user.id === store.me.id, act: () => this.switchTo(user),
    })), { align: "end" });
  }

  async switchTo(user) {
    if (user.id === this.store.me.id) return;
    const { channel, home, thread } = this.place;
    history.pushState(null, "", `?as=${encodeURIComponent(user.name)}${home || channel ? writePlace({ home, channel, thread }) : ""}`);
    await this.become(user.name);
    announce(`You are ${user.real_name || user.name} now.`);
    at("people").focus();
  }

  listen(store) {
    const on = (type, work) => store.addEventListener(type, (event) => this.store === store && store.reads && work(event.detail));
    on("workspace", () => {
      this.drawTop();
      this.drawSide();
      this.drawHead();
    });
    on("connection", () => {
      this.drawTop();
      this.drawSide();
    });
    on("messages", ({ channel }) => {
      if (channel === this.place.channel) this.drawMessages();
      this.drawSide();
    });
    on("thread", ({ channel, ts }) => channel === this.place.channel && ts === this.place.thread && this.drawThread());
    on("modal", ({ reason }) => this.modals?.refresh(reason));
    on("home", () => this.place.home && this.drawHome());
    on("arrived", ({ message }) => this.arrived(message));
    on("notice", ({ where, text, level }) => this.noticed(where, text, level));
  }

  arrived(message) {
    const isMine = message.author?.id === this.store.me.id;
    const isReply = message.thread_ts && message.thread_ts !== message.ts;
    const isHere = message.channel === this.place.channel;
    if (isHere && isReply && message.thread_ts === this.place.thread) this.thread.arrived();
    if (isHere && (!isReply || message.broadcast)) {
      if (isMine) this.main.toEnd(true);
      this.main.arrived();
    }
    const isSeen = isHere && (!isReply || message.broadcast || message.thread_ts === this.place.thread);
    if (!isMine && isSeen) announce(`${message.author?.real_name || message.author?.name}: ${(message.plain || message.text || "").slice(0, 200)}`);
    this.drawSide();
  }

  noticed(where, text, level) {
    if (where.view_id && this.modals.shown === where.view_id) this.modals.showNotice();
    else if (where.view_id) {
      if (text) toast(text, level);
    } else {
      this.drawMessages();
      if (this.place.thread) this.drawThread();
      const isHere = where.channel === this.place.channel && [...this.main.views.keys(), ...this.thread.views.keys()].includes(where.ts);
      if (text && !isHere) toast(text, level);
    }
    if (text) announce(text, level === "error");
  }

  // ---- where -------------------------------------------------------------------------------------------------------

  address(message) {
    const isReply = message.thread_ts && message.thread_ts !== message.ts;
    return writePlace({ channel: message.channel, message: message.ts, thread: isReply ? message.thread_ts : null });
  }

  go(place) {
    const wanted = writePlace(place);
    if (location.hash === wanted) this.arrive();
    else location.hash = wanted;
  }

  /** Show what the address says. */
  async arrive(first = false) {
    const { store } = this;
    if (!store?.reads) return;
    const place = parsePlace(location.hash);
    if (!place.home && !store.channels.has(place.channel)) {
      const byName = [...store.channels.values()].find((channel) => channel.name === place.channel);
      const start = byName ?? [...store.channels.values()].filter((channel) => channel.is_member && channel.kind !== "im").sort((one, other) => one.name.localeCompare(other.name))[0];
      if (place.channel && !byName && !first) toast("This channel is not visible to you.", "error");
      const isList = first && !location.hash;
      history.replaceState(null, "", `${location.search}${start ? `#/${start.id}` : "#/home"}`);
      await this.arrive(first);
      if (isList) this.view("list");
      return;
    }
    const before = this.place;
    this.place = place;
    this.view(place.thread ? "thread" : "main");
    if (place.home) this.openHome();
    else if (place.channel !== before.channel || before.home || first) await this.openChannel(place.channel);
    else this.drawHead();
    this.drawSide();
    if (this.place !== place) return;
    if (place.thread) await this.openThread(place.thread, place.thread !== before.thread || place.channel !== before.channel);
    else this.drawThreadPane();
    if (place.message && this.place === place) await this.reveal(place);
  }

  view(name) {
    document.body.dataset.view = name;
  }

  async openChannel(id) {
    const { store } = this;
    closePopup();
    if (!store.histories.has(id)) await store.loadHistory(id).catch((problem) => toast(problem.message, "error"));
    if (this.place.channel !== id) return;
    this.main.reset(store.reads.unread(id)[0]?.ts ?? null);
    this.drawHead();
    this.drawMessages();
    const line = at("messages").querySelector(".new-line");
    this.main.toEnd(true);
    if (line && line.offsetTop < at("messages-box").scrollTop) line.scrollIntoView({ block: "start" });
    this.composer.refresh();
    if (!matchMedia("(max-width: 760px)").matches && !this.place.message) this.composer.focus();
    this.markRead();
  }

  async reveal({ channel, message, thread }) {
    const { store } = this;
    if (thread) {
      this.thread.reveal(message);
      return;
    }
    for (let pages = 0; pages < 20 && !store.find(channel, message) && store.histories.get(channel)?.more; pages += 1) await store.loadOlder(channel);
    if (!this.main.reveal(message)) toast("This message is not here any more.", "error");
  }

  async older() {
    const { channel } = this.place;
    if (channel && this.store.histories.get(channel)?.more) await this.store.loadOlder(channel).catch((problem) => toast(problem.message, "error"));
  }

  markRead() {
    const { channel } = this.place;
    if (!channel || document.hidden || !this.store.reads) return;
    if (this.store.reads.mark(channel, this.store.messages(channel).at(-1)?.ts)) this.drawSide();
  }

  markThreadRead() {
    const { channel, thread } = this.place;
    if (!thread || document.hidden || !this.store.reads) return;
    if (this.store.reads.mark(`${channel}/${thread}`, this.store.threadMessages(channel, thread).at(-1)?.ts)) this.drawMessages();
  }

  async openThread(ts, isOther) {
    const { channel } = this.place;
    this.drawThreadPane();
    if (isOther) {
      this.thread.reset();
      this.threadComposer.refresh();
      // At once, not after loading: whoever went elsewhere meanwhile keeps the focus there.
      if (!this.place.message && !matchMedia("(max-width: 760px)").matches) this.threadComposer.focus();
    }
    try {
      await this.store.loadThread(channel, ts);
    } catch (problem) {
      if (!(problem instanceof Refusal)) throw problem;
      toast(problem.message, "error");
      return;
    }
    if (this.place.thread !== ts) return;
    this.drawThread();
    if (isOther) this.thread.toEnd(true);
    this.markThreadRead();
  }

  closeThread() {
    const { channel, thread } = this.place;
    this.go({ channel });
    const replies = document.querySelector(`[data-key="replies-${CSS.escape(thread ?? "")}"]`);
    (replies ?? this.main.views.get(thread)?.node ?? this.composer.area).focus();
  }

  // ---- drawing -----------------------------------------------------------------------------------------------------

  composers() {
    const { store } = this;
    this.composer = new Composer(store, {
      place: () => ({ channel: this.place.channel, thread: null }), label: () => `Message ${this.title()}`, onsent: () => this.main.toEnd(true), oneditlast: () => this.editLast(this.main),
    });
    this.threadComposer = new Composer(store, {
      place: () => ({ channel: this.place.channel, thread: this.place.thread }), label: () => "Reply…", inThread: true, onsent: () => this.thread.toEnd(true), oneditlast: () => this.editLast(this.thread),
    });
    fill(at("composer-slot"), this.composer.node);
    fill(at("thread-composer-slot"), this.threadComposer.node);
  }

  editLast(pane) {
    [...pane.views.values()].filter((view) => view.isMine && !view.message.ephemeral).sort((one, other) => (one.message.ts < other.message.ts ? 1 : -1))[0]?.edit();
  }

  title() {
    const channel = this.store.channels.get(this.place.channel);
    if (!channel) return "";
    return channel.kind === "im" ? this.store.channelTitle(channel) : `#${channel.name}`;
  }

  drawTop() {
    const { store } = this;
    const me = store.me;
    fill(at("links"), store.links.map((one) => (safeUrl(one.url) ? h("a", { href: safeUrl(one.url), target: "_blank", rel: "noopener noreferrer" }, one.title, icon("out")) : null)));
    at("links").hidden = !store.links.length;
    const states = [store.connected ? null : h("span", { class: "state is-bad" }, "Reconnecting…"), store.app.connected || !store.connected ? null : h("span", { class: "state is-bad" }, `${store.appName} is not connected`)];
    fill(at("states"), states);
    if (me) fill(at("people"), avatar(me, "is-small"), h("span", { class: "you" }, h("span", { class: "wide" }, "You are "), me.real_name || me.name), icon("down"));
    if (me) at("people").setAttribute("aria-label", `You are ${me.real_name || me.name}. Change who you are`);
  }

  drawSide() {
    drawSidebar(at("sidebar"), this.store, this.place, { newDirect: () => this.jumpTo("New message", true) });
    const count = [...this.store.channels.keys()].filter((id) => id !== this.place.channel && this.store.reads.unread(id).length).length;
    document.title = `${count ? `(${count}) ` : ""}${this.place.home ? this.store.appName : this.title() || "Local workspace"} · Local workspace`;
  }

  get botDirect() {
    return [...this.store.channels.values()].find((channel) => channel.kind === "im" && channel.with_user === this.store.app.bot_user);
  }

  drawHead() {
    const { store, place } = this;
    const channel = store.channels.get(place.channel);
    const isBot = place.home || (channel?.kind === "im" && channel.with_user === store.app.bot_user);
    const name = isBot ? store.appName : channel ? store.channelTitle(channel) : "";
    const lead = isBot || channel?.kind === "im" ? null : channel?.kind === "private" ? icon("lock") : h("span", { class: "hash", "aria-hidden": "true" }, "# ");
    fill(at("title"), lead, name);
    fill(at("topic"), channel?.topic ? mrkdwn(channel.topic, store.names) : null);
    fill(at("head-tools"), channel && channel.kind !== "im" ? this.headTools(channel) : null);
    fill(at("tabs"), isBot ? [this.tab("Home", "#/home", place.home), this.botDirect ? this.tab("Messages", `#/${this.botDirect.id}`, !place.home) : h("button", { type: "button", class: "tab", onclick: () => this.direct(store.app.bot_user) }, "Messages")] : (channel?.bookmarks ?? []).map((one) => h("span", { class: "bookmark" }, one.emoji ? `${one.emoji} ` : null, link(one.link, one.title))));
    at("tabs").hidden = !at("tabs").firstChild;
    at("home").hidden = !place.home;
    at("messages-box").hidden = place.home;
    const canWrite = channel && (channel.is_member || channel.kind === "im");
    at("composer-slot").hidden = place.home || !canWrite;
    at("join").hidden = place.home || !channel || Boolean(canWrite);
    if (!at("join").hidden) fill(at("join"), h("span", {}, `You are looking at #${channel.name}.`), h("button", { type: "button", class: "button is-primary", onclick: () => this.attempt(() => store.act("join", { channel: channel.id })) }, "Join channel"));
  }

  tab(label, href, isHere) {
    return h("a", { class: isHere ? "tab is-here" : "tab", href, "aria-current": isHere ? "page" : null }, label);
  }

  headTools(channel) {
    const { store } = this;
    const members = h("button", { type: "button", class: "head-button", "aria-haspopup": "menu", "aria-expanded": "false", "aria-label": `${channel.members.length} members`, onclick: (event) => this.members(event.currentTarget, channel) },
      h("span", { class: "faces" }, channel.members.slice(0, 3).map((id) => avatar(store.users.get(id) ?? { id, name: "?" }, "is-small"))), String(channel.members.length));
    const pins = channel.pins?.length ? h("button", { type: "button", class: "head-button", "aria-haspopup": "menu", "aria-expanded": "false", "aria-label": `${channel.pins.length} pinned`, onclick: (event) => this.pins(event.currentTarget, channel) }, icon("pin"), String(channel.pins.length)) : null;
    return [pins, members];
  }

  pins(anchor, channel) {
    menu(anchor, "Pinned messages", channel.pins.map((ts) => {
      const message = this.store.find(channel.id, ts);
      return { label: (message?.plain ?? message?.text ?? "A message").slice(0, 80), hint: message?.author?.real_name, act: () => this.go({ channel: channel.id, message: ts }) };
    }), { align: "end" });
  }

  members(anchor, channel) {
    const { store } = this;
    const user = (id) => store.users.get(id) ?? { id, name: id };
    const outside = [...store.users.values()].filter((one) => !channel.members.includes(one.id) && !one.deleted);
    const items = [{ heading: "Members" }, ...channel.members.map((id) => ({ label: user(id).real_name || user(id).name, hint: user(id).is_bot ? "app" : `@${user(id).name}`, lead: avatar(user(id), "is-small"), act: () => id !== store.me.id && !user(id).is_bot && this.direct(id) }))];
    if (channel.is_member) {
      if (outside.length) items.push("-", { heading: "Invite" });
      for (const one of outside) items.push({ label: `Invite ${one.real_name || one.name}`, icon: "plus", act: () => this.attempt(() => store.act("invite", { channel: channel.id, user: one.id })) });
      items.push("-", { label: "Leave channel", danger: true, act: () => this.attempt(() => store.act("leave", { channel: channel.id })) });
    }
    menu(anchor, `Members of #${channel.name}`, items, { align: "end" });
  }

  async attempt(work) {
    try {
      return await work();
    } catch (problem) {
      if (!(problem instanceof Refusal)) throw problem;
      toast(problem.message, "error");
      return null;
    }
  }

  async direct(user) {
    const answer = await this.attempt(() => this.store.act("dm", { user }));
    if (!answer) return;
    const id = answer.channel?.id ?? answer.channel;
    if (!this.store.channels.has(id)) await this.store.reloadWorkspace();
    this.go({ channel: id });
  }

  drawMessages() {
    const { store, place } = this;
    if (!place.channel) return;
    const history = store.histories.get(place.channel);
    const channel = store.channels.get(place.channel);
    const head = history && !history.more ? this.beginning(channel) : history ? this.main.line("older", () => h("div", { class: "older", role: "status" }, "Older messages appear as you scroll up.")) : null;
    this.main.show(store.messages(place.channel), head);
  }

  beginning(channel) {
    return this.main.line("beginning", () => {
      const title = channel.kind === "im" ? this.store.channelTitle(channel) : `#${channel.name}`;
      const words = channel.kind === "im" ? `This is the start of your messages with ${title}.` : `This is the very start of ${title}.`;
      return h("div", { class: "beginning" }, h("h2", {}, title), h("p", {}, words));
    });
  }

  drawThreadPane() {
    at("thread").hidden = !this.place.thread;
    document.body.classList.toggle("has-thread", Boolean(this.place.thread));
    if (this.place.thread) at("thread-where").textContent = this.title();
  }

  drawThread() {
    const { channel, thread } = this.place;
    if (!thread) return;
    this.thread.show(this.store.threadMessages(channel, thread));
    if (this.thread.stick) this.markThreadRead();
  }

  async openHome() {
    this.drawHead();
    this.drawHome();
    const answer = await this.attempt(() => this.store.act("home"));
    if (!answer || !this.place.home) return;
    if (answer.view) this.store.home = answer.view;
    const fault = this.store.outcomeFault(answer.outcome);
    if (fault) toast(fault, "error");
    this.drawHome();
  }

  drawHome() {
    const view = this.store.home;
    if (!view?.blocks?.length) {
      this.homeSurface = null;
      fill(at("home"), h("div", { class: "beginning" }, h("h2", {}, this.store.appName), h("p", {}, "This app has not shown anything here yet.")));
      return;
    }
    if (this.homeSurface?.where.view_id !== view.id || this.homeSurface.store !== this.store) {
      this.homeSurface = new Surface(this.store, "home", { view_id: view.id }, new Fields(view.values));
      fill(at("home"), h("div", { class: "blocks home-blocks" }));
    }
    this.homeSurface.fields.known = view.values ?? {};
    syncBlocks(at("home").firstChild, view.blocks, this.homeSurface);
  }

  // ---- keys --------------------------------------------------------------------------------------------------------

  jumpTo(title = "Go to", onlyPeople = false) {
    const { store } = this;
    const channels = [...store.channels.values()].filter((channel) => channel.kind !== "im").map((channel) => ({ value: channel.id, label: `#${channel.name}`, hint: plain(channel.topic, store.names) }));
    const people = [...store.users.values()].filter((user) => !user.deleted && user.id !== store.me.id).map((user) => ({ value: user.id, label: user.real_name || user.name, hint: `@${user.name}${user.is_bot ? " · app" : ""}` }));
    const all = onlyPeople ? people : [...channels, ...people];
    return dialog("jump", title, (close) => {
      const button = picker({
        label: title, placeholder: onlyPeople ? "Choose a person" : "Choose a channel or person", value: null, labelOf: (value) => all.find((one) => one.value === value)?.label ?? value,
        options: (query) => matching(all, query),
        onchange: (value) => {
          close(null);
          if (store.channels.has(value)) this.go({ channel: value });
          else this.direct(value);
        },
      });
      setTimeout(() => button.click());
      return [h("h2", {}, title), button];
    });
  }

  key(event) {
    if (!this.store?.reads || this.modals?.node.open) return;
    const { key, altKey: alt, shiftKey: shift } = event;
    const control = event.ctrlKey || event.metaKey;
    const isPlain = !control && !alt && !isTyping(event.target) && singleKeys();
    let act = null;
    if (key === "F6") act = () => this.nextPart(shift ? -1 : 1);
    else if (control && !shift && key.toLowerCase() === "k") act = () => this.jumpTo();
    else if (control && shift && key.toLowerCase() === "u") act = () => this.toPeople();
    else if ((control && key === "/") || (isPlain && key === "?")) act = () => showHelp();
    else if (isPlain && key === "u") act = () => this.toPeople();
    else if (alt && !control && (key === "ArrowUp" || key === "ArrowDown")) act = () => this.nextChannel(key === "ArrowUp" ? -1 : 1, shift);
    else if (key === "Escape" && this.place.thread && !document.querySelector("dialog[open], .popup")) act = () => this.closeThread();
    if (!act) return;
    event.preventDefault();
    act();
  }

  toPeople() {
    at("people").focus();
    this.chooseUser();
  }

  nextChannel(step, onlyUnread) {
    const items = [...at("sidebar").querySelectorAll(".side-item[href]")];
    const here = items.findIndex((item) => item.getAttribute("aria-current"));
    for (let turn = 1; turn <= items.length; turn += 1) {
      const item = items[(here + step * turn + items.length * turn) % items.length];
      if (!onlyUnread || item.classList.contains("is-unread")) {
        location.hash = item.getAttribute("href");
        return;
      }
    }
  }

  nextPart(step) {
    const parts = [
      { node: at("top"), focus: () => at("people").focus() },
      { node: at("sidebar"), focus: () => (at("sidebar").querySelector("[aria-current]") ?? at("sidebar").querySelector(".side-item"))?.focus() },
      { node: at("messages-box"), focus: () => this.main.focus() },
      { node: at("home"), focus: () => at("home").focus() },
      { node: at("composer-slot"), focus: () => this.composer.focus() },
      { node: at("thread-box"), focus: () => this.thread.focus() },
      { node: at("thread-composer-slot"), focus: () => this.threadComposer.focus() },
    ].filter(({ node }) => node.offsetParent !== null);
    const now = parts.findIndex(({ node }) => node.contains(document.activeElement));
    parts[(now + step + parts.length) % parts.length]?.focus();
  }
}

// A real reload forgets ephemeral messages and open modals, as it does in Slack; a new tab does not.
async function begin() {
  const as = new URLSearchParams(location.search).get("as") ?? localStorage.getItem("andon-page:as") ?? "ann";
  const page = new Page();
  append(at("thread-close"), [icon("close")]);
  append(at("back"), [icon("back")]);
  at("skip").addEventListener("click", (event) => {
    event.preventDefault();
    page.composer?.focus();
  });
  if (performance.getEntriesByType("navigation")[0]?.type === "reload") {
    await fetch("/_sim/reload", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ as }) }).catch(() => null);
  }
  await page.become(as);
}

begin();
