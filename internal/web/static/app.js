// What the pages do beyond plain HTML: times in the viewer's zone, live updates, one
// chart, keys. Everything else works without it.
(() => {
  "use strict";
  const root = document.documentElement;

  // The zone goes to the server, which writes times in it from the next page on.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  document.cookie = "kw_zone=" + encodeURIComponent(zone) + "; path=/; max-age=31536000; samesite=lax";

  const words = { rel: new Intl.RelativeTimeFormat(root.lang, { numeric: "auto" }) };
  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  function ago(t) {
    const s = Math.round((t - Date.now()) / 1000);
    for (const [unit, n] of units) if (Math.abs(s) >= n || n === 1) return words.rel.format(Math.trunc(s / n), unit);
  }
  const two = (n) => String(n).padStart(2, "0");
  function stamp(d) {
    return d.getFullYear() + "-" + two(d.getMonth() + 1) + "-" + two(d.getDate()) + " " + two(d.getHours()) + ":" + two(d.getMinutes()) + ":" + two(d.getSeconds());
  }
  function times() {
    for (const e of document.querySelectorAll("time[datetime]")) {
      const d = new Date(e.dateTime);
      if (e.dataset.form === "ago") { e.textContent = ago(d); e.title = stamp(d) + " " + zone; } else { e.textContent = stamp(d); e.title = ago(d); }
    }
  }

  // On a narrow window a row of a table becomes a few lines, which name their column.
  function tables() {
    for (const t of document.querySelectorAll(".scroll > table:not(.named)")) {
      if (t.closest("details")) continue; // figures: they are compared, and scroll
      const names = [...t.querySelectorAll("thead th")].map((h) => (h.querySelector(".unseen") ? "" : h.textContent));
      for (const r of t.tBodies[0].rows) [...r.cells].forEach((c, i) => {
        if (names[i]) c.dataset.name = names[i];
        if (/^–?$/.test(c.textContent.trim())) c.dataset.none = "";
      });
      t.classList.add("named");
    }
  }

  // One chart: lines over weeks, on a scale of logarithms. Its numbers stand in a table, too.
  let drawn = [];
  function charts() {
    for (const u of drawn) u.destroy();
    drawn = [];
    if (typeof uPlot === "undefined") return;
    for (const e of document.querySelectorAll("[data-chart]")) {
      const c = JSON.parse(e.dataset.chart), css = getComputedStyle(root), v = (n) => css.getPropertyValue(n).trim();
      const axis = { stroke: v("--soft"), grid: { stroke: v("--line"), width: 1 }, ticks: { stroke: v("--line") }, font: "12px system-ui, sans-serif" };
      const span = (s) => (s >= 86400 ? +(s / 86400).toFixed(1) + " " + c.units[3] : s >= 3600 ? +(s / 3600).toFixed(1) + " " + c.units[2] : s >= 60 ? +(s / 60).toFixed(1) + " " + c.units[1] : s + " " + c.units[0]);
      drawn.push(new uPlot({
        width: e.clientWidth, height: 240, legend: { live: true, markers: { width: 2, fill: () => "transparent", dash: (u, i) => (u.series[i].dash.length ? "dashed" : "solid") } }, cursor: { drag: { x: false, y: false } },
        scales: { x: { time: true }, y: { distr: 3 } },
        axes: [{ ...axis, values: (u, all) => all.map((t) => { const d = new Date(t * 1000); return two(d.getUTCMonth() + 1) + "-" + two(d.getUTCDate()); }) },
               { ...axis, size: 72, filter: (u, all) => all, splits: (u, i, min, max) => [1, 10, 60, 600, 3600, 21600, 86400, 604800].filter((s) => s >= min && s <= max), values: (u, all) => all.map((s) => (s === null ? "" : span(s))) }],
        series: [{ label: c.week, value: (u, t) => (t ? new Date(t * 1000).toISOString().slice(0, 10) : "–") }].concat(c.series.map((s) => ({
          label: s.label, stroke: v(s.colour), width: 2, dash: s.dash ? [5, 4] : [], spanGaps: true, points: { show: true, size: 6, fill: v("--card") },
          value: (u, x) => (x == null ? "–" : span(x)),
        }))),
      }, [c.x].concat(c.series.map((s) => s.y)), e));
    }
  }

  // Live updates: what stands in #live is fetched anew when the journal grows. Nothing is
  // replaced under a reader's hands.
  let timer = 0, kept = [];
  function busy(live) {
    const a = document.activeElement;
    return a && live.contains(a) && /^(INPUT|TEXTAREA|SELECT)$/.test(a.tagName) && (a.value || "") !== "";
  }
  function refresh() {
    timer = 0;
    const live = document.getElementById("live");
    if (!live || typeof htmx === "undefined") return;
    if (busy(live) || document.hidden) { later(3000); return; }
    kept = [...live.querySelectorAll("details[open][id]")].map((d) => d.id);
    const focus = document.activeElement && document.activeElement.id;
    htmx.ajax("GET", location.pathname + location.search, { target: "#live", select: "#live", swap: "outerHTML" }).then(() => {
      for (const id of kept) { const d = document.getElementById(id); if (d) d.open = true; }
      if (focus && document.activeElement === document.body) document.getElementById(focus)?.focus();
    });
  }
  function later(ms) { if (!timer) timer = setTimeout(refresh, ms); }
  // A browser goes on by itself where a connection broke, and gives up where it was
  // answered with anything but a stream (by a proxy while the server starts anew, say):
  // then it is tried again from here. The first entry asked for is the one after what the
  // page was made of, later ones follow the last that came: nothing in between is missed.
  let source = null, last = root.dataset.after || "", wait = 1000, again = 0;
  function offline(is) { const e = document.getElementById("offline"); if (e) e.hidden = !is; }
  function open() {
    close();
    if (document.hidden) return; // many tabs would use up the connections of a browser
    source = new EventSource(root.dataset.events + (last ? "?after=" + encodeURIComponent(last) : ""));
    source.addEventListener("journal", (e) => { last = e.lastEventId || last; later(400); });
    source.addEventListener("open", () => { wait = 1000; offline(false); });
    source.addEventListener("error", (e) => {
      offline(true);
      if (e.target.readyState !== EventSource.CLOSED || e.target !== source) return;
      again = setTimeout(open, wait);
      wait = Math.min(wait * 2, 60000);
    });
  }
  function close() { clearTimeout(again); if (source) source.close(); source = null; }
  function listen() {
    if (!document.getElementById("live") || typeof EventSource === "undefined" || !root.dataset.events) return;
    open();
    addEventListener("pagehide", close);
    addEventListener("pageshow", (e) => { if (e.persisted) open(); });
    document.addEventListener("visibilitychange", () => { if (document.hidden) close(); else open(); });
  }

  // Keys: g and a letter goes to a page, / to the search, ? to the list of keys.
  let went = 0;
  addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName)) return;
    if (e.key === "/") { const q = document.querySelector("input[type=search]"); if (q) { q.focus(); e.preventDefault(); } return; }
    if (e.key === "?") { location.href = "/keys"; return; }
    if (e.key === "g") { went = Date.now(); return; }
    const to = Date.now() - went < 1500 && document.querySelector('nav a[data-key="' + CSS.escape(e.key) + '"]');
    went = 0;
    if (to) to.click();
  });

  document.addEventListener("htmx:afterSettle", () => { times(); charts(); tables(); });
  document.addEventListener("change", (e) => { if (e.target.dataset.submit !== undefined) e.target.form.requestSubmit(); });
  times();
  tables();
  charts();
  listen();
  setInterval(times, 30000);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", charts);
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; charts(); } });
})();
