// Draws a figure: points with names and intervals, lines between them, the text below.
const NARROW = 560; // pixels; a narrower plot has numbers at its points, and a list next to it has the names
const MARGIN = { left: 46, right: 18, top: 29, bottom: 44 };
const COLUMN = 240; // pixels for names beside the last points
const COLOURS = new Map(BOARD.families);

/** Draw a figure on the page, because texts have a width only there; returns the points whose names have no place. */
function chart({ points, paths, axes, what, summary, column, ticks }, width) {
  const height = Math.round(Math.min(460, Math.max(300, width * 0.5)));
  const area = { ...MARGIN, right: width - MARGIN.right, bottom: height - MARGIN.bottom };
  const across = (value) => Math.log10(value);
  const xs = points.map((point) => across(point.x));
  const aside = !column ? 0 : width < NARROW ? 40 : COLUMN;
  const x = scale(xs, area.left, area.right - aside, 0.12);
  const y = scale(points.flatMap((point) => [point.y, point.low ?? point.y, point.high ?? point.y]), area.bottom, area.top, 1);
  const box = { viewBox: `0 0 ${width} ${height}`, width, height };
  const said = `${what}: ${summary} The numbers are below the plot.`;
  const drawing = svg("svg", { ...box, role: "img", "aria-label": said });
  for (const tick of ticks ?? decades(x.low, x.high)) {
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
  drawing.append(svg("text", below, `${axes[0]} (log scale)`));
  drawing.append(svg("text", { class: "axis", x: 0, y: 13 }, `${axes[1]}, %`));
  for (const point of points) Object.assign(point, { left: x.of(across(point.x)), top: y.of(point.y) });
  const boxes = paths.flatMap((path) => addPath(drawing, path, area));
  for (const point of points) {
    if (point.low === null) continue;
    const ends = { x1: point.left, x2: point.left, y1: y.of(point.low), y2: y.of(point.high) };
    drawing.append(coloured(svg("line", { class: "whisker", ...ends }), point.family));
    boxes.push({ x: ends.x1 - 0.5, y: ends.y2, w: 1, h: ends.y1 - ends.y2 });
  }
  for (const point of points) drawing.append(dot(point));
  const named = points.filter((point) => point.name);
  named.forEach((point, i) => (point.text = width < NARROW ? String(i + 1) : cut(point.name)));
  const ordered = [...named.filter((point) => point.front), ...named.filter((point) => !point.front)];
  const texts = ordered.map(({ text, front }) => svg("text", { class: front ? "name front" : "name" }, text));
  get("plot").append(drawing);
  drawing.append(...texts);
  if (column) return stackNames(drawing, ordered, texts, area);
  return placeNames(drawing, points, ordered, texts, area, boxes);
}

/** Add a line through points, which goes along and then up if it is a frontier; returns boxes that stand for it. */
function addPath(drawing, { points, step, family, dashes }, area) {
  if (!points.length) return [];
  const corners = points.flatMap(({ left, top }, i) => (step && i ? [{ left, top: points[i - 1].top }, { left, top }] : [{ left, top }]));
  if (step) corners.push({ left: area.right, top: corners.at(-1).top });
  const d = corners.map(({ left, top }, i) => `${i ? "L" : "M"}${left},${top}`).join("");
  const line = svg("path", { class: step ? "frontier" : "series", d, "stroke-dasharray": dashes ?? "" });
  drawing.append(step ? line : coloured(line, family));
  return corners.slice(1).flatMap(({ left, top }, i) => pieces(corners[i].left, corners[i].top, { x: left, y: top }));
}

/** Give an element the colour of a family. */
function coloured(element, family) {
  element.style.setProperty("--family", COLOURS.get(family));
  element.classList.add("of-family");
  return element;
}

function dot(point) {
  const kind = ["dot", ...["front", "busy", "pale"].filter((name) => point[name])].join(" ");
  const circle = svg("circle", { class: kind, cx: point.left, cy: point.top, r: point.front ? 5 : 4 });
  const busy = point.busy ? " (busy machine)" : "";
  circle.append(svg("title", {}, `${point.label}: ${percent(point.y)} %${endsOf(point)}, ${number(point.x)}${busy}`));
  return coloured(circle, point.family);
}

const endsOf = ({ low, high }) => (low === null ? "" : ` (${percent(low)}–${percent(high)})`);

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

/** The text below a figure: what it shows, colours, names of numbers, what is missing, and all numbers. */
function explain({ points, missing, what, about, axes }, without, narrow) {
  const line = points.length ? `${what}. ${about} Upright lines: 95 % intervals.` : "No method has both this metric and this cost.";
  const named = points.filter((point) => point.name);
  const names = narrow ? [el("ol", {}, ...named.map((point) => el("li", {}, point.name)))] : [];
  const left = missing.length ? [el("p", {}, `Not drawn: ${missing.join(", ")}.`)] : [];
  if (without.length) left.push(el("p", {}, `No room for the name of ${without.map(({ label }) => label).join(", ")}.`));
  const families = [...new Set(points.map((point) => point.family))].sort();
  const legend = el("p", { class: "legend" }, ...families.map((family) => coloured(el("span", {}, family), family)));
  get("caption").replaceChildren(legend, el("p", {}, line), ...names, ...left, ...(points.length ? [numbersOf(points, axes)] : []));
}

/** All numbers of a figure, for readers without a mouse; the table is made when it is opened. */
function numbersOf(points, axes) {
  const details = el("details", {}, el("summary", {}, "Numbers of this figure"));
  details.addEventListener("toggle", () => {
    if (!details.open || details.childElementCount > 1) return;
    const rows = points.map((point) => [point.label, number(point.x), percent(point.y), endsOf(point).trim() || "–"]);
    details.append(grid("Numbers of this figure", ["Method", axes[0], `${axes[1]}, %`, "95 % interval"], rows, "numbers"));
  });
  return details;
}
