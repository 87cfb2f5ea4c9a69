// Two rows of a board that are ticked: their difference, what the test says of it, and their costs.

const MANY_PAIRS = "This table has too many rows for the page to hold the differences of all pairs";

/** Tick or untick a row; of three, the one that was ticked first loses its tick. */
function tick(label, on) {
  const known = (other) => other !== label && VIEW.table.rows.some((row) => row.label === other);
  const others = address().getAll("tick").filter(known);
  go({ tick: on ? [...others, label].slice(-2) : others });
}

/** The first row minus the second one by a tested metric: [difference, low, high, p], in points; or null. */
function differenceOf(table, by, first, second) {
  const flat = table.pairs[by];
  if (!flat || !first.ranks[by] || !second.ranks[by]) return null;
  const ranked = table.rows.filter((row) => row.ranks[by]);
  const [a, b] = [ranked.indexOf(first), ranked.indexOf(second)];
  const [i, j] = [Math.min(a, b), Math.max(a, b)];
  const pair = (i * (2 * ranked.length - i - 1)) / 2 + j - i - 1; // pairs are in the order (0, 1), (0, 2), …, (1, 2), …
  const [value, low, high, p] = flat.slice(4 * pair, 4 * pair + 4);
  if (value === null) return null;
  const ends = low === null ? [null, null] : a < b ? [low / 100, high / 100] : [-high / 100, -low / 100];
  return [((a < b ? 1 : -1) * value) / 100, ...ends, p];
}

/** "+7.35 (6.92 to 7.78)" */
function signed([value, low, high]) {
  const minus = (text) => text.replaceAll("-", "−");
  const ends = low === null ? "" : ` (${minus(low.toFixed(2))} to ${minus(high.toFixed(2))})`;
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}${ends}`;
}

const pOf = (p) => (p < 1e-4 ? "p < 0.0001" : `p = ${p.toPrecision(2)}`);
const isApart = ([value, , , p]) => p < BOARD.level && value !== 0;

/** "41 ×", "1.3 ×", "0.083 ×" */
function times(ratio) {
  const decimals = Math.min(6, Math.max(0, 1 - Math.floor(Math.log10(ratio))));
  return `${ratio.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals })} ×`;
}

/** A cost of the first row divided by that of the second on the first machine class with both; null if there is none. */
function ratioOf(first, second, cost) {
  for (const costs of first.costs) {
    const other = costsOn(second, costs[0]);
    if (other?.[FIRST_COST + cost] > 0 && costs[FIRST_COST + cost] > 0) {
      const busy = BOARD.costs[cost][2] && (costs[1] || other[1]);
      return { machine: costs[0], ratio: costs[FIRST_COST + cost] / other[FIRST_COST + cost], busy };
    }
  }
  return null;
}

/** Show the comparison of the ticked rows, and the boxes as ticked. */
function showPair(view) {
  const { table } = view;
  const labels = address().getAll("tick");
  const rows = labels.map((label) => table.rows.find((row) => row.label === label)).filter(Boolean);
  for (const { line, row } of view.lines) line.cells[0].querySelector("input").checked = rows.includes(row);
  get("pair").hidden = !rows.length;
  if (rows.length === 1) get("pair").replaceChildren(el("p", {}, `${nameOf(rows[0])}: tick another method to compare it.`));
  if (rows.length > 1) get("pair").replaceChildren(...compared(table, Number(get("rank").value), rows[0], rows[1]));
}

function compared(table, by, first, second) {
  const names = `${nameOf(first)} compared with ${nameOf(second)}`;
  return [el("h3", {}, names), el("p", {}, ...difference(table, by, first, second)), costsCompared(table, first, second)];
}

/** The difference in words, with its verdict. */
function difference(table, by, first, second) {
  if (!table.tested.length) return ["Nothing is tested on this board."];
  const metric = table.metrics[table.tested[by]];
  if (table.pairs[by] === null) {
    return [`${MANY_PAIRS}: use `, el("code", {}, "xmcbench compare A B"), " with the names of the two runs."];
  }
  const found = differenceOf(table, by, first, second);
  if (!found) return [`${metric} does not rank both, so there is no test of them.`];
  const [better, worse] = found[0] > 0 ? [first, second] : [second, first];
  const verdict = isApart(found)
    ? `${nameOf(better)} is significantly better than ${nameOf(worse)}`
    : "no test separates them";
  const number = `${metric} ${signed(found)} points, 95 % interval in parentheses, adjusted ${pOf(found[3])}: `;
  return [number, el("strong", {}, verdict), "."];
}

function costsCompared(table, first, second) {
  const found = BOARD.costs.map(([title], cost) => [title, ratioOf(first, second, cost)]).filter(([, it]) => it);
  if (!found.length) return el("p", {}, "Costs: on other machines, not compared.");
  const items = found.map(([title, { ratio, busy }]) => `${title.toLowerCase()} ${times(ratio)}${busy ? " (busy machine)" : ""}`);
  const machine = table.machines[found[0][1].machine];
  return el("p", {}, `Costs relative to ${nameOf(second)}, on ${machine}: ${items.join(", ")}.`);
}
