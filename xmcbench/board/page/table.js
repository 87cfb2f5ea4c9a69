// A data set's table: links, boxes to tick, sorting, filter, ranks by another metric.

const VIEWS = new Map(); // the tables that were shown so far
const FIRST_VALUE = 2; // columns before it: rank, method

/** A table's data, and the row of the page for each of its rows. Both have the same order at first. */
function openTable(table) {
  if (VIEWS.has(table)) return VIEWS.get(table);
  const section = get(`table=${table.id}`);
  const element = section.querySelector("table.main");
  const view = { table, section, element, lines: [], heads: [], columns: [] };
  VIEWS.set(table, view);
  if (!element) return view;
  const body = [...element.tBodies].flatMap((part) => [...part.rows]);
  view.lines = body.map((line, i) => ({ line, row: table.rows[i], first: i }));
  view.heads = [...element.tHead.rows[1].cells];
  [view.before, ...view.groups] = element.tHead.rows[0].cells;
  // cells by column in their first order, which does not change when cells or rows move
  view.body = body.map((line) => [...line.cells]);
  view.wide = [view.heads, ...view.body, ...[...element.tFoot.rows].map((line) => [...line.cells])];
  const costs = view.heads.length - FIRST_VALUE - table.shown - 1;
  table.perMachine = table.machines.length ? costs / table.machines.length : 0;
  view.columns = view.heads.map((_, i) => columnOf(table, i));
  prepare(view);
  drawBars(view);
  return view;
}

/** What a column of the page is: its name among the choices (null: always visible), metric, and place of its machine. */
function columnOf(table, i) {
  const metric = i - FIRST_VALUE;
  if (metric < 0) return { name: null };
  if (metric < table.shown) return { name: table.metrics[metric], metric };
  if (metric === table.shown) return { name: FAMILY };
  const cost = metric - table.shown - 1;
  return { name: BOARD.costs[cost % table.perMachine][0], cost: cost % table.perMachine, place: Math.floor(cost / table.perMachine) };
}

/** Method names become links, titles become buttons, and each row gets a box to tick. */
function prepare(view) {
  for (const { line, row } of view.lines) {
    const name = line.cells[1].querySelector("span");
    name.replaceWith(el("a", { href: addressOfMethod(row, view.table) }, ...name.childNodes));
    const box = el("input", { type: "checkbox", "aria-label": `Compare ${nameOf(row)}` });
    box.addEventListener("change", () => tick(row.label, box.checked));
    line.cells[0].prepend(box);
  }
  for (const head of view.heads) {
    const button = el("button", { type: "button" }, ...head.childNodes);
    button.addEventListener("click", () => go({ sort: `${turned(head) === "descending" ? "-" : ""}${nameOfColumn(VIEW, head)}` }));
    head.replaceChildren(button);
    head.setAttribute("aria-sort", "none");
  }
}

/** The direction after a click: first descending for values and ascending for others, then the other direction. */
function turned(head) {
  const now = head.getAttribute("aria-sort");
  if (now !== "none") return now === "ascending" ? "descending" : "ascending";
  return head.dataset.sort === "value" ? "descending" : "ascending";
}

/** How the address names a column. */
const nameOfColumn = (view, head) => view.columns[view.heads.indexOf(head)].name ?? (head === view.heads[0] ? "Rank" : "Method");

/** Sort as the address says: a column's name, after "-" for descending. Without one, or with an unknown one, by rank. */
function sortAs(view, text, machine) {
  const name = text?.replace(/^-/, "");
  const onMachine = (head) => [undefined, machine].includes(view.columns[view.heads.indexOf(head)].place);
  const named = view.heads.find((head) => onMachine(head) && nameOfColumn(view, head) === name);
  if (view.heads.length) sort(view, named ?? view.heads[0], named && text.startsWith("-") ? "descending" : "ascending");
}

/** Sort the rows. Rows without a value are last in both directions; rows without a rank stay below the others. */
function sort(view, head, direction) {
  const key = keyOf(view, head);
  const sign = direction === "ascending" ? 1 : -1;
  const compare = (a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === null || y === null) return (x === null) - (y === null) || a.first - b.first;
    return sign * (typeof x === "string" ? x.localeCompare(y, "en") : x - y) || a.first - b.first;
  };
  for (const other of view.heads) other.setAttribute("aria-sort", other === head ? direction : "none");
  for (const { line } of [...view.lines].sort(compare)) line.parentNode.append(line);
}

/** The sort key of a column: a function from an entry of `lines` to a number, a text or null. */
function keyOf(view, head) {
  const { metric, cost, place } = view.columns[view.heads.indexOf(head)];
  const kind = head.dataset.sort;
  if (kind === "rank") return ({ row }) => standingBy(row, Number(get("rank").value), view.table);
  if (kind === "value") return ({ row }) => row.values[metric]?.[0] ?? null;
  if (kind === "cost") return ({ row }) => costsOn(row, place)?.[FIRST_COST + cost] ?? null;
  return ({ row }) => row[kind];
}

/** Ranked rows are in the order of their values. */
function standingBy(row, by, table) {
  const place = row.ranks[by] ?? null;
  return place === null ? null : -(row.values[table.tested[by]]?.[0] ?? 0);
}

/** Show ranks by the chosen metric; move the values of the metric next to the methods. */
function showRanks(view) {
  const { table } = view;
  const by = get("rank").value;
  if (!view.lines.length || by === "") return;
  view.heads[0].firstChild.replaceChildren(`Rank by ${table.metrics[table.tested[by]]}`);
  for (const { line, row } of view.lines) {
    const tied = row.ranks[by] && row.ranks[by][1] - row.ranks[by][0];
    const ties = tied ? [el("small", {}, `tied with ${tied}`)] : [];
    line.cells[0].replaceChildren(line.cells[0].querySelector("input"), rankOf(row, by), ...ties);
  }
  for (const cells of view.wide) {
    const values = cells.slice(FIRST_VALUE, FIRST_VALUE + table.shown);
    cells[FIRST_VALUE - 1].after(values[table.tested[by]], ...values.filter((_, i) => i !== table.tested[by]));
  }
}

/** Show only rows of the chosen family that have all words of the search, and their number. */
function filter(view) {
  const words = get("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  const family = get("family").value;
  for (const { line, row } of view.lines) {
    const text = [row.label, row.name, row.family, ...row.flags].join(" ").toLowerCase();
    line.hidden = !((!family || row.family === family) && words.every((word) => text.includes(word)));
  }
  const shown = view.lines.filter(({ line }) => !line.hidden).length;
  get("found").textContent = `${shown} of ${view.lines.length} methods`;
}
