// Draws one message and updates it in place: author, text, blocks, files, reactions, reply count and its toolbar.

import { Refusal } from "./api.js";
import { attachments, syncBlocks } from "./blocks.js";
import { ago, clock, full, instant } from "./dates.js";
import { announce, fill, h, icon, iconButton, keepFocus } from "./dom.js";
import { Surface } from "./elements.js";
import { EMOJI, QUICK, emoji } from "./emoji.js";
import { mrkdwn, unescape } from "./mrkdwn.js";
import { ask, menu, popup, closePopup, toast } from "./overlay.js";

/** A person's or app's picture: initials on a colour of their own. */
export function avatar(author, size = "") {
  const name = author?.real_name || author?.name || "?";
  const initials = name.split(/[\s._-]+/).filter(Boolean).slice(0, 2).map((word) => [...word][0].toUpperCase()).join("");
  const node = h("span", { class: `avatar ${size} ${author?.kind === "bot" || author?.is_bot ? "is-bot" : ""}`, "aria-hidden": "true" }, initials);
  let sum = 0;
  for (const char of author?.id ?? name) sum = (sum * 31 + char.codePointAt(0)) % 360;
  node.style.setProperty("--hue", (sum * 137) % 360); // neighbouring ids get distant colours
  return node;
}

const authorName = (message) => message.author?.real_name || message.author?.name || "Someone";

/** One message on the page. `context` gives store, inThread, and what to do: openThread, address, edit. */
export class MessageView {
  constructor(context, message) {
    this.context = context;
    this.surface = new Surface(context.store, "message", { channel: message.channel, ts: message.ts });
    this.parts = {
      gutter: h("div", { class: "gutter" }), head: h("div", { class: "head" }), text: h("div", { class: "text" }), blocks: h("div", { class: "blocks" }),
      more: h("div", { class: "more" }), reactions: h("div", { class: "reactions" }), thread: h("div", { class: "thread-bar" }), notice: h("div", { class: "notice-slot" }),
    };
    const { gutter, head, text, blocks, more, reactions, thread, notice } = this.parts;
    this.content = h("div", { class: "content" }, head, blocks, text, more, reactions, thread, notice);
    this.node = h("div", {
      class: "message", role: "listitem", tabindex: "-1", data: { ts: message.ts },
      onpointerenter: () => this.showTools(), onfocusin: () => this.showTools(), onkeydown: (event) => this.key(event),
    }, gutter, this.content);
    this.drawn = null;
    this.update(message, false);
  }

  get isMine() {
    return this.message.author?.id === this.context.store.me?.id && this.message.author?.kind !== "bot";
  }

  /** Show this state of the message; `compact` ones follow another by the same author. */
  update(message, compact) {
    this.message = message;
    const state = JSON.stringify([message, compact, this.context.inThread]);
    if (state !== this.drawn) {
      this.drawn = state;
      this.draw(compact);
    }
    this.drawThread();
    this.drawNotice();
  }

  draw(compact) {
    const { message, parts } = this;
    const { store } = this.context;
    const focus = keepFocus(this.node);
    const date = instant(message.ts);
    const name = authorName(message);
    this.node.classList.toggle("is-compact", compact);
    this.node.classList.toggle("is-ephemeral", message.ephemeral);
    this.node.classList.toggle("is-system", Boolean(message.subtype?.startsWith("channel_") || message.subtype?.startsWith("group_")));
    this.node.setAttribute("aria-label", `${name}, ${full(date)}${message.ephemeral ? ", only visible to you" : ""}`);
    const time = () => h("a", { class: "time", href: this.context.address(message), title: full(date) }, h("time", { datetime: date.toISOString() }, clock(date)));
    fill(parts.gutter, compact ? time() : avatar(message.author));
    fill(parts.head,
      message.ephemeral ? h("div", { class: "only-you" }, "Only visible to you ", h("button", { type: "button", class: "text-button", onclick: () => this.dismiss() }, "Dismiss")) : null,
      message.broadcast ? h("div", { class: "only-you" }, this.context.inThread ? `Also sent to ${this.context.where(message.channel)}` : ["Replied to ", h("button", { type: "button", class: "text-button", onclick: () => this.context.openThread(message) }, "a thread")]) : null,
      message.pinned ? h("div", { class: "only-you" }, icon("pin"), "Pinned") : null,
      compact ? null : [h("span", { class: "author" }, name), message.author?.kind === "user" ? null : h("span", { class: "badge" }, "App"), time()]);
    this.drawText();
    fill(parts.more, attachments(message.attachments, this.surfaceOf("attachments")), (message.files ?? []).map((file) => fileNode(file, store)));
    fill(parts.reactions, (message.reactions ?? []).filter((one) => one.users.length).map((one) => this.reaction(one)));
    focus?.();
  }

  surfaceOf(kind) {
    return new Surface(this.context.store, kind, this.surface.where);
  }

  drawText() {
    const { message, parts } = this;
    const { names } = this.context.store;
    const edited = message.edited ? h("span", { class: "edited", title: `Edited ${full(instant(message.edited.ts))}` }, "(edited)") : null;
    if (message.blocks?.length) {
      syncBlocks(parts.blocks, message.blocks, this.surface);
      parts.text.replaceChildren();
      if (edited) fill(parts.text, edited);
      parts.text.classList.add("is-after");
    } else {
      parts.blocks.replaceChildren();
      parts.text.classList.remove("is-after");
      fill(parts.text, mrkdwn(message.text, names), edited ? [" ", edited] : null);
    }
  }

  reaction({ name, users }) {
    const { store } = this.context;
    const mine = users.includes(store.me.id);
    const who = users.map((id) => store.users.get(id)?.real_name ?? id).join(", ");
    return h("button", {
      type: "button", class: mine ? "reaction is-mine" : "reaction", "aria-pressed": String(mine), "aria-label": `${name.replaceAll("_", " ")}, ${users.length}: ${who}`, title: `${who} reacted with :${name}:`, data: { key: `reaction-${this.message.channel}/${this.message.ts}-${name}` },
      onclick: () => this.react(name, mine),
    }, h("span", { "aria-hidden": "true" }, emoji(name) ?? `:${name}:`), ` ${users.length}`);
  }

  drawThread() {
    const { message, parts, context } = this;
    const isTop = !message.thread_ts || message.thread_ts === message.ts;
    if (context.inThread || !isTop || !message.reply_count) return parts.thread.replaceChildren();
    const { store } = context;
    const isNew = message.latest_reply > (store.reads?.at(`${message.channel}/${message.ts}`) ?? "0") && message.latest_reply > (store.openedAt ?? "0");
    const count = `${message.reply_count} ${message.reply_count === 1 ? "reply" : "replies"}`;
    const last = message.latest_reply ? `Last reply ${ago(instant(message.latest_reply))}` : "";
    const state = `${count} ${last} ${isNew} ${message.reply_users?.join()}`;
    if (parts.thread.dataset.state === state && parts.thread.firstChild) return undefined;
    parts.thread.dataset.state = state;
    const button = h("button", { type: "button", class: isNew ? "replies is-new" : "replies", data: { key: `replies-${message.ts}` }, onclick: () => context.openThread(message) },
      (message.reply_users ?? []).slice(0, 4).map((id) => avatar(store.users.get(id) ?? { id, name: "?" }, "is-small")),
      h("span", { class: "count-text" }, count), isNew ? h("span", { class: "badge is-new" }, "new") : null, h("span", { class: "muted" }, last));
    const had = parts.thread.contains(document.activeElement);
    fill(parts.thread, button);
    if (had) button.focus({ preventScroll: true });
    return undefined;
  }

  drawNotice() {
    const { store } = this.context;
    const notice = store.notices.get(`${this.message.channel}/${this.message.ts}`);
    if (this.shownNotice === notice) return;
    this.shownNotice = notice;
    fill(this.parts.notice, notice ? h("div", { class: `notice is-${notice.level}` }, h("span", { "aria-hidden": "true" }, "⚠ "), notice.text) : null);
  }

  // ---- toolbar -----------------------------------------------------------------------------------------------------

  showTools() {
    if (this.tools) return;
    const tools = [];
    if (!this.message.ephemeral) {
      tools.push(this.tool("smile", "Add a reaction", (event) => this.reactions(event.currentTarget)));
      if (!this.context.inThread) tools.push(this.tool("thread", "Reply in thread", () => this.context.openThread(this.message)));
    }
    tools.push(this.tool("more", "More actions", (event) => this.menu(event.currentTarget)));
    this.tools = h("div", { class: "tools", role: "group", "aria-label": "Message actions" }, tools);
    this.node.append(this.tools);
  }

  tool(name, label, act) {
    return iconButton(name, label, act, name === "thread" ? {} : { "aria-haspopup": "menu", "aria-expanded": "false" });
  }

  reactions(anchor) {
    const pick = (name) => {
      closePopup(true);
      this.react(name, false);
    };
    const grid = h("div", { class: "emoji-grid", role: "group", "aria-label": "Reactions" });
    const draw = (query) => fill(grid, (query ? [...EMOJI.keys()].filter((name) => name.includes(query)).slice(0, 45) : QUICK).map((name) =>
      h("button", { type: "button", class: "emoji-button", "aria-label": name.replaceAll("_", " "), title: `:${name}:`, onclick: () => pick(name) }, emoji(name))));
    draw("");
    const search = h("input", {
      type: "text", class: "picker-search", placeholder: "Find an emoji", "aria-label": "Find an emoji", oninput: () => draw(search.value.trim().toLowerCase().replaceAll(" ", "_")),
      onkeydown: (event) => event.key === "Enter" && grid.firstChild?.click(),
    });
    popup(anchor, h("div", { class: "emoji-picker" }, search, grid), { align: "end" });
    search.focus();
  }

  menu(anchor) {
    const { message, context } = this;
    const { store } = context;
    const items = [];
    if (!message.ephemeral) {
      items.push({ label: "Copy link", icon: "link", act: () => this.copyLink() });
      if (!context.inThread) items.push({ label: "Reply in thread", icon: "thread", act: () => context.openThread(message) });
    } else items.push({ label: "Dismiss message", icon: "close", act: () => this.dismiss() });
    const shortcuts = message.ephemeral ? [] : store.shortcuts.filter((one) => one.type === "message");
    if (shortcuts.length) items.push("-", { heading: `${store.appName}` });
    for (const one of shortcuts) items.push({ label: one.name, hint: one.description, icon: "bolt", act: () => this.shortcut(one) });
    if (this.isMine && !message.ephemeral) {
      items.push("-", { label: "Edit message", act: () => this.edit() }, { label: "Delete message…", danger: true, act: () => this.remove() });
    }
    menu(anchor, "Message actions", items, { align: "end" });
  }

  async tryTo(work) {
    try {
      return await work();
    } catch (problem) {
      if (!(problem instanceof Refusal)) throw problem;
      toast(problem.message, "error");
      return null;
    }
  }

  react(name, remove) {
    return this.tryTo(() => this.context.store.act("react", { channel: this.message.channel, ts: this.message.ts, name, remove }));
  }

  async dismiss() {
    const { channel, ts } = this.message;
    if (await this.tryTo(() => this.context.store.act("dismiss", { channel, ts }))) this.context.store.drop({ channel, ts, thread_ts: this.message.thread_ts });
  }

  async shortcut(one) {
    const { store } = this.context;
    const { channel, ts } = this.message;
    this.node.setAttribute("aria-busy", "true");
    const answer = await this.tryTo(() => store.act("shortcut", { callback_id: one.callback_id, channel, ts }));
    this.node.removeAttribute("aria-busy");
    const fault = answer && store.outcomeFault(answer.outcome);
    if (fault) store.notice({ channel, ts }, fault);
  }

  async copyLink() {
    const url = new URL(this.context.address(this.message), location.href).href;
    try {
      await navigator.clipboard.writeText(url);
      toast("The link to this message is copied.");
    } catch {
      toast(`Copy this link: ${url}`);
    }
  }

  edit() {
    const { channel, ts, text } = this.message;
    const area = h("textarea", { class: "field", rows: 3, value: editable(text, this.context.store), "aria-label": "Edit message" });
    const done = () => {
      this.drawn = null;
      this.update(this.message, this.node.classList.contains("is-compact"));
      this.node.focus();
    };
    const save = async () => {
      if (await this.tryTo(() => this.context.store.act("edit", { channel, ts, text: area.value }))) done();
    };
    area.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Escape") done();
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        save();
      }
    });
    fill(this.parts.text, area, h("div", { class: "dialog-buttons" }, h("button", { type: "button", class: "button", onclick: done }, "Cancel"), h("button", { type: "button", class: "button is-primary", onclick: save }, "Save")));
    area.focus();
  }

  async remove() {
    const { channel, ts } = this.message;
    if (!(await ask({ title: "Delete message", text: "Delete this message? This cannot be undone.", confirm: "Delete", danger: true }))) return;
    if (await this.tryTo(() => this.context.store.act("delete", { channel, ts }))) announce("Message deleted");
  }

  key(event) {
    if (event.target !== this.node || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = {
      Enter: () => !this.message.ephemeral && this.context.openThread(this.message), t: () => !this.message.ephemeral && this.context.openThread(this.message),
      e: () => this.isMine && this.edit(), c: () => this.copyLink(),
      r: () => !this.message.ephemeral && this.reactions(this.tools.querySelector("button")), m: () => this.menu(this.tools.lastChild),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }
}

/** Return a message's text as its author would type it again. */
function editable(text, store) {
  return unescape(text.replace(/<([@#!])([^<>|]+)(?:\|([^<>]*))?>/g, (whole, kind, id, label) => {
    if (kind === "@") return `@${store.users.get(id)?.name ?? label ?? id}`;
    if (kind === "#") return `#${store.channels.get(id)?.name ?? label ?? id}`;
    if (id.startsWith("subteam^")) return `@${store.groups.get(id.slice(8))?.handle ?? label}`;
    return whole;
  }).replace(/<(https?:[^<>|]+)(?:\|[^<>]*)?>/g, "$1"));
}

function fileNode(file, store) {
  const url = `${file.url}?as=${encodeURIComponent(store.me.id)}`;
  if (!/^\/_sim\/files\//.test(file.url)) return h("div", { class: "file" }, file.name);
  const size = file.size < 1024 ? `${file.size} B` : file.size < 1048576 ? `${Math.round(file.size / 1024)} KB` : `${(file.size / 1048576).toFixed(1)} MB`;
  const isPicture = /^image\/(png|jpeg|gif|webp)$/.test(file.mimetype);
  return h("a", { class: isPicture ? "file is-picture" : "file", href: url, target: "_blank", rel: "noopener" },
    isPicture ? h("img", { src: url, alt: file.name, loading: "lazy" }) : icon("clip"),
    h("span", { class: "file-name" }, h("strong", {}, file.name), h("span", { class: "muted" }, `${file.mimetype} · ${size}`)));
}
