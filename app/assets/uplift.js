// Uplift: the slider and the number of the budget are one; the number lives in the address.
(function () {
  "use strict";

  var moved = null; // where the slider was put by us: no wish of the reader

  function ask() {
    return window.dash_clientside;
  }

  function rounded(amount) {
    return amount === 0 ? 0 : Number(amount.toPrecision(3));
  }

  function upliftBudget(slider, budget, most) {
    var triggered = ask().callback_context.triggered.map(function (one) { return one.prop_id; });
    var largest = most && most.most ? most.most : 0;
    if (!largest) {
      return true;
    }
    if (triggered.indexOf("uplift-slider.value") >= 0) {
      if (slider !== moved) {
        moved = slider;
        ask().set_props("uplift-budget", { value: rounded((largest * slider) / 100) });
      }
      return false;
    }
    var empty = budget === "" || budget === null || budget === undefined;
    var amount = empty ? (most.budget === null || most.budget === undefined ? largest : most.budget) : Number(budget);
    var place = Math.max(0, Math.min(100, Math.round((100 * amount) / largest)));
    if (isFinite(place) && place !== slider) {
      moved = place;
      ask().set_props("uplift-slider", { value: place });
    }
    return false;
  }

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.regulars = Object.assign(window.dash_clientside.regulars || {}, { upliftBudget: upliftBudget });
})();
