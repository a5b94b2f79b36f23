// Shows instants in the reader's zone: message times, day dividers and Slack's date tokens.

const formats = new Map();

function format(options) {
  const key = JSON.stringify(options);
  if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat(undefined, options));
  return formats.get(key);
}

/** Return the Date of a message's ts ("1700000000.000100"). */
export const instant = (ts) => new Date(Math.floor(Number(ts) * 1000));

/** Return the time of day, "14:05" or as the reader's locale has it. */
export const clock = (date) => format({ hour: "numeric", minute: "2-digit" }).format(date);

const dayKey = (date) => `${date.getFullYear()}-${date.getMonth()}-${date.getDate()}`;

/** Say whether two instants are on one day of the reader's calendar. */
export const sameDay = (one, other) => dayKey(one) === dayKey(other);

function ordinal(day) {
  if (day % 100 > 10 && day % 100 < 14) return `${day}th`;
  return `${day}${{ 1: "st", 2: "nd", 3: "rd" }[day % 10] ?? "th"}`;
}

function pretty(date, now, otherwise, capital = true) {
  for (const [shift, word] of [[0, "today"], [-1, "yesterday"], [1, "tomorrow"]]) {
    const day = new Date(now);
    day.setDate(day.getDate() + shift);
    if (sameDay(day, date)) return capital ? word[0].toUpperCase() + word.slice(1) : word;
  }
  return otherwise;
}

/** Return the label of a day divider: "Today", "Yesterday", "Friday, November 14th". */
export function dayLabel(date, now = new Date()) {
  const year = date.getFullYear() === now.getFullYear() ? "" : `, ${date.getFullYear()}`;
  const words = `${format({ weekday: "long" }).format(date)}, ${format({ month: "long" }).format(date)} ${ordinal(date.getDate())}`;
  return pretty(date, now, words + year);
}

/** Return date and time in full, for tooltips and accessible names. */
export const full = (date) =>
  format({ weekday: "long", year: "numeric", month: "long", day: "numeric", hour: "numeric", minute: "2-digit" }).format(date);

/** Return how long ago something was, "5 minutes ago", "in 2 hours". */
export function ago(date, now = new Date()) {
  const seconds = Math.round((date - now) / 1000);
  const words = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(seconds) >= size) return words.format(Math.trunc(seconds / size), unit);
  }
  return words.format(seconds, "second");
}

/** Fill Slack's date tokens, `{date_short_pretty} at {time}`; unknown tokens stay as they are. */
export function fillTokens(pattern, unix, now = new Date()) {
  const date = new Date(Number(unix) * 1000);
  const long = format({ weekday: "long", year: "numeric", month: "long", day: "numeric" }).format(date);
  const short = format({ year: "numeric", month: "short", day: "numeric" }).format(date);
  const plain = `${format({ month: "long" }).format(date)} ${ordinal(date.getDate())}, ${date.getFullYear()}`;
  const two = (number) => String(number).padStart(2, "0");
  const known = {
    date: plain,
    date_num: `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`,
    date_slash: `${two(date.getMonth() + 1)}/${two(date.getDate())}/${date.getFullYear()}`,
    date_short: short,
    date_long: long,
    date_long_full: long,
    date_pretty: pretty(date, now, plain, false),
    date_short_pretty: pretty(date, now, short, false),
    date_long_pretty: pretty(date, now, long, false),
    day_divider_pretty: dayLabel(date, now),
    time: clock(date),
    time_secs: format({ hour: "numeric", minute: "2-digit", second: "2-digit" }).format(date),
    ago: ago(date, now),
  };
  const filled = pattern.replace(/\{([a-z_]+)\}/g, (whole, name) => known[name] ?? whole);
  return pattern.startsWith("{") ? filled[0].toUpperCase() + filled.slice(1) : filled;
}
