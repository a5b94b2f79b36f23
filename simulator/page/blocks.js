// Draws Block Kit blocks, keeping what did not change so that focus and typed text stay.

import { fill, h, keepFocus, link, reconcile, safeUrl } from "./dom.js";
import { element } from "./elements.js";
import { markdown } from "./markdown.js";
import { mrkdwn, textObject } from "./mrkdwn.js";
import { richText } from "./richtext.js";

/** Make `container` show these blocks; children whose block is unchanged stay as they are. */
export function syncBlocks(container, blocks, surface) {
  surface.blocks = blocks;
  const focus = keepFocus(container);
  const before = new Map([...container.children].map((child) => [child.blockKey, child]));
  reconcile(container, blocks.map((block, index) => {
    const blockKey = `${block.block_id ?? index} ${JSON.stringify(block)}`;
    const kept = before.get(blockKey);
    if (kept) return kept;
    const node = draw(surface, block);
    node.blockKey = blockKey;
    node.dataset.block = block.block_id ?? "";
    return node;
  }));
  focus?.();
}

function draw(surface, block) {
  try {
    return (DRAWN[block.type] ?? unknown)(block, surface.store.names, surface);
  } catch (problem) {
    console.error("A block could not be drawn", problem);
    return unknown(block);
  }
}

const unknown = (block) => h("div", { class: "block muted" }, `(a ${block.type} block is not shown here)`);

function section(block, names, surface) {
  const body = h("div", { class: "section-body" },
    block.text ? h("div", { class: "section-text" }, textObject(block.text, names)) : null,
    block.fields ? h("div", { class: "section-fields" }, block.fields.map((field) => h("div", {}, textObject(field, names)))) : null);
  const side = block.accessory ? accessory(block, names, surface) : null;
  return h("div", { class: "block section" }, body, side);
}

function accessory(block, _names, surface) {
  const item = block.accessory;
  if (item.type === "image") return h("div", { class: "accessory" }, image(item, "accessory-image"));
  return h("div", { class: ["radio_buttons", "checkboxes"].includes(item.type) ? "accessory is-wide" : "accessory" }, element(surface, block, item));
}

function image(item, className) {
  const src = safeUrl(item.image_url ?? item.slack_file?.url ?? "");
  if (!src || !/^https?:/.test(src)) return h("span", { class: "muted" }, `[image: ${item.alt_text}]`);
  const node = h("img", { class: className, src, alt: item.alt_text, loading: "lazy", referrerpolicy: "no-referrer" });
  node.addEventListener("error", () => node.replaceWith(h("span", { class: "image-missing" }, item.alt_text)));
  return node;
}

function context(block, names) {
  return h("div", { class: "block context" }, block.elements.map((item) => (item.type === "image" ? image(item, "context-image") : h("span", {}, textObject(item, names)))));
}

function imageBlock(block, names) {
  return h("figure", { class: "block image" }, block.title ? h("figcaption", {}, textObject(block.title, names)) : null, image(block, "block-image"));
}

function input(block, names, surface) {
  const id = `e-${block.block_id}`;
  const node = element(surface, block, block.element, block.label.text);
  return h("div", { class: "block input" },
    h("div", { class: "label" }, textObject(block.label, names), block.optional ? h("span", { class: "muted" }, " (optional)") : null),
    node,
    block.hint ? h("div", { class: "hint" }, textObject(block.hint, names)) : null,
    h("div", { class: "field-error", id, role: "alert" }));
}

function table(block, names) {
  const settings = block.column_settings ?? [];
  const cell = (value, index, tag) => {
    const setting = settings[index] ?? {};
    const content = value?.type === "rich_text" ? richText(value.elements, names) : String(value?.text ?? value?.value ?? "");
    const align = setting.align ?? (value?.type === "raw_number" ? "right" : "left");
    return h(tag, { class: `align-${align}${setting.is_wrapped ? "" : " is-tight"}`, scope: tag === "th" ? "col" : null }, content);
  };
  const [head, ...rows] = block.rows;
  return h("div", { class: "block table-box", tabindex: "0", role: "region", "aria-label": "Table" },
    h("table", {}, h("thead", {}, h("tr", {}, head.map((value, index) => cell(value, index, "th")))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map((value, index) => cell(value, index, "td")))))));
}

function alert(block, names) {
  const level = ["info", "warning", "error", "success"].includes(block.level) ? block.level : "default";
  const word = { info: "Info", warning: "Warning", error: "Error", success: "Done" }[level];
  return h("div", { class: `block alert is-${level}`, role: "note" }, word ? h("strong", {}, `${word}: `) : null, textObject(block.text, names));
}

function video(block, names) {
  return h("div", { class: "block video" },
    h("div", { class: "muted" }, block.provider_name ?? "Video", block.author_name ? ` · ${block.author_name}` : ""),
    link(block.title_url ?? block.video_url, textObject(block.title, names)),
    block.description ? h("div", {}, textObject(block.description, names)) : null,
    image({ image_url: block.thumbnail_url, alt_text: block.alt_text }, "block-image"));
}

function card(block, names, surface) {
  return h("div", { class: "block card" },
    block.hero_image ? image(block.hero_image, "block-image") : null,
    h("div", { class: "card-head" }, block.icon ? image(block.icon, "context-image") : null,
      h("div", {}, block.title ? h("strong", {}, textObject(block.title, names)) : null, block.subtitle ? h("div", { class: "muted" }, textObject(block.subtitle, names)) : null)),
    block.body ? h("div", { class: "section-text" }, textObject(block.body, names)) : null,
    block.actions ? h("div", { class: "actions" }, block.actions.map((item) => element(surface, block, item))) : null);
}

const actions = (block, _names, surface) => h("div", { class: "block actions" }, block.elements.map((item) => element(surface, block, item)));

const DRAWN = {
  section, context, input, table, alert, video, card, actions,
  context_actions: actions,
  image: imageBlock,
  header: (block, names) => h("div", { class: "block header", role: "heading", "aria-level": "3" }, textObject(block.text, names)),
  divider: () => h("hr", { class: "block divider" }),
  rich_text: (block, names) => h("div", { class: "block rich" }, richText(block.elements, names)),
  markdown: (block, names) => h("div", { class: "block markdown" }, markdown(block.text, names)),
  carousel: (block, names, surface) => h("div", { class: "block carousel", tabindex: "0", role: "group", "aria-label": "Cards" }, block.elements.map((item) => card(item, names, surface))),
  file: (block) => h("div", { class: "block muted" }, `File ${block.external_id ?? ""}`),
};

/** Draw a message's older attachments: a coloured bar with texts, fields or blocks. */
export function attachments(list, surface) {
  const { names } = surface.store;
  return (list ?? []).map((item) => {
    const body = h("div", { class: "attachment" });
    const color = { good: "#2e9e6b", warning: "#c98a14", danger: "#d0453b" }[item.color] ?? (/^#?[0-9a-f]{3,8}$/i.test(item.color ?? "") ? `#${item.color.replace("#", "")}` : null);
    if (color) body.style.borderLeftColor = color;
    if (item.blocks?.length) {
      const inside = h("div", { class: "blocks" });
      syncBlocks(inside, item.blocks, surface);
      return fill(body, inside);
    }
    return fill(body,
      item.pretext ? h("div", {}, mrkdwn(item.pretext, names)) : null,
      item.author_name ? h("div", { class: "muted" }, item.author_name) : null,
      item.title ? h("div", {}, h("strong", {}, item.title_link ? link(item.title_link, item.title) : item.title)) : null,
      item.text || item.fallback ? h("div", { class: "section-text" }, mrkdwn(item.text ?? item.fallback, names)) : null,
      item.fields ? h("div", { class: "section-fields" }, item.fields.map((field) => h("div", {}, h("strong", {}, field.title ?? ""), h("div", {}, mrkdwn(field.value ?? "", names))))) : null,
      item.image_url ? image({ image_url: item.image_url, alt_text: item.fallback ?? "image" }, "block-image") : null,
      item.footer ? h("div", { class: "muted" }, item.footer) : null);
  });
}
