// The figures of a table: what they show. plot.js draws them.
const FIGURES = { cost: "Quality against cost", recall: "Recall", curve: "Query parameters" };
const DASHES = ["", "5 3", "1.5 2.5", "8 3 2 3"]; // of lines that have one colour
const PREDICT = 1; // the place of milliseconds per row among the costs
let AT_WIDTH = 0; // pixels that the figure is drawn for

/** Offer what the table has, chosen as the address says; `metric` is the place of the metric that ranks. */
function offerFigures(table, now, metric) {
  const has = { cost: true, recall: cutOffs(table).length > 1, curve: table.fits.length > 0 };
  const kinds = Object.entries(FIGURES).filter(([kind]) => has[kind]);
  offer(get("figure"), kinds, now.get("figure") ?? "cost");
  const named = table.metrics.slice(0, table.shown).indexOf(now.get("quality"));
  offer(get("quality"), [...table.metrics.slice(0, table.shown).entries()], named < 0 ? metric ?? 0 : named);
  const cost = BOARD.costs.findIndex(([title]) => title === now.get("cost"));
  offer(get("cost"), BOARD.costs.map(([title, unit], i) => [i, `${title} (${unit})`]), Math.max(0, cost));
  if (get("figure").value === "recall") get("quality").closest("label").hidden = true;
  if (get("figure").value !== "cost") get("cost").closest("label").hidden = true;
}

function drawFigure({ table }) {
  const width = get("plot").clientWidth;
  if (!width) return;
  AT_WIDTH = width;
  const of = { cost: costFigure, recall: recallFigure, curve: curveFigure }[get("figure").value];
  const figure = of(table, ...["quality", "cost", "machine"].map((id) => Number(get(id).value)));
  get("plot").replaceChildren();
  const without = figure.points.length ? chart(figure, width) : [];
  explain(figure, without, width < NARROW);
}

/** A point of a row: a value with its interval. */
function pointOf(row, x, value) {
  const [y, low, high] = value;
  return { x, y, low, high, label: nameOf(row), name: nameOf(row), family: row.family };
}

const onMachine = (table, machine) => (table.machines.length ? ` on ${table.machines[machine]}` : "");

/** A metric against a cost on one machine class, and the frontier of points that no other point beats in both. */
function costFigure(table, quality, cost, machine) {
  const [title, unit, isTime] = BOARD.costs[cost];
  const points = [];
  const missing = [];
  for (const row of table.rows) {
    const [x, value] = [costsOn(row, machine)?.[FIRST_COST + cost], row.values[quality]];
    if (row.floor) missing.push(`${nameOf(row)} (the floor, ${percent(value?.[0])} %)`);
    else if (!isRanked(table, row)) missing.push(`${nameOf(row)} (not ranked)`);
    else if (!(x > 0) || !value) missing.push(`${nameOf(row)} (cost unknown on this machine class)`);
    else points.push({ ...pointOf(row, x, value), busy: isTime && costsOn(row, machine)[1] === 1 });
  }
  points.sort((a, b) => a.x - b.x || b.y - a.y);
  markFrontier(points);
  const front = points.filter((point) => point.front);
  const what = `${table.metrics[quality]} against ${title.toLowerCase()} (${unit})${onMachine(table, machine)}`;
  const onFrontier = front.map(({ label, x, y }) => `${label} ${percent(y)} % at ${number(x)}`).join("; ");
  return {
    points,
    paths: [{ points: front, step: true }],
    missing,
    what,
    axes: [`${title}, ${unit}`, table.metrics[quality]],
    summary: `${points.length} methods; the frontier, from cheap to expensive: ${onFrontier}.`,
    about: aboutFrontier(points),
  };
}

/** Mark the points that no other point beats in both. Times of a busy machine are left out, since they are too high,
 * unless fewer than two others are known. Points are sorted from cheap to expensive. */
function markFrontier(points) {
  const quiet = points.filter((point) => !point.busy);
  let best = -Infinity;
  for (const point of quiet.length >= 2 ? quiet : points) {
    point.front = point.y > best;
    best = Math.max(best, point.y);
  }
}

function aboutFrontier(points) {
  const busy = points.filter((point) => point.busy);
  const aside = points.length - busy.length >= 2;
  const other = busy.length && aside ? "other method measured on a quiet machine" : "other method";
  const why = "because fewer than two methods were measured on a quiet machine";
  const use = aside ? "the line leaves them out" : `the line includes them, ${why}`;
  const whyHollow = `Hollow points were measured on a busy machine, so their true cost is lower; ${use}.`;
  return `Methods on the line: no ${other} is both better and cheaper.${busy.length ? ` ${whyHollow}` : ""}`;
}

/** The metrics R@k of a table: their k and their places, by k. */
function cutOffs(table) {
  const found = table.metrics.map((name, place) => [Number(/^R@(\d+)$/.exec(name)?.[1]), place]).filter(([k]) => k);
  return found.sort(([a], [b]) => a - b);
}

/** R@k at each k that the board has, a line for each row; its name is at the last point. */
function recallFigure(table) {
  const missing = [];
  const paths = [];
  const cuts = cutOffs(table);
  const named = new Map(); // family → number of its lines
  for (const row of table.rows) {
    const points = cuts.filter(([, place]) => row.values[place]).map(([k, place]) => pointOf(row, k, row.values[place]));
    if (row.floor) missing.push(`${nameOf(row)} (the floor)`);
    else if (!isRanked(table, row)) missing.push(`${nameOf(row)} (not ranked)`);
    else if (!points.length) missing.push(`${nameOf(row)} (no recall)`);
    else {
      const number = named.get(row.family) ?? 0;
      named.set(row.family, number + 1);
      for (const point of points.slice(0, -1)) point.name = "";
      paths.push({ points, family: row.family, dashes: DASHES[number % DASHES.length] });
    }
  }
  const ks = cuts.map(([k]) => k).join(", ");
  return {
    points: paths.flatMap(({ points }) => points).sort((a, b) => b.y - a.y),
    paths,
    missing,
    column: true,
    ticks: cuts.map(([k]) => k),
    what: `Recall among the first k labels, at k = ${ks}`,
    axes: ["k: labels predicted per row", "R@k"],
    summary: `${paths.length} methods.`,
    about: "A line for each method; the board has recall at these k only.",
  };
}

/** A metric against milliseconds per row for each setting of query parameters, a line for each fit. */
function curveFigure(table, quality, _, machine) {
  const paths = [];
  const points = [];
  const missing = [];
  for (const [label, , settings] of table.fits) {
    const of = [];
    for (const [place, setting] of settings) {
      const row = table.rows[place];
      const [x, value] = [costsOn(row, machine)?.[FIRST_COST + PREDICT], row.values[quality]];
      if (x > 0 && value) of.push({ ...pointOf(row, x, value), name: setting });
      else missing.push(`${nameOf(row)} (cost unknown on this machine class)`);
    }
    of.sort((a, b) => a.x - b.x || b.y - a.y);
    markFrontier(of);
    const best = of.filter((point) => point.front);
    for (const point of of) point.pale = !point.front;
    if (best.length) best.at(-1).name = `${label}: ${best.at(-1).name}`;
    points.push(...of);
    paths.push({ points: best, family: best[0]?.family, dashes: DASHES[paths.length % DASHES.length] });
  }
  const names = table.fits.map(([label, parameters]) => `${label}: ${parameters}`).join("; ");
  return {
    points,
    paths,
    missing,
    what: `${table.metrics[quality]} against milliseconds per row by query parameters${onMachine(table, machine)}`,
    axes: ["Predict, ms per row", table.metrics[quality]],
    summary: `${points.length} settings of ${paths.length} fits.`,
    about:
      "Lines lead through the settings than which no other of the method is as fast and better; pale points are the " +
      `others. Names are values of parameters; ${names}.`,
  };
}
