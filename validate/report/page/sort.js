// A click on a column's head sorts its table: numbers first, largest on top, then upside down.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const key = (row, column) => {
    const text = row.cells[column].textContent.trim();
    // "98.7 %" and "+0.46 (+0.10 to +0.90)" are numbers, the image id "2007_000033" is none
    return /^[-+]?[\d.]+(e[-+]?\d+)?(\s|$)/.test(text) ? parseFloat(text) : text;
  };
  const compare = (a, b) =>
    typeof a === typeof b
      ? typeof a === "number" ? b - a : a.localeCompare(b)
      : typeof a === "number" ? -1 : 1;
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const again = head.getAttribute("aria-sort") === "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", again ? "ascending" : "descending");
      const rows = [...body.rows].sort((a, b) => compare(key(a, column), key(b, column)));
      body.append(...(again ? rows.reverse() : rows));
    });
  });
}
