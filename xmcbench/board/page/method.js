// A method's page: its ranks on all data sets, and for each data set its parameters, command and runs.

const OURS = "xmcbench run "; // the page offers to copy only commands that start so

/** Show the page of the label; `home` is the table it was opened from, or undefined. */
function showMethod(label, home) {
  const rowsOf = (table) => table.rows.filter((row) => row.label === label);
  const places = BOARD.tables.flatMap((table) => rowsOf(table).map((row) => ({ table, row })));
  places.sort((a, b) => (b.table === home) - (a.table === home));
  const [to, where] = home ? [addressOf(home), home.title] : ["#", "All data sets"];
  const back = el("p", {}, el("a", { href: to }, `← ${where}`));
  const title = el("h2", { tabindex: "-1" }, nameOf({ label }));
  if (!places.length) {
    get("method").replaceChildren(back, title, el("p", {}, "No method of this name has a record."));
    return title;
  }
  const { row } = places[0];
  const about = el("p", {}, `${row.name} version ${row.version}, family ${row.family}, from ${row.origin}`);
  const heading = el("h3", {}, "On every data set");
  get("method").replaceChildren(back, title, about, heading, standing(places), ...places.map(detail));
  return title;
}

function standing(places) {
  const rows = places.map(({ table, row }) => {
    const by = table.tested[table.by] ?? 0;
    const ranked = table.rows.filter((other) => other.ranks[table.by]).length;
    const rank = row.ranks[table.by] ? `${rankOf(row, table.by)} of ${ranked}` : "not ranked";
    const link = el("a", { href: addressOf(table) }, table.title);
    return [link, rank, table.metrics[by], percent(row.values[by]?.[0]), row.flags.join(", ") || "none"];
  });
  return grid("Rank on every data set", ["Data set", "Rank", "Metric", "Value, %", "Flags"], rows);
}

/** The details of one row. The first row is open; the content of the others is made when they are opened. */
function detail({ table, row }, i) {
  const details = el("details", i === 0 ? { open: "" } : {}, el("summary", {}, el("h3", {}, table.title)));
  const add = () => details.childElementCount === 1 && details.append(...parts(table, row));
  if (i === 0) add();
  details.addEventListener("toggle", () => details.open && add());
  return details;
}

function parts(table, row) {
  const flags = row.flags.map((flag) => el("li", {}, el("strong", {}, flag), `: ${BOARD.flags[flag] ?? flag}`));
  return [
    ...(flags.length ? [el("h4", {}, "Flags"), el("ul", {}, ...flags)] : []),
    el("h4", {}, "Command"),
    ...(row.command.startsWith(OURS) ? copyable(row.command) : [el("p", {}, "There is no command that repeats this row.")]),
    el("h4", {}, "Parameters"),
    el("p", {}, row.selection || "How the parameters were chosen is unknown."),
    row.parameters.length ? grid("Parameters", ["Name", "Value"], row.parameters) : el("p", {}, "The method has no parameters."),
    el("h4", {}, "Values"),
    grid("Values in percent", ["Metric", "Value", "95 % interval", "sd", "Seeds"], valuesOf(table, row), "numbers"),
    el("h4", {}, "Costs"),
    row.costs.length ? costsOf(table, row) : el("p", {}, "The costs are unknown."),
    el("h4", {}, "Runs"),
    runsOf(table, row),
  ];
}

function copyable(command) {
  const text = el("pre", { tabindex: "0", "aria-label": "Command" }, el("code", {}, command));
  const button = el("button", { type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(command);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(text); // the browser refuses to copy: the reader can copy the selected text
      button.textContent = "Selected";
    }
  });
  return [text, button];
}

function valuesOf(table, row) {
  const known = table.metrics.map((name, i) => [name, row.values[i]]).filter(([, value]) => value);
  return known.map(([name, [value, low, high, sd, seeds]]) => {
    const interval = low === null ? "–" : `${percent(low)}–${percent(high)}`;
    return [name, percent(value), interval, percent(sd), String(seeds)];
  });
}

function costsOf(table, row) {
  const titles = ["Machine class", "Runs", ...BOARD.costs.map(([title, unit]) => `${title}, ${unit}`)];
  const rows = row.costs.map(([machine, busy, runs, ...costs]) => {
    const name = table.machines[machine] + (busy ? " (busy machine: times too high)" : "");
    return [name, String(runs), ...costs.map(number)];
  });
  return grid("Costs, medians over runs", titles, rows, "numbers");
}

function runsOf(table, row) {
  const titles = ["Run", "Seed", "Started", "Commit", "Machine", "Predictions", "CPU used by others"];
  const rows = row.runs.map(([id, seed, started, commit, machine, sha, others, ...values]) => {
    const facts = [started.slice(0, 16).replace("T", " "), commit, machine, sha].map((text) => text || "–");
    const busy = others === null ? "–" : `${(100 * others).toFixed(1)} %`;
    return [id, String(seed ?? "–"), ...facts, busy, ...values.map(percent)];
  });
  return grid("Runs, with values in percent", [...titles, ...table.metrics.slice(0, table.shown)], rows, "runs");
}
