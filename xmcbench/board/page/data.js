// The board's data, and what every part of the page uses. Texts reach the page as text nodes only.
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

/** A cost as the tables show it: three digits, no exponent. */
function number(value) {
  if (value === null || value === undefined) return "–";
  const decimals = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

const FIRST_COST = 3; // before them: machine, busy, runs

/** A row's costs on a machine class (its place in the table's list), or undefined. */
const costsOn = (row, machine) => row.costs.find((costs) => costs[0] === machine);

const isRanked = (table, row) => !table.tested.length || row.ranks.some((rank) => rank !== null);
const nameOf = (row) => row.label.trim() || "(no name)";
/** A label that a narrow column may break before its parameters. */
const breakable = (row) => el("span", {}, ...nameOf(row).split(/(?=[[])|(?<=,)/).flatMap((part) => [el("wbr"), part]));
const inAddress = (table) => `table=${table.id.replaceAll("%", "%25")}`; // an id needs no other quoting
const addressOf = (table) => `#${inAddress(table)}`;
const addressOfMethod = (row, table) => `#method=${encodeURIComponent(row.label)}&${inAddress(table)}`;

/** Options of a select element from [value, text] pairs; the one chosen before stays, if it is still there. */
function offer(select, options, chosen = select.value) {
  select.replaceChildren(...options.map(([value, text]) => el("option", { value }, text)));
  const texts = options.map(([value]) => String(value));
  select.value = texts.includes(String(chosen)) ? chosen : texts[0] ?? "";
  select.closest("label").hidden = options.length < 2;
}

/** A table in a container of its own that scrolls: titles, and rows of cells, each a text or an element. */
function grid(caption, titles, rows, classes = "") {
  const header = el("tr", {}, ...titles.map((title) => el("th", { scope: "col" }, title)));
  const lines = rows.map(([first, ...cells]) =>
    el("tr", {}, el("th", { scope: "row" }, first), ...cells.map((cell) => el("td", {}, cell))),
  );
  const parts = [el("caption", {}, caption), el("thead", {}, header), el("tbody", {}, ...lines)];
  const box = { class: "scroll", tabindex: "0", role: "region", "aria-label": caption };
  return el("div", box, el("table", { class: classes }, ...parts));
}
