// The help dialog: what the keys do.

import { h } from "./dom.js";
import { dialog } from "./overlay.js";

const KEYS = [
  ["Everywhere", [
    ["F6, Shift F6", "Go to the next or previous part of the page"], ["Ctrl K", "Go to a channel or person"], ["Alt ↑, Alt ↓", "Previous or next channel"],
    ["Alt Shift ↑, ↓", "Previous or next unread channel"], ["Ctrl Shift U, or u", "Change who you are"], ["Esc", "Close what is open; leave a thread"], ["?, or Ctrl /", "This help"],
  ]],
  ["On a message", [
    ["↑, ↓, Home, End", "Move between messages"], ["Enter, or t", "Open its thread"], ["m", "More actions and message shortcuts"], ["r", "Add a reaction"], ["c", "Copy its link"],
    ["e", "Edit it, if it is yours"], ["Tab", "Go to its buttons; Esc comes back"],
  ]],
  ["While writing", [
    ["Enter", "Send"], ["Shift Enter", "New line"], ["/", "Commands of the app"], ["@, #, :", "People and groups, channels, emoji"], ["↑ in an empty field", "Edit your last message"],
  ]],
];

const SINGLE = "andon-page:single-keys";

/** Say whether single letters outside fields act; some assistive software needs them off. */
export const singleKeys = () => localStorage.getItem(SINGLE) !== "off";

/** Show the help. */
export function showHelp() {
  return dialog("help", "Keyboard shortcuts", (close) => [
    h("h2", {}, "Keyboard shortcuts"),
    h("div", { class: "help-groups", tabindex: "0", role: "region", "aria-label": "Shortcuts" }, KEYS.map(([title, keys]) => h("section", {}, h("h3", {}, title), h("dl", {}, keys.map(([key, what]) => [h("dt", {}, key), h("dd", {}, what)]))))),
    h("label", { class: "choice" }, h("input", { type: "checkbox", checked: singleKeys(), onchange: (event) => localStorage.setItem(SINGLE, event.target.checked ? "on" : "off") }), h("span", {}, "Single keys (u, ?) work outside fields")),
    h("div", { class: "dialog-buttons" }, h("button", { type: "button", class: "button is-primary", autofocus: true, onclick: () => close(null) }, "Close")),
  ]);
}
