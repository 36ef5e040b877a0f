// Draws the charts of a report and replays its race. Everything shown comes from the JSON in the page; nothing is fetched.
"use strict";
(() => {
  const report = JSON.parse(document.getElementById("report").textContent);
  const lanes = report.backends.map((backend, index) => ({
    ...backend,
    index,
    colour: `var(--c${index % 4})`,
    runs: report.responses.filter((r) => r.backend === backend.name),
  }));
  const $ = (id) => document.getElementById(id);
  const element = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text; // never innerHTML: labels and answers are foreign text
    return made;
  };
  const klass = (lane) => `k${lane.index % 4}${lane.simulated ? " sim" : ""}`;
  const seconds = (ms) => `${(ms / 1000).toFixed(2)} s`;
  const figure = (v) => (v == null ? "–" : v >= 100 ? Math.round(v).toLocaleString("en") : v.toPrecision(3));
  const short = (text, most) => (text.length > most ? text.slice(0, most - 1) + "…" : text);

  for (const legend of document.querySelectorAll("[data-legend]")) {
    for (const lane of lanes) {
      const item = element("span", klass(lane));
      item.append(element("span", "swatch"), lane.label);
      legend.append(item);
    }
  }

  // ---------------------------------------------------------------- the race

  const numbers = [...new Set(report.responses.map((r) => r.run))].sort((a, b) => a - b);
  for (const number of numbers) {
    const option = element("option", "", `run ${number}`);
    option.value = number;
    $("run").append(option);
  }
  $("run").hidden = numbers.length < 2;

  const views = lanes.map((lane) => {
    const root = element("div", `lane ${klass(lane)}`);
    const head = element("div", "head");
    const who = element("span", "who");
    who.append(element("span", "swatch"), lane.label + " ");
    if (lane.kind !== "live") who.append(element("span", `badge ${lane.kind}`, lane.kind));
    const state = element("span", "state");
    head.append(who, state);
    const bar = element("div", "bar");
    const fill = element("i");
    bar.append(fill);
    const facts = element("div", "facts");
    const tokens = element("span"), speed = element("span");
    facts.append(tokens, speed);
    const text = element("pre");
    root.append(head, bar, facts, text);
    $("lanes").append(root);
    return { lane, state, fill, tokens, speed, text };
  });

  let race = null, at = 0, playing = false, before = 0;

  function choose(number) {
    const entries = lanes.map((lane) => {
      const response = lane.runs.find((r) => r.run === number);
      if (!response) return null;
      let characters = 0, tokens = 0;
      const times = [], sums = [], counts = [];
      for (const [ms, c, k] of response.arrivals) {
        times.push(ms); sums.push((characters += c)); counts.push((tokens += k));
      }
      const glyphs = Array.from(response.text);
      // Reasoning comes first and is not in the text: so many characters are written before the answer begins.
      return { response, times, sums, counts, glyphs, hidden: Math.max(0, characters - glyphs.length) };
    });
    const ended = entries.filter((e) => e && e.times.length && !e.response.error);
    const ends = entries.filter((e) => e && e.times.length).map((e) => e.times[e.times.length - 1]);
    race = {
      number, entries,
      end: Math.max(1, ...ends),
      freeze: ended.length ? Math.min(...ended.map((e) => e.times[e.times.length - 1])) : 0,
      most: Math.max(1, ...entries.map((e) => (e ? e.counts[e.counts.length - 1] ?? 0 : 0))),
    };
    $("scrub").max = race.end;
    show(race.freeze);
    drawSpeed();
  }

  function show(ms) {
    at = Math.min(Math.max(0, ms), race.end);
    $("scrub").value = at;
    $("scrub").setAttribute("aria-valuetext", seconds(at));
    $("clock").textContent = seconds(at);
    views.forEach((view, i) => {
      const entry = race.entries[i];
      if (!entry) {
        view.state.textContent = "no answer in this run"; view.fill.style.width = "0";
        view.tokens.textContent = view.speed.textContent = view.text.textContent = "";
        return;
      }
      const rows = d3.bisectRight(entry.times, at + 1e-6);
      const count = rows ? entry.counts[rows - 1] : 0;
      const over = rows === entry.times.length;
      view.fill.style.width = `${(100 * count) / race.most}%`;
      view.tokens.textContent = `${count.toLocaleString("en")} tokens`;
      const span = rows > 1 ? entry.times[rows - 1] - entry.times[0] : 0;
      const pace = span > 0 ? ((count - entry.counts[0]) / span) * 1000 : null;
      view.speed.textContent = pace == null ? "" : `${figure(pace)} tok/s`;
      const error = entry.response.error;
      view.state.classList.toggle("failed", Boolean(over && error));
      view.state.textContent = over
        ? error ? short(error, 40) : `finished at ${seconds(entry.times[rows - 1])}`
        : rows === 0 ? "waiting for the first token" : `${Math.round((100 * count) / entry.counts[entry.counts.length - 1])} % of its answer`;
      const written = rows ? Math.max(0, entry.sums[rows - 1] - entry.hidden) : 0;
      const shown = entry.glyphs.slice(0, written).join("");
      const text = shown || (rows && entry.hidden ? "thinking …" : "");
      if (view.text.textContent !== text) {
        view.text.textContent = text;
        view.text.scrollTop = view.text.scrollHeight;
      }
    });
  }

  function setPlaying(on) {
    playing = on;
    $("play").textContent = on ? "❚❚ Pause" : "▶ Play";
    $("play").setAttribute("aria-pressed", String(on));
    if (on) { before = performance.now(); requestAnimationFrame(step); }
  }

  function step(now) {
    if (!playing) return;
    show(at + Math.max(0, now - before) * Number($("rate").value));
    before = now;
    if (at >= race.end) setPlaying(false);
    else requestAnimationFrame(step);
  }

  $("play").addEventListener("click", () => {
    if (!playing && (at >= race.end || at === race.freeze)) show(0);
    setPlaying(!playing);
  });
  $("scrub").addEventListener("input", (event) => { setPlaying(false); show(Number(event.target.value)); });
  $("freeze").addEventListener("click", () => { setPlaying(false); show(race.freeze); });
  $("run").addEventListener("change", (event) => { setPlaying(false); choose(Number(event.target.value)); });

  // ---------------------------------------------------------------- charts

  const width = (id) => Math.max(280, Math.min(960, $(id).clientWidth || 640));
  const draw = (id, options) => {
    const chart = Plot.plot({ width: width(id), style: { fontSize: "12px", background: "transparent" }, ...options });
    $(id).replaceChildren(chart);
  };
  const dash = (lane) => (lane.simulated ? "5 4" : null);

  // Between two arrivals a chunk's tokens count as made evenly, so that bunching makes no spike.
  function speedCurve(response, bin) {
    const rows = response.arrivals;
    if (rows.length < 2) return [];
    const first = rows[0][0], bins = Math.max(1, Math.ceil((rows[rows.length - 1][0] - first) / bin));
    const made = new Float64Array(bins);
    for (let i = 1; i < rows.length; i++) {
      const from = rows[i - 1][0], to = rows[i][0], k = rows[i][2];
      if (to <= from) { made[Math.min(bins - 1, Math.floor((to - first) / bin))] += k; continue; }
      for (let b = Math.floor((from - first) / bin); b < bins && first + b * bin < to; b++) {
        const overlap = Math.min(to, first + (b + 1) * bin) - Math.max(from, first + b * bin);
        if (overlap > 0) made[b] += (k * overlap) / (to - from);
      }
    }
    const last = rows[rows.length - 1][0];
    const points = [{ s: first / 1000, v: 0 }];
    made.forEach((k, b) => {
      const from = first + b * bin, to = Math.min(last, from + bin);
      if (to - from > bin / 4) points.push({ s: (from + to) / 2000, v: (k / (to - from)) * 1000 });
    });
    points.push({ s: last / 1000, v: 0 });
    return points;
  }

  function drawSpeed() {
    const marks = [Plot.ruleY([0], { stroke: "currentColor", strokeOpacity: 0.4 })];
    for (const lane of lanes) {
      for (const response of lane.runs) {
        const total = response.arrivals.length ? response.arrivals[response.arrivals.length - 1][0] - response.arrivals[0][0] : 0;
        const chosen = response.run === race.number;
        marks.push(Plot.line(speedCurve(response, Math.max(25, total / 60)), {
          x: "s", y: "v", stroke: lane.colour, strokeWidth: chosen ? 2.2 : 1, strokeOpacity: chosen ? 1 : 0.25,
          strokeDasharray: dash(lane), curve: "monotone-x",
        }));
      }
    }
    draw("plot-speed", {
      height: 310, marginLeft: 52, marginBottom: 44, x: { labelOffset: 40, label: "seconds since the request", grid: true }, y: { label: "tok/s", grid: true, nice: true }, marks,
    });
  }

  const good = (lane) => lane.runs.filter((r) => !r.error);
  const labels = lanes.map((lane) => lane.label);
  const bandHeight = 34 * lanes.length + 62;
  const byLabel = (id) => ({
    domain: labels, label: null, tickSize: 0, tickFormat: (label) => short(label, width(id) < 500 ? 18 : 30),
  });
  const leftOf = (id) => Math.min(width(id) < 500 ? 128 : 210, 16 + 6.6 * Math.max(...labels.map((l) => Math.min(l.length, 30))));

  function hatch(lane) {
    return `url(#hatch${lane.index})`;
  }

  function drawMedians() {
    const marks = [];
    for (const lane of lanes) {
      const summary = lane.summary.common_tps;
      if (!summary) continue;
      const y = () => lane.label;
      marks.push(Plot.barX([summary], { x: "median", y, fill: lane.simulated ? hatch(lane) : lane.colour, fillOpacity: lane.simulated ? 1 : 0.75, insetTop: 5, insetBottom: 5 }));
      if (summary.ci95[0] != null) marks.push(Plot.ruleY([summary], { x1: (d) => d.ci95[0], x2: (d) => d.ci95[1], y, stroke: "currentColor", strokeWidth: 2 }));
      marks.push(Plot.dot(good(lane).filter((r) => r.common_tps != null), { x: "common_tps", y, r: 2.5, fill: "currentColor", fillOpacity: 0.55 }));
      marks.push(Plot.text([summary], { x: (d) => Math.max(d.max, d.ci95[1] ?? 0), y, text: (d) => figure(d.median), dx: 10, textAnchor: "start", fill: "currentColor", fontWeight: 600 }));
    }
    draw("plot-medians", {
      height: bandHeight, marginLeft: leftOf("plot-medians"), marginRight: 64, marginBottom: 44,
      x: { labelOffset: 40, label: "output speed, cl100k tok/s", grid: true, zero: true }, y: byLabel("plot-medians"), marks,
    });
  }

  function drawTtft() {
    const all = lanes.flatMap((lane) => good(lane).map((r) => r.ttft_ms)).filter((v) => v != null && v > 0);
    const log = all.length > 1 && Math.max(...all) > 20 * Math.min(...all);
    const marks = [];
    for (const lane of lanes) {
      const y = () => lane.label, rows = good(lane).filter((r) => r.ttft_ms != null && (!log || r.ttft_ms > 0));
      marks.push(Plot.dot(rows, { x: "ttft_ms", y, r: 4, fill: lane.simulated ? "none" : lane.colour, stroke: lane.colour, strokeWidth: 1.5, fillOpacity: 0.55 }));
      const summary = lane.summary.ttft_ms;
      if (summary && (!log || summary.median > 0)) marks.push(Plot.tickX([summary], { x: "median", y, stroke: "currentColor", strokeWidth: 2, insetTop: 4, insetBottom: 4 }));
    }
    draw("plot-ttft", {
      height: bandHeight + 20, marginLeft: leftOf("plot-ttft"), marginRight: 20, marginBottom: 44,
      x: { labelOffset: 40, label: "ms", grid: true, type: log ? "log" : "linear", zero: !log, nice: true, ticks: 5, tickFormat: log ? "~s" : undefined }, y: byLabel("plot-ttft"), marks,
    });
  }

  function drawGaps() {
    const marks = [];
    for (const lane of lanes) {
      const gaps = lane.runs.flatMap((r) => r.arrivals.slice(1).map((row, i) => Math.max(0.01, row[0] - r.arrivals[i][0]))).sort(d3.ascending);
      if (!gaps.length) continue;
      const steps = Math.min(gaps.length, 240);
      const points = d3.range(steps + 1).map((i) => ({ ms: gaps[Math.min(gaps.length - 1, Math.floor((i / steps) * (gaps.length - 1)))], share: i / steps }));
      marks.push(Plot.line(points, { x: "ms", y: "share", stroke: lane.colour, strokeWidth: 2, strokeDasharray: dash(lane), curve: "step-after" }));
    }
    draw("plot-gaps", {
      height: 250, marginLeft: 44, marginBottom: 44, x: { labelOffset: 40, type: "log", label: "ms (0.01 and less at the left edge)", grid: true, ticks: 5, tickFormat: (v) => String(+v.toPrecision(2)) },
      y: { label: null, percent: true, domain: [0, 100], grid: true, tickFormat: (v) => `${v} %` }, marks,
    });
  }

  function patterns() {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    svg.setAttribute("width", 0); svg.setAttribute("height", 0); svg.style.position = "absolute";
    for (const lane of lanes) {
      const pattern = document.createElementNS(space, "pattern");
      for (const [name, value] of Object.entries({ id: `hatch${lane.index}`, width: 8, height: 8, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" })) pattern.setAttribute(name, value);
      for (const [w, opacity] of [[8, 0.4], [4, 0.9]]) {
        const rect = document.createElementNS(space, "rect");
        rect.setAttribute("width", w); rect.setAttribute("height", 8);
        rect.style.fill = lane.colour; rect.style.fillOpacity = opacity;
        pattern.append(rect);
      }
      svg.append(pattern);
    }
    document.body.append(svg);
  }

  function drawAll() {
    drawMedians(); drawTtft(); drawGaps();
    if (race) drawSpeed();
  }

  patterns();
  drawAll();
  if (numbers.length) choose(numbers[0]);
  else $("race").hidden = $("plot-speed").parentElement.hidden = true; // interrupted before the first answer
  let resized;
  addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(drawAll, 150); });
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => { d.open = true; }));

  // ---------------------------------------------------------------- downloads

  function save(text, name, type) {
    const link = element("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
  $("save-json").addEventListener("click", () => save($("report").textContent, "comparison.json", "application/json"));
  // The CSV is held as a JSON text, so that nothing in it can end its element.
  $("save-csv").addEventListener("click", () => save(JSON.parse($("responses-csv").textContent), "comparison.csv", "text/csv"));
  document.documentElement.dataset.drawn = "yes";
})();
