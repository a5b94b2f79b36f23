// Builds every element of the page, so that text from people and apps never becomes markup.

/** Make an element. Props starting with "on" are listeners; `class`, `data`, ARIA and other attributes go by name. */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on") && typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (["value", "checked", "disabled", "textContent"].includes(name)) node[name] = value;
    else if (["innerHTML", "outerHTML", "srcdoc", "style"].includes(name)) throw new Error(`${name} is not allowed`);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  append(node, children);
  return node;
}

/** Append nodes, strings and (nested) lists of them; null, undefined and false are left out. */
export function append(node, children) {
  for (const child of [children].flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
  return node;
}

/** Put these children in place of the present ones. */
export function fill(node, ...children) {
  node.replaceChildren();
  return append(node, children);
}

/** Return `url` when it is one a person may safely follow, else null. */
export function safeUrl(url) {
  try {
    const parsed = new URL(String(url), location.href);
    return ["http:", "https:", "mailto:", "tel:"].includes(parsed.protocol) ? parsed.href : null;
  } catch {
    return null;
  }
}

/** Return the in-page address for a message link of this workspace (…/archives/C1/p123), else null. */
export function pageAddress(url) {
  const found = /^https?:\/\/([^/?#]+)\/archives\/([A-Z0-9]+)(?:\/p(\d{7,}))?\/?(?:\?(?:[^#]*&)?thread_ts=([\d.]+))?/.exec(url);
  if (!found || !(found[1] === location.host || found[1].endsWith(".slack.com"))) return null;
  return `#/${found[2]}${found[3] ? `/p${found[3]}` : ""}${found[4] ? `/t${found[4].replace(".", "")}` : ""}`;
}

/** Make a link: within the page for this workspace's messages, else in a new tab; plain text when it is unsafe. */
export function link(url, ...children) {
  const inside = pageAddress(String(url));
  if (inside) return h("a", { class: "link", href: inside }, children);
  const href = safeUrl(url);
  if (!href) return h("span", {}, children);
  return h("a", { class: "link", href, target: "_blank", rel: "noopener noreferrer" }, children);
}

const SHAPES = {
  plus: "M12 5v14M5 12h14",
  send: "M4 5l16 7-16 7 2.5-7zM6.5 12H13",
  thread: "M5 5h14v10H11l-4 4v-4H5z",
  more: "M12 5.5v.01M12 12v.01M12 18.5v.01",
  smile: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M8.5 14.5c1.8 2.4 5.2 2.4 7 0M9 9.5v.01M15 9.5v.01",
  close: "M6 6l12 12M18 6L6 18",
  back: "M19 12H5M11 6l-6 6 6 6",
  bolt: "M13 3L5 13.5h6L10 21l9-11.5h-6.5z",
  clip: "M20 11.5l-8 8a5 5 0 0 1-7-7l8.5-8.5a3.3 3.3 0 0 1 4.7 4.7L10 17a1.7 1.7 0 0 1-2.4-2.4L15 7",
  at: "M16 8v5.5c0 3.5 5 2.5 5-1.5a9 9 0 1 0-4 7.5M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8",
  slash: "M15 4L9 20",
  lock: "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
  down: "M6 9.5l6 6 6-6",
  pin: "M9 4h6l-1 6 3.5 3.5h-11L10 10zM12 13.5V20",
  link: "M10 14a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.700-5.700L12 7M14 10a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.700 5.700L12 17",
  menu: "M4 7h16M4 12h16M4 17h16",
  home: "M4 11l8-7 8 7v9h-5.500v-6h-5v6H4z",
  out: "M14 4h6v6M20 4l-9 9M18 14v6H4V6h6",
};

/** Make one of the page's own line icons, hidden from screen readers. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", SHAPES[name]);
  svg.append(path);
  return svg;
}

/** Make a button with an icon and an accessible name that is also its tooltip. */
export function iconButton(name, label, onclick, props = {}) {
  return h("button", { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...props }, icon(name));
}

/** Make `node`'s children exactly `wanted`, moving as few as possible so that focus and scrolling stay. */
export function reconcile(node, wanted) {
  let at = node.firstChild;
  for (const child of wanted) {
    if (child === at) at = at.nextSibling;
    else node.insertBefore(child, at);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

/** Remember which control has the focus and where its cursor is; returns what gives it back to the control's successor. */
export function keepFocus(container) {
  const active = document.activeElement;
  if (!active || !container.contains(active) || !active.dataset.key) return null;
  const { key } = active.dataset;
  const range = "selectionStart" in active && active.type !== "date" ? [active.selectionStart, active.selectionEnd] : null;
  return () => {
    if (active.isConnected) return;
    const twin = container.querySelector(`[data-key="${CSS.escape(key)}"]`);
    twin?.focus({ preventScroll: true });
    if (range?.[0] !== null && range && twin?.setSelectionRange) twin.setSelectionRange(...range);
  };
}

const polite = () => document.getElementById("say-polite");
const assertive = () => document.getElementById("say-assertive");

/** Let screen readers say a sentence; `urgent` ones interrupt. */
export function announce(text, urgent = false) {
  const region = urgent ? assertive() : polite();
  const line = h("p", {}, text);
  region.append(line);
  while (region.children.length > 4) region.firstChild.remove();
}

/** Say whether the person is writing in a field right now. */
export function isTyping(target) {
  return target instanceof Element && target.matches("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]");
}
