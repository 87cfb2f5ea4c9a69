// Shows what the address says. Controls are set up here.
let VIEW; // the table that is shown
let DRAWN = {}; // what its order and parts are shown by, and what its figure shows
let SHOWN = ""; // id of the table that was shown last, or "" for the start view
let FOLLOWED = false; // a link to another view was followed
let LEFT = null; // scroll position and focused link when a method's page was opened

function route() {
  const now = address();
  const label = now.get("method");
  const table = BOARD.tables.find(({ id }) => id === now.get("table"));
  if (label !== null && get("method").hidden) LEFT = { y: scrollY, link: document.activeElement, of: SHOWN };
  get("method").hidden = label === null;
  get("start").hidden = label !== null || table !== undefined;
  get("board").hidden = label !== null || table === undefined;
  get("about").hidden = get("choice").hidden = label !== null;
  get("choice").querySelector("h2").hidden = table !== undefined;
  for (const link of document.querySelectorAll(".choice a")) {
    const here = link.getAttribute("href") === (table ? addressOf(table) : "#");
    here ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
    if (here && link.closest("details")) link.closest("details").open = true;
  }
  const name = label !== null ? nameOf({ label }) : table ? table.title : "All data sets";
  document.title = `${name} · xmcbench leaderboards`;
  if (label !== null) {
    const title = showMethod(label, table);
    scrollTo(0, 0);
    title.focus();
    return;
  }
  get("missing").hidden = table !== undefined || !now.get("table");
  get("missing").textContent = `This page has no board ${now.get("table")}: choose one below.`;
  if (table) showTable(table, now);
  else showMatrix();
  SHOWN = table?.id ?? "";
  if (LEFT?.of === SHOWN) {
    scrollTo(0, LEFT.y);
    if (LEFT.link.isConnected && LEFT.link.checkVisibility()) LEFT.link.focus({ preventScroll: true });
  } else if (FOLLOWED) arrive((table ? VIEW.section : get("start")).querySelector("h2"));
  LEFT = null;
  FOLLOWED = false;
}

/** After a link was followed from further down: the heading is in view, and has the focus that the link lost. */
function arrive(heading) {
  if (!heading) return;
  if (heading.getBoundingClientRect().top < 0) heading.scrollIntoView();
  heading.tabIndex = -1;
  if (!document.activeElement?.checkVisibility() || document.activeElement === document.body) heading.focus({ preventScroll: true });
}

function showTable(table, now) {
  if (VIEW?.table !== table) mount(table);
  const families = [...new Set(table.rows.map((row) => row.family))].sort();
  offer(get("family"), [["", "all"], ...families.map((family) => [family, family])], now.get("family") ?? "");
  if (get("find").value !== (now.get("find") ?? "")) get("find").value = now.get("find") ?? "";
  const tested = table.tested.map((place) => table.metrics[place]);
  offer(get("rank"), [...tested.entries()], tested.includes(now.get("by")) ? tested.indexOf(now.get("by")) : table.by);
  offer(get("machine"), [...table.machines.entries()], Math.max(0, table.machines.indexOf(now.get("machine"))));
  const [by, machine] = [get("rank").value, get("machine").value];
  const metric = by === "" ? undefined : table.tested[by];
  if (by !== DRAWN.by) {
    showRanks(VIEW);
    showParts(VIEW);
  }
  offerFigures(table, now, metric);
  const figure = [machine, ...["figure", "quality", "cost"].map((id) => get(id).value)].join();
  if (figure !== DRAWN.figure) drawFigure(VIEW);
  DRAWN = { ...DRAWN, by, figure };
  offerColumns(table);
  showColumns(VIEW, metric);
  const order = [now.get("sort"), by, machine].join();
  if (order !== DRAWN.order) sortAs(VIEW, now.get("sort"), Number(machine));
  DRAWN.order = order;
  filter(VIEW);
  showPair(VIEW);
  filterPublished(VIEW);
}

/** Put the controls into the section of a table. */
function mount(table) {
  VIEW?.section.classList.remove("on");
  VIEW = openTable(table);
  DRAWN = {};
  VIEW.section.classList.add("on");
  VIEW.section.querySelector(".tools-here").append(get("tools"));
  VIEW.section.querySelector(".figures-here").before(get("pair"));
  VIEW.section.querySelector(".figures-here").append(get("figures"));
  VIEW.section.querySelector(".protocol-here")?.append(get("protocol"));
  get("tools").hidden = get("figures").hidden = !table.rows.length; // only published values: nothing to sort or draw
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

for (const link of document.querySelectorAll(".skip")) {
  link.addEventListener("click", (event) => {
    event.preventDefault(); // the address says what is shown
    get(link.hash.slice(1)).focus();
  });
}
document.addEventListener("click", ({ target }) => {
  const link = target.closest("a[href^='#']");
  FOLLOWED = Boolean(link) && !link.matches(".skip") && !link.hash.includes("&note=") && link.hash !== location.hash;
});

if (BOARD.tables.length) {
  get("matrix").hidden = !inMatrix().length;
  for (const id of ["tools", "axes", "cells", "protocol"]) get(id).addEventListener("submit", (event) => event.preventDefault());
  get("find").addEventListener("input", () => go({ find: get("find").value }, true));
  get("family").addEventListener("change", () => go({ family: get("family").value }));
  get("rank").addEventListener("change", () => {
    const by = Number(get("rank").value);
    go({ by: by === VIEW.table.by ? null : VIEW.table.metrics[VIEW.table.tested[by]], quality: null, sort: null });
  });
  get("machine").addEventListener("change", () => {
    const chosen = Number(get("machine").value);
    go({ machine: chosen ? VIEW.table.machines[chosen] : null });
  });
  get("protocol").addEventListener("change", ({ target }) => go({ [target.name]: target.value }));
  get("columns").addEventListener("change", columnsChanged);
  get("metric").addEventListener("change", () => {
    go({ metric: get("metric").value === BOARD.overview.metrics[0] ? null : get("metric").value });
  });
  get("all").addEventListener("change", () => go({ rows: get("all").checked ? "all" : null }));
  get("figure").addEventListener("change", () => go({ figure: get("figure").value }));
  get("quality").addEventListener("change", () => go({ quality: VIEW.table.metrics[get("quality").value] }));
  get("cost").addEventListener("change", () => go({ cost: BOARD.costs[get("cost").value][0] }));
  new ResizeObserver(() => VIEW && get("plot").clientWidth !== AT_WIDTH && drawFigure(VIEW)).observe(get("plot"));
  addEventListener("resize", () => VIEW && fit(VIEW));
  addEventListener("hashchange", route);
  route();
}
