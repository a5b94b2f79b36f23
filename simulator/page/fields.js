// Keeps what the fields of one message or view hold: what the simulator knows and what was typed since.

const LISTS = /^multi_|^checkboxes$|^file_input$/;

/** Say whether an element of this type holds a list. */
export const isMany = (type) => LISTS.test(type);

const plainOption = (value) => (value && typeof value === "object" ? (value.value ?? value.id ?? null) : value);

/** Return the plain value of one entry of Slack's `state.values`. */
export function plainState(state) {
  if (!state) return undefined;
  if (state.type === "rich_text_input") return richToPlain(state.rich_text_value);
  const found = Object.entries(state).find(([name]) => name !== "type");
  if (!found) return undefined;
  return Array.isArray(found[1]) ? found[1].map(plainOption) : plainOption(found[1]);
}

function richToPlain(value) {
  if (!value || typeof value === "string") return value ?? null;
  if (Array.isArray(value)) return value.map(richToPlain).join("");
  return value.text ?? richToPlain(value.elements ?? []);
}

/** Return the value an element starts with. */
export function initialOf(element) {
  for (const [name, value] of Object.entries(element)) {
    if (!name.startsWith("initial_")) continue;
    if (element.type === "rich_text_input") return richToPlain(value);
    return Array.isArray(value) ? value.map(plainOption) : plainOption(value);
  }
  return isMany(element.type) ? [] : null;
}

/** The values of the fields of one message or view. */
export class Fields {
  constructor(known = {}) {
    this.known = known;
    this.typed = {};
    this.labels = new Map();
  }

  get(block, element) {
    const typed = this.typed[block.block_id]?.[element.action_id];
    if (typed !== undefined) return typed;
    const known = plainState(this.known[block.block_id]?.[element.action_id]);
    return known === undefined ? initialOf(element) : known;
  }

  set(block, element, value) {
    (this.typed[block.block_id] ??= {})[element.action_id] = value;
  }

  /** Remember the label of an option found by a search, so that the choice can be shown later. */
  label(option) {
    this.labels.set(option.value, option);
  }
}
