/* Tables that were written short: in <table class="stacked"> a cell without data-label takes its column's words, except the
   first and .text-cell (small screens show them beside the value), and the head of a column of numbers (td.num, td.text-end) stands over them. */

export function bindTables(root) {
  for (const table of root.matches?.("table") ? [root] : root.querySelectorAll("main table")) {
    const heads = [...(table.tHead?.rows[0]?.cells ?? [])];
    for (const row of table.tBodies[0]?.rows ?? []) {
      [...row.cells].forEach((cell, index) => {
        const head = heads[index];
        if (!head || cell.colSpan > 1) return;
        if (cell.matches(".num, .text-end") && head.textContent.trim()) head.classList.add("text-end");
        if (table.matches(".stacked") && index && !cell.matches(".text-cell") && cell.dataset.label === undefined) {
          const words = head.textContent.trim();
          if (words) cell.dataset.label = words;
        }
      });
    }
  }
}
