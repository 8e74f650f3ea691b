// Puts a search field above each table in <div class="searchable">, and a choice for each column that
// data-choices names. It works from a file, and without it the whole table is there.
"use strict";

function searchable(frame) {
  const table = frame.querySelector("table");
  const rows = [...table.tBodies[0].rows];
  const headings = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
  const bar = document.createElement("div");
  bar.className = "filters";

  const words = document.createElement("input");
  words.type = "search";
  words.placeholder = "search the table";
  words.setAttribute("aria-label", "search the table");
  bar.append(words);

  const choices = (frame.dataset.choices || "").split(" ").filter(Boolean).map((name) => {
    const column = headings.indexOf(name);
    const values = [...new Set(rows.map((row) => row.cells[column].textContent.trim()))].sort();
    const select = document.createElement("select");
    select.setAttribute("aria-label", name);
    select.append(new Option(`every ${name}`, ""), ...values.map((value) => new Option(value)));
    bar.append(select);
    return { column, select };
  });

  const count = document.createElement("span");
  count.setAttribute("role", "status");
  bar.append(count);

  function show() {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const fits =
        wanted.every((word) => text.includes(word)) &&
        choices.every(({ column, select }) =>
          !select.value || row.cells[column].textContent.trim() === select.value);
      row.hidden = !fits;
      shown += fits;
    }
    count.textContent = `${shown} of ${rows.length}`;
  }

  bar.addEventListener("input", show);
  frame.prepend(bar);
  show();
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".searchable").forEach(searchable);
});
