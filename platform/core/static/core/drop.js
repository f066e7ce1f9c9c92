/* A file field as a drop zone, and its form sent with visible progress:
   <form data-upload method=post enctype=multipart/form-data>
     <div class="lx-drop" data-drop [data-limit="1000000000"]><input type=file name=file> <span data-drop-name></span></div>
     <div data-upload-progress hidden><progress class="lx-bar" max=100></progress><span></span></div>
   </form>
   Without a script the form is an ordinary one. The server's answer (redirect or page with errors) is followed as usual. */

import { fill, strings } from "./strings.js";
import { toast } from "./toasts.js";

export function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let step = 0;
  while (bytes >= 1000 && step < units.length - 1) [bytes, step] = [bytes / 1000, step + 1];
  return `${bytes.toFixed(step && bytes < 100 ? 1 : 0)} ${units[step]}`;
}

function choose(zone) {
  const input = zone.querySelector("input[type=file]");
  const files = [...input.files];
  const limit = Number(zone.dataset.limit || Infinity);
  const name = zone.querySelector("[data-drop-name]");
  const large = files.find((file) => file.size > limit);
  if (large) {
    input.value = "";
    toast(fill(strings.uploadTooLarge, { limit: size(limit) }), "warning");
  } else if (name && files.length) {
    name.textContent = files.map((file) => `${file.name} · ${size(file.size)}`).join(", ");
  }
}

function take(zone, files) {
  const input = zone.querySelector("input[type=file]");
  if (!files.length || (files.length > 1 && !input.multiple)) {
    toast(strings.uploadOne, "warning");
    return;
  }
  input.files = files;
  choose(zone);
}

/* A file that misses the zone must not replace the page, and with it what was filled in. */
for (const kind of ["dragover", "drop"]) {
  document.addEventListener(kind, (event) => {
    if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
  });
}

/* The answer was fetched already (its messages are spent), so it is shown instead of asked for again. */
function show(request) {
  const page = new DOMParser().parseFromString(request.responseText, "text/html");
  for (const part of ["#content", ".lx-crumbs"]) {
    const made = page.querySelector(part);
    if (made) document.querySelector(part)?.replaceWith(made);
  }
  document.getElementById("messages").append(...(page.getElementById("messages")?.children ?? []));
  document.title = page.title;
  if (request.responseURL !== location.href) history.pushState({}, "", request.responseURL);
  const content = document.getElementById("content");
  window.htmx?.process(content);
  content.dispatchEvent(new CustomEvent("htmx:load", { bubbles: true }));
  content.focus();
}

function send(form, submitter) {
  const box = form.querySelector("[data-upload-progress]");
  const bar = box.querySelector("progress");
  const words = box.querySelector("span");
  const request = new XMLHttpRequest();
  box.hidden = false;
  form.dataset.sending = "";
  request.upload.addEventListener("progress", (event) => {
    if (!event.lengthComputable) return;
    bar.value = (100 * event.loaded) / event.total;
    words.textContent = fill(strings.uploadOf, { done: size(event.loaded), total: size(event.total) });
  });
  request.upload.addEventListener("load", () => {
    bar.removeAttribute("value");
    words.textContent = strings.uploadDone;
  });
  request.addEventListener("load", () => {
    if (request.status === 413) return fail(strings.error413);
    return show(request);
  });
  const fail = (text) => {
    box.hidden = true;
    delete form.dataset.sending;
    toast(text, "error");
  };
  request.addEventListener("error", () => fail(strings.uploadFailed));
  request.open("POST", form.action);
  request.send(new FormData(form, submitter));
}

export function bindDrops(root) {
  for (const zone of root.querySelectorAll("[data-drop]:not([data-bound])")) {
    zone.dataset.bound = "";
    for (const kind of ["dragenter", "dragover"]) zone.addEventListener(kind, () => zone.classList.add("over"));
    for (const kind of ["dragleave", "drop"]) zone.addEventListener(kind, () => zone.classList.remove("over"));
    zone.addEventListener("drop", (event) => take(zone, event.dataTransfer.files));
    zone.querySelector("input[type=file]").addEventListener("change", () => choose(zone));
  }
  for (const form of root.querySelectorAll("form[data-upload]:not([data-bound])")) {
    form.dataset.bound = "";
    form.addEventListener("submit", (event) => {
      const input = form.querySelector("[data-drop] input[type=file]");
      if (event.defaultPrevented || !input?.files.length || !form.querySelector("[data-upload-progress]")) return;
      event.preventDefault();
      if (form.dataset.sending === undefined) send(form, event.submitter);
    });
  }
}
