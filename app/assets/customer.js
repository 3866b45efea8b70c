// One customer: the whole id to the clipboard.
(function () {
  "use strict";

  document.addEventListener("click", function (event) {
    var button = event.target.closest && event.target.closest("[data-copy-from]");
    var place = button && document.getElementById(button.getAttribute("data-copy-from"));
    if (!place) {
      return;
    }
    var usual = button.textContent;
    var said = function (text) {
      button.textContent = text;
      window.setTimeout(function () { button.textContent = usual; }, 1600);
    };
    if (navigator.clipboard) {
      navigator.clipboard.writeText(place.textContent).then(
        function () { said("Copied"); },
        function () { said("Not allowed: select it below"); }
      );
    } else {
      said("Not allowed: select it below");
    }
  });
})();
