// @ts-check
/** Numbers, sizes and times, as people read them. */

const COUNT = new Intl.NumberFormat("en");
const UNITS = ["bytes", "kB", "MB", "GB", "TB", "PB"];

/** @param {number} value */
export const count = (value) => COUNT.format(value);

/**
 * `1 object`, `1,003 objects`.
 * @param {number} value
 * @param {string} noun
 */
export const counted = (value, noun) => `${count(value)} ${noun}${value === 1 ? "" : "s"}`;

/**
 * `905 MB`: three digits, powers of a thousand.
 * @param {number} bytes
 */
export function size(bytes) {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1;
  const text = value.toFixed(digits).replace(/\.0$/, "");
  return `${text} ${unit === 0 && bytes === 1 ? "byte" : UNITS[unit]}`;
}

/**
 * `41 s`, `3 min 5 s`, `2 h 10 min`.
 * @param {number} seconds
 */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const [large, small, names] =
    whole < 3600
      ? [Math.floor(whole / 60), whole % 60, ["min", "s"]]
      : [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), ["h", "min"]];
  return small ? `${large} ${names[0]} ${small} ${names[1]}` : `${large} ${names[0]}`;
}

/**
 * `just now`, `5 min ago`, `3 h ago`, then the date.
 * @param {string} moment
 */
export function ago(moment) {
  const seconds = (Date.now() - Date.parse(moment)) / 1000;
  if (seconds < 45) return "just now";
  if (seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
  if (seconds < 24 * 3600) return `${Math.round(seconds / 3600)} h ago`;
  return date(moment);
}

/**
 * `25 Nov 2026, 22:31`, in the reader's time zone.
 * @param {string} moment
 */
export const date = (moment) =>
  new Date(moment).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });

/**
 * A capture time, as the camera's clock showed it: without an offset it is kept as UTC.
 * @param {string} moment
 * @param {number | null} offset minutes east of UTC
 */
export const cameraDate = (moment, offset) =>
  new Date(Date.parse(moment) + (offset ?? 0) * 60_000).toLocaleString("en-GB", {
    dateStyle: "medium",
    timeStyle: "short",
    timeZone: "UTC",
  });

/**
 * `4.2 objects/s`.
 * @param {number} rate
 */
export const rate = (rate) =>
  `${rate >= 10 ? count(Math.round(rate)) : rate.toFixed(1)} objects/s`;

/**
 * How long a film or a sound is, as players show it: `4:07`, `1:02:03`.
 * @param {number} seconds
 */
export function playingTime(seconds) {
  const whole = Math.round(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (!parts[0]) parts.shift();
  return parts.map((part, at) => (at ? String(part).padStart(2, "0") : String(part))).join(":");
}
