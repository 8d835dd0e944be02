"use strict";
const words = new Intl.Collator("en", { numeric: true });

function sortBy(table, header) {
  const headers = [...header.parentElement.cells];
  const column = headers.indexOf(header);
  const sign = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  const numeric = header.classList.contains("number");
  const keyed = [...table.tBodies[0].rows].map((row) => {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent.trim();
    return { row, empty: text === "", key: numeric ? Number(text) : text };
  });
  // What is empty comes last, whichever way.
  keyed.sort((a, b) => {
    if (a.empty || b.empty) return a.empty - b.empty;
    return sign * (numeric ? a.key - b.key : words.compare(a.key, b.key));
  });
  table.tBodies[0].append(...keyed.map((one) => one.row));
  for (const other of headers) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
}

for (const table of document.querySelectorAll("table.sortable")) {
  for (const header of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    button.addEventListener("click", () => sortBy(table, header));
    header.append(button);
  }
}
