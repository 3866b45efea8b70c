// The browser's side of Pricing: which item is looked at, and the way back to the plan as it was built.
(function () {
  "use strict";

  var TOOL = [
    "scope", "pick", "ladder", "weeks", "budget", "cuts", "apart", "step", "least", "sell", "floor", "stock", "near",
    "ends", "rise", "more", "drop",
  ];
  var shown = null;

  function ask() {
    return window.dash_clientside;
  }

  // Plan and item alone: figures of the item are not drawn anew when the form changes.
  function priceItem(search) {
    if (window.location.pathname !== "/pricing") {
      return ask().no_update;
    }
    var params = new URLSearchParams(search || "");
    var kept = new URLSearchParams();
    ["plan", "item"].forEach(function (key) {
      if (params.has(key)) {
        kept.set(key, params.get(key));
      }
    });
    var text = "?" + kept.toString();
    var place = document.getElementById("price-head");
    if (text === shown && place && place.dataset.shown) {
      return ask().no_update;
    }
    shown = text;
    if (place) {
      place.dataset.shown = "yes";
    }
    return text;
  }

  function go(params) {
    var text = params.toString().replace(/%2C/g, ",");
    window.history.pushState({}, "", window.location.pathname + (text ? "?" + text : ""));
    window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
  }

  function choose(name) {
    var params = new URLSearchParams(window.location.search);
    params.set("item", name);
    go(params);
    var cards = document.getElementById("price-item-cards");
    if (cards) {
      cards.scrollIntoView({ block: "nearest", behavior: "smooth" });
    }
  }

  document.addEventListener("click", function (event) {
    var button = event.target.closest ? event.target.closest("#price-reset") : null;
    if (button) {
      var params = new URLSearchParams(window.location.search);
      TOOL.forEach(function (key) { params.delete(key); });
      go(params);
    }
  });

  window.dash_clientside = Object.assign({}, window.dash_clientside);
  window.dash_clientside.regulars = Object.assign({}, window.dash_clientside.regulars, {
    priceItem: priceItem,
    pricePick: function (search) { return new URLSearchParams(search || "").get("scope") !== "picked"; },
  });

  window.dashAgGridComponentFunctions = Object.assign({}, window.dashAgGridComponentFunctions, {
    // chooses the item and leaves the rest of the address as it is
    PriceItemLink: function (props) {
      if (props.value === undefined || props.value === null) {
        return null;
      }
      var params = new URLSearchParams(window.location.search);
      params.set("item", props.value);
      return window.React.createElement("a", {
        href: "/pricing?" + params.toString(),
        className: "grid-link",
        onClick: function (event) {
          if (!(event.ctrlKey || event.metaKey || event.shiftKey || event.button)) {
            event.preventDefault();
            choose(props.value);
          }
        },
      }, String(props.value));
    },
  });

  window.dashAgGridFunctions = Object.assign({}, window.dashAgGridFunctions, {
    priceElasticity: function (value) {
      if (value === undefined) {
        return "";
      }
      return value === null ? "–" : value.toFixed(2).replace("-", "−");
    },
  });
})();
