// Published values by their protocol: a list of choices for each of its fields.
const PROTOCOL = {
  encoder: "Encoder",
  tokens: "Input length, tokens",
  models: "Models averaged",
  ranker: "Ranker",
  psp: "Definition of PSP",
  split: "Split",
};
const NOT_KNOWN = "not known";

/** Show the published values that have the chosen protocol; a field that is the same for all of them offers no choice. */
function filterPublished({ table, section }) {
  const body = section.querySelector("table.published")?.tBodies[0];
  if (!body) return;
  const has = (i, name) => String(table.protocols[i][BOARD.protocol.indexOf(name)] ?? NOT_KNOWN);
  const places = [...table.protocols.keys()];
  const fields = Object.keys(PROTOCOL).filter((name) => new Set(places.map((i) => has(i, name))).size > 1);
  const chosen = fields.map((name) => [name, address().get(name)]).filter(([name, value]) => places.some((i) => has(i, name) === value));
  const shown = new Set(places.filter((i) => chosen.every(([name, value]) => has(i, name) === value)));
  [...body.rows].forEach((line, i) => (line.hidden = !shown.has(i)));
  if (get("protocol").dataset.of !== table.id) {
    const choices = fields.map((name) => el("label", {}, PROTOCOL[name], el("select", { name })));
    get("protocol").replaceChildren(...choices, el("p", { role: "status" }));
    get("protocol").dataset.of = table.id;
  }
  for (const name of fields) {
    const values = [...new Set(places.map((i) => has(i, name)))];
    values.sort((a, b) => (a === NOT_KNOWN) - (b === NOT_KNOWN) || a.localeCompare(b, "en", { numeric: true }));
    const select = get("protocol").elements[name];
    offer(select, [["", "all"], ...values.map((value) => [value, value])], address().get(name) ?? "");
  }
  get("protocol").lastChild.textContent = `${shown.size} of ${places.length} published rows`;
}
