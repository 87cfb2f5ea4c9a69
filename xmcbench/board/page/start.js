// Before anything is drawn: that there are scripts, and the colours chosen last time.
document.documentElement.classList.add("js");
try {
  document.documentElement.style.colorScheme = localStorage.getItem("xmcbench-colours") ?? "";
} catch {
  // no storage: the system's colours
}
