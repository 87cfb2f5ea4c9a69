// The columns of a board: which of them are visible, in what order, and intervals as bars below the values.
const AT_FIRST = ["Fit", "Predict", "Memory"]; // titles of costs
const FAMILY = "Family";
const ENDS = "Intervals as numbers"; // no column, but chosen among them

/** The columns of a table that can be chosen, in their order. */
function choices(table) {
  const costs = table.machines.length ? BOARD.costs.slice(0, table.perMachine).map(([title]) => title) : [];
  return [...table.metrics.slice(0, table.shown), FAMILY, ...costs, ENDS];
}

const usualColumns = (table) => [...table.metrics.slice(0, table.front), ...AT_FIRST];

/** The chosen columns: those of the address, or the usual ones. */
function chosenColumns(table) {
  const named = address().get("columns");
  const names = named === null ? usualColumns(table) : named.split(",");
  return choices(table).filter((name) => names.includes(name));
}

/** A box for each column; a change of one is a new address. */
function offerColumns(table) {
  const chosen = chosenColumns(table);
  const boxes = choices(table).map((name) => {
    const box = el("input", { type: "checkbox", value: name });
    box.checked = chosen.includes(name);
    return el("label", { class: "check" }, box, ` ${name}`);
  });
  const place = get("columns").querySelector("div");
  place.replaceChildren(...boxes);
}

function columnsChanged() {
  const names = [...get("columns").querySelectorAll("input:checked")].map((box) => box.value);
  const usual = choices(VIEW.table).filter((name) => usualColumns(VIEW.table).includes(name));
  const text = names.join(",");
  go({ columns: text === usual.join(",") ? null : text || "none" });
}

/** Show the chosen columns, that of the metric which ranks, and costs of the chosen machine class only. */
function showColumns(view, by) {
  const { table } = view;
  if (!view.lines.length) return;
  const names = new Set([...chosenColumns(table), ...(by === undefined ? [] : [table.metrics[by]])]);
  const machine = Number(get("machine").value);
  const hidden = view.columns.map(({ name, place }) => {
    if (name === null) return false;
    return !names.has(name) || (place !== undefined && place !== machine);
  });
  for (const cells of view.wide) cells.forEach((cell, i) => (cell.hidden = hidden[i]));
  const costs = view.columns.filter(({ place }, i) => place === machine && !hidden[i]).length;
  view.groups.forEach((group, i) => {
    group.hidden = i !== machine || !costs;
    group.colSpan = Math.max(1, costs);
  });
  view.before.colSpan = hidden.filter((it) => !it).length - costs;
  if (names.has(ENDS)) writeEnds(view);
  view.section.classList.toggle("ends", names.has(ENDS));
  fit(view);
}

/** Let the page scroll if the table is no wider than its box; only then its head can stay at the top of the window. The
 * second column stays next to the first one, whose width depends on its title. */
function fit({ element, heads }) {
  if (!element) return;
  const box = element.parentElement;
  element.style.removeProperty("--rank");
  element.style.setProperty("--rank", `${heads[0].getBoundingClientRect().width}px`);
  box.classList.toggle("fits", element.offsetWidth <= box.clientWidth);
}

/** Put a bar for the interval below each value, on the scale of its column; the floor, which is far away, sets none. */
function drawBars(view) {
  const { table } = view;
  for (let metric = 0; metric < table.shown; metric++) {
    const known = view.lines.filter(({ row }) => row.values[metric] && row.values[metric][1] !== null);
    const scaled = known.some(({ row }) => !row.floor) ? known.filter(({ row }) => !row.floor) : known;
    const low = Math.min(...scaled.map(({ row }) => row.values[metric][1]));
    const high = Math.max(...scaled.map(({ row }) => row.values[metric][2]));
    const of = (value) => Math.min(100, Math.max(0, (100 * (value - low)) / (high - low || 1)));
    for (const { row, line } of view.lines) {
      const value = row.values[metric];
      if (!value) continue;
      const cell = line.cells[FIRST_VALUE + metric];
      cell.title = spread(value);
      if (value[1] === null) continue;
      cell.classList.add("range");
      cell.style.setProperty("--from", `${of(value[1])}%`);
      cell.style.setProperty("--to", `${of(value[2])}%`);
    }
  }
}

/** "95 % interval 69.32 to 71.24; sd 0.06 over 3 seeds" */
function spread([, low, high, sd, seeds]) {
  const ends = low === null ? "interval unknown" : `95 % interval ${percent(low)} to ${percent(high)}`;
  return sd === null ? ends : `${ends}; sd ${percent(sd)} over ${seeds} seeds`;
}

/** Write the ends of intervals below the values, once for a table. */
function writeEnds(view) {
  if (view.written) return;
  view.written = true;
  view.body.forEach((cells, i) => {
    view.lines[i].row.values.slice(0, view.table.shown).forEach((value, metric) => {
      if (!value) return;
      const [, low, high, sd] = value;
      const cell = cells[FIRST_VALUE + metric];
      if (low !== null) cell.append(el("small", { class: "end" }, `${percent(low)}–${percent(high)}`));
      if (sd !== null) cell.append(el("small", { class: "end" }, `sd ${percent(sd)}`));
    });
  });
}
