// The matrix of the start view: a row for each method, a column for each data set, heat colours by value.
const LEVELS = 5; // of heat, beside none
const REFERENCE = "tree"; // a cell's method is compared with it where it ran
let ROWS_OF; // label → rows in the tables of the matrix, or undefined

const inMatrix = () => BOARD.tables.filter((table) => table.rows.length);

/** Draw the matrix for the metric and the rows that the address chooses. */
function showMatrix() {
  const { metrics, lines } = BOARD.overview;
  const [chosen, all] = [address().get("metric"), address().get("rows") === "all"];
  const metric = metrics.includes(chosen) ? chosen : metrics[0];
  offer(get("metric"), metrics.map((name) => [name, name]), metric);
  const few = lines.filter(([, usual]) => usual);
  get("all").checked = all || !few.length;
  get("all").closest("label").hidden = !few.length || few.length === lines.length;
  const by = metrics.indexOf(metric);
  const shown = [...(all || !few.length ? lines : few)].sort((a, b) => middle(a, by) - middle(b, by));
  get("matrix-here").replaceChildren(matrix(metric, by, shown));
  get("cell").textContent = "Point at a value, or select it with the Tab key, to read what the tests and costs say of it.";
}

/** The middle of a mean rank, for sorting; methods with few ranks are last. */
function middle([, , means], by) {
  const mean = means[by];
  return mean ? mean[0] + mean[1] + 1e4 * (2 * mean[2] < BOARD.overview.boards[by]) : 1e9;
}

function matrix(metric, by, lines) {
  const tables = inMatrix();
  ROWS_OF ??= new Map(tables.map((table) => [table, new Map(table.rows.map((row) => [row.label, row]))]));
  const heads = tables.map((table) => {
    const about = [table.name[1], ...(table.small ? ["small"] : [])].join(", ");
    return el("th", { scope: "col" }, el("a", { href: addressBy(table, metric) }, table.name[0]), el("small", {}, about));
  });
  const titles = ["Method", "Mean rank", "Fit, s"].map((title) => el("th", { scope: "col" }, title));
  const levels = tables.map((table) => levelsOf(table, metric, lines));
  const body = lines.map((line) => lineOf(line, metric, by, tables, levels));
  const caption = `${metric} in percent of each method on each data set`;
  const parts = [el("caption", {}, caption), el("thead", {}, el("tr", {}, ...titles, ...heads)), el("tbody", {}, ...body)];
  const { boards, machine } = BOARD.overview;
  get("legend").textContent =
    `Bold: no test separates it from the best of its column. Darker: better within the column. Mean rank over ` +
    `${boards[by]} boards by ${metric}` +
    (machine ? `; fit: geometric mean of seconds on ${machine}, over as many boards as it says if not all; busy: other programs used the machine.` : ".");
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, el("table", { class: "matrix" }, ...parts));
}

const addressBy = (table, metric) => {
  const at = table.tested.findIndex((place) => table.metrics[place] === metric);
  return addressOf(table) + (at < 0 || at === table.by ? "" : `&by=${inPart(metric)}`);
};

/** A function from a value to its level of heat: the floor and other low values of a column have none. */
function levelsOf(table, metric, lines) {
  const place = table.metrics.indexOf(metric);
  const rows = lines.map(([label]) => ROWS_OF.get(table).get(label)).filter((row) => row && !row.floor);
  const values = rows.map((row) => row.values[place]?.[0]).filter((value) => value !== undefined);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return (value) => (high > low ? Math.max(0, Math.round((LEVELS * (value - low)) / (high - low))) : 0);
}

function lineOf([label, , means, fit, boards, busy], metric, by, tables, levels) {
  const home = tables.find((table) => ROWS_OF.get(table).has(label));
  const row = ROWS_OF.get(home).get(label);
  const mean = means[by];
  const missing = (n, of) => (n === of ? [] : [el("small", {}, `on ${n} of ${of}`)]);
  const total = BOARD.overview.boards[by];
  const ends = mean && [...new Set([mean[0].toFixed(1), mean[1].toFixed(1)])].join("–");
  const rank = mean ? [ends, ...missing(mean[2], total)] : ["–"];
  const marked = busy ? [el("small", {}, `busy on ${busy}`)] : [];
  const cost = fit === null ? ["–"] : [number(fit), ...missing(boards, BOARD.overview.boards[0]), ...marked];
  const link = el("a", { href: addressOfMethod(row, home) }, ...breakable(row).childNodes);
  const cells = tables.map((table, i) => cellOf(table, ROWS_OF.get(table).get(label), metric, levels[i]));
  const floor = row.floor ? [el("small", {}, "floor")] : [];
  return el("tr", {}, el("th", { scope: "row" }, link, ...floor), el("td", {}, ...rank), el("td", {}, ...cost), ...cells);
}

function cellOf(table, row, metric, level) {
  const value = row?.values[table.metrics.indexOf(metric)]?.[0];
  if (value === undefined) return el("td", {}, "–");
  const by = table.tested.findIndex((place) => table.metrics[place] === metric);
  const link = el("a", { href: addressBy(table, metric) }, value.toFixed(1));
  link.setAttribute("aria-label", `${percent(value)}, ${nameOf(row)} on ${table.title}`);
  for (const event of ["mouseenter", "focus"]) {
    link.addEventListener(event, () => (get("cell").textContent = inWords(table, row, metric, by)));
  }
  const first = row.ranks[by]?.[0] === 1 ? " first" : "";
  return el("td", { class: `heat-${level(value)}${first}` }, link);
}

/** "elias on ICD-10-CM, bow: nDCG@5 70.31, rank 1; +7.35 (6.92 to 7.78) over tree, 41 × its fit time" */
function inWords(table, row, metric, by) {
  const rank = row.ranks[by] ? `rank ${rankOf(row, by)}` : "not ranked";
  const said = `${nameOf(row)} on ${table.title}: ${metric} ${percent(row.values[table.metrics.indexOf(metric)][0])}, ${rank}`;
  const other = ROWS_OF.get(table).get(REFERENCE);
  if (!other || other === row || by < 0) return said;
  const found = differenceOf(table, by, row, other);
  const parts = found ? [`${signed(found)} compared with ${REFERENCE}${isApart(found) ? "" : ", which no test separates"}`] : [];
  const cost = ratioOf(row, other, 0);
  if (cost) parts.push(`${times(cost.ratio)} its fit time${cost.busy ? " (busy machine)" : ""}`);
  return [said, parts.join(", ")].filter(Boolean).join("; ");
}
