// A figure as a picture or as one HTML file that needs no network. The file is made here, from what is on the page.
(function () {
  "use strict";

  function named(figure, ending) {
    var card = figure.closest(".card, section");
    var heading = card && card.querySelector("h2, h3");
    var words = (heading ? heading.textContent : document.title).toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
    var run = document.querySelector(".stamp dd");
    var day = run ? "_" + run.textContent.trim().replace(/\s+/g, "-") : "";
    return (words || "figure") + day + "." + ending;
  }

  function save(blob, name) {
    var link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    document.body.appendChild(link);
    link.click();
    link.remove();
    setTimeout(function () { URL.revokeObjectURL(link.href); }, 10000);
  }

  function drawn(plot) {
    var ground = getComputedStyle(document.documentElement).getPropertyValue("--surface").trim() || "#ffffff";
    return {
      data: plot.data,
      layout: Object.assign({}, plot.layout, { paper_bgcolor: ground, width: undefined, height: undefined, autosize: true }),
    };
  }

  function asPicture(plot, name) {
    var box = plot.getBoundingClientRect();
    return window.Plotly.toImage(drawn(plot), { format: "png", scale: 2, width: Math.round(box.width), height: Math.round(box.height) })
      .then(function (url) {
        var letters = atob(url.split(",")[1]);
        var bytes = new Uint8Array(letters.length);
        for (var i = 0; i < letters.length; i += 1) { bytes[i] = letters.charCodeAt(i); }
        save(new Blob([bytes], { type: "image/png" }), name);
      });
  }

  function scriptSafe(value) {
    return JSON.stringify(value)
      .replace(/</g, "\\u003c").replace(/>/g, "\\u003e").replace(/&/g, "\\u0026").replace(/\u2028/g, "\\u2028").replace(/\u2029/g, "\\u2029");
  }

  function textOf(value) {
    return String(value).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");
  }

  function asPage(plot, says, name) {
    var source = Array.prototype.map.call(document.scripts, function (one) { return one.src; }).filter(function (src) {
      return /plotly[^/]*\.js/.test(src);
    })[0];
    return fetch(source, { credentials: "same-origin" })
      .then(function (answer) { return answer.text(); })
      .then(function (script) {
        var figure = drawn(plot);
        var stamp = Array.prototype.map.call(document.querySelectorAll(".stamp div"), function (one) { return one.textContent; }).join(" · ");
        save(new Blob([
          '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>' + textOf(name) + "</title></head>",
          '<body style="font-family: system-ui, sans-serif; margin: 24px; background:' + textOf(figure.layout.paper_bgcolor) + '">',
          '<div id="figure" style="height: 70vh"></div><p style="color: #6b7480">' + textOf(says || "") + "<br>" + textOf(stamp) + "</p>",
          "<script>" + script.replace(/<\/script/gi, "<\\/script") + "</script>",
          "<script>(function (f) { Plotly.newPlot('figure', f.data, f.layout, {responsive: true, displaylogo: false}); })(" + scriptSafe(figure) + ");</script>",
          "</body></html>",
        ], { type: "text/html" }), name);
      });
  }

  document.addEventListener("click", function (event) {
    var button = event.target.closest && event.target.closest("[data-save-figure]");
    if (!button) {
      return;
    }
    var figure = button.closest(".figure-frame");
    var plot = figure && figure.querySelector(".js-plotly-plot");
    if (!plot || !window.Plotly) {
      return;
    }
    var kind = button.dataset.saveFigure;
    var image = figure.querySelector("[role=img]");
    button.disabled = true;
    (kind === "png" ? asPicture(plot, named(figure, "png")) : asPage(plot, image && image.getAttribute("aria-label"), named(figure, "html")))
      .finally(function () { button.disabled = false; });
  });

  window.dash_clientside = Object.assign({}, window.dash_clientside);
  window.dash_clientside.regulars = Object.assign({}, window.dash_clientside.regulars, {
    // the address of the page's report, with the page's own state
    reportLink: function (search, run, path) {
      var params = new URLSearchParams(window.location.search);
      if (run) {
        params.set("run", run);
      }
      var name = (path || "/").replace(/^\/|\/$/g, "") || "overview";
      var text = params.toString();
      return "/report/" + name + ".html" + (text ? "?" + text : "");
    },
  });
})();
