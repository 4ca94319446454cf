"use strict";
// The view is a set of names and values, kept in the page's address, and nowhere else.
const all = (selector, from = document) => [...from.querySelectorAll(selector)];
const make = (name, text = "", attributes = {}) => {
  const element = document.createElement(name);
  element.textContent = text;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
};
const root = document.documentElement;
root.classList.add("scripted");
const FEW = 8; // rows that are found by looking
let view = new URLSearchParams();

function remember(name, value) {
  if (value) view.set(name, value);
  else view.delete(name);
  const text = view.toString();
  history.replaceState(null, "", text ? "#" + text : location.pathname + location.search);
  show();
}

// A number as the page has it, with commas between thousands.
function number(text) {
  return Number(/^-?\d{1,3}(,\d{3})+$/.test(text) ? text.replaceAll(",", "") : text);
}

// Numbers first, ascending; then words; then what is not known, whichever way the order goes.
function compare(a, b, descending) {
  if (a === "" || b === "") return (a === "") - (b === "");
  const [x, y] = [a, b].map((text) => (text === "never" || text === "diverged" ? Infinity : number(text)));
  const order = Number.isNaN(x) || Number.isNaN(y)
    ? Number.isNaN(x) - Number.isNaN(y) || a.localeCompare(b, "en", { numeric: true })
    : x === y ? 0 : x - y;
  return descending ? -order : order;
}

function sortable(table) {
  const name = table.dataset.sort;
  const headings = all("th", table.tHead);
  const rows = [...table.tBodies[0].rows];
  const find = make("input", "", { type: "search", placeholder: "Find", "aria-label": "Find in the table" });
  const count = make("output");
  const bar = make("div", "", { class: "bar" });
  bar.append(find);
  find.addEventListener("input", () => remember("find." + name, find.value));
  const choices = headings.flatMap((heading, column) => {
    if (!heading.dataset.filter) return [];
    const label = heading.textContent;
    const select = make("select", "", { "aria-label": label });
    const values = [...new Set(rows.map((row) => row.cells[column].textContent))];
    values.sort((a, b) => compare(a, b, false));
    select.append(make("option", "any " + label, { value: "" }));
    for (const value of values) select.append(make("option", value || "(none)", { value: "=" + value }));
    select.addEventListener("change", () => remember("only." + name + "." + label, select.value));
    bar.append(select);
    return [{ column, label, select }];
  });
  bar.append(count);
  if (rows.length > FEW || choices.length) table.closest(".scroll").before(bar);
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const up = String(column);
      remember("sort." + name, view.get("sort." + name) === up ? "-" + up : up);
    });
  });
  return (hidden) => {
    const sort = view.get("sort." + name);
    const column = sort === null ? -1 : Math.abs(Number(sort));
    const descending = Boolean(sort) && sort.startsWith("-");
    headings.forEach((heading, index) => {
      heading.setAttribute("aria-sort", index !== column ? "none" : descending ? "descending" : "ascending");
    });
    const sorted = headings[column]
      ? [...rows].sort((a, b) => compare(a.cells[column].textContent, b.cells[column].textContent, descending))
      : rows;
    table.tBodies[0].append(...sorted);
    find.value = view.get("find." + name) || "";
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const { label, select } of choices) select.value = view.get("only." + name + "." + label) || "";
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = hidden.has(row.dataset.backend) || !words.every((word) => text.includes(word)) ||
        choices.some(({ column, select }) => select.value && select.value !== "=" + row.cells[column].textContent);
      shown += !row.hidden;
    }
    count.textContent = shown + " of " + rows.length + " rows";
  };
}

const tables = all("table[data-sort]").map(sortable);
const buttons = all("#legend button");
const theme = document.getElementById("theme");
theme.hidden = false;

function show() {
  const hidden = new Set(view.getAll("hide"));
  for (const update of tables) update(hidden);
  for (const button of buttons) {
    const off = hidden.has(button.dataset.backend);
    button.setAttribute("aria-pressed", String(!off));
    for (const part of all(".series-" + button.dataset.series)) part.classList.toggle("off", off);
  }
  for (const group of all("[data-choices]")) {
    const select = group.querySelector("select");
    select.value = view.get("choose." + group.dataset.choices) || "0";
    if (select.selectedIndex < 0) select.value = "0";
    for (const each of group.children) {
      if (each.dataset.choice) each.hidden = each.dataset.choice !== select.value;
    }
  }
  const dark = (view.get("theme") || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  if (view.has("theme")) root.dataset.theme = dark ? "dark" : "light";
  else delete root.dataset.theme;
  theme.textContent = dark ? "Light" : "Dark";
}

function restore() {
  const text = location.hash.slice(1);
  view = text && !text.includes("=") ? view : new URLSearchParams(text);
  show();
  const at = document.getElementById(view.get("at"));
  if (at) at.scrollIntoView();
}

theme.addEventListener("click", () => remember("theme", theme.textContent.toLowerCase()));
for (const button of buttons) {
  button.addEventListener("click", () => {
    const names = new Set(view.getAll("hide"));
    if (!names.delete(button.dataset.backend)) names.add(button.dataset.backend);
    view.delete("hide");
    for (const name of names) view.append("hide", name);
    remember("", "");
  });
}
for (const group of all("[data-choices]")) {
  const select = group.querySelector("select");
  select.addEventListener("change", () => remember("choose." + group.dataset.choices, select.value === "0" ? "" : select.value));
}
for (const link of all("nav a")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    remember("at", link.hash.slice(1));
    document.getElementById(view.get("at")).scrollIntoView();
  });
}

// The rows of the file that a figure offers.
function fileOf(figure) {
  const link = figure.querySelector("a.csv");
  const text = decodeURIComponent(link.href.slice(link.href.indexOf(",") + 1));
  return text.trimEnd().split("\n").map((line) =>
    line.match(/("([^"]|"")*"|[^,]*)(,|$)/g).slice(0, line.endsWith(",") ? undefined : -1).map((cell) => {
      const value = cell.replace(/,$/, "");
      return value.startsWith('"') ? value.slice(1, -1).replaceAll('""', '"') : value;
    }));
}

// What a figure shows, in numbers.
for (const figure of all("figure")) {
  if (!figure.querySelector("svg") || figure.querySelector("table")) continue;
  const details = make("details");
  details.append(make("summary", "Numbers"));
  details.addEventListener("toggle", () => {
    if (details.querySelector("table")) return;
    const table = make("table");
    for (const line of fileOf(figure)) {
      const row = table.insertRow();
      for (const cell of line) row.insertCell().textContent = cell;
    }
    const scroll = make("div", "", { class: "scroll", tabindex: "0" });
    scroll.append(table);
    details.append(scroll);
  });
  figure.append(details);
}

// What a mark is, where a pointer or a finger is on it: sooner than the browser says it, if it does.
const tip = make("div", "", { id: "tip", role: "tooltip" });
tip.hidden = true;
document.body.append(tip);
for (const title of all("svg title")) {
  title.parentNode.dataset.tip = title.textContent;
  title.remove();
}
// A matrix has one mark for all its cells; its file says what is where.
function cellAt(over, event) {
  const box = over.getBoundingClientRect();
  const rows = (over.rows ||= fileOf(over.closest("figure")));
  const count = rows.length - 1;
  const place = (at, from, size) => Math.min(count - 1, Math.max(0, Math.floor(((at - from) / size) * count)));
  const [down, across] = [place(event.clientY, box.top, box.height), place(event.clientX, box.left, box.width)];
  return rows[down + 1][0] + " and " + rows[0][across + 1] + "\n" + rows[down + 1][across + 1];
}
function hint(event) {
  const at = event.target instanceof Element ? event.target.closest("[data-tip], .over") : null;
  tip.hidden = !at;
  if (!at) return;
  tip.textContent = at.dataset.tip || cellAt(at, event);
  const { width, height } = tip.getBoundingClientRect();
  const [x, y] = [event.clientX + 14, event.clientY + 14];
  tip.style.left = Math.max(4, Math.min(x, innerWidth - width - 4)) + "px";
  tip.style.top = (y + height > innerHeight ? Math.max(4, event.clientY - height - 10) : y) + "px";
}
for (const each of ["pointermove", "pointerdown"]) addEventListener(each, hint);
document.documentElement.addEventListener("pointerleave", () => { tip.hidden = true; });
addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });

addEventListener("hashchange", restore);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
restore();
