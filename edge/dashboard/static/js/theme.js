// What the first paint must know: the chosen theme (without a choice the system's preference holds), and whether the
// address is that of another page than the one whose figures stand in the HTML.
(function () {
  "use strict";
  var chosen = null;
  try { chosen = localStorage.getItem("tidegate-theme"); } catch (error) { chosen = null; }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  if (location.hash.length > 2) document.documentElement.dataset.elsewhere = "";
})();
