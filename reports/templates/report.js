// Sorting, copying, moving and enlarging. Without this script the page is complete but does not react.
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

// Links to a run open the list that holds it.
const reveal = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const list = target?.closest("details");
  if (!list || list.open) return;
  list.open = true;
  target.scrollIntoView();
};
addEventListener("hashchange", reveal);
reveal();

// Keyboard: one tab stop for the headings of a table and one for its rows; arrows move inside.
const roving = (stops) => {
  stops.forEach((stop, i) => {
    stop.tabIndex = i ? -1 : 0;
    stop.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const next = stops[i + by];
      if (!next) return;
      event.preventDefault();
      stop.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
  });
};
for (const table of document.querySelectorAll("table.sortable")) {
  roving([...table.querySelectorAll("thead button")]);
  roving([...table.querySelectorAll("tbody th a")]);
}
const scrolls = () => {
  for (const box of document.querySelectorAll(".wide")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
};
addEventListener("resize", scrolls);
scrolls();

// Printing opens the closed list of runs, because paper cannot.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((list) => (list.open = true)));

// Predictions: a click or Enter enlarges a pair beside image and truth; arrows show the next pair.
const dialog = make("dialog", { "aria-label": "Enlarged predictions" });
const shown = make("div", { class: "enlarged" });
const said = make("p");
const close = make("button", { type: "button" }, "Close");
const copied = (selector, within) => [...within.querySelectorAll(selector)].map((part) => part.cloneNode(true));
let pair = null;
const show = (next) => {
  pair = next;
  const strip = pair.closest(".strip");
  said.textContent = strip.querySelector("h3").textContent;
  shown.replaceChildren(...copied(".given figure", strip), ...copied("figure", pair));
};
const step = (by) => {
  const pairs = [...pair.parentElement.querySelectorAll(".pair")];
  const next = pairs[pairs.indexOf(pair) + by];
  if (next) show(next);
};
close.addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => pair?.focus());
dialog.addEventListener("keydown", (event) => {
  if (event.key === "ArrowRight") step(1);
  if (event.key === "ArrowLeft") step(-1);
});
dialog.append(close, said, shown, ...copied(".legend", document));
document.body.append(dialog);
for (const strip of document.querySelectorAll(".strip")) {
  const pairs = [...strip.querySelectorAll(".pair")];
  for (const each of pairs) {
    const name = each.querySelector("figcaption").textContent;
    const label = `Enlarge ${name}, ${strip.querySelector("h3").textContent}`;
    Object.entries({ role: "button", "aria-label": label, title: "Enlarge" }).forEach(([k, v]) => each.setAttribute(k, v));
    const open = () => {
      show(each);
      dialog.showModal();
    };
    each.addEventListener("click", open);
    each.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      open();
    });
  }
  roving(pairs);
}
