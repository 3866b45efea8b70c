// Before the first paint: the scheme that was chosen last, or the system's, so that nothing flashes.
(function () {
  var choice = null;
  try {
    choice = JSON.parse(window.localStorage.getItem("scheme-choice"));
  } catch (error) {
    choice = null;
  }
  var dark = choice ? choice === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
  var root = document.documentElement;
  root.dataset.mantineColorScheme = dark ? "dark" : "light";
  root.dataset.agThemeMode = dark ? "dark" : "light";
  root.style.colorScheme = dark ? "dark" : "light";
})();
