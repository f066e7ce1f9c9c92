/* <table data-sortable> lets people sort the rows they see by clicking a head cell. A cell may carry data-value="12.5"
   to sort by; a head cell with data-nosort stays as it is. aria-sort tells the direction. Without a number in every
   filled cell, texts are compared in the page's language. */

const collator = new Intl.Collator(document.documentElement.lang || "en", { numeric: true });

function valueOf(row, index) {
  const cell = row.cells[index];
  if (!cell) return "";
  return cell.dataset.value ?? cell.querySelector("time[datetime]")?.dateTime ?? cell.textContent.trim();
}

function numberOf(text) {
  if (text === "" || text === "–") return null;
  const plain = text.replace(/[\s, ]/g, "").replace(/%$/, "");
  return plain !== "" && Number.isFinite(Number(plain)) ? Number(plain) : undefined;
}

function sort(table, head, index) {
  const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => ({ row, text: valueOf(row, index) }));
  for (const entry of rows) entry.number = numberOf(entry.text);
  const numeric = rows.every((entry) => entry.number !== undefined);
  rows.sort((a, b) => {
    if (!numeric) return direction * collator.compare(a.text, b.text);
    if (a.number === null || b.number === null) return (a.number === null) - (b.number === null);
    return direction * (a.number - b.number);
  });
  body.append(...rows.map((entry) => entry.row));
}

export function bindSortable(root) {
  const tables = root.matches?.("table[data-sortable]") ? [root] : root.querySelectorAll("table[data-sortable]");
  for (const table of tables) {
    const heads = [...(table.tHead?.rows[0]?.cells ?? [])];
    heads.forEach((head, index) => {
      const plain = head.matches("[data-nosort]") || head.querySelector("a, button, input") || !head.textContent.trim();
      if (plain || head.dataset.sort !== undefined || head.colSpan > 1) return;
      head.dataset.sort = "";
      const button = document.createElement("button");
      button.type = "button";
      button.className = "lx-sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => sort(table, head, index));
    });
  }
}
