// The list of channels, direct messages and the app, with unread marks.

import { append, fill, h, icon } from "./dom.js";
import { avatar } from "./message.js";
import { plain } from "./mrkdwn.js";
import { roving } from "./overlay.js";

/** Draw the list into `nav`; `place` is where the person is, `acts` what the extra entries do. */
export function drawSidebar(nav, store, place, acts) {
  const focused = nav.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const channels = [...store.channels.values()].filter((channel) => !channel.is_archived);
  const byName = (one, other) => store.channelTitle(one).localeCompare(store.channelTitle(other));
  const mine = channels.filter((channel) => channel.kind !== "im" && channel.is_member).sort(byName);
  const others = channels.filter((channel) => channel.kind === "channel" && !channel.is_member).sort(byName);
  const directs = channels.filter((channel) => channel.kind === "im" && channel.with_user !== store.app.bot_user).sort(byName);
  const entry = (channel) => channelEntry(channel, store, place);
  fill(nav,
    group("Channels", mine.map(entry), null),
    others.length ? group("Channels you can join", others.map(entry), null) : null,
    group("Direct messages", directs.map(entry), h("button", { type: "button", class: "side-item is-quiet", data: { key: "new-dm" }, onclick: (event) => acts.newDirect(event.currentTarget) }, icon("plus"), h("span", { class: "side-name" }, "New message"))),
    group("Apps", [appEntry(store, place)], null));
  if (focused) nav.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

function group(title, entries, extra) {
  const id = `side-${title.toLowerCase().replaceAll(" ", "-")}`;
  const list = h("ul", { "aria-labelledby": id });
  append(list, [...entries, extra].filter(Boolean).map((entry) => h("li", {}, entry)));
  return h("section", { class: "side-group" }, h("h2", { id }, title), list);
}

function channelEntry(channel, store, place) {
  const unread = store.reads?.unread(channel.id).length ?? 0;
  const mentions = unread ? store.reads.mentions(channel.id) : 0;
  const isHere = place.channel === channel.id;
  const title = store.channelTitle(channel);
  const lead = channel.kind === "im" ? avatar(store.users.get(channel.with_user) ?? { id: channel.id, name: title }, "is-small") : channel.kind === "private" ? icon("lock") : h("span", { class: "hash", "aria-hidden": "true" }, "#");
  const label = [title, channel.kind === "private" ? "private channel" : channel.kind === "im" ? "direct message" : "channel", unread && !isHere ? `${unread} unread` : "", mentions && !isHere ? `${mentions} for you` : ""].filter(Boolean).join(", ");
  return h("a", {
    href: `#/${channel.id}`, class: ["side-item", isHere ? "is-here" : "", unread && !isHere ? "is-unread" : "", channel.is_member || channel.kind === "im" ? "" : "is-quiet"].filter(Boolean).join(" "),
    "aria-current": isHere ? "page" : null, "aria-label": label, title: [title, plain(channel.topic, store.names)].filter(Boolean).join(": "), data: { key: `channel-${channel.id}` },
  }, lead, h("span", { class: "side-name" }, title), channel.is_ext_shared ? h("span", { class: "shared", title: "Shared with another company" }, "shared") : null, mentions && !isHere ? h("span", { class: "count-badge", "aria-hidden": "true" }, mentions) : null);
}

function appEntry(store, place) {
  const bot = store.users.get(store.app.bot_user);
  const direct = [...store.channels.values()].find((channel) => channel.kind === "im" && channel.with_user === store.app.bot_user);
  const isHere = place.home || (direct && place.channel === direct.id);
  const unread = direct && !isHere ? (store.reads?.unread(direct.id).length ?? 0) : 0;
  const state = store.app.connected ? "connected" : "not connected";
  return h("a", {
    href: "#/home", class: `side-item ${isHere ? "is-here" : ""} ${unread ? "is-unread" : ""}`, "aria-current": isHere ? "page" : null, "aria-label": `${store.appName}, app, ${state}${unread ? `, ${unread} unread` : ""}`, data: { key: "app" },
  }, avatar({ id: store.app.bot_user, kind: "bot", real_name: store.appName, ...bot }, "is-small is-bot"), h("span", { class: "side-name" }, store.appName),
    unread ? h("span", { class: "count-badge", "aria-hidden": "true" }, unread) : null,
    h("span", { class: store.app.connected ? "presence is-on" : "presence", title: `The app is ${state}` }));
}

/** Let the arrow keys move through the list. */
export function sidebarKeys(event, nav) {
  if (["ArrowDown", "ArrowUp", "Home", "End"].includes(event.key) && !event.altKey) roving(event, [...nav.querySelectorAll(".side-item")]);
}
