/* Bulk tables: <form data-bulk> holds rows with <input type=checkbox name=ids>, one <input type=checkbox data-bulk-all>
   and a bar <div class="lx-bulk" data-bulk-bar hidden> with <span data-bulk-count>. Shift-click selects a range. */

import { fill, strings } from "./strings.js";

let last = null;

const boxes = (form) => [...form.querySelectorAll("input[type=checkbox]:not([data-bulk-all]):not(:disabled)")];

function refresh(form) {
  const all = boxes(form);
  const chosen = all.filter((box) => box.checked).length;
  const head = form.querySelector("[data-bulk-all]");
  if (head) {
    head.checked = chosen > 0 && chosen === all.length;
    head.indeterminate = chosen > 0 && chosen < all.length;
  }
  const bar = form.querySelector("[data-bulk-bar]");
  if (bar) bar.hidden = chosen === 0;
  const count = form.querySelector("[data-bulk-count]");
  if (count) count.textContent = fill(strings.selected, { count: chosen });
}

document.addEventListener("click", (event) => {
  const box = event.target;
  const form = box.closest?.("form[data-bulk]");
  if (!form || box.type !== "checkbox") return;
  if (box.matches("[data-bulk-all]")) {
    for (const each of boxes(form)) each.checked = box.checked;
  } else {
    const all = boxes(form);
    if (event.shiftKey && last && all.includes(last)) {
      const [from, to] = [all.indexOf(last), all.indexOf(box)].sort((a, b) => a - b);
      for (const each of all.slice(from, to + 1)) each.checked = box.checked;
    }
    last = box;
  }
  refresh(form);
});
for (const form of document.querySelectorAll("form[data-bulk]")) refresh(form);
