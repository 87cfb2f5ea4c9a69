// The board's data, and functions that all scripts use. Texts are inserted as text nodes only.
const BOARD = JSON.parse(document.getElementById("data").textContent);
const get = (id) => document.getElementById(id);

/** An element with attributes (whose names are never data) and children, elements or texts. */
function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

const percent = (value) => (value === null || value === undefined ? "–" : value.toFixed(2));

/** A cost as in the tables: three digits, no exponent. */
function number(value) {
  if (value === null || value === undefined) return "–";
  const decimals = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

const FIRST_COST = 3; // columns before it: machine, busy, runs

/** A row's costs on a machine class (an index of the table's list), or undefined. */
const costsOn = (row, machine) => row.costs.find((costs) => costs[0] === machine);

const isRanked = (table, row) => !table.tested.length || row.ranks.some((rank) => rank !== null);
/** "2", "1–3", or a dash. */
function rankOf(row, by) {
  const [best, worst] = row.ranks[by] ?? [];
  return best === undefined ? "–" : best === worst ? String(best) : `${best}–${worst}`;
}

const nameOf = (row) => row.label.trim() || "(no name)";
/** A label with permitted line breaks before its parameters. */
const breakable = (row) => el("span", {}, ...nameOf(row).split(/(?=[[])|(?<=,)/).flatMap((part) => [el("wbr"), part]));
const inAddress = (table) => `table=${table.id.replaceAll("%", "%25")}`; // no other character of an id needs quoting
const addressOf = (table) => `#${inAddress(table)}`;
const addressOfMethod = (row, table) => `#method=${encodeURIComponent(row.label)}&${inAddress(table)}`;

/** Set the options of a select element, [value, text] pairs; `chosen` is selected if it is there, else the first. */
function offer(select, options, chosen = select.value) {
  select.replaceChildren(...options.map(([value, text]) => el("option", { value }, text)));
  const texts = options.map(([value]) => String(value));
  select.value = texts.includes(String(chosen)) ? chosen : texts[0] ?? "";
  select.closest("label").hidden = options.length < 2;
}

/** A table in a scrolling container. `rows` are lists of cells, each a text or an element. */
function grid(caption, titles, rows, classes = "") {
  const header = el("tr", {}, ...titles.map((title) => el("th", { scope: "col" }, title)));
  const lines = rows.map(([first, ...cells]) =>
    el("tr", {}, el("th", { scope: "row" }, first), ...cells.map((cell) => el("td", {}, cell))),
  );
  const parts = [el("caption", {}, caption), el("thead", {}, header), el("tbody", {}, ...lines)];
  const box = { class: "scroll", tabindex: "0", role: "region", "aria-label": caption };
  return el("div", box, el("table", { class: classes }, ...parts));
}
