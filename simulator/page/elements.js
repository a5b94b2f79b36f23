// The interactive elements of Block Kit and what happens when a person uses one.

import { Refusal, upload } from "./api.js";
import { announce, h, icon, safeUrl } from "./dom.js";
import { Fields, isMany } from "./fields.js";
import { textObject } from "./mrkdwn.js";
import { ask, menu } from "./overlay.js";
import { matching, picker } from "./picker.js";

/** Where blocks stand: on which message or view, with which fields. */
export class Surface {
  constructor(store, kind, where, fields = new Fields()) {
    Object.assign(this, { store, kind, where, fields, blocks: [] });
  }

  keyOf(block, element) {
    return `${this.where.view_id ?? `${this.where.channel}/${this.where.ts}`}|${block.block_id}|${element.action_id}`;
  }

  /** The typed values of fields that still stand here, as the simulator takes them. */
  typedValues() {
    const values = {};
    for (const [block, element] of fieldsOf(this.blocks)) {
      const typed = this.fields.typed[block.block_id]?.[element.action_id];
      if (typed !== undefined) (values[block.block_id] ??= {})[element.action_id] = typed === "" ? null : typed;
    }
    return values;
  }
}

function* fieldsOf(blocks) {
  for (const block of blocks) {
    if (block.element) yield [block, block.element];
    if (block.accessory) yield [block, block.accessory];
    if (block.type === "actions") for (const element of block.elements) yield [block, element];
  }
}

async function confirmed(surface, confirm, element) {
  const danger = (confirm.style ?? element.style) === "danger";
  const words = (value, otherwise) => (typeof value === "string" ? value : (value?.text ?? otherwise));
  return ask({
    title: words(confirm.title, "Are you sure?"), text: textObject(confirm.text, surface.store.names),
    confirm: words(confirm.confirm, "Yes"), deny: words(confirm.deny, "Cancel"), danger,
  });
}

/** Do what a click, a choice or typed text stands for; the control shows that it works until the app has answered. */
export async function act(surface, block, element, value, control, confirm = element.confirm) {
  if (control?.getAttribute("aria-busy") === "true") return false;
  if (confirm && !(await confirmed(surface, confirm, element))) return false;
  const { store, where } = surface;
  const body = { ...where, block_id: block.block_id, action_id: element.action_id };
  if (value !== undefined) body.value = value;
  if (where.view_id) body.values = surface.typedValues();
  if (confirm) body.confirmed = true;
  busy(control, true);
  try {
    const answer = await store.act("click", body);
    const fault = store.outcomeFault(answer.outcome);
    if (fault) store.notice(where, fault);
    return !fault;
  } catch (problem) {
    if (!(problem instanceof Refusal)) throw problem;
    if (problem.code === "confirmation_needed" && !confirm) {
      busy(control, false);
      return act(surface, block, element, value, control, problem.answer.confirm);
    }
    store.notice(where, problem.message);
    return false;
  } finally {
    busy(control, false);
  }
}

/** Mark a control as working, without taking its focus away. */
export function busy(control, isBusy) {
  if (!control) return;
  control.toggleAttribute("data-busy", isBusy);
  if (isBusy) {
    control.setAttribute("aria-busy", "true");
    announce("Working…");
  } else control.removeAttribute("aria-busy");
}

/** Draw one element; `label` is the label of its input block, if it stands in one. */
export function element(surface, block, item, label = null) {
  const draw = DRAWN[item.type] ?? (item.type.endsWith("_select") ? select : unknown);
  return draw(surface, block, item, label);
}

const unknown = (_surface, _block, item) => h("span", { class: "muted" }, `(${item.type} is not shown here)`);

function button(surface, block, item) {
  const href = item.url ? safeUrl(item.url) : null;
  const style = { primary: "button is-primary", danger: "button is-danger" }[item.style] ?? "button";
  const props = { class: style, "aria-label": item.accessibility_label, data: { key: surface.keyOf(block, item) } };
  const text = h("span", { class: "button-text" }, textObject(item.text, surface.store.names));
  if (href) {
    const node = h("a", { ...props, href, target: "_blank", rel: "noopener noreferrer", onclick: () => act(surface, block, item, undefined, node) }, text, icon("out"));
    return node;
  }
  const node = h("button", { ...props, type: "button", onclick: () => act(surface, block, item, undefined, node) }, text);
  return node;
}

function iconButtonElement(surface, block, item) {
  return button(surface, block, { ...item, style: null });
}

function feedback(surface, block, item) {
  const one = (part, sign) => {
    const node = h("button", { type: "button", class: "button", "aria-label": part.accessibility_label ?? part.text.text, onclick: () => act(surface, block, item, part.value, node) }, `${sign} `, part.text.text);
    return node;
  };
  return h("span", { class: "pair" }, one(item.positive_button, "👍"), one(item.negative_button, "👎"));
}

function overflow(surface, block, item) {
  const node = h("button", {
    type: "button", class: "button is-overflow", "aria-label": "More actions", title: "More actions", "aria-haspopup": "menu", "aria-expanded": "false", data: { key: surface.keyOf(block, item) },
    onclick: () => menu(node, "More actions", item.options.map((option) => ({
      label: textObject(option.text, surface.store.names), hint: option.description ? textObject(option.description, surface.store.names) : null,
      href: option.url ? safeUrl(option.url) : null, act: () => act(surface, block, item, option.value, node),
    })), { align: "end" }),
  }, icon("more"));
  return node;
}

// ---- fields ------------------------------------------------------------------------------------------------------

const NAMES = {
  static: ["an option", "options"], external: ["an option", "options"], users: ["a person", "people"], channels: ["a channel", "channels"], conversations: ["a conversation", "conversations"],
};

/** Keep a field's new value and, where the app wants to hear of it, tell the app. */
function changed(surface, block, item, value, control, dispatch = true) {
  surface.fields.set(block, item, value);
  control?.closest("[data-block]")?.classList.remove("has-error");
  if (dispatch && (block.type !== "input" || block.dispatch_action)) act(surface, block, item, value, control);
}

function nameOf(item, label) {
  return label ?? item.placeholder?.text ?? "Choice";
}

function select(surface, block, item, label) {
  const { fields } = surface;
  const many = item.type.startsWith("multi_");
  const noun = item.type.replace("multi_", "").replace("_select", "");
  const source = SOURCES[noun](surface, block, item);
  const node = picker({
    label: nameOf(item, label), placeholder: item.placeholder?.text ?? `Choose ${NAMES[noun][many ? 1 : 0]}`,
    value: fields.get(block, item), many, most: item.max_selected_items ?? 100, options: source.options, labelOf: source.labelOf ?? ((value) => value),
    least: noun === "external" ? (item.min_query_length ?? 3) : 0, dataKey: surface.keyOf(block, item), describedBy: label ? `e-${block.block_id}` : null,
    clearable: block.type === "input" && Boolean(block.optional),
    onchange: (value, last) => {
      // Several choices are told to the app together, once the list closes.
      fields.set(block, item, value);
      if (!many || last) changed(surface, block, item, value, node);
    },
  });
  return node;
}

const optionOf = (option, group) => ({ value: option.value, label: option.text.text, hint: option.description?.text, group });

const SOURCES = {
  static: (_surface, _block, item) => {
    const all = [...(item.options ?? []).map((option) => optionOf(option)), ...(item.option_groups ?? []).flatMap((group) => group.options.map((option) => optionOf(option, group.label.text)))];
    return { options: (query) => inGroups(matching(all, query)), labelOf: (value) => all.find((option) => option.value === value)?.label ?? value };
  },
  external: (surface, block, item) => {
    for (const option of [item.initial_option, ...(item.initial_options ?? [])]) if (option) surface.fields.label(optionOf(option));
    const known = surface.fields.known[block.block_id]?.[item.action_id];
    for (const option of [known?.selected_option, ...(known?.selected_options ?? [])]) if (option?.text) surface.fields.label(optionOf(option));
    return {
      options: async (query) => {
        const answer = await surface.store.act("options", { ...surface.where, block_id: block.block_id, action_id: item.action_id, query });
        const fault = surface.store.outcomeFault(answer.outcome);
        if (fault) throw new Error(fault);
        const found = [...(answer.options ?? []).map((option) => optionOf(option)), ...(answer.option_groups ?? []).flatMap((group) => group.options.map((option) => optionOf(option, group.label.text)))];
        for (const option of found) surface.fields.label(option);
        return found;
      },
      labelOf: (value) => surface.fields.labels.get(value)?.label ?? value,
    };
  },
  users: ({ store }) => ({
    options: (query) => matching(people(store), query),
    labelOf: (id) => store.users.get(id)?.real_name || store.users.get(id)?.name || id,
  }),
  channels: ({ store }) => ({
    options: (query) => matching([...store.channels.values()].filter((channel) => channel.kind === "channel").map(channelOption(store)), query),
    labelOf: (id) => channelOption(store)(store.channels.get(id) ?? { name: id, kind: "channel" }).label,
  }),
  conversations: ({ store }, _block, item) => ({
    options: (query) => matching([...store.channels.values()].filter(included(item.filter)).map(channelOption(store)), query),
    labelOf: (id) => channelOption(store)(store.channels.get(id) ?? { name: id, kind: "channel" }).label,
  }),
};

/** Keep the options of a group together, whatever order they were found in. */
function inGroups(options) {
  const groups = [...new Set(options.map((option) => option.group))];
  return groups.flatMap((group) => options.filter((option) => option.group === group));
}

const people = (store) => [...store.users.values()].filter((user) => !user.deleted).map((user) => ({ value: user.id, label: user.real_name || user.name, hint: `@${user.name}` }));
const channelOption = (store) => (channel) => ({ value: channel.id, label: channel.kind === "im" ? store.channelTitle(channel) : `#${channel.name}` });

function included(filter) {
  const kinds = (filter?.include ?? ["public", "private", "im"]).map((kind) => (kind === "public" ? "channel" : kind));
  return (channel) => kinds.includes(channel.kind);
}

let serial = 0;

function choices(surface, block, item, label) {
  const many = isMany(item.type);
  serial += 1;
  const group = `choice-${serial}`;
  const node = h("div", { class: "choices", role: many ? "group" : "radiogroup", "aria-label": nameOf(item, label ?? (many ? "Choices" : "Choice")), data: { key: surface.keyOf(block, item) } });
  const now = surface.fields.get(block, item) ?? [];
  for (const option of item.options ?? []) {
    const input = h("input", {
      type: many ? "checkbox" : "radio", name: group, value: option.value, checked: many ? now.includes(option.value) : now === option.value,
      onchange: () => {
        const chosen = [...node.querySelectorAll("input:checked")].map((one) => one.value);
        changed(surface, block, item, many ? chosen : (chosen[0] ?? null), node);
      },
    });
    node.append(h("label", { class: "choice" }, input, h("span", {}, textObject(option.text, surface.store.names), option.description ? h("small", {}, textObject(option.description, surface.store.names)) : null)));
  }
  return node;
}

function text(surface, block, item, label) {
  const most = item.max_length ?? (item.type === "plain_text_input" ? 3000 : null);
  const type = { email_text_input: "email", url_text_input: "url" }[item.type] ?? "text";
  const multiline = item.multiline || item.type === "rich_text_input";
  const value = surface.fields.get(block, item) ?? "";
  const triggers = item.dispatch_action_config?.trigger_actions_on ?? ["on_enter_pressed"];
  const count = item.max_length ? h("span", { class: "count", "aria-hidden": "true" }) : null;
  let later;
  const tell = () => act(surface, block, item, node.value || null, node);
  const node = h(multiline ? "textarea" : "input", {
    class: "field", type: multiline ? null : type, rows: multiline ? 4 : null, placeholder: item.placeholder?.text, value: String(value), "aria-label": label ?? item.placeholder?.text ?? "Text",
    "aria-describedby": `e-${block.block_id}`, inputmode: item.type === "number_input" ? "decimal" : null, autocomplete: "off", data: { key: surface.keyOf(block, item) },
    oninput: () => {
      if (most && [...node.value].length > most) node.value = [...node.value].slice(0, most).join("");
      changed(surface, block, item, node.value, node, false);
      counted();
      if (block.dispatch_action && triggers.includes("on_character_entered")) {
        clearTimeout(later);
        later = setTimeout(tell, 400);
      }
    },
    onkeydown: (event) => {
      if (event.key !== "Enter" || multiline || event.isComposing) return;
      event.preventDefault();
      if (block.dispatch_action && triggers.includes("on_enter_pressed")) tell();
      else node.closest("form")?.requestSubmit();
    },
  });
  const counted = () => count && (count.textContent = `${item.max_length - [...node.value].length}`);
  counted();
  return count ? h("div", { class: "counted" }, node, count) : node;
}

function moment(surface, block, item, label) {
  const type = { datepicker: "date", timepicker: "time", datetimepicker: "datetime-local" }[item.type];
  const zone = (unix) => new Date(unix * 1000 - new Date(unix * 1000).getTimezoneOffset() * 60000).toISOString().slice(0, 16);
  const value = surface.fields.get(block, item);
  const plain = () => {
    if (!node.value) return null;
    return type === "datetime-local" ? Math.floor(new Date(node.value).getTime() / 1000) : node.value.slice(0, type === "time" ? 5 : 10);
  };
  let later;
  let told = value ?? null;
  const tell = () => {
    clearTimeout(later);
    if (plain() === told) return;
    told = plain();
    changed(surface, block, item, told, node);
  };
  // Typing a date changes it figure by figure: wait until the person has finished.
  const node = h("input", {
    class: "field is-short", type, value: value ? (type === "datetime-local" ? zone(value) : String(value)) : "", "aria-label": nameOf(item, label ?? { date: "Date", time: "Time" }[type] ?? "Date and time"),
    "aria-describedby": `e-${block.block_id}`, data: { key: surface.keyOf(block, item) },
    onchange: () => {
      surface.fields.set(block, item, plain());
      clearTimeout(later);
      later = setTimeout(tell, 700);
    },
    onblur: tell,
  });
  return node;
}

function file(surface, block, item, label) {
  const state = h("span", { class: "muted", role: "status" });
  return h("div", {}, h("input", {
    type: "file", class: "field", multiple: (item.max_files ?? 10) > 1, accept: item.filetypes?.map((type) => `.${type}`).join(","), "aria-label": label ?? "Files", data: { key: surface.keyOf(block, item) },
    onchange: async (event) => {
      state.textContent = "Uploading…";
      try {
        const answers = await Promise.all([...event.target.files].slice(0, item.max_files ?? 10).map((one) => upload({ as: surface.store.me.id }, one)));
        surface.fields.set(block, item, answers.map((answer) => answer.file.id));
        state.textContent = `${answers.length} uploaded`;
      } catch (problem) {
        state.textContent = problem.message;
      }
    },
  }), state);
}

const DRAWN = {
  button, overflow, checkboxes: choices, radio_buttons: choices, icon_button: iconButtonElement, feedback_buttons: feedback,
  plain_text_input: text, email_text_input: text, url_text_input: text, number_input: text, rich_text_input: text,
  datepicker: moment, timepicker: moment, datetimepicker: moment, file_input: file,
};

