// Turns a markdown block's standard Markdown into nodes.

import { h, link } from "./dom.js";
import { emoji } from "./emoji.js";
import { emojiNode, reference } from "./mrkdwn.js";

const INLINE = /\\([\\`*_{}[\]()#+.!~|<>-])|(`+)([\s\S]+?)\2|!?\[([^\]\n]*)\]\(([^()\s]+(?:\([^()\s]*\))?)(?:\s+"[^"]*")?\)|<((?:https?:|mailto:|[@#!])[^<>\s]+)>|(https?:\/\/[^\s<>`]*[^\s<>`.,;:!?)'"\]*_])|:([a-z0-9_+'-]+):|(\*\*|__)(?=\S)([\s\S]*?\S)\9|(~~)(?=\S)([\s\S]*?\S)\11|(?<![\w*])\*(?=[^\s*])([^*]*[^\s*])\*(?![\w*])|(?<![\w_])_(?=[^\s_])([^_]*[^\s_])_(?![\w_])/g;

/** Return nodes for one Markdown text. */
export function markdown(text, names) {
  return blocks(String(text ?? "").replace(/\r\n?/g, "\n").split("\n"), names);
}

function inline(text, names) {
  const nodes = [];
  let done = 0;
  for (const found of text.matchAll(INLINE)) {
    const [whole, escaped, , code, label, target, auto, bare, name, , strong, , strike, star, low] = found;
    let node = null;
    if (escaped) node = escaped;
    else if (code !== undefined) node = h("code", {}, code.trim());
    else if (target) node = link(target, whole.startsWith("!") ? label || target : inline(label, names));
    else if (auto) node = reference(auto, names);
    else if (bare) node = link(bare, bare);
    else if (name) node = emoji(name) ? emojiNode(name, emoji(name)) : whole;
    else if (strong) node = h("strong", {}, inline(strong, names));
    else if (strike) node = h("s", {}, inline(strike, names));
    else node = h("em", {}, inline(star ?? low, names));
    nodes.push(text.slice(done, found.index), node);
    done = found.index + whole.length;
  }
  nodes.push(text.slice(done));
  return nodes;
}

const FENCE = /^\s*(```+|~~~+)\s*([\w+-]*)/;
const ITEM = /^(\s*)([-*+•]|\d{1,9}[.)])\s+(.*)$/;
const ROW = /^\s*\|.*\|\s*$/;
const RULE = /^\s*\|?(\s*:?-+:?\s*\|)+\s*(:?-+:?)?\s*$/;
const OTHER = /^(#{1,6}\s|\s*>|\s*(?:-{3,}|\*{3,}|_{3,})\s*$)/;

function blocks(lines, names) {
  const nodes = [];
  let at = 0;
  const take = (test) => {
    const from = at;
    while (at < lines.length && test(lines[at], at)) at += 1;
    return lines.slice(from, at);
  };
  while (at < lines.length) {
    const line = lines[at];
    const fence = FENCE.exec(line);
    const heading = /^(#{1,6})\s+(.*?)\s*#*$/.exec(line);
    if (!line.trim()) at += 1;
    else if (fence) {
      at += 1;
      nodes.push(h("pre", { class: "pre", tabindex: "0" }, take((next) => !next.trim().startsWith(fence[1])).join("\n")));
      at += 1;
    } else if (heading) {
      nodes.push(h("div", { class: `md-heading level-${heading[1].length}`, role: "heading", "aria-level": Math.min(6, heading[1].length + 2) }, inline(heading[2], names)));
      at += 1;
    } else if (/^\s*(?:-{3,}|\*{3,}|_{3,})\s*$/.test(line)) {
      nodes.push(h("hr"));
      at += 1;
    } else if (/^\s*>/.test(line)) {
      nodes.push(h("blockquote", {}, blocks(take((next) => /^\s*>/.test(next)).map((next) => next.replace(/^\s*>\s?/, "")), names)));
    } else if (ROW.test(line) && RULE.test(lines[at + 1] ?? "")) {
      nodes.push(table(take((next) => ROW.test(next) || RULE.test(next)), names));
    } else if (ITEM.test(line)) {
      nodes.push(list(take((next) => ITEM.test(next) || (/^\s{2,}\S/.test(next) && !FENCE.test(next))), names));
    } else {
      nodes.push(h("p", {}, inline(take((next, index) => next.trim() && (index === at || !(OTHER.test(next) || FENCE.test(next) || ITEM.test(next)))).join("\n"), names)));
    }
  }
  return nodes;
}

function list(lines, names) {
  const first = ITEM.exec(lines[0]);
  const depth = first[1].length;
  const ordered = /\d/.test(first[2]);
  const items = [];
  for (const line of lines) {
    const item = ITEM.exec(line);
    if (item && item[1].length <= depth) items.push({ text: item[3], below: [] });
    else items.at(-1).below.push(line);
  }
  return h(
    ordered ? "ol" : "ul",
    { class: "rich-list", start: ordered && first[2] !== "1." ? parseInt(first[2], 10) : null },
    items.map(({ text, below }) => {
      const task = /^\[([ xX])\]\s+(.*)$/.exec(text);
      const shown = task ? [task[1] === " " ? "☐ " : "☑ ", inline(task[2], names)] : inline(text, names);
      return h("li", { class: task ? "task" : null }, shown, below.length ? blocks(outdent(below), names) : null);
    }),
  );
}

function outdent(lines) {
  const least = Math.min(...lines.filter((line) => line.trim()).map((line) => /^\s*/.exec(line)[0].length));
  return lines.map((line) => line.slice(least));
}

function table(lines, names) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replace(/\\\|/g, "|"));
  const align = cells(lines[1]).map((cell) => (cell.endsWith(":") ? (cell.startsWith(":") ? "center" : "right") : "left"));
  const row = (tag) => (line) => h("tr", {}, cells(line).map((cell, index) => h(tag, { class: `align-${align[index] ?? "left"}` }, inline(cell, names))));
  return h("div", { class: "table-box", tabindex: "0", role: "region", "aria-label": "Table" },
    h("table", {}, h("thead", {}, row("th")(lines[0])), h("tbody", {}, lines.slice(2).map(row("td")))));
}
