// Sorting, copying and enlarging. Without this script the page is complete but does not react.
"use strict";

const make = (name, attributes = {}, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
};

// Tables: clicks on a heading sort descending, ascending, then as printed. Quoted rows stay last.
const worth = (cell) => {
  const text = cell.dataset.value ?? cell.textContent.trim();
  const number = Number(text);
  return text === "" ? null : Number.isNaN(number) ? text : number;
};
const compare = (a, b) =>
  typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const printed = [...body.rows];
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = make("button", { type: "button", title: "Sort by this column" });
    button.append(...heading.childNodes);
    if (!button.textContent.trim()) button.append(make("span", { class: "unseen" }, "row"));
    heading.append(button);
    button.addEventListener("click", () => {
      const next = { none: "descending", descending: "ascending", ascending: "none" };
      const order = next[heading.getAttribute("aria-sort") ?? "none"];
      for (const other of headings) other.removeAttribute("aria-sort");
      if (order !== "none") heading.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const ours = printed.filter((row) => !row.classList.contains("quoted"));
      if (order !== "none") {
        ours.sort((a, b) => {
          const [x, y] = [worth(a.cells[column]), worth(b.cells[column])];
          if (x === null || y === null) return (x === null) - (y === null);
          return sign * compare(x, y);
        });
      }
      body.append(...ours, ...printed.filter((row) => row.classList.contains("quoted")));
    });
  });
}

// Copy buttons: they copy the text of tables.csv and tables.tex.
const copies = JSON.parse(document.getElementById("copies").textContent);
const copy = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make("textarea", { class: "unseen", "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
};
for (const place of document.querySelectorAll("[data-copies]")) {
  for (const [form, text] of Object.entries(copies[place.dataset.copies])) {
    const label = `Copy ${{ csv: "CSV", latex: "LaTeX" }[form]}`;
    const button = make("button", { type: "button", "data-form": form }, label);
    button.addEventListener("click", async () => {
      await copy(text);
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = label), 1500);
    });
    place.append(button);
  }
  place.setAttribute("aria-live", "polite");
}

// Printing opens the closed list of runs, because paper cannot.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((list) => (list.open = true)));

// Images: a click or Enter enlarges one to the window; Escape closes it.
const dialog = make("dialog", { "aria-label": "Enlarged picture" });
const shown = make("div", { class: "enlarged" });
const said = make("p");
const close = make("button", { type: "button" }, "Close");
dialog.append(close, shown, said);
document.body.append(dialog);
let home = null;
close.addEventListener("click", () => dialog.close());
shown.addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => {
  home?.append(...shown.childNodes);
  home = null;
});
for (const picture of document.querySelectorAll(".picture")) {
  const button = make("button", { type: "button", class: "enlarge", title: "Enlarge" });
  picture.before(button);
  button.append(picture);
  button.addEventListener("click", () => {
    home = button;
    said.textContent = button.closest("figure").querySelector("figcaption").textContent;
    shown.append(picture);
    dialog.showModal();
  });
}
