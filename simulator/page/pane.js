// A scrolling list of messages, of a channel or a thread: dividers, the new-message line, roving focus and kept position.

import { dayLabel, instant, sameDay } from "./dates.js";
import { h, reconcile } from "./dom.js";
import { MessageView } from "./message.js";

const GROUP_SECONDS = 300;

/** The list of messages in one pane. */
export class Pane {
  constructor(scroller, list, context, { onTop = () => {}, onRead = () => {} } = {}) {
    Object.assign(this, { scroller, list, context, onRead });
    this.views = new Map();
    this.lines = new Map();
    this.newFrom = null;
    this.stick = true;
    this.jump = h("button", { type: "button", class: "to-newest", hidden: true, onclick: () => this.toEnd(true) }, "↓ New messages");
    scroller.after(this.jump);
    scroller.addEventListener("scroll", () => {
      this.stick = this.atEnd();
      if (this.stick) this.read();
      if (scroller.scrollTop < 120 && this.views.size) onTop();
    }, { passive: true });
    list.addEventListener("keydown", (event) => this.key(event));
    list.addEventListener("focusin", (event) => this.focused(event.target.closest(".message")));
    new ResizeObserver(() => this.stick && this.toEnd()).observe(list);
    new ResizeObserver(() => this.stick && this.toEnd()).observe(scroller);
  }

  atEnd() {
    return this.scroller.scrollHeight - this.scroller.scrollTop - this.scroller.clientHeight < 48;
  }

  toEnd(read = false) {
    this.scroller.scrollTop = this.scroller.scrollHeight;
    if (read) this.stick = true;
  }

  read() {
    this.jump.hidden = true;
    this.onRead();
  }

  /** Start with another channel or thread. */
  reset(newFrom = null) {
    this.views.clear();
    this.lines.clear();
    this.list.replaceChildren();
    this.newFrom = newFrom;
    this.stick = true;
    this.jump.hidden = true;
  }

  /** Show these messages, oldest first; what stays on screen does not move. */
  show(messages, head = null) {
    const anchor = this.stick ? null : this.topmost();
    const wanted = head ? [head] : [];
    const seen = new Set();
    let before = null;
    let isLined = false;
    messages.forEach((message, index) => {
      const date = instant(message.ts);
      const day = !before || !sameDay(instant(before.ts), date);
      if (day && !this.context.inThread) wanted.push(this.line(`day ${dayLabel(date)}`, () => dayLine(date)));
      const isNew = !isLined && this.newFrom && message.ts >= this.newFrom && message.author?.id !== this.context.store.me?.id;
      if (isNew) {
        isLined = true;
        wanted.push(this.line("new", newLine));
      }
      const compact = !day && !isNew && index > 0 && follows(before, message) && !(this.context.inThread && index === 1);
      wanted.push(this.view(message, compact).node);
      seen.add(message.ts);
      if (this.context.inThread && index === 0) {
        const count = messages.length - 1;
        const text = count === 0 ? "No replies yet" : `${count} ${count === 1 ? "reply" : "replies"}`;
        wanted.push(this.line(`count ${text}`, () => h("div", { class: "line reply-line", role: "separator" }, h("span", {}, text))));
      }
      before = message;
    });
    for (const ts of this.views.keys()) if (!seen.has(ts)) this.views.delete(ts);
    const focused = document.activeElement?.closest?.(".message");
    reconcile(this.list, wanted);
    if (focused && !focused.isConnected) (this.list.querySelector(".message:last-of-type") ?? this.list).focus?.();
    this.keepTabStop();
    if (this.stick) this.toEnd();
    else if (anchor?.node.isConnected) this.scroller.scrollTop += anchor.node.getBoundingClientRect().top - anchor.top;
  }

  view(message, compact) {
    const view = this.views.get(message.ts);
    if (view) view.update(message, compact);
    else {
      this.views.set(message.ts, new MessageView(this.context, message));
      this.views.get(message.ts).update(message, compact);
    }
    return this.views.get(message.ts);
  }

  line(name, make) {
    if (!this.lines.has(name)) this.lines.set(name, make());
    return this.lines.get(name);
  }

  topmost() {
    const edge = this.scroller.getBoundingClientRect().top;
    for (const { node } of this.views.values()) {
      const box = node.getBoundingClientRect();
      if (node.isConnected && box.bottom > edge) return { node, top: box.top };
    }
    return null;
  }

  /** Tell the person that something new came in below what they look at. */
  arrived() {
    if (this.stick && !document.hidden) this.read();
    else if (!this.stick) this.jump.hidden = false;
  }

  /** Scroll to a message and mark it for a moment; says whether it is here. */
  reveal(ts, focus = true) {
    const node = this.views.get(ts)?.node;
    if (!node) return false;
    this.stick = false;
    node.scrollIntoView({ block: "center" });
    node.classList.add("is-marked");
    setTimeout(() => node.classList.remove("is-marked"), 2500);
    if (focus) node.focus({ preventScroll: true });
    return true;
  }

  // ---- roving focus ------------------------------------------------------------------------------------------------

  get nodes() {
    return [...this.list.querySelectorAll(":scope > .message")];
  }

  keepTabStop() {
    const { nodes } = this;
    if (nodes.length && !nodes.some((node) => node.tabIndex === 0)) nodes.at(-1).tabIndex = 0;
    const stops = nodes.filter((node) => node.tabIndex === 0);
    // The newest message is the way in, unless the person is somewhere in the list.
    if (stops.length && !this.list.contains(document.activeElement)) {
      for (const node of stops) node.tabIndex = -1;
      nodes.at(-1).tabIndex = 0;
    }
  }

  focused(node) {
    if (!node) return;
    for (const other of this.nodes) other.tabIndex = other === node ? 0 : -1;
  }

  focus() {
    (this.nodes.find((node) => node.tabIndex === 0) ?? this.nodes.at(-1) ?? this.scroller).focus();
  }

  key(event) {
    if (!event.target.matches(".message")) {
      if (event.key === "Escape") event.target.closest(".message")?.focus();
      return;
    }
    const { nodes } = this;
    const at = nodes.indexOf(event.target);
    const to = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: nodes.length - 1 }[event.key];
    if (to === undefined || event.altKey || event.ctrlKey) return;
    event.preventDefault();
    nodes[Math.max(0, Math.min(to, nodes.length - 1))]?.focus();
  }
}

const dayLine = (date) => h("div", { class: "line day-line", role: "separator", "aria-label": dayLabel(date) }, h("span", {}, dayLabel(date)));
const newLine = () => h("div", { class: "line new-line", role: "separator", "aria-label": "New messages" }, h("span", {}, "New"));

function follows(before, message) {
  return (
    before?.author?.id === message.author?.id && before.author?.kind === message.author?.kind && !before.ephemeral === !message.ephemeral && !message.ephemeral &&
    !message.broadcast && !message.pinned && !before.subtype === !message.subtype && Number(message.ts) - Number(before.ts) < GROUP_SECONDS
  );
}
