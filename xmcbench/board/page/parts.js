// How a method does on frequent and rare labels: values and bars for each part of the label set.

/** A table for each metric that is known by parts, such as P@1 on head, torso and tail. */
function showParts({ table }) {
  const names = new Map(); // metric → places of its parts, in the order of the parts
  for (const [part, places] of table.parts) {
    for (const place of places) {
      const name = table.metrics[place].split(":")[0];
      names.set(name, [...(names.get(name) ?? []), [part, place]]);
    }
  }
  const rows = table.rows.filter((row) => [...names.values()].flat().some(([, place]) => row.values[place]));
  const tables = rows.length ? [...names].map(([name, parts]) => partTable(name, parts, rows)) : [];
  get("parts").replaceChildren(
    ...(tables.length ? [el("h3", {}, "Frequent and rare labels"), el("div", { class: "side" }, ...tables)] : []),
  );
}

function partTable(name, parts, rows) {
  const lines = rows.map((row) => [row.label, ...parts.map(([, place]) => bar(row.values[place]))]);
  const caption = `${name} of one part's labels, percent`;
  return grid(caption, ["Method", ...parts.map(([part]) => part)], lines, "parts");
}

/** A value with its interval, and a bar of its length (100 percent: the cell's width). */
function bar(value) {
  const cell = el("div", { class: "bar" }, el("span", {}, percent(value?.[0])));
  cell.style.setProperty("--of", `${value?.[0] ?? 0}%`);
  if (value && value[1] !== null) cell.title = `95 % interval ${percent(value[1])} to ${percent(value[2])}`;
  return cell;
}
