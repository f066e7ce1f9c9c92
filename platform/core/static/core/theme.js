/* <button data-theme-toggle [data-theme-url="/save"]> goes round auto, light, dark.
   The choice lives in a cookie (the server renders it, so nothing flashes), in localStorage (other tabs follow)
   and, with data-theme-url, in the person's settings. Auto needs no script: CSS follows the system.
   Sends the event lingxi:theme when colours change. */

import { cookie, strings } from "./strings.js";

const CHOICES = ["auto", "light", "dark"];
const root = document.documentElement;

function apply(choice) {
  root.dataset.themeChoice = choice;
  if (choice === "auto") delete root.dataset.bsTheme;
  else root.dataset.bsTheme = choice;
  for (const button of document.querySelectorAll("[data-theme-toggle]")) {
    const words = strings[`theme${choice[0].toUpperCase()}${choice.slice(1)}`] ?? choice;
    button.setAttribute("aria-label", words);
    button.title = words;
  }
  document.dispatchEvent(new CustomEvent("lingxi:theme"));
}

function keep(choice, url) {
  document.cookie = `lingxi_theme=${choice}; path=/; max-age=31536000; samesite=lax`;
  localStorage.setItem("lingxi_theme", choice);
  if (!url) return;
  const body = new FormData();
  body.set("theme", choice);
  fetch(url, { method: "POST", body, headers: { "X-CSRFToken": cookie("csrftoken") } }).catch(() => {});
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-theme-toggle]");
  if (!button) return;
  const choice = CHOICES[(CHOICES.indexOf(root.dataset.themeChoice) + 1) % CHOICES.length];
  apply(choice);
  keep(choice, button.dataset.themeUrl);
});
window.addEventListener("storage", (event) => {
  if (event.key === "lingxi_theme" && CHOICES.includes(event.newValue)) apply(event.newValue);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => apply(root.dataset.themeChoice));
apply(CHOICES.includes(root.dataset.themeChoice) ? root.dataset.themeChoice : "auto");
