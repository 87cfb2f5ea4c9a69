// A data set's table: links, sorting, filter, ranks by another metric, costs of another machine class.

const VIEWS = new Map(); // the tables that were shown so far
const FIRST_VALUE = 2; // columns before it: rank, method
const firstCost = ({ table }) => FIRST_VALUE + table.shown + 1; // the column before it is the family

/** A table's data, and the row of the page for each of its rows. Both have the same order at first. */
function openTable(table) {
  if (VIEWS.has(table)) return VIEWS.get(table);
  const section = get(`table=${table.id}`);
  const view = { table, section, lines: [], heads: [] };
  VIEWS.set(table, view);
  const element = section.querySelector("table.main");
  if (!element) return view;
  const body = [...element.tBodies].flatMap((part) => [...part.rows]);
  view.lines = body.map((line, i) => ({ line, row: table.rows[i], first: i }));
  view.heads = [...element.tHead.rows[1].cells];
  view.groups = [...element.tHead.rows[0].cells].slice(1);
  // cells of the rows that have a cell in every column, in their first order, which does not change when cells move
  view.wide = [element.tHead.rows[1], ...body, ...element.tFoot.rows].map((line) => [...line.cells]);
  prepare(view);
  return view;
}

/** Method names become links, titles become buttons. */
function prepare(view) {
  for (const { line, row } of view.lines) {
    const name = line.cells[1].querySelector("span");
    name.replaceWith(el("a", { href: addressOfMethod(row, view.table) }, ...name.childNodes));
  }
  for (const head of view.heads) {
    const button = el("button", { type: "button" }, ...head.childNodes);
    button.addEventListener("click", () => sort(VIEW, head, turned(head)));
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
  const column = view.heads.indexOf(head);
  const kind = head.dataset.sort;
  if (kind === "rank") return ({ row }) => standingBy(row, Number(get("rank").value), view.table);
  if (kind === "value") return ({ row }) => row.values[column - FIRST_VALUE]?.[0] ?? null;
  if (kind !== "cost") return ({ row }) => row[kind];
  const perMachine = view.heads.filter((other) => other.dataset.sort === "cost").length / view.table.machines.length;
  const place = column - firstCost(view);
  const machine = Math.floor(place / perMachine);
  return ({ row }) => costsOn(row, machine)?.[FIRST_COST + (place % perMachine)] ?? null;
}

/** Ranked rows are in the order of their values. */
function standingBy(row, by, table) {
  const place = row.ranks[by] ?? null;
  return place === null ? null : -(row.values[table.tested[by]]?.[0] ?? 0);
}

/** Show ranks by the chosen metric and sort by them; move the values of the metric next to the methods. */
function showRanks(view) {
  const { table } = view;
  const by = get("rank").value;
  if (!view.lines.length || by === "") return;
  view.heads[0].firstChild.replaceChildren(`Rank by ${table.metrics[table.tested[by]]}`);
  for (const { line, row } of view.lines) {
    const tied = row.ranks[by] && row.ranks[by][1] - row.ranks[by][0];
    const ties = tied ? [el("small", {}, `tied with ${tied}`)] : [];
    line.cells[0].replaceChildren(rankOf(row, by), ...ties);
  }
  for (const cells of view.wide) {
    const values = cells.slice(FIRST_VALUE, FIRST_VALUE + table.shown);
    cells[FIRST_VALUE - 1].after(values[table.tested[by]], ...values.filter((_, i) => i !== table.tested[by]));
  }
  sort(view, view.heads[0], "ascending");
}

/** Show only the costs of the chosen machine class. */
function showMachine(view) {
  if (!view.lines.length || !view.table.machines.length) return;
  const chosen = Number(get("machine").value);
  const start = firstCost(view);
  const width = (view.heads.length - start) / view.table.machines.length;
  view.groups.forEach((group, i) => (group.hidden = i !== chosen));
  for (const cells of view.wide) {
    cells.slice(start).forEach((cell, i) => (cell.hidden = Math.floor(i / width) !== chosen));
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
