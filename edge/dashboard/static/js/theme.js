// The chosen theme, set before the first paint. Without a choice the system's preference holds.
(function () {
  "use strict";
  var chosen = null;
  try { chosen = localStorage.getItem("tidegate-theme"); } catch (error) { chosen = null; }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
