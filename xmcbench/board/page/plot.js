// A metric against a cost on one machine class: points with names, and the frontier of points that no other point beats
// in both.
const NARROW = 560; // pixels; a narrower plot has numbers at its points, and a list next to it has the names
const MARGIN = { left: 46, right: 18, top: 29, bottom: 44 };

function drawPlot({ table }) {
  const width = get("plot").clientWidth;
  if (!width) return;
  const [quality, cost, machine] = ["quality", "cost", "machine"].map((id) => Number(get(id).value));
  const [title, unit, isTime] = BOARD.costs[cost];
  const points = [];
  const missing = [];
  for (const row of table.rows) {
    const [x, y] = [costsOn(row, machine)?.[FIRST_COST + cost], row.values[quality]?.[0]];
    if (row.floor) missing.push(`${nameOf(row)} (the floor, ${percent(y)} %)`);
    else if (!isRanked(table, row)) missing.push(`${nameOf(row)} (not ranked)`);
    else if (!(x > 0) || y === undefined) missing.push(`${nameOf(row)} (cost unknown on this machine class)`);
    else points.push({ x, y, label: nameOf(row), busy: isTime && costsOn(row, machine)[1] === 1 });
  }
  points.sort((a, b) => a.x - b.x || b.y - a.y);
  markFrontier(points);
  const narrow = width < NARROW;
  const where = table.machines.length ? ` on ${table.machines[machine]}` : "";
  const what = `${table.metrics[quality]} against ${title.toLowerCase()} (${unit})${where}`;
  get("plot").replaceChildren();
  const axes = [`${title}, ${unit}`, `${table.metrics[quality]}, %`];
  const without = points.length ? chart(points, width, narrow, what, ...axes) : [];
  explain(points, missing, without, narrow, what);
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

/** Draw the plot on the page, because texts have a width only there; returns the points whose names have no place. */
function chart(points, width, narrow, what, xTitle, yTitle) {
  const height = Math.round(Math.min(460, Math.max(300, width * 0.5)));
  const area = { ...MARGIN, right: width - MARGIN.right, bottom: height - MARGIN.bottom };
  const across = (value) => Math.log10(value);
  const x = scale(points.map((point) => across(point.x)), area.left, area.right, 0.12);
  const y = scale(points.map((point) => point.y), area.bottom, area.top, 1);
  const box = { viewBox: `0 0 ${width} ${height}`, width, height };
  const drawing = svg("svg", { ...box, role: "img", "aria-label": summary(points, what) });
  for (const tick of decades(x.low, x.high)) {
    const at = x.of(across(tick));
    drawing.append(svg("line", { class: "grid", x1: at, x2: at, y1: area.top, y2: area.bottom }));
    drawing.append(svg("text", { x: at, y: area.bottom + 18, "text-anchor": "middle" }, short(tick)));
  }
  for (const tick of steps(y.low, y.high)) {
    const at = y.of(tick);
    drawing.append(svg("line", { class: "grid", x1: area.left, x2: area.right, y1: at, y2: at }));
    drawing.append(svg("text", { x: area.left - 7, y: at + 4, "text-anchor": "end" }, short(tick)));
  }
  const below = { class: "axis", x: area.right, y: height - 6, "text-anchor": "end" };
  drawing.append(svg("text", below, `${xTitle} (log scale)`));
  drawing.append(svg("text", { class: "axis", x: 0, y: 13 }, yTitle));
  for (const point of points) Object.assign(point, { left: x.of(across(point.x)), top: y.of(point.y) });
  const front = points.filter((point) => point.front);
  const path = front.map(({ left, top }, i) => (i ? `H${left}V${top}` : `M${left},${top}`)).join("") + `H${area.right}`;
  drawing.append(svg("path", { class: "frontier", d: path }));
  for (const point of points) drawing.append(dot(point));
  points.forEach((point, i) => (point.text = narrow ? String(i + 1) : cut(point.label)));
  const ordered = [...points.filter((point) => point.front), ...points.filter((point) => !point.front)];
  const texts = ordered.map(({ text, front }) => svg("text", { class: front ? "name front" : "name" }, text));
  get("plot").append(drawing);
  drawing.append(...texts);
  return placeNames(drawing, ordered, texts, area, frontierBoxes(points, area));
}

function dot(point) {
  const kind = `${point.front ? "dot front" : "dot"}${point.busy ? " busy" : ""}`;
  const circle = svg("circle", { class: kind, cx: point.left, cy: point.top, r: point.front ? 5 : 4 });
  const busy = point.busy ? " (busy machine)" : "";
  circle.append(svg("title", {}, `${point.label}: ${percent(point.y)} %, ${number(point.x)}${busy}`));
  return circle;
}

/** A linear scale from values to pixels, with a margin of at least `room` at both ends. */
function scale(values, from, to, room) {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const extra = Math.max(room, 0.07 * (most - least));
  const [low, high] = [least - extra, most + extra];
  return { low, high, of: (value) => Math.round(10 * (from + ((value - low) / (high - low)) * (to - from))) / 10 };
}

/** Powers of ten within a range; a small range also has multiples by 2 and 5, or by 3, and a large one lacks some. */
function decades(low, high) {
  const every = Math.max(1, Math.ceil((high - low) / 8));
  const digits = high - low < 2 ? [1, 2, 5] : high - low < 3.5 ? [1, 3] : [1];
  const ticks = [];
  for (let power = Math.floor(low); power <= high; power++) {
    for (const digit of digits) {
      const at = power + Math.log10(digit);
      if (at >= low && at <= high && power % every === 0) ticks.push(digit * 10 ** power);
    }
  }
  return ticks;
}

/** Four to seven round numbers between two values. */
function steps(low, high) {
  const rough = (high - low) / 7;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const ticks = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) ticks.push(i * step);
  return ticks;
}

const short = (value) => value.toLocaleString("en", { maximumSignificantDigits: 3 });
const cut = (label) => (label.length > 34 ? `${label.slice(0, 33)}…` : label);

/** The text of the plot for screen readers. */
function summary(points, what) {
  const front = points.filter((point) => point.front);
  const onFrontier = front.map(({ label, x, y }) => `${label} ${percent(y)} % at ${number(x)}`).join("; ");
  return `${what}: ${points.length} methods; the frontier, from cheap to expensive: ${onFrontier}. The table has all values.`;
}

function explain(points, missing, without, narrow, what) {
  const busy = points.filter((point) => point.busy);
  const aside = points.length - busy.length >= 2;
  const other = busy.length && aside ? "other method measured on a quiet machine" : "other method";
  const why = "because fewer than two methods were measured on a quiet machine";
  const use = aside ? "the line leaves them out" : `the line includes them, ${why}`;
  const whyHollow = `Hollow points were measured on a busy machine, so their true cost is lower; ${use}.`;
  const hollow = busy.length ? ` ${whyHollow}` : "";
  const caption = `${what}. Methods on the line: no ${other} is both better and cheaper.${hollow}`;
  const names = narrow ? [el("ol", {}, ...points.map((point) => el("li", {}, point.label)))] : [];
  const left = missing.length ? [el("p", {}, `Not drawn: ${missing.join(", ")}.`)] : [];
  if (without.length) left.push(el("p", {}, `No room for the name of ${without.map(({ label }) => label).join(", ")}.`));
  const line = points.length ? caption : "No method has both this metric and this cost.";
  get("caption").replaceChildren(el("p", {}, line), ...names, ...left);
}
