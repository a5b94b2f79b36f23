// Turns rich_text blocks into nodes.

import { h, link } from "./dom.js";
import { emoji } from "./emoji.js";
import { broadcast, channelMention, dateNode, emojiNode, groupMention, userMention } from "./mrkdwn.js";

/** Return the nodes of a rich_text block's elements. */
export function richText(elements, names) {
  const nodes = [];
  for (const element of elements ?? []) {
    if (element.type === "rich_text_list") nodes.push(list(element, names));
    else if (element.type === "rich_text_quote") nodes.push(h("blockquote", {}, pieces(element.elements, names)));
    else if (element.type === "rich_text_preformatted") {
      nodes.push(h("pre", { class: "pre", tabindex: "0", "data-language": element.language }, pieces(element.elements, names)));
    } else nodes.push(h("div", { class: "rich-section" }, pieces(element.elements, names)));
  }
  return nodes;
}

function list(element, names) {
  const ordered = element.style === "ordered";
  const indent = Math.min(element.indent ?? 0, 8);
  return h(
    ordered ? "ol" : "ul",
    { class: `rich-list depth-${indent % 3}`, start: ordered && element.offset ? element.offset + 1 : null, data: { indent } },
    (element.elements ?? []).map((item) => h("li", {}, pieces(item.elements, names))),
  );
}

function pieces(elements, names) {
  return (elements ?? []).map((item) => styled(piece(item, names), item.style));
}

function piece(item, names) {
  switch (item.type) {
    case "text":
      return item.text ?? "";
    case "link":
      return item.style?.unlink ? (item.text ?? item.url) : link(item.url, item.text || item.url);
    case "emoji": {
      const char = emoji(item.name) ?? fromCodes(item.unicode);
      return char ? emojiNode(item.name, char) : `:${item.name}:`;
    }
    case "user":
      return userMention(item.user_id, names);
    case "usergroup":
      return groupMention(item.usergroup_id, names);
    case "channel":
      return channelMention(item.channel_id, names);
    case "broadcast":
      return broadcast(item.range);
    case "date":
      return dateNode(item.timestamp, item.format, item.url, item.fallback);
    case "color": {
      const swatch = h("span", { class: "swatch", "aria-hidden": "true" });
      if (CSS.supports("color", item.value)) swatch.style.backgroundColor = item.value;
      return h("span", { class: "color" }, swatch, item.value);
    }
    default:
      return item.text ?? "";
  }
}

function fromCodes(codes) {
  if (!/^[0-9a-f]{2,6}(-[0-9a-f]{2,6})*$/i.test(codes ?? "")) return null;
  return String.fromCodePoint(...codes.split("-").map((code) => Math.min(parseInt(code, 16), 0x10ffff)));
}

const TAGS = { bold: "strong", italic: "em", strike: "s", underline: "u", code: "code", highlight: "mark", client_highlight: "mark" };

function styled(content, style) {
  let node = content;
  for (const [name, tag] of Object.entries(TAGS)) if (style?.[name]) node = h(tag, {}, node);
  return node;
}
