// The browser's side of the list of customers: which columns show, and its saved segments.
(function () {
  "use strict";

  function ask() {
    return window.dash_clientside;
  }

  // Shows the columns of the chosen groups; with none chosen the usual ones. What stands in no group always shows.
  function showColumns(groups, asked, facts) {
    if (!facts || !asked) {
      return;
    }
    window.dash_ag_grid.getApiAsync(facts.id).then(function (api) {
      var chosen = Array.isArray(groups) ? groups : [];
      var visible = [];
      var hidden = [];
      facts.columns.forEach(function (column) {
        var shows = !column.group || (chosen.length ? chosen.indexOf(column.group) >= 0 : column.shown);
        (shows ? visible : hidden).push(column.name);
      });
      api.setColumnsVisible(hidden, false);
      api.setColumnsVisible(visible, true);
    });
  }

  function openSegments(clicks) {
    var by = ask().callback_context.triggered.map(function (one) { return one.prop_id; });
    return by.indexOf("segments-open.n_clicks") >= 0 && clicks > 0;
  }

  function askToDelete(name) {
    var by = ask().callback_context.triggered.map(function (one) { return one.prop_id; });
    if (by.indexOf("segment-chosen.data") < 0 || typeof name !== "string") {
      return [true, ""];
    }
    return [false, "Delete the segment “" + name + "”? Jobs that name it will stop with an error."];
  }

  document.addEventListener("click", function (event) {
    var button = event.target.closest && event.target.closest("[data-delete-segment]");
    if (button) {
      // to nothing first: the same name asked for twice must be news
      ask().set_props("segment-chosen", { data: null });
      ask().set_props("segment-chosen", { data: button.getAttribute("data-delete-segment") });
    }
  });

  window.dash_clientside = Object.assign({}, window.dash_clientside);
  window.dash_clientside.regulars = Object.assign({}, window.dash_clientside.regulars, {
    showColumns: showColumns,
    openSegments: openSegments,
    askToDelete: askToDelete,
  });

  // Enter in the name of a segment is its button
  document.addEventListener("keydown", function (event) {
    var button = document.getElementById("segment-save");
    if (event.key === "Enter" && !event.isComposing && event.target.id === "segment-name" && button) {
      // what was typed last may not have reached the page's state yet
      ask().set_props("segment-name", { value: event.target.value });
      window.setTimeout(function () { button.click(); }, 0);
    }
  });
})();
