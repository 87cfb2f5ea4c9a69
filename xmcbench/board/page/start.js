// Runs before the page is drawn: marks that scripts run, and sets the colours that the reader chose last time.
document.documentElement.classList.add("js");
try {
  document.documentElement.style.colorScheme = localStorage.getItem("xmcbench-colours") ?? "";
} catch {
  // no storage: colours of the system
}
