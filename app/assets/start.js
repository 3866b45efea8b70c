// Uploads of the start page: a file is cut into pieces, each a small request of its own; memory stays at one piece.
(function () {
  "use strict";

  var under = null; // the upload that is under way

  function say(text, isWrong) {
    var place = document.getElementById("start-upload-said");
    var frame = document.getElementById("start-upload-state");
    if (place && frame) {
      place.textContent = text;
      frame.className = "start-upload-state" + (isWrong ? " start-mistake" : "");
    }
  }

  function canStop(can) {
    var button = document.getElementById("start-upload-stop");
    if (button) {
      button.hidden = !can;
    }
  }

  function post(path, body) {
    return fetch(path, {
      method: "POST",
      body: body,
      headers: { "X-Regulars": "upload", "Content-Type": "application/octet-stream" },
      credentials: "same-origin",
    }).then(function (response) {
      return response.json().catch(function () { return {}; }).then(function (said) {
        if (!response.ok) {
          throw new Error(said.error || "The upload was refused (" + response.status + ").");
        }
        return said;
      });
    });
  }

  function size(bytes) {
    return bytes < 100000 ? (bytes / 1024).toFixed(1) + " kB" : (bytes / 1048576).toFixed(1) + " MB";
  }

  function send(file) {
    var mine = { stopped: false, id: null };
    under = mine;
    canStop(true);
    say("Uploading " + file.name + " …");
    return post("/upload?name=" + encodeURIComponent(file.name) + "&size=" + file.size)
      .then(function (begun) {
        mine.id = begun.id;
        var at = 0;
        function next() {
          if (mine.stopped) {
            return post("/upload/" + mine.id + "/stop").then(function () { throw new Error("The upload was stopped; nothing is kept of it."); });
          }
          if (at >= file.size) {
            return post("/upload/" + mine.id + "/end");
          }
          var piece = file.slice(at, at + begun.piece);
          return post("/upload/" + mine.id + "?offset=" + at, piece).then(function (said) {
            at = said.bytes;
            say("Uploading " + file.name + ": " + size(at) + " of " + size(file.size));
            return next();
          });
        }
        return next();
      })
      .then(function (done) {
        say("Uploaded as " + done.path);
        window.dash_clientside.set_props("start-path", { value: done.path });
      })
      .catch(function (error) { say(error.message, true); })
      .then(function () {
        under = null;
        canStop(false);
      });
  }

  document.addEventListener("click", function (event) {
    var target = event.target.closest ? event.target.closest("button") : null;
    if (!target) {
      return;
    }
    if (target.id === "start-upload-stop" && under) {
      under.stopped = true;
    }
    if (target.id === "start-upload" && !under) {
      var chooser = document.createElement("input");
      chooser.type = "file";
      chooser.accept = ".csv,.tsv,.txt,.parquet,.pq,.parq";
      chooser.addEventListener("change", function () {
        if (chooser.files.length) {
          send(chooser.files[0]);
        }
      });
      chooser.click();
    }
  });
})();
