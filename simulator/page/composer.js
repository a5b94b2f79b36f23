// Where messages are written: sending, drafts, completion of commands, people, channels and emoji, files.

import { Refusal } from "./api.js";
import { announce, fill, h, iconButton } from "./dom.js";
import { EMOJI } from "./emoji.js";
import { plain } from "./mrkdwn.js";
import { menu, toast } from "./overlay.js";

const drafts = new Map();

/** A composer for a channel, or for a thread when `place().thread` names one. */
export class Composer {
  constructor(store, { place, label, inThread = false, onsent = () => {}, oneditlast = () => {} }) {
    Object.assign(this, { store, place, label, inThread, onsent, oneditlast });
    this.id = inThread ? "thread-composer" : "composer";
    this.area = h("textarea", {
      rows: 1, id: this.id, role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": `${this.id}-list`, "aria-haspopup": "listbox",
      oninput: () => this.typed(), onkeydown: (event) => this.key(event), onblur: () => setTimeout(() => this.hide(), 150), onpaste: (event) => this.pasted(event),
    });
    this.list = h("div", { class: "completion", role: "listbox", id: `${this.id}-list`, hidden: true });
    this.hint = h("div", { class: "usage", role: "status", hidden: true });
    this.fault = h("div", { class: "composer-fault", role: "alert" });
    this.state = h("div", { class: "composer-state", role: "status" });
    this.also = h("input", { type: "checkbox" });
    this.alsoText = h("span", {});
    this.send = iconButton("send", "Send (Enter)", () => this.submit(), { class: "icon-button send" });
    this.file = h("input", { type: "file", hidden: true, multiple: true, "aria-label": "Attach a file", onchange: () => this.attach([...this.file.files]) });
    this.node = h("form", { class: "composer", onsubmit: (event) => event.preventDefault(), ondragover: (event) => event.preventDefault(), ondrop: (event) => this.dropped(event) },
      this.list, this.hint,
      h("div", { class: "composer-box" }, this.area,
        h("div", { class: "composer-bar" },
          iconButton("plus", "Attach and shortcuts", (event) => this.more(event.currentTarget), { "aria-haspopup": "menu", "aria-expanded": "false" }),
          iconButton("at", "Mention someone", () => this.insert("@")),
          inThread ? null : iconButton("slash", "Commands", () => this.insertCommand()),
          inThread ? h("label", { class: "also" }, this.also, this.alsoText) : null,
          h("span", { class: "spacer" }), this.send, this.file)),
      this.fault, this.state);
    this.options = [];
    this.at = 0;
  }

  get draftKey() {
    const { channel, thread } = this.place();
    return `${this.store.me?.id} ${channel} ${thread ?? ""}`;
  }

  /** Show the draft and name of the present place. */
  refresh() {
    const name = this.label();
    this.area.setAttribute("aria-label", name);
    this.area.placeholder = name;
    this.area.value = drafts.get(this.draftKey) ?? "";
    this.alsoText.textContent = "Also send to the channel";
    this.also.checked = false;
    this.say("");
    this.hide();
    this.usage(this.area.value);
    this.grow();
  }

  focus() {
    this.area.focus();
  }

  say(fault, state = "") {
    this.fault.textContent = fault;
    this.state.textContent = state;
  }

  grow() {
    this.area.style.height = "auto";
    this.area.style.height = `${Math.min(this.area.scrollHeight, 240)}px`;
    this.send.toggleAttribute("data-ready", this.area.value.trim() !== "");
  }

  typed() {
    if (this.area.value) drafts.set(this.draftKey, this.area.value);
    else drafts.delete(this.draftKey);
    this.fault.textContent = "";
    this.grow();
    this.complete();
  }

  insert(text) {
    const { selectionStart: from, selectionEnd: to, value } = this.area;
    const gap = from > 0 && !/\s/.test(value[from - 1]) ? " " : "";
    this.area.setRangeText(gap + text, from, to, "end");
    this.area.focus();
    this.typed();
  }

  insertCommand() {
    if (!this.area.value.startsWith("/")) this.area.value = `/${this.area.value}`;
    this.area.setSelectionRange(1, 1);
    this.area.focus();
    this.typed();
  }

  async submit() {
    const text = this.area.value.trim();
    if (!text) return;
    const { channel, thread } = this.place();
    const isCommand = text.startsWith("/");
    const draftKey = this.draftKey;
    this.area.value = "";
    drafts.delete(draftKey);
    this.hide();
    this.usage("");
    this.grow();
    this.say("", isCommand ? `Running ${text.split(/\s/)[0]}…` : "");
    try {
      const answer = await this.store.type(channel, text, thread, this.also.checked);
      const fault = this.store.outcomeFault(answer.outcome);
      this.say(fault ?? "");
      if (fault) this.giveBack(draftKey, text);
      this.also.checked = false;
      this.onsent(answer);
    } catch (problem) {
      if (!(problem instanceof Refusal)) throw problem;
      this.say(problem.message);
      this.giveBack(draftKey, text);
    }
  }

  /** Nothing typed is lost: a refused text comes back, unless something else was typed meanwhile. */
  giveBack(draftKey, text) {
    if (drafts.get(draftKey)) return;
    drafts.set(draftKey, text);
    if (draftKey === this.draftKey) {
      this.area.value = text;
      this.grow();
    }
  }

  // ---- files and shortcuts -----------------------------------------------------------------------------------------

  more(anchor) {
    const items = [{ label: "Upload a file", icon: "clip", act: () => this.file.click() }];
    const globals = this.store.shortcuts.filter((one) => one.type === "global");
    if (globals.length) items.push("-", { heading: `Shortcuts of ${this.store.appName}` });
    for (const one of globals) items.push({ label: one.name, hint: one.description, icon: "bolt", act: () => this.shortcut(one) });
    menu(anchor, "Attach and shortcuts", items);
  }

  async shortcut(one) {
    this.say("", `Opening ${one.name}…`);
    try {
      const answer = await this.store.act("shortcut", { callback_id: one.callback_id });
      this.say(this.store.outcomeFault(answer.outcome) ?? "");
    } catch (problem) {
      if (!(problem instanceof Refusal)) throw problem;
      this.say(problem.message);
    }
  }

  async attach(files) {
    const { channel, thread } = this.place();
    for (const file of files) {
      this.say("", `Uploading ${file.name}…`);
      try {
        await this.store.upload(channel, thread, this.area.value.trim(), file);
        this.area.value = "";
        this.typed();
        this.say("");
        announce(`${file.name} uploaded`);
        this.onsent({});
      } catch (problem) {
        if (!(problem instanceof Refusal)) throw problem;
        this.say("");
        toast(`${file.name} was not uploaded: ${problem.message}`, "error");
      }
    }
    this.file.value = "";
  }

  dropped(event) {
    if (!event.dataTransfer?.files.length) return;
    event.preventDefault();
    this.attach([...event.dataTransfer.files]);
  }

  pasted(event) {
    if (!event.clipboardData?.files.length) return;
    event.preventDefault();
    this.attach([...event.clipboardData.files]);
  }

  // ---- completion --------------------------------------------------------------------------------------------------

  complete() {
    const { value, selectionStart: end } = this.area;
    const upTo = value.slice(0, end);
    this.usage(value);
    const command = /^\/(\S*)$/.exec(upTo);
    const word = /(?:^|[\s(])([@#:])([\p{L}\p{N}_.+-]*)$/u.exec(upTo);
    if (command && !this.inThread) this.offer(this.commands(`/${command[1]}`), 0, end, "Commands");
    else if (word && (word[1] !== ":" || word[2].length > 1)) this.offer(this.candidates(word[1], word[2].toLowerCase()), end - word[2].length - 1, end, { "@": "People and groups", "#": "Channels", ":": "Emoji" }[word[1]]);
    else this.hide();
  }

  commands(start) {
    return this.store.commands.filter((one) => one.command.startsWith(start)).map((one) => ({ insert: `${one.command} `, exact: one.command === start, lead: "/", label: one.command, usage: one.usage_hint, hint: one.description }));
  }

  candidates(sign, query) {
    const starts = (...texts) => texts.some((text) => (text ?? "").toLowerCase().split(/\s+/).some((part) => part.startsWith(query)) || (text ?? "").toLowerCase().startsWith(query));
    if (sign === "#") return [...this.store.channels.values()].filter((one) => one.kind !== "im" && starts(one.name)).map((one) => ({ insert: `#${one.name} `, lead: "#", label: one.name, hint: plain(one.topic, this.store.names) })).slice(0, 8);
    if (sign === ":") return [...EMOJI].filter(([name]) => name.startsWith(query)).slice(0, 8).map(([name, char]) => ({ insert: `:${name}: `, lead: char, label: `:${name}:` }));
    const people = [...this.store.users.values()].filter((one) => !one.deleted && starts(one.name, one.real_name)).map((one) => ({ insert: `@${one.name} `, lead: "@", label: one.real_name || one.name, hint: one.is_bot ? `@${one.name} · app` : `@${one.name}` }));
    const groups = [...this.store.groups.values()].filter((one) => starts(one.handle, one.name)).map((one) => ({ insert: `@${one.handle} `, lead: "@", label: one.handle, hint: `${one.name} · group of ${one.members.length}` }));
    return [...people, ...groups].slice(0, 10);
  }

  usage(value) {
    const found = this.inThread ? null : this.store.commands.find((one) => value.startsWith(`${one.command} `));
    this.hint.hidden = !found;
    if (found) fill(this.hint, h("code", {}, `${found.command} ${found.usage_hint ?? ""}`), " ", h("span", { class: "muted" }, found.description ?? ""));
  }

  offer(options, from, to, label) {
    if (!options.length) return this.hide();
    Object.assign(this, { options, from, to, at: 0 });
    this.list.setAttribute("aria-label", label);
    fill(this.list, options.map((option, index) => h("div", { class: "completion-option", role: "option", id: `${this.id}-${index}`, onpointerdown: (event) => {
      event.preventDefault();
      this.take(index);
    } }, h("span", { class: "lead", "aria-hidden": "true" }, option.lead), h("span", { class: "menu-label" }, h("strong", {}, option.label), option.usage ? h("code", {}, option.usage) : null, option.hint ? h("small", {}, option.hint) : null))));
    this.list.hidden = false;
    this.area.setAttribute("aria-expanded", "true");
    this.move(0);
    return undefined;
  }

  hide() {
    this.options = [];
    this.list.hidden = true;
    this.area.setAttribute("aria-expanded", "false");
    this.area.removeAttribute("aria-activedescendant");
  }

  move(to) {
    this.at = (to + this.options.length) % this.options.length;
    [...this.list.children].forEach((node, index) => {
      node.classList.toggle("is-active", index === this.at);
      node.setAttribute("aria-selected", String(index === this.at));
    });
    this.area.setAttribute("aria-activedescendant", `${this.id}-${this.at}`);
    this.list.children[this.at].scrollIntoView({ block: "nearest" });
  }

  take(index) {
    const option = this.options[index];
    this.area.setRangeText(option.insert, this.from, this.to, "end");
    this.hide();
    this.area.focus();
    this.typed();
    this.hide();
  }

  key(event) {
    if (event.isComposing) return;
    const open = this.options.length > 0;
    if (open && ["ArrowDown", "ArrowUp"].includes(event.key)) {
      event.preventDefault();
      this.move(this.at + (event.key === "ArrowDown" ? 1 : -1));
    } else if (open && (event.key === "Tab" || event.key === "Enter") && !event.shiftKey && !(event.key === "Enter" && this.options[this.at].exact)) {
      event.preventDefault();
      this.take(this.at);
    } else if (open && event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      this.hide();
    } else if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.submit();
    } else if (event.key === "ArrowUp" && !this.area.value && !event.altKey) {
      event.preventDefault();
      this.oneditlast();
    }
  }
}
