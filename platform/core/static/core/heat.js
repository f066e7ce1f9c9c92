/* <table data-heat="#says" data-heat-words="{row} on {column}: {value}"> says the field under the pointer or the focus in
   #says. Its td.cell are one stop of the Tab key; the arrow keys walk from field to field. Leaving says #says' own
   data-heat-idle again. */

const cellOf = (event) => event.target.closest?.("[data-heat] td.cell");

function say(cell) {
  const table = cell.closest("[data-heat]");
  const column = table.tHead.rows[0].cells[cell.cellIndex];
  const words = { row: cell.parentElement.cells[0].textContent, column: column.textContent, value: cell.textContent };
  const line = document.querySelector(table.dataset.heat);
  line.textContent = table.dataset.heatWords.replace(/\{(\w+)\}/g, (_all, name) => words[name]);
}

function rest(event) {
  const table = event.target.closest?.("[data-heat]");
  if (!table || table.contains(event.relatedTarget)) return;
  const line = document.querySelector(table.dataset.heat);
  line.textContent = line.dataset.heatIdle;
}

function next(cell, key) {
  const row = cell.parentElement;
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[key];
  if (!step) return null;
  const found = row.parentElement.rows[row.sectionRowIndex + step[0]]?.cells[cell.cellIndex + step[1]];
  return found?.matches("td.cell") ? found : null;
}

document.addEventListener("pointerover", (event) => cellOf(event) && say(cellOf(event)));
document.addEventListener("pointerout", rest);
document.addEventListener("focusout", rest);
document.addEventListener("focusin", (event) => {
  const cell = cellOf(event);
  if (!cell) return;
  for (const other of cell.closest("table").querySelectorAll("td.cell[tabindex='0']")) other.tabIndex = -1;
  cell.tabIndex = 0;
  say(cell);
});
document.addEventListener("keydown", (event) => {
  const cell = cellOf(event);
  const found = cell && next(cell, event.key);
  if (!found) return;
  event.preventDefault();
  found.focus();
});
