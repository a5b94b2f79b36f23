// Turns Slack's mrkdwn into nodes: marks, code, quotes, links, mentions, dates and emoji.

import { fillTokens, full } from "./dates.js";
import { h, link } from "./dom.js";
import { emoji } from "./emoji.js";

/** Undo Slack's three escapes. */
export const unescape = (text) => text.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");

const TOKEN = /<([^<>\n]+)>|`([^`\n]+)`|(https?:\/\/[^\s<>|`*]*[^\s<>|`*_~.,;:!?)'"\]])|:([a-z0-9_+'-]+):(?::skin-tone-\d:)?|([*_~])/gi;
const STYLE = { "*": "strong", _: "em", "~": "s" };
const isWord = (char) => char !== undefined && /[\p{L}\p{N}]/u.test(char);

/** Return nodes for one mrkdwn text; `names` looks people, channels and groups up by id. */
export function mrkdwn(text, names) {
  const nodes = [];
  const parts = String(text ?? "").split(/```([\s\S]+?)```/);
  parts.forEach((part, index) => {
    if (index % 2) nodes.push(h("pre", { class: "pre", tabindex: "0" }, verbatim(part.replace(/^\n|\n$/g, ""))));
    else nodes.push(...quoted(trimmed(part, index > 0, index < parts.length - 1), names));
  });
  return nodes;
}

const trimmed = (part, afterBlock, beforeBlock) => {
  const start = afterBlock ? part.replace(/^\n/, "") : part;
  return beforeBlock ? start.replace(/\n$/, "") : start;
};

function verbatim(code) {
  return unescape(code.replace(/<([^<>\n|]+)(?:\|([^<>\n]+))?>/g, (_whole, target, label) => label ?? target));
}

function quoted(text, names) {
  const nodes = [];
  let plain = [];
  let quote = [];
  const flush = () => {
    if (plain.length) nodes.push(...inline(plain.join("\n"), names));
    if (quote.length) nodes.push(h("blockquote", {}, inline(quote.join("\n"), names)));
    plain = [];
    quote = [];
  };
  const lines = text.split("\n");
  for (let at = 0; at < lines.length; at += 1) {
    const rest = /^(?:&gt;|>){3}\s?/.exec(lines[at]);
    const found = /^(?:&gt;|>)\s?(.*)$/.exec(lines[at]);
    if (rest) {
      if (plain.length) flush();
      quote.push(lines[at].slice(rest[0].length), ...lines.slice(at + 1));
      break;
    } else if (found) {
      if (plain.length) flush();
      quote.push(found[1]);
    } else {
      if (quote.length) flush();
      plain.push(lines[at]);
    }
  }
  flush();
  return nodes;
}

/** Return nodes for mrkdwn without blocks (no quotes, no preformatted text). */
export function inline(text, names) {
  const nodes = [];
  let done = 0;
  const token = new RegExp(TOKEN);
  token.lastIndex = 0;
  const leaf = (until) => {
    if (until > done) nodes.push(unescape(text.slice(done, until)));
  };
  for (let found = token.exec(text); found; found = token.exec(text)) {
    const made = piece(found, text, names);
    if (!made) {
      if (found[5] || found[4]) token.lastIndex = found.index + 1;
      continue;
    }
    leaf(found.index);
    nodes.push(made.node);
    done = made.end;
    token.lastIndex = done;
  }
  leaf(text.length);
  return nodes;
}

function piece(found, text, names) {
  const end = found.index + found[0].length;
  const [, entity, code, url, name, mark] = found;
  if (entity !== undefined) return { node: reference(entity, names), end };
  if (code !== undefined) return { node: h("code", {}, verbatim(code)), end };
  if (url !== undefined) return { node: link(unescape(url), unescape(url)), end };
  if (name !== undefined) {
    const char = emoji(name.toLowerCase());
    return char ? { node: emojiNode(name, char), end } : null;
  }
  const close = closing(text, found.index, mark);
  if (close < 0) return null;
  return { node: h(STYLE[mark], {}, inline(text.slice(found.index + 1, close), names)), end: close + 1 };
}

/** Return a node for an emoji that screen readers call by its name. */
export function emojiNode(name, char) {
  return h("span", { class: "emoji", role: "img", "aria-label": name.replaceAll("_", " "), title: `:${name}:` }, char);
}

function closing(text, open, mark) {
  if (isWord(text[open - 1]) || text[open + 1] === undefined || /\s/.test(text[open + 1]) || text[open + 1] === mark) return -1;
  for (let at = open + 1; at < text.length; at += 1) {
    const char = text[at];
    if (char === "\n") return -1;
    if (char === "<" || char === "`") {
      const stop = text.indexOf(char === "<" ? ">" : "`", at + 1);
      if (stop > 0) at = stop;
    } else if (char === mark && !/\s/.test(text[at - 1]) && !isWord(text[at + 1])) return at;
  }
  return -1;
}

/** Return a node for what stands between < and >: a mention, a date or a link. */
export function reference(entity, names) {
  const bar = entity.indexOf("|");
  const target = bar < 0 ? entity : entity.slice(0, bar);
  const label = bar < 0 ? null : unescape(entity.slice(bar + 1));
  if (target.startsWith("@")) return userMention(target.slice(1), names, label);
  if (target.startsWith("#")) return channelMention(target.slice(1), names, label);
  if (target.startsWith("!subteam^")) return groupMention(target.slice(9).split("^")[0], names, label);
  if (target.startsWith("!date^")) return dateToken(target, label);
  if (target.startsWith("!")) return broadcast(target.slice(1).split("^")[0], label);
  const url = unescape(target);
  if (/^[a-z][a-z0-9+.-]*:/i.test(url)) return link(url, label ?? url.replace(/^mailto:/, ""));
  return document.createTextNode(unescape(`<${entity}>`));
}

/** Return a mention of a person; one's own stands out. */
export function userMention(id, names, label = null) {
  const user = names.user(id);
  const text = `@${user?.real_name || user?.name || label?.replace(/^@/, "") || id}`;
  return h("span", { class: id === names.me ? "mention is-me" : "mention", title: user ? `@${user.name}` : null }, text);
}

/** Return a link to a channel. */
export function channelMention(id, names, label = null) {
  const channel = names.channel(id);
  const text = `#${channel?.name ?? label ?? "private-channel"}`;
  return channel ? h("a", { class: "mention", href: `#/${id}` }, text) : h("span", { class: "mention" }, text);
}

/** Return a mention of a user group; one's own stands out. */
export function groupMention(id, names, label = null) {
  const group = names.group(id);
  const text = `@${group?.handle ?? label?.replace(/^@/, "") ?? id}`;
  return h("span", { class: group?.members.includes(names.me) ? "mention is-me" : "mention", title: group?.name }, text);
}

/** Return @here, @channel or @everyone. */
export const broadcast = (range, label = null) => h("span", { class: "mention is-me" }, label ?? `@${range}`);

function dateToken(target, label) {
  const [, unix, pattern, url] = target.split("^");
  return dateNode(unix, unescape(pattern ?? "{date} {time}"), url, label);
}

/** Return a date in the reader's zone; its tooltip has it in full. */
export function dateNode(unix, pattern, url = null, fallback = null) {
  const date = new Date(Number(unix) * 1000);
  if (Number.isNaN(date.getTime())) return document.createTextNode(fallback ?? String(unix));
  const node = h("time", { datetime: date.toISOString(), title: full(date) }, fillTokens(pattern, unix));
  return url ? link(unescape(url), node) : node;
}

/** Return mrkdwn as plain text, for places that show no marks. */
export const plain = (text, names) => h("span", {}, mrkdwn(text, names)).textContent;

/** Return the nodes of a text object: mrkdwn with marks, plain_text with emoji only. */
export function textObject(value, names) {
  if (!value) return [];
  if (typeof value === "string") return [value];
  if (value.type === "mrkdwn") return mrkdwn(value.text, names);
  return withEmoji(value.text ?? "", value.emoji !== false);
}

/** Return plain text with :names: replaced by their emoji. */
export function withEmoji(text, wanted = true) {
  if (!wanted) return [text];
  return text.split(/(:[a-z0-9_+'-]+:)/).map((part) => {
    const char = part.length > 2 && part.startsWith(":") ? emoji(part.slice(1, -1)) : null;
    return char ? emojiNode(part.slice(1, -1), char) : part;
  });
}
