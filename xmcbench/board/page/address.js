// The address holds what is shown (view, metric, machine, columns, ticked rows, filter), so that links and Back work.
// #table=ID or #method=LABEL&table=ID choose a view; without both, the start view is shown.

const address = () => new URLSearchParams(location.hash.slice(1));

/** Change parts of the address and show what it says; null removes a part, and a list repeats it. `quietly`: Back does
 * not return to the address before. */
function go(changes, quietly = false) {
  const parts = address();
  for (const [name, value] of Object.entries(changes)) {
    parts.delete(name);
    for (const each of [value].flat()) if (each !== null && each !== "") parts.append(name, each);
  }
  const text = `#${[...parts].map(([name, value]) => `${name}=${inPart(value)}`).join("&")}`;
  if (text === (location.hash || "#")) return;
  history[quietly ? "replaceState" : "pushState"](null, "", text);
  route();
}

/** A value in an address, with the characters readable that need no quoting there. */
const inPart = (value) => encodeURIComponent(value).replace(/%(2F|40|3A|2C|5B|5D)/g, decodeURIComponent);
