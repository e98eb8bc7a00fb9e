// What the console does with a keyboard, beside what HTML does: "/" goes to the
// first filter, "g" and a letter to a page, j and k walk a list, Enter opens.
// Nothing needs it.
(function () {
  "use strict";
  var pages = { o: "/", k: "/apikeys", c: "/callers", r: "/routes", p: "/plan", m: "/campaign", l: "/leaks", e: "/evidence", u: "/people", t: "/trust", h: "/health", s: "/settings" };
  var going = false;

  function rows() { return Array.prototype.slice.call(document.querySelectorAll("table[data-list] tbody tr")); }

  function walk(step) {
    var all = rows(), at = all.indexOf(document.querySelector("tr.here"));
    var next = all[Math.max(0, Math.min(all.length - 1, at < 0 ? 0 : at + step))];
    if (!next) return;
    all.forEach(function (row) { row.classList.remove("here"); });
    next.classList.add("here");
    var link = next.querySelector("a");
    if (link) link.focus(); else next.scrollIntoView({ block: "nearest" });
  }

  document.addEventListener("keydown", function (event) {
    var tag = event.target.tagName;
    if (event.ctrlKey || event.metaKey || event.altKey || tag === "INPUT" || tag === "SELECT" || tag === "TEXTAREA") return;
    if (going) {
      going = false;
      if (pages[event.key]) location.href = pages[event.key];
      return;
    }
    switch (event.key) {
      case "g": going = true; setTimeout(function () { going = false; }, 1500); break;
      case "/":
        var field = document.querySelector(".filter input, .filter select");
        if (field) { field.focus(); event.preventDefault(); }
        break;
      case "j": walk(1); break;
      case "k": walk(-1); break;
    }
  });
})();
