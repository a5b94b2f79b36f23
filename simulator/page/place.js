// Reads and writes the page's addresses: /?as=ann#/C123/p1700000000000100/t1700000000000000.

/** Turn "p1700000000000100" or "p1700000000.000100" into a ts. */
function ts(text) {
  const figures = text.slice(1);
  return figures.includes(".") ? figures : `${figures.slice(0, -6)}.${figures.slice(-6)}`;
}

/** Return {home, channel, message, thread} of an address fragment. */
export function parsePlace(hash) {
  const parts = decodeURIComponent(hash.replace(/^#\/?/, "")).split("/").filter(Boolean);
  if (parts[0] === "home") return { home: true, channel: null, message: null, thread: null };
  const message = parts.slice(1).find((part) => /^p\d{7,}/.test(part));
  const thread = parts.slice(1).find((part) => /^t\d{7,}/.test(part));
  return { home: false, channel: parts[0] ?? null, message: message ? ts(message) : null, thread: thread ? ts(thread) : null };
}

/** Return the fragment of a place. */
export function writePlace({ home = false, channel, message = null, thread = null }) {
  if (home) return "#/home";
  const part = (letter, value) => (value ? `/${letter}${value.replace(".", "")}` : "");
  return `#/${channel}${part("p", message)}${part("t", thread)}`;
}
