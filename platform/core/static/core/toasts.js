/* Messages at the corner: toast("Saved", "success") from a module; the server renders its own into #messages.
   Good news leaves by itself after 8 seconds unless pointed at or focused; warnings and errors stay until closed. */

const GONE_AFTER = 8000;
const box = document.getElementById("messages");

export function toast(text, level = "info") {
  const made = document.getElementById("toast").content.firstElementChild.cloneNode(true);
  made.classList.remove("alert-info");
  made.classList.add(`alert-${level === "error" ? "danger" : level}`);
  made.dataset.toast = level;
  made.querySelector(".lx-toast-text").textContent = text;
  for (const other of box.children) if (other.textContent.trim() === text.trim()) other.remove();
  box.append(made);
  return made;
}

function expire(part) {
  if (!(part instanceof Element) || !["success", "info"].includes(part.dataset.toast)) return;
  setTimeout(function leave() {
    if (part.matches(":hover, :focus-within")) setTimeout(leave, 2000);
    else part.remove();
  }, GONE_AFTER);
}

if (box) {
  for (const part of box.children) expire(part);
  new MutationObserver((changes) => changes.forEach((change) => change.addedNodes.forEach(expire)))
    .observe(box, { childList: true });
}
document.addEventListener("click", (event) => event.target.closest("[data-toast-close]")?.closest("[data-toast]")?.remove());
