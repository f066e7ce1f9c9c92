/* Keys for hands that stay on the keyboard: ? opens <dialog id="keys">, / focuses [data-search] (else the first search
   field), g then a letter follows the link with data-go="letter". [data-open-dialog="id"] opens a dialog by click.
   Nothing happens while someone types into a field. */

const WAIT = 1200;
let armed = 0;

const typing = (target) => target.closest?.("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || document.querySelector("dialog[open]")) return;
  if (event.key === "?") {
    event.preventDefault();
    document.getElementById("keys")?.showModal();
  } else if (event.key === "/") {
    const field = document.querySelector("main [data-search], main input[type=search]");
    if (!field) return;
    event.preventDefault();
    field.focus();
    field.select();
  } else if (event.key === "g") {
    armed = Date.now();
  } else if (Date.now() - armed < WAIT && /^[a-z]$/.test(event.key)) {
    armed = 0;
    const link = document.querySelector(`[data-go="${event.key}"]`);
    if (link) location.assign(link.href);
  }
});

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-open-dialog]");
  if (opener) document.getElementById(opener.dataset.openDialog)?.showModal();
  else if (event.target.matches?.("dialog.lx-dialog")) event.target.close("no");
});
