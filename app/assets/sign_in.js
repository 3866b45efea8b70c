// A sign-in that is over: whatever is asked next answers 401, and the page leads to the sign-in and back.
(function () {
  var ask = window.fetch;
  var leaving = false;
  window.fetch = function () {
    return ask.apply(this, arguments).then(function (answer) {
      var ours = new URL(answer.url, window.location.href).origin === window.location.origin;
      if (answer.status !== 401 || !ours) {
        return answer;
      }
      if (!leaving) {
        leaving = true;
        window.location.assign("/sign-in?next=" + encodeURIComponent(window.location.pathname + window.location.search));
      }
      // the page is on its way out: nobody is to make an error of what it asked last
      return new Promise(function () {});
    });
  };
})();
