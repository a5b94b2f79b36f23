// The select of Block Kit: one button that opens a searchable list, for one choice or several.

import { fill, h, icon } from "./dom.js";
import { withEmoji } from "./mrkdwn.js";
import { closePopup, popup } from "./overlay.js";

let serial = 0;

/** Make a picker.
 *
 * `options(query)` returns (or promises) `[{value, label, hint?, group?}]`; `label(value)` the text of a chosen value;
 * `onchange(value)` is told the new value: a string or null, or a list when `many`.
 */
export function picker({ label, placeholder, value, many = false, most = 100, options, labelOf, onchange, least = 0, searchable = true, dataKey, describedBy, clearable = true }) {
  let chosen = many ? [...(value ?? [])] : (value ?? null);
  const button = h("button", {
    type: "button", class: "select", "aria-haspopup": "listbox", "aria-expanded": "false",
    "aria-describedby": describedBy, data: dataKey ? { key: dataKey } : {}, onclick: () => show(),
  });

  const draw = () => {
    const labels = (many ? chosen : chosen === null ? [] : [chosen]).map((one) => labelOf(one));
    const shown = labels.length
      ? many ? h("span", { class: "chips" }, labels.map((text) => h("span", { class: "chip" }, withEmoji(text)))) : h("span", { class: "select-value" }, withEmoji(labels[0]))
      : h("span", { class: "select-placeholder" }, withEmoji(placeholder));
    fill(button, shown, icon("down"));
    button.setAttribute("aria-label", `${label}: ${labels.length ? labels.join(", ") : placeholder}`);
  };

  const choose = (option) => {
    if (many) {
      if (chosen.includes(option.value)) chosen = chosen.filter((one) => one !== option.value);
      else if (chosen.length < most) chosen = [...chosen, option.value];
    } else {
      chosen = option === null ? null : option.value;
    }
    draw();
    onchange(chosen);
  };

  const show = () => {
    if (button.getAttribute("aria-expanded") === "true") return closePopup(true);
    const before = JSON.stringify(chosen);
    const list = new OptionList({ many, most, least, options, label, chosen: () => chosen, choose: (option) => {
      choose(option);
      if (!many) closePopup(true);
    } });
    if (!many && clearable && chosen !== null) list.clear = () => {
      choose(null);
      closePopup(true);
    };
    popup(button, list.node(searchable), { onclose: () => many && JSON.stringify(chosen) !== before && onchange(chosen, true) });
    list.start();
    return undefined;
  };
  draw();
  return button;
}

/** Return the options that match a query; those with a word that starts with it come first. */
export function matching(options, query) {
  const wanted = query.toLowerCase();
  const texts = options.map((option) => [option, `${option.label} ${option.hint ?? ""}`.toLowerCase()]).filter(([, text]) => text.includes(wanted));
  const isStart = ([, text]) => text.split(/[\s@#·-]+/).some((word) => word.startsWith(wanted));
  return [...texts.filter(isStart), ...texts.filter((one) => !isStart(one))].map(([option]) => option);
}

/** The searchable list inside a picker's pop-up. */
class OptionList {
  constructor(settings) {
    Object.assign(this, settings);
    serial += 1;
    this.id = `options-${serial}`;
    this.found = [];
    this.at = -1;
    this.turn = 0;
    this.clear = null;
  }

  node(searchable) {
    this.input = h("input", {
      type: "text", class: "picker-search", role: "combobox", "aria-expanded": "true", "aria-autocomplete": "list", "aria-controls": this.id,
      "aria-label": `Search ${this.label}`, placeholder: this.least ? `Type ${this.least} or more letters` : "Type to filter", autocomplete: "off", spellcheck: "false",
      oninput: () => this.search(), onkeydown: (event) => this.key(event),
    });
    this.input.readOnly = !searchable;
    this.list = h("div", { class: "picker-list", role: "listbox", id: this.id, "aria-label": this.label, "aria-multiselectable": this.many ? "true" : null });
    this.state = h("div", { class: "picker-state", role: "status" });
    const clear = this.clear ? h("button", { type: "button", class: "picker-clear", onclick: () => this.clear() }, "Clear the choice") : null;
    return h("div", { class: searchable ? "picker" : "picker is-plain" }, this.input, this.list, this.state, clear);
  }

  start() {
    this.input.focus();
    this.search(true);
  }

  async search(first = false) {
    const query = this.input.value.trim();
    const turn = ++this.turn;
    if (query.length < this.least) return this.say(`Type ${this.least} or more letters.`);
    if (!first && this.least !== undefined && this.slow) await new Promise((done) => setTimeout(done, 250));
    if (turn !== this.turn) return undefined;
    const answer = this.options(query);
    if (answer instanceof Promise) {
      this.slow = true;
      this.say("Searching…");
    }
    let found;
    try {
      found = await answer;
    } catch (problem) {
      if (turn === this.turn) this.say(problem.message);
      return undefined;
    }
    if (turn !== this.turn) return undefined;
    this.found = found;
    const chosen = this.chosen();
    this.at = Math.max(0, found.findIndex((option) => option.value === chosen));
    this.draw();
    return undefined;
  }

  say(text) {
    this.found = [];
    this.list.replaceChildren();
    this.state.textContent = text;
  }

  draw() {
    this.state.textContent = this.found.length ? "" : "No matching choice.";
    const chosen = this.chosen();
    let group;
    this.list.replaceChildren();
    this.found.forEach((option, index) => {
      if (option.group !== group) {
        group = option.group;
        if (group) this.list.append(h("div", { class: "menu-heading", role: "presentation" }, group));
      }
      const isChosen = this.many ? chosen.includes(option.value) : option.value === chosen;
      this.list.append(h("div", {
        class: "picker-option", role: "option", id: `${this.id}-${index}`, "aria-selected": String(isChosen), data: { at: index },
        onclick: () => this.pick(index), onpointermove: () => this.move(index, false),
      }, h("span", { class: "tick", "aria-hidden": "true" }, isChosen ? "✓" : ""), h("span", { class: "menu-label" }, withEmoji(option.label), option.hint ? h("small", {}, withEmoji(option.hint)) : null)));
    });
    if (this.found.length) this.move(Math.min(this.at, this.found.length - 1));
  }

  move(to, scroll = true) {
    this.at = to;
    for (const node of this.list.querySelectorAll(".picker-option")) node.classList.toggle("is-active", Number(node.dataset.at) === to);
    const node = document.getElementById(`${this.id}-${to}`);
    this.input.setAttribute("aria-activedescendant", node?.id ?? "");
    if (scroll) node?.scrollIntoView({ block: "nearest" });
  }

  pick(index) {
    if (!this.found[index]) return;
    this.at = index;
    this.choose(this.found[index]);
    if (this.many && this.list.isConnected) this.draw();
  }

  key(event) {
    const last = this.found.length - 1;
    const to = { ArrowDown: this.at >= last ? 0 : this.at + 1, ArrowUp: this.at <= 0 ? last : this.at - 1, PageDown: Math.min(last, this.at + 8), PageUp: Math.max(0, this.at - 8) }[event.key];
    if (to !== undefined && last >= 0) {
      event.preventDefault();
      this.move(to);
    } else if (event.key === "Enter") {
      event.preventDefault();
      this.pick(this.at);
    } else if (event.key === "Tab") {
      closePopup(true);
    }
  }
}
