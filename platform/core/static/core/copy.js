/* <button data-copy="#id-of-text"> copies an element's text or value; <button data-copy-text="abc"> copies the words. */

import { strings } from "./strings.js";
import { toast } from "./toasts.js";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-text]");
  if (!button) return;
  const source = button.dataset.copy ? document.querySelector(button.dataset.copy) : null;
  const text = source ? (source.value ?? source.textContent).trim() : button.dataset.copyText;
  try {
    await navigator.clipboard.writeText(text);
    toast(strings.copied, "success");
  } catch {
    if (source) getSelection().selectAllChildren(source);
    toast(strings.copyFailed, "warning");
  }
});
