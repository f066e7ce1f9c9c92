/* htmx requests: signed with the CSRF cookie, and every failure becomes a message. A refusal (HX-Retarget) or a form
   with errors (422) is shown as the server wrote it. A form that is on its way cannot be sent again
   (a GET form only when it is marked [data-once]). */

import { cookie, strings } from "./strings.js";
import { toast } from "./toasts.js";

let silentSince = 0;

document.addEventListener("htmx:configRequest", (event) => {
  if (event.detail.verb !== "get") event.detail.headers["X-CSRFToken"] = cookie("csrftoken");
});

document.addEventListener("htmx:beforeSwap", (event) => {
  silentSince = 0;
  const { xhr } = event.detail;
  if (xhr.status < 400) return;
  const part = (xhr.getResponseHeader("Content-Type") ?? "").includes("text/html") && !/^\s*<!doctype/i.test(xhr.responseText);
  if (part && (xhr.getResponseHeader("HX-Retarget") || xhr.status === 422)) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  }
});

document.addEventListener("htmx:responseError", (event) => {
  const { status } = event.detail.xhr;
  const polled = event.detail.requestConfig?.triggeringEvent === undefined;
  if (status === 401 || (status === 403 && polled)) return;
  toast(strings[`error${status}`] ?? strings.error500, status >= 500 ? "error" : "warning");
});

/* A poll that fails once is no news; one that fails for ten seconds is. */
document.addEventListener("htmx:sendError", (event) => {
  const polled = (event.detail.elt?.getAttribute("hx-trigger") ?? "").includes("every");
  const now = Date.now();
  silentSince ||= now;
  if (!polled || now - silentSince > 10000) toast(strings.errorOffline, "warning");
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || form.method === "dialog" || event.defaultPrevented) return;
  if (form.method !== "post" && !form.matches("[data-once]")) return;
  const button = event.submitter;
  if (!button) return;
  if (button.getAttribute("aria-busy")) return event.preventDefault();
  setTimeout(() => button.setAttribute("aria-busy", "true"));
  setTimeout(() => button.removeAttribute("aria-busy"), 8000);
});
window.addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("[aria-busy]")) button.removeAttribute("aria-busy");
});
