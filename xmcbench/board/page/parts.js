// Values on parts of the labels and of the test documents, with bars.
const OF_LABELS = ["head", "torso", "tail", "seen-labels"];
const OF_DOCUMENTS = ["near-duplicate", "novel"];
const LABELS = "Seen-labels: labels with at least one training row.";
const DOCUMENTS = "Near-duplicate: test documents with a near-duplicate in training; novel: those without.";

/** Parts of the labels, then all others. The page can't explain parts that a data set defines. */
function showParts({ table }) {
  const [labels, others] = [[], []];
  for (const part of table.parts) (OF_LABELS.includes(part[0]) ? labels : others).push(part);
  const has = (parts, name) => parts.some(([part]) => part === name);
  const own = others.map(([part]) => part).filter((part) => !OF_DOCUMENTS.includes(part));
  const about = [
    ...(OF_DOCUMENTS.some((part) => has(others, part)) ? [DOCUMENTS] : []),
    ...(own.length ? [`Defined by the data set: ${own.join(", ")}.`] : []),
  ];
  const aboutLabels = has(labels, "seen-labels") ? LABELS : "";
  get("parts").replaceChildren(
    ...tablesOf(table, labels, "Frequent and rare labels", aboutLabels, "part of the labels"),
    ...tablesOf(table, others, "Other parts", about.join(" "), "other part"),
  );
}

/** A table for each metric that has values on parts, such as P@1 on head, torso and tail. */
function tablesOf(table, parts, heading, about, what) {
  const names = new Map(); // metric → places of its parts, in the order of the parts
  for (const [part, places] of parts) {
    for (const place of places) {
      const name = table.metrics[place].split(":")[0];
      names.set(name, [...(names.get(name) ?? []), [part, place]]);
    }
  }
  const rows = table.rows.filter((row) => [...names.values()].flat().some(([, place]) => row.values[place]));
  if (!rows.length) return [];
  const tables = [...names].map(([name, places]) => partTable(`${name} by ${what}, percent`, places, rows));
  const facts = about ? [el("p", { class: "facts" }, about)] : [];
  return [el("h3", {}, heading), ...facts, el("div", { class: "side" }, ...tables)];
}

function partTable(caption, places, rows) {
  const lines = rows.map((row) => [breakable(row), ...places.map(([, place]) => bar(row.values[place], row.family))]);
  return grid(caption, ["Method", ...places.map(([part]) => part)], lines, "parts");
}

/** A value with its interval, and a bar of its length (100 percent: the cell's width) in the colour of the family. */
function bar(value, family) {
  const cell = coloured(el("div", { class: "bar" }, el("span", {}, percent(value?.[0]))), family);
  cell.style.setProperty("--of", `${value?.[0] ?? 0}%`);
  if (!value || value[1] === null) return cell;
  cell.title = `95 % interval ${percent(value[1])} to ${percent(value[2])}`;
  cell.append(el("small", { class: "end" }, `${percent(value[1])}–${percent(value[2])}`));
  return cell;
}
