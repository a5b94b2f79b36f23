// What lies above the page: pop-ups at an anchor, menus, dialogs and toasts, all usable by keyboard.

import { announce, append, h, icon, iconButton } from "./dom.js";

let open = null;

/** Close the pop-up that is open, if any. */
export function closePopup(giveBackFocus = false) {
  if (!open) return;
  const { node, anchor, onclose, stop } = open;
  open = null;
  stop();
  node.remove();
  anchor.setAttribute("aria-expanded", "false");
  onclose?.();
  if (giveBackFocus) focusAgain(anchor);
}

/** Focus `anchor`, or what was drawn in its place meanwhile. */
export function focusAgain(anchor) {
  if (anchor.isConnected) return anchor.focus();
  const twin = anchor.dataset.key ? document.querySelector(`[data-key="${CSS.escape(anchor.dataset.key)}"]`) : null;
  return (twin ?? document.querySelector(".composer textarea"))?.focus();
}

/** Show `content` at `anchor`, inside the dialog that holds the anchor if there is one; returns nothing. */
export function popup(anchor, content, { onclose, align = "start" } = {}) {
  closePopup();
  const node = h("div", { class: "popup" }, content);
  const layer = anchor.closest("dialog") ?? document.body;
  layer.append(node);
  const place = () => position(node, anchor, align);
  const outside = (event) => {
    if (!node.contains(event.target) && !anchor.contains(event.target)) closePopup();
  };
  const keys = (event) => {
    if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      closePopup(true);
    }
  };
  document.addEventListener("pointerdown", outside, true);
  node.addEventListener("keydown", keys);
  window.addEventListener("resize", place);
  const stop = () => {
    document.removeEventListener("pointerdown", outside, true);
    window.removeEventListener("resize", place);
  };
  anchor.setAttribute("aria-expanded", "true");
  open = { node, anchor, onclose, stop };
  place();
}

function position(node, anchor, align) {
  if (!anchor.isConnected) return;
  const box = anchor.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = node;
  const left = align === "end" ? box.right - width : box.left;
  const below = box.bottom + 4 + height <= window.innerHeight - 8;
  const top = below ? box.bottom + 4 : Math.max(8, box.top - height - 4);
  node.style.left = `${Math.max(8, Math.min(left, window.innerWidth - width - 8))}px`;
  node.style.top = `${top}px`;
  node.style.minWidth = `${Math.min(box.width, window.innerWidth - 16)}px`;
}

/** Open a menu. Items: {label, hint?, icon?, danger?, checked?, href?, act?} or {heading} or "-" for a line. */
export function menu(anchor, label, items, options = {}) {
  if (anchor.getAttribute("aria-expanded") === "true") return closePopup(true);
  const radio = items.some((item) => item.checked !== undefined);
  const list = h("div", { class: "menu", role: "menu", "aria-label": label });
  for (const item of items) append(list, [menuItem(item, anchor, radio)]);
  const entries = () => [...list.querySelectorAll('[role^="menuitem"]')];
  list.addEventListener("keydown", (event) => roving(event, entries(), true));
  popup(anchor, list, options);
  (list.querySelector('[aria-checked="true"]') ?? entries()[0])?.focus();
  return undefined;
}

function menuItem(item, anchor, radio) {
  if (item === "-") return h("div", { class: "menu-line", role: "separator" });
  if (item.heading) return h("div", { class: "menu-heading", role: "presentation" }, item.heading);
  const props = {
    class: item.danger ? "menu-item is-danger" : "menu-item",
    role: radio ? "menuitemradio" : "menuitem",
    "aria-checked": radio ? String(Boolean(item.checked)) : null,
    tabindex: "-1",
    onclick: () => {
      closePopup(true);
      item.act?.();
    },
  };
  const inside = [item.icon ? icon(item.icon) : (item.lead ?? null), h("span", { class: "menu-label" }, item.label, item.hint ? h("small", {}, item.hint) : null)];
  if (item.href) return h("a", { ...props, href: item.href, target: "_blank", rel: "noopener noreferrer" }, inside);
  return h("button", { ...props, type: "button" }, inside);
}

/** Move focus among `entries` with arrows, Home, End and first letters; `letters` turns the letters on. */
export function roving(event, entries, letters = false) {
  const at = entries.indexOf(document.activeElement);
  const last = entries.length - 1;
  const to = { ArrowDown: at >= last ? 0 : at + 1, ArrowUp: at <= 0 ? last : at - 1, Home: 0, End: last }[event.key];
  if (event.key === "Tab") {
    closePopup(true);
  } else if (to !== undefined) {
    event.preventDefault();
    event.stopPropagation();
    entries[to]?.focus();
  } else if (letters && event.key.length === 1 && /\S/.test(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const rest = [...entries.slice(at + 1), ...entries.slice(0, at + 1)];
    rest.find((entry) => entry.textContent.trim().toLowerCase().startsWith(event.key.toLowerCase()))?.focus();
    event.stopPropagation();
  }
}

/** Show a dialog in the middle of the page; `fillIn(close)` returns its parts. Resolves to what `close` was given. */
export function dialog(className, label, fillIn) {
  closePopup();
  const before = document.activeElement;
  return new Promise((resolve) => {
    const node = h("dialog", { class: `dialog ${className}`, "aria-label": label });
    const close = (result) => {
      node.close();
      node.remove();
      if (before instanceof HTMLElement) focusAgain(before);
      resolve(result);
    };
    node.addEventListener("cancel", (event) => {
      event.preventDefault();
      close(null);
    });
    node.addEventListener("keydown", (event) => event.stopPropagation());
    append(node, [fillIn(close)]);
    document.body.append(node);
    node.showModal();
  });
}

/** Ask a question with two answers; resolves to true or false. Texts are strings or nodes. */
export async function ask({ title, text, confirm = "Yes", deny = "Cancel", danger = false }) {
  const said = await dialog("ask", title, (close) => [
    h("h2", {}, title),
    h("div", { class: "ask-text" }, text),
    h("div", { class: "dialog-buttons" },
      h("button", { type: "button", class: "button", onclick: () => close(false), autofocus: true }, deny),
      h("button", { type: "button", class: danger ? "button is-danger" : "button is-primary", onclick: () => close(true) }, confirm)),
  ]);
  return said === true;
}

/** Show a sentence in the corner for some seconds. */
export function toast(text, level = "info") {
  const box = document.getElementById("toasts");
  const node = h("div", { class: `toast is-${level}` }, h("span", {}, text), iconButton("close", "Dismiss", () => node.remove()));
  box.append(node);
  while (box.children.length > 3) box.firstChild.remove();
  announce(text, level === "error");
  setTimeout(() => node.remove(), 8000);
}
