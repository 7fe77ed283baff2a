"use strict";
(() => {
  const table = document.getElementById("verdicts"), form = document.getElementById("filters");
  if (!table || !form) return;
  const body = table.tBodies[0], rows = [...body.rows], status = form.querySelector("output");
  const text = new Map(rows.map((row) => [row, `${row.textContent} ${row.dataset.text}`.toLowerCase()]));

  function shown(row) {
    const words = form.elements.text.value.toLowerCase().split(/\s+/);
    return words.every((word) => text.get(row).includes(word)) &&
      ["kind", "outcome", "section"].every((name) => {
        const wanted = form.elements[name].value;
        return !wanted || row.dataset[name].split(" ").includes(wanted);
      });
  }

  function filter() {
    rows.forEach((row) => { row.hidden = !shown(row); });
    status.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} checks shown`;
  }

  function key(row, column) {
    const cell = row.cells[column];
    return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent.trim();
  }

  function compare(a, b, direction) {
    if (typeof a === "string") return direction * a.localeCompare(b, undefined, { numeric: true });
    const undefinedLast = Number.isNaN(a) - Number.isNaN(b);
    return undefinedLast || direction * (a < b ? -1 : a > b ? 1 : 0);
  }

  function sort(header) {
    const ascending = header.getAttribute("aria-sort") !== "ascending", column = header.cellIndex;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const direction = ascending ? 1 : -1;
    rows.sort((a, b) => compare(key(a, column), key(b, column), direction));
    body.append(...rows);
    status.textContent = `sorted by ${header.textContent}, ${header.getAttribute("aria-sort")}`;
  }

  for (const header of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    button.addEventListener("click", () => sort(header));
    header.append(button);
  }
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  form.hidden = false;
  filter();
})();
