// The address (#table=… and #method=…) decides what is shown, so that links and Back work. Controls are set up here.
let VIEW; // the table that is shown
let LEFT = null; // scroll position and focused link when a method's page was opened

function route() {
  const address = new URLSearchParams(location.hash.slice(1));
  if (VIEW && location.hash && !address.has("table") && !address.has("method")) return; // a link to a place on the page
  const table = BOARD.tables.find(({ id }) => id === address.get("table")) ?? BOARD.tables[0];
  const label = address.get("method");
  if (label !== null && get("method").hidden) LEFT = { y: scrollY, link: document.activeElement };
  get("method").hidden = label === null;
  get("board").hidden = get("about").hidden = label !== null;
  if (VIEW?.table !== table) showTable(table);
  document.title = `${label === null ? table.title : nameOf({ label })} · xmcbench leaderboards`;
  if (label !== null) {
    const title = showMethod(label, table);
    scrollTo(0, 0);
    title.focus();
  } else if (LEFT) {
    scrollTo(0, LEFT.y);
    if (VIEW.section.contains(LEFT.link)) LEFT.link.focus({ preventScroll: true });
    LEFT = null;
  }
}

function showTable(table) {
  VIEW?.section.classList.remove("on");
  const quality = VIEW?.table.metrics[get("quality").value];
  const rank = VIEW?.table.metrics[VIEW.table.tested[get("rank").value]];
  const machine = VIEW?.table.machines[get("machine").value];
  VIEW = openTable(table);
  VIEW.section.classList.add("on");
  VIEW.section.querySelector(".tools-here").append(get("tools"));
  VIEW.section.querySelector(".figures-here").append(get("figures"));
  get("tools").hidden = get("figures").hidden = !table.rows.length; // only published values: nothing to sort or draw
  for (const link of document.querySelectorAll(".choice a")) {
    const here = link.getAttribute("href") === addressOf(table);
    here ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
  }
  const families = [...new Set(table.rows.map((row) => row.family))].sort();
  offer(get("family"), [["", "all"], ...families.map((family) => [family, family])]);
  const tested = table.tested.map((place) => table.metrics[place]);
  offer(get("rank"), [...tested.entries()], rank === undefined ? table.by : tested.indexOf(rank));
  offer(get("machine"), [...table.machines.entries()], table.machines.indexOf(machine));
  const shown = table.metrics.slice(0, table.shown);
  offer(get("quality"), [...shown.entries()], shown.includes(quality) ? shown.indexOf(quality) : table.tested[table.by]);
  showMachine(VIEW);
  showRanks(VIEW);
  filter(VIEW);
  drawPlot(VIEW);
  showParts(VIEW);
}

function dark() {
  const chosen = document.documentElement.style.colorScheme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function showTheme() {
  get("theme").setAttribute("aria-pressed", String(dark()));
}

get("theme").hidden = false;
get("theme").addEventListener("click", () => {
  const colours = dark() ? "light" : "dark";
  document.documentElement.style.colorScheme = colours;
  try {
    localStorage.setItem("xmcbench-colours", colours);
  } catch {
    // no storage: the choice holds for this visit
  }
  showTheme();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);
showTheme();

if (BOARD.tables.length) {
  offer(get("cost"), BOARD.costs.map(([title, unit], i) => [i, `${title} (${unit})`]), 0);
  for (const form of [get("tools"), get("axes")]) form.addEventListener("submit", (event) => event.preventDefault());
  get("find").addEventListener("input", () => filter(VIEW));
  get("family").addEventListener("change", () => filter(VIEW));
  get("rank").addEventListener("change", () => {
    get("quality").value = VIEW.table.tested[get("rank").value];
    showRanks(VIEW);
    drawPlot(VIEW);
  });
  get("machine").addEventListener("change", () => {
    showMachine(VIEW);
    drawPlot(VIEW);
  });
  for (const id of ["quality", "cost"]) get(id).addEventListener("change", () => drawPlot(VIEW));
  new ResizeObserver(() => drawPlot(VIEW)).observe(get("plot"));
  addEventListener("hashchange", route);
  route();
}
