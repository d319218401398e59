"use strict";
/* The table of runs: sorted by a column, filtered by words, two or more of them chosen to be compared. */
{
  const table = document.querySelector("#runs table");
  const rows = () => [...table.tBodies[0].rows];
  const value = (row, column) => {
    const cell = row.cells[column], told = cell.dataset.value ?? cell.textContent.trim();
    return told === "" || told === "–" ? null : Number.isNaN(Number(told)) ? told : Number(told);
  };
  const compared = (one, other) => (typeof one === "number" && typeof other === "number" ? one - other : String(one).localeCompare(String(other)));

  function sort(head) {
    const column = head.cellIndex, turn = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of table.tHead.rows[0].cells) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", turn > 0 ? "ascending" : "descending");
    const keyed = rows().map((row) => [value(row, column), row]);
    keyed.sort(([one], [other]) => (one === null) - (other === null) || (one === null ? 0 : turn * compared(one, other))); // what is unknown, last
    table.tBodies[0].append(...keyed.map(([, row]) => row));
  }

  function filter(words) {
    for (const row of rows()) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
  }

  if (table) {
    for (const head of table.tHead.rows[0].cells) head.querySelector("button")?.addEventListener("click", () => sort(head));
    document.getElementById("words").addEventListener("input", (event) => filter(event.target.value.toLowerCase().split(/\s+/).filter(Boolean)));
    table.addEventListener("change", () => { document.getElementById("compare").disabled = table.querySelectorAll(":checked").length < 2; });
    document.getElementById("compare").disabled = table.querySelectorAll(":checked").length < 2;
  }
}
