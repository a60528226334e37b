// tables sorted by their headings

function key(cell) {
  if (!cell) return null;
  if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
  const text = cell.textContent.trim();
  const value = Number.parseFloat(text.replace("−", "-").replace(/[$,]/g, ""));
  return Number.isNaN(value) ? text : value;
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === "number") return -1;
  if (typeof b === "number") return 1;
  return a.localeCompare(b);
}

function sortable(table) {
  const heads = [...table.querySelectorAll("thead th[data-col]")];
  for (const head of heads) {
    const button = el("button", { type: "button" });
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const column = Number(head.dataset.col);
      const order = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", order > 0 ? "ascending" : "descending");
      const body = table.tBodies[0];
      const rows = [...body.rows].map((row, i) => [key(row.cells[column]), i, row]);
      rows.sort((a, b) => {
        const missing = (a[0] === "–") - (b[0] === "–"); // what was not measured stays last
        return missing || order * compare(a[0], b[0]) || a[1] - b[1];
      });
      body.append(...rows.map((row) => row[2]));
    });
  }
}
