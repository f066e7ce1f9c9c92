/* <time datetime="2025-01-31T12:00:00+00:00" data-relative> says "3 minutes ago" and keeps saying it right; the exact
   moment stays in its title. */

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];
const words = new Intl.RelativeTimeFormat(document.documentElement.lang || "en", { numeric: "auto" });
const dates = new Intl.DateTimeFormat(document.documentElement.lang || "en", { dateStyle: "medium" });

function say(element) {
  const seconds = (new Date(element.dateTime) - Date.now()) / 1000;
  if (Number.isNaN(seconds)) return;
  if (Math.abs(seconds) > 30 * 86400) {
    element.textContent = dates.format(new Date(element.dateTime));
    return;
  }
  const [unit, size] = UNITS.find(([, length]) => Math.abs(seconds) >= length) ?? ["second", 1];
  element.textContent = words.format(unit === "second" && Math.abs(seconds) < 10 ? 0 : Math.round(seconds / size), unit);
}

export function bindRelative(root) {
  if (root.matches?.("time[data-relative]")) say(root);
  root.querySelectorAll("time[data-relative]").forEach(say);
}

setInterval(() => bindRelative(document), 20000);
