// The browser's side of the app: state in the URL, the grid's rows, light and dark. No part of it builds code or HTML from text.
(function () {
  "use strict";

  var ask = function () {
    return window.dash_clientside;
  };
  var VIEW_KEYS = ["sort", "color", "show"];

  // ---------------------------------------------------------------- state in the URL

  function isEmpty(value) {
    return value === null || value === undefined || value === "" || (Array.isArray(value) && value.length === 0);
  }

  // several values in one key, as app/url_lists.py has them
  function listed(text) {
    return text
      .split(",")
      .map(function (part) { return part.replace(/%2C/g, ",").replace(/%25/g, "%"); })
      .filter(Boolean);
  }

  function asList(values) {
    return values.map(function (value) { return String(value).replace(/%/g, "%25").replace(/,/g, "%2C"); }).join(",");
  }

  function readField(params, field) {
    var text = params.get(field.key);
    if (field.kind === "list") {
      return text ? listed(text) : field.default || [];
    }
    if (field.kind === "one") {
      return text ? listed(text)[0] || field.default : field.default;
    }
    if (field.kind === "low" || field.kind === "high") {
      if (text === null || text.indexOf("..") < 0) {
        return "";
      }
      var end = text.split("..")[field.kind === "low" ? 0 : 1];
      return end === "" || !isFinite(Number(end)) ? "" : Number((Number(end) * field.scale).toPrecision(12));
    }
    return text === null ? field.default : text;
  }

  function writeFields(params, fields, values) {
    var ranges = {};
    fields.forEach(function (field, i) {
      var value = values[i];
      if (field.kind === "low" || field.kind === "high") {
        ranges[field.key] = ranges[field.key] || ["", ""];
        if (!isEmpty(value) && isFinite(Number(value))) {
          ranges[field.key][field.kind === "low" ? 0 : 1] = String(Number((Number(value) / field.scale).toPrecision(12)));
        }
      } else if (isEmpty(value) || same(value, field.default)) {
        params.delete(field.key);
      } else {
        params.set(field.key, Array.isArray(value) || field.kind === "one" ? asList([].concat(value)) : String(value));
      }
    });
    Object.keys(ranges).forEach(function (key) {
      if (ranges[key][0] === "" && ranges[key][1] === "") {
        params.delete(key);
      } else {
        params.set(key, ranges[key].join(".."));
      }
    });
  }

  function asSearch(params) {
    var text = params.toString().replace(/%2C/g, ",");
    return text ? "?" + text : "";
  }

  function same(a, b) {
    return isEmpty(a) ? isEmpty(b) : JSON.stringify(a) === JSON.stringify(b);
  }

  // For each page that was laid out, by its list of fields: what its controls and the address last agreed on, and what
  // an address before that said. A field that is typed in, text or number, tells its value again some time after it was
  // given one, and by then the reader may have gone back; what it tells then is an echo, and must not take the reader
  // forward again.
  var agreed = new WeakMap();
  var ECHO = 1500; // milliseconds; the fields wait 450 before they tell
  var TYPED = ["text", "low", "high"];

  function syncUrl() {
    var args = Array.prototype.slice.call(arguments);
    var fields = args[args.length - 1];
    var values = args.slice(1, args.length - 1);
    var params = new URLSearchParams(window.location.search);
    var asked = fields.map(function (field) { return readField(params, field); });
    var memory = agreed.get(fields);
    var triggered = ask().callback_context.triggered.map(function (t) { return t.prop_id; });
    var told = memory && triggered.length > 0 && !triggered.some(function (id) { return id.indexOf("url.") === 0 || id === "."; });
    var unchanged = ask().no_update;
    if (!told) {
      // where the address says what was agreed, a control that says otherwise is ahead of it and will tell
      if (memory && asked.every(function (value, i) { return same(value, memory.values[i]); })) {
        return values.map(function () { return unchanged; });
      }
      agreed.set(fields, { values: asked, before: memory ? memory.values : null, since: performance.now() });
      return asked.map(function (value, i) { return same(value, values[i]) ? unchanged : value; });
    }
    var recent = memory.before !== null && performance.now() - memory.since < ECHO;
    var echoes = fields.map(function (field, i) {
      return TYPED.indexOf(field.kind) >= 0 && recent && !same(values[i], memory.values[i]) && same(values[i], memory.before[i]);
    });
    var changed = values.map(function (value, i) { return !echoes[i] && !same(value, memory.values[i]); });
    if (changed.some(Boolean)) {
      // only what was changed is written: the other values may be older than the address
      var before = asSearch(params);
      writeFields(params, fields, values.map(function (value, i) { return changed[i] ? value : asked[i]; }));
      memory.values = fields.map(function (field) { return readField(params, field); });
      memory.before = null;
      if (asSearch(params) !== before) {
        ask().set_props("url", { search: asSearch(params) });
      }
    }
    return values.map(function (_, i) { return echoes[i] ? memory.values[i] : unchanged; });
  }

  function clearFilters(clicks, search) {
    if (!clicks) {
      return ask().no_update;
    }
    var params = new URLSearchParams(search || "");
    var kept = new URLSearchParams();
    VIEW_KEYS.forEach(function (key) {
      if (params.has(key)) {
        kept.set(key, params.get(key));
      }
    });
    return asSearch(kept);
  }

  function withoutView(search) {
    var params = new URLSearchParams(search || "");
    VIEW_KEYS.forEach(function (key) { params.delete(key); });
    return params;
  }

  function only(search, keys) {
    var params = new URLSearchParams(search || "");
    var kept = new URLSearchParams();
    keys.forEach(function (key) {
      if (params.has(key)) {
        kept.set(key, params.get(key));
      }
    });
    return kept;
  }

  // a listing's keys of the address, with what its page takes for those that are left out
  function chosen(search, facts, keys) {
    var kept = only(search, keys);
    Object.keys(facts.usual || {}).forEach(function (key) {
      if (!kept.has(key)) {
        kept.set(key, facts.usual[key]);
      }
    });
    return kept;
  }

  // ---------------------------------------------------------------- how figures are written

  var plain = {};
  function digits(value, most, least) {
    var key = most + "/" + (least || 0);
    plain[key] = plain[key] || new Intl.NumberFormat("en-GB", { maximumFractionDigits: most, minimumFractionDigits: least || 0 });
    return plain[key].format(value);
  }

  var MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

  function written(value, format, symbol) {
    if (value === undefined) {
      return ""; // a row that is still on its way
    }
    if (value === null) {
      return "–";
    }
    switch (format) {
      case "money":
        return (value < 0 ? "−" : "") + symbol + (Math.abs(value) >= 1000 ? digits(Math.abs(value), 0) : digits(Math.abs(value), 2, 2));
      case "share":
        if (value > 0 && value < 0.01) { return "<1%"; }
        if (value < 1 && value > 0.99) { return ">99%"; }
        return digits(100 * value, 0) + "%";
      case "decimal":
        return digits(value, 1, 1);
      case "days":
        return digits(value, 0) + " d";
      case "date":
        var parts = String(value).split("-");
        return Number(parts[2]) + " " + MONTHS[Number(parts[1]) - 1] + " " + parts[0];
      default:
        return digits(value, 0);
    }
  }

  function labelPills(search, pills) {
    var params = new URLSearchParams(window.location.search);
    var labels = pills.map(function (pill) {
      var ends = (params.get(pill.key) || "..").split("..").map(function (end) {
        return end === "" || !isFinite(Number(end)) ? null : written(Number(end), pill.format, pill.symbol).replace(" d", "");
      });
      if (ends[0] !== null && ends[1] !== null) {
        return pill.label + (ends[0] === ends[1] ? " = " + ends[0] : " " + ends[0] + " – " + ends[1]);
      }
      return pill.label + (ends[0] !== null ? " ≥ " + ends[0] : ends[1] !== null ? " ≤ " + ends[1] : "");
    });
    var classes = labels.map(function (label, i) { return label === pills[i].label ? "pill" : "pill pill-on"; });
    return labels.concat(classes, [withoutView(window.location.search).toString() === ""]);
  }

  // ---------------------------------------------------------------- the grid

  var loaded = {};

  function sortsOf(search, usual) {
    var text = new URLSearchParams(search || "").get("sort") || usual;
    return text.split(",").filter(Boolean).map(function (name, i) {
      var descending = name.charAt(0) === "-";
      return { colId: descending ? name.slice(1) : name, sort: descending ? "desc" : "asc", sortIndex: i };
    });
  }

  function sortText(state) {
    return state
      .filter(function (column) { return column.sort; })
      .sort(function (a, b) { return (a.sortIndex || 0) - (b.sortIndex || 0); })
      .map(function (column) { return (column.sort === "desc" ? "-" : "") + column.colId; })
      .join(",");
  }

  function say(id, text) {
    var place = document.getElementById(id + "-message");
    if (place) {
      place.textContent = text;
    }
  }

  function source(api, facts, filters, run) {
    return {
      getRows: function (request) {
        var params = new URLSearchParams(filters);
        params.set("start", request.startRow);
        params.set("end", request.endRow);
        if (run) {
          params.set("run", run);
        }
        var sort = request.sortModel
          .map(function (s) { return (s.sort === "desc" ? "-" : "") + s.colId; })
          .join(",");
        if (sort) {
          params.set("sort", sort);
        }
        fetch(facts.endpoint + "?" + params.toString(), { headers: { Accept: "application/json" }, credentials: "same-origin" })
          .then(function (response) {
            return response.json().then(function (body) {
              if (!response.ok) {
                throw new Error(body.error || "The rows could not be read.");
              }
              return body;
            });
          })
          .then(function (body) {
            request.successCallback(body.rows, body.total);
            say(facts.id, body.total === 0 ? "No " + facts.nouns + " match this filter." : "");
          })
          .catch(function (error) {
            if (api.isDestroyed && api.isDestroyed()) {
              return;
            }
            request.failCallback();
            say(facts.id, error.message);
          });
      },
    };
  }

  function loadGrid(search, run, facts, asked) {
    // Dash's own source asks once when the grid is ready; only then does ours take its place and stay
    if (!facts || !asked) {
      return ask().no_update;
    }
    window.dash_ag_grid.getApiAsync(facts.id).then(function (api) {
      var now = window.location.search;
      var sorts = sortsOf(now, facts.sort);
      if (sortText(api.getColumnState()) !== sortText(sorts)) {
        api.applyColumnState({ state: sorts, defaultState: { sort: null } });
      }
      var filters = chosen(now, facts, facts.keys).toString();
      var key = (run || "") + "?" + filters;
      if (loaded[facts.id] && loaded[facts.id].api === api && loaded[facts.id].key === key) {
        return;
      }
      loaded[facts.id] = { api: api, key: key };
      api.setGridOption("datasource", source(api, facts, filters, run));
    });
    return ask().no_update;
  }

  function sortToUrl(state, facts) {
    if (!state || !facts) {
      return;
    }
    var params = new URLSearchParams(window.location.search);
    var text = sortText(state.slice()) || facts.sort;
    if (text === sortText(sortsOf(window.location.search, facts.sort))) {
      return;
    }
    if (text === facts.sort) {
      params.delete("sort");
    } else {
      params.set("sort", text);
    }
    ask().set_props("url", { search: asSearch(params) });
  }

  function exportLinks(search, run, facts) {
    var params = chosen(window.location.search, facts, facts.keys.concat(["sort"]));
    if (run) {
      params.set("run", run);
    }
    return ["csv", "parquet"].map(function (kind) {
      return facts.endpoint.replace("/rows/", "/export/") + "." + kind + "?" + params.toString();
    });
  }

  // ---------------------------------------------------------------- the heatmap as a filter

  function bins(bounds, first, last) {
    var low = bounds[first];
    var high = last + 1 < bounds.length ? bounds[last + 1] - 1 : null;
    return (low === 0 ? "" : low) + ".." + (high === null ? "" : high);
  }

  function pickCells(clicked, selected, figure) {
    var context = ask().callback_context.triggered.map(function (t) { return t.prop_id; });
    var bounds = figure && figure.layout && figure.layout.meta;
    if (!bounds || !bounds.frequency) {
      return;
    }
    var x, y;
    if (context.indexOf("heatmap.selectedData") >= 0) {
      if (!selected || !selected.range || !selected.range.x) {
        return;
      }
      x = selected.range.x.map(Math.round).sort(function (a, b) { return a - b; });
      y = selected.range.y.map(Math.round).sort(function (a, b) { return a - b; });
    } else {
      if (!clicked || !clicked.points || !clicked.points.length) {
        return;
      }
      x = [clicked.points[0].x, clicked.points[0].x];
      y = [clicked.points[0].y, clicked.points[0].y];
    }
    var clamp = function (value, length) { return Math.max(0, Math.min(length - 1, value)); };
    var params = new URLSearchParams(window.location.search);
    var frequency = bins(bounds.frequency, clamp(x[0], bounds.frequency.length), clamp(x[1], bounds.frequency.length));
    var days = bins(bounds.days, clamp(y[0], bounds.days.length), clamp(y[1], bounds.days.length));
    if (params.get("frequency") === frequency && params.get("days") === days) {
      params.delete("frequency");
      params.delete("days");
    } else {
      [["frequency", frequency], ["days", days]].forEach(function (pair) {
        if (pair[1] === "..") {
          params.delete(pair[0]);
        } else {
          params.set(pair[0], pair[1]);
        }
      });
    }
    ask().set_props("heatmap", { clickData: null, selectedData: null });
    ask().set_props("url", { search: asSearch(params) });
  }

  // ---------------------------------------------------------------- light and dark, menu, arrival

  function chooseScheme(a, b, scheme) {
    return scheme === "dark" ? "light" : "dark";
  }

  function applyScheme(choice) {
    var dark = choice ? choice === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
    var scheme = dark ? "dark" : "light";
    document.documentElement.dataset.agThemeMode = scheme;
    document.documentElement.style.colorScheme = scheme;
    return [scheme, scheme];
  }

  function toggleMenu(opened, path, navbar) {
    return Object.assign({}, navbar, { collapsed: { mobile: !opened } });
  }

  function closeMenu() {
    return false;
  }

  var arrived = false;

  function arrive(children) {
    if (!children) {
      return;
    }
    var heading = document.querySelector("#page h1");
    if (heading) {
      document.title = heading.textContent + " · regulars";
      if (arrived) {
        heading.focus({ preventScroll: true });
        window.scrollTo(0, 0);
      }
    }
    arrived = true;
  }

  // other files of this folder add to the same names, whichever is read first
  window.dash_clientside = Object.assign({}, window.dash_clientside);
  window.dash_clientside.regulars = Object.assign({}, window.dash_clientside.regulars, {
    syncUrl: syncUrl,
    clearFilters: clearFilters,
    labelPills: labelPills,
    loadGrid: loadGrid,
    sortToUrl: sortToUrl,
    exportLinks: exportLinks,
    pickCells: pickCells,
    chooseScheme: chooseScheme,
    applyScheme: applyScheme,
    toggleMenu: toggleMenu,
    closeMenu: closeMenu,
    arrive: arrive,
  });

  // Go to an address without loading the page anew, as a link of Dash does.
  function go(href) {
    window.history.pushState({}, "", href);
    window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
    window.scrollTo(0, 0);
  }

  // What the grid's column definitions name.
  window.dashAgGridComponentFunctions = Object.assign({}, window.dashAgGridComponentFunctions, {
    // a cell that leads to the page of what it names; its text stays text
    RegularsLink: function (props) {
      var value = props.value;
      if (value === undefined || value === null) {
        return null;
      }
      var href = props.colDef.cellRendererParams.href + encodeURIComponent(value);
      return window.React.createElement("a", {
        href: href,
        className: "grid-link",
        onClick: function (event) {
          if (!(event.ctrlKey || event.metaKey || event.shiftKey || event.button)) {
            event.preventDefault();
            go(href);
          }
        },
      }, String(value));
    },
  });

  window.dashAgGridFunctions = Object.assign({}, window.dashAgGridFunctions, {
    regularsFormat: written,
    regularsSegment: function (name) {
      var known = { at_risk: "At risk", one_time: "One-time" };
      if (!name) {
        return name === null ? "–" : "";
      }
      return known[name] || name.charAt(0).toUpperCase() + name.slice(1);
    },
    regularsBar: function (value) {
      if (value === null || value === undefined) {
        return {};
      }
      return {
        backgroundImage: "linear-gradient(var(--bar), var(--bar))",
        backgroundSize: "calc((100% - 16px) * " + Math.max(0, Math.min(1, value)).toFixed(3) + ") 3px",
        backgroundPosition: "8px calc(100% - 4px)",
        backgroundRepeat: "no-repeat",
      };
    },
    regularsTheme: function (quartz) {
      return quartz
        .withParams(
          {
            backgroundColor: "#ffffff", foregroundColor: "#14181f", borderColor: "#e2e5ea", headerBackgroundColor: "#f6f7f9",
            headerTextColor: "#434c59", accentColor: "#2f5fb3", rowHoverColor: "#eef3fb", oddRowBackgroundColor: "#ffffff",
            browserColorScheme: "light", fontFamily: "inherit", fontSize: 13, headerFontSize: 12.5, headerFontWeight: 600,
            wrapperBorder: false, wrapperBorderRadius: 0, cellHorizontalPadding: 12, rowBorder: { color: "#eef0f3" },
          },
          "light"
        )
        .withParams(
          {
            backgroundColor: "#171c22", foregroundColor: "#e6e9ee", borderColor: "#2c343e", headerBackgroundColor: "#1c222a",
            headerTextColor: "#c6ccd5", accentColor: "#86a8df", rowHoverColor: "#222a35", oddRowBackgroundColor: "#171c22",
            browserColorScheme: "dark", fontFamily: "inherit", fontSize: 13, headerFontSize: 12.5, headerFontWeight: 600,
            wrapperBorder: false, wrapperBorderRadius: 0, cellHorizontalPadding: 12, rowBorder: { color: "#222931" },
          },
          "dark"
        );
    },
  });
})();
