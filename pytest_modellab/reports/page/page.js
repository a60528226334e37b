"use strict";
(() => {
  const METRICS = ["quality", "cost", "latency", "memory", "risk"];
  const NAMES = { quality: "success", cost: "cost", latency: "latency", memory: "memory", risk: "risk" };
  const LIMITS = {
    quality: ["success at least", ""], worst_bucket: ["worst bucket at least", ""],
    forgetting: ["capabilities lost at most", ""], churn: ["churn at most", ""],
    cost: ["cost of 1,000 requests at most", "$"], latency: ["latency p95 at most", "s"],
    memory: ["memory at most", "GB"], risk: ["risk at most", ""],
  };
  const AT_LEAST = new Set(["quality", "worst_bucket"]);
  const GLYPHS = "●■▲◆▼✦★⬟";
  const STEP = 0.1, SURE = 0.8, LEAST_RATIO = 1 / 1024, NONE = "", MOST_ROWS = 12;
  const SVG = document.createElementNS.bind(document, "http" + "://www.w3.org/2000/svg");

  // --- elements ---------------------------------------------------------------------------------

  function el(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (value === true) made.setAttribute(key, "");
      else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
    }
    made.append(...children.flat());
    return made;
  }

  function svg(tag, attributes, text) {
    const made = SVG(tag);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  // --- numbers for a reader, as in words.py -----------------------------------------------------

  const number = (v) => {
    const text = String(Number(v.toPrecision(3)));
    return text.includes("e") ? v.toFixed(8).replace(/\.?0+$/, "") : text;
  };
  const signed = (v) => {
    const text = v.toFixed(2);
    return Number(text) === 0 ? "0.00" : v > 0 ? `+${text}` : `−${text.slice(1)}`;
  };
  const share = (v) =>
    v > 0 && v < 0.01 ? "<1%" : v > 0.99 && v < 1 ? ">99%" : `${Math.round(100 * v)}%`;
  const shown = {
    quality: (v) => v.toFixed(3),
    cost: (v) => `$${number(v)}`,
    latency: (v) => (v < 0.9995 ? `${number(1000 * v)} ms` : `${number(v)} s`),
    memory: (v) => (v < 0.9995 ? `${number(1000 * v)} MB` : `${number(v)} GB`),
    risk: (v) => v.toFixed(2),
    worst_bucket: number, forgetting: number, churn: (v) => `${(100 * v).toFixed(1)}%`,
  };

  // --- tables -----------------------------------------------------------------------------------

  function key(cell) {
    if (!cell) return null;
    if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
    const text = cell.textContent.trim();
    const value = Number.parseFloat(text.replace("−", "-").replace(/[$,]/g, ""));
    return Number.isNaN(value) ? text : value;
  }

  function compare(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a === "number") return -1;
    if (typeof b === "number") return 1;
    return a.localeCompare(b);
  }

  function sortable(table) {
    const heads = [...table.querySelectorAll("thead th[data-col]")];
    for (const head of heads) {
      const button = el("button", { type: "button" });
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const column = Number(head.dataset.col);
        const order = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", order > 0 ? "ascending" : "descending");
        const body = table.tBodies[0];
        const rows = [...body.rows].map((row, i) => [key(row.cells[column]), i, row]);
        rows.sort((a, b) => {
          const missing = (a[0] === "–") - (b[0] === "–"); // what was not measured stays last
          return missing || order * compare(a[0], b[0]) || a[1] - b[1];
        });
        body.append(...rows.map((row) => row[2]));
      });
    }
  }

  // --- the rule of decision.py ------------------------------------------------------------------

  function model(t) {
    const names = t.profiles.map((p) => p.variant);
    const at = names.indexOf(t.reference);
    const all = (read) => {
      const found = t.profiles.map(read);
      return found.every((v) => v !== null && v !== undefined) ? found : null;
    };
    const values = {
      quality: all((p) => p.success.value),
      cost: all((p) => p.cost && p.cost.serving.value),
      latency: all((p) => p.latency && p.latency.p50.value),
      memory: all((p) => p.memory && p.memory.held / 1e9),
      risk: all((p) => p.risk.value.value),
    };
    const held = {
      worst_bucket: all((p) => p.worst_low),
      churn: all((p) => p.churn),
      latency: all((p) => p.latency && p.latency.p95.value),
      forgetting: names.length > 1 && t.profiles.every((p, i) =>
        i === at || p.capabilities.some((c) => c.in_scope !== null))
        ? t.profiles.map((p) => p.capabilities.filter((c) => c.forgotten).length) : null,
    };
    const draws = {};
    for (const metric of Object.keys(t.draws)) draws[metric] = names.map((n) => t.draws[metric][n]);
    const training = t.profiles.map((p) => (p.cost && p.cost.training) || 0);
    const size = draws.quality ? draws.quality[0].length : 0;
    return { names, at, values, held, draws, training, size };
  }

  function steps(metric, value, base) {
    if (metric === "quality") return (value - base) / STEP;
    if (metric === "risk") return (base - value) / STEP;
    const ratio = base > 0 ? value / base : value > 0 ? Infinity : 1;
    return -Math.log2(Math.min(Math.max(ratio, LEAST_RATIO), 1 / LEAST_RATIO));
  }

  function decide(m, state) {
    const extra = m.training.map((usd) => (1000 * usd) / state.volume);
    const point = (k, i) => m.values[k][i] + (k === "cost" ? extra[i] : 0);
    const drawn = (k, b, i) => m.draws[k][i][b] + (k === "cost" ? extra[i] : 0);
    const weighed = METRICS.filter((k) => state.weights[k] > 0 && m.values[k] && m.draws[k]);
    const total = weighed.reduce((sum, k) => sum + state.weights[k], 0);
    const limits = Object.keys(state.limits).filter((k) => m.held[k] || (m.values[k] && !(k in m.held)));
    const meets = (k, v) => (AT_LEAST.has(k) ? v >= state.limits[k] : v <= state.limits[k]);
    const limited = (k, i) => (m.held[k] ? m.held[k][i] : point(k, i));
    // a limit on what has no draws here holds for the figure itself
    const drawnLimit = (k, b, i) => {
      const row = k === "latency" ? m.draws.p95 : m.draws[k];
      if (!row) return limited(k, i);
      return k === "cost" ? drawn(k, b, i) : row[i][b];
    };
    const indices = m.names.map((_, i) => i);
    const parts = indices.map((i) => Object.fromEntries(weighed.map((k) =>
      [k, (state.weights[k] / total) * steps(k, point(k, i), point(k, m.at))])));
    const value = parts.map((p) => weighed.reduce((sum, k) => sum + p[k], 0));
    const misses = indices.map((i) => limits.filter((k) => !meets(k, limited(k, i)))
      .map((k) => ({ limit: k, value: limited(k, i), allowed: state.limits[k] })));
    const best = Array.from({ length: m.size }, (_, b) => indices.map((i) => {
      if (!limits.every((k) => meets(k, drawnLimit(k, b, i)))) return -Infinity;
      return weighed.reduce((sum, k) =>
        sum + (state.weights[k] / total) * steps(k, drawn(k, b, i), drawn(k, b, m.at)), 0);
    }));
    const shares = indices.map(() => 0);
    for (const row of best) {
      const top = Math.max(...row);
      if (top === -Infinity) continue;
      const won = indices.filter((i) => row[i] === top);
      for (const i of won) shares[i] += 1 / won.length / m.size;
    }
    const result = { parts, value, misses, shares, weighed, total };
    const able = indices.filter((i) => misses[i].length === 0);
    if (!able.length) {
      const distance = (i) => misses[i].reduce((sum, x) =>
        sum + Math.abs(x.value - x.allowed) / Math.max(Math.abs(x.allowed), STEP), 0);
      const order = [...indices].sort((a, b) =>
        distance(a) - distance(b) || shares[b] - shares[a] || (m.names[a] < m.names[b] ? -1 : 1));
      return { ...result, verdict: "none", chosen: [order[0]] };
    }
    const top = able.reduce((a, b) => {
      const order = shares[b] - shares[a] || value[b] - value[a] || (b === m.at) - (a === m.at);
      return order > 0 ? b : a;
    });
    const beats = (i) => best.reduce((sum, row) =>
      sum + (row[top] > row[i] ? 1 : row[top] === row[i] ? 0.5 : 0), 0) / m.size;
    const tied = able.filter((i) => i !== top && beats(i) < SURE);
    if (!tied.length) return { ...result, verdict: "choose", chosen: [top] };
    const order = [top, ...tied].sort((a, b) => (a !== m.at) - (b !== m.at) ||
      shares[b] - shares[a] || value[b] - value[a] || (m.names[a] < m.names[b] ? -1 : 1));
    return { ...result, verdict: "tie", chosen: order };
  }

  // --- scenarios weighed anew -------------------------------------------------------------------

  function explore(place, t, ident) {
    const m = model(t);
    const volumes = { least: 3, most: 9 };
    const state = { weights: {}, limits: {}, volume: 1e6 };
    let declared = 0;
    const controls = el("div", { class: "controls" });
    const result = el("div", { class: "result", "aria-live": "polite" });
    const inputs = { weights: {}, limits: {} };

    const select = el("select", { id: `${ident}-scenario` },
      t.choices.map((c, i) => el("option", { value: i }, c.scenario.title)));
    const reset = el("button", { type: "button", class: "reset" }, "reset");
    if (t.choices.length) {
      controls.append(el("div", { class: "pick" },
        el("label", { for: `${ident}-scenario` }, "Start from "), select, reset));
    }
    const weights = el("fieldset", {}, el("legend", {}, "Weights"));
    for (const k of METRICS) {
      const able = m.values[k] && m.draws[k];
      const id = `${ident}-w-${k}`;
      const input = el("input", { type: "range", id, min: 0, max: 1, step: 0.01, disabled: !able });
      const output = el("output", { for: id });
      inputs.weights[k] = { input, output };
      weights.append(el("div", { class: "control" }, el("label", { for: id }, NAMES[k]), input, output));
      input.addEventListener("input", () => { state.weights[k] = Number(input.value); update(); });
    }
    const volume = el("input", {
      type: "range", id: `${ident}-volume`, min: volumes.least, max: volumes.most, step: 0.1 });
    const requests = el("output", { for: `${ident}-volume` });
    volume.addEventListener("input", () => {
      state.volume = Number((10 ** Number(volume.value)).toPrecision(2));
      update();
    });
    const volumeSet = el("fieldset", {}, el("legend", {}, "Requests that the training is paid by"),
      el("div", { class: "control" },
        el("label", { for: `${ident}-volume` }, "requests"), volume, requests));
    const limits = el("fieldset", {}, el("legend", {}, "Limits (empty: none)"));
    for (const [k, [label, unit]] of Object.entries(LIMITS)) {
      const able = k in m.held ? m.held[k] : m.values[k];
      const id = `${ident}-l-${k}`;
      const input = el("input", { type: "number", id, step: "any", min: 0, disabled: !able });
      inputs.limits[k] = input;
      limits.append(el("div", { class: "control limit" },
        el("label", { for: id }, able ? label : `${label} (not measured)`), input,
        el("span", { class: "unit" }, unit)));
      input.addEventListener("input", () => {
        if (input.value === "" || Number.isNaN(Number(input.value))) delete state.limits[k];
        else state.limits[k] = Number(input.value);
        update();
      });
    }
    controls.append(weights, volumeSet, limits);

    function load(index) {
      declared = index;
      const scenario = t.choices.length ? t.choices[index].scenario
        : { weights: { quality: 1 }, limits: {}, volume: 1e6 };
      for (const k of METRICS) {
        state.weights[k] = scenario.weights[k] || 0;
        inputs.weights[k].input.value = state.weights[k];
      }
      state.limits = { ...scenario.limits };
      for (const [k, input] of Object.entries(inputs.limits)) {
        input.value = k in state.limits ? state.limits[k] : "";
      }
      state.volume = scenario.volume;
      volume.value = Math.log10(state.volume);
      update();
    }

    function asDeclared() {
      if (!t.choices.length) return null;
      const choice = t.choices[declared], scenario = choice.scenario;
      const same = METRICS.every((k) => state.weights[k] === (scenario.weights[k] || 0)) &&
        state.volume === scenario.volume &&
        Object.keys(LIMITS).every((k) => state.limits[k] === scenario.limits[k]);
      return same ? choice : null;
    }

    function update() {
      const found = decide(m, state);
      const choice = asDeclared();
      for (const k of METRICS) {
        const part = found.weighed.includes(k) ? state.weights[k] / found.total : 0;
        inputs.weights[k].output.value = inputs.weights[k].input.disabled ? "–" : share(part);
      }
      requests.value = state.volume.toLocaleString("en-US");
      // as declared the page says what the report says; anything else rests on fewer draws
      const verdict = choice ? choice.verdict : found.verdict;
      const chosen = choice ? choice.variants : found.chosen.map((i) => m.names[i]);
      const shares = choice ? m.names.map((n) => choice.shares[n] || 0) : found.shares;
      const count = choice ? t.resamples : m.size;
      const marks = { choose: "✓ choose", tie: "≈ tie", none: "✕ none meets the limits" };
      const names = verdict === "tie" && chosen.length > 1
        ? `${chosen.slice(0, -1).join(", ")} and ${chosen[chosen.length - 1]}`
        : verdict === "none" ? `nearest: ${chosen[0]}` : chosen[0];
      const order = m.names.map((_, i) => i).sort((a, b) =>
        shares[b] - shares[a] || found.value[b] - found.value[a] || a - b);
      const rows = order.slice(0, MOST_ROWS).map((i) => {
        const missed = found.misses[i].map((x) =>
          `${LIMITS[x.limit][0]} ${shown[x.limit](x.allowed)}, is ${shown[x.limit](x.value)}`);
        return el("tr", { "data-variant": m.names[i] },
          el("th", { scope: "row" }, m.names[i]),
          el("td", { class: "n", "data-v": shares[i] }, share(shares[i])),
          el("td", { class: "n", "data-v": found.value[i] }, signed(found.value[i])),
          el("td", {}, missed.length ? `✕ ${missed.join("; ")}` : "✓ meets the limits"));
      });
      const idle = found.weighed.length ? [] : [el("p", { class: "alarm" }, "Nothing weighs anything.")];
      result.dataset.verdict = verdict;
      result.dataset.chosen = JSON.stringify(chosen);
      result.replaceChildren(
        el("p", { class: "verdict" }, el("span", { class: `badge ${verdict}` }, marks[verdict]), " ",
          el("strong", { class: "chosen" }, names)),
        el("p", {}, `${choice ? "As declared" : "Weighed anew"}: ${chosen[0]} is best in ` +
          `${share(shares[m.names.indexOf(chosen[0])])} of ${count.toLocaleString("en-US")} resamples.`),
        ...idle,
        el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Result by variant" },
          el("table", {}, el("caption", { class: "unseen" }, "Share and steps of each variant"),
            el("thead", {}, el("tr", {},
              ...["variant", "best in", "steps", "limits"].map((name, i) =>
                el("th", { scope: "col", class: i === 1 || i === 2 ? "n" : null }, name)))),
            el("tbody", {}, rows))),
        el("p", { class: "aside" },
          order.length > MOST_ROWS ? `The first ${MOST_ROWS} of ${order.length} variants. ` : "",
          `Changed weights rest on ${m.size} resamples; limits on latency and the worst bucket hold ` +
          "for the figures themselves."));
    }

    reset.addEventListener("click", () => load(declared));
    select.addEventListener("change", () => load(Number(select.value)));
    place.append(controls, result, free(t, ident));
    load(0);
  }

  // around a circle, from the top; the order of the strategies, as in charts.py
  const round = (count, radius = () => 1) => Array.from({ length: count }, (_, i) => {
    const angle = (2 * Math.PI * i) / count;
    return [radius(i) * Math.sin(angle), -radius(i) * Math.cos(angle)];
  });
  const SHAPES = [
    round(24), [[-0.85, -0.85], [0.85, -0.85], [0.85, 0.85], [-0.85, 0.85]],
    round(3), round(4), round(3).map(([u, v]) => [u, -v]), round(8, (i) => (i % 2 ? 0.4 : 1.2)),
    round(10, (i) => (i % 2 ? 0.5 : 1.2)), round(5),
  ];

  // --- any metric against any other -------------------------------------------------------------

  function free(t, ident) {
    const read = {
      quality: (p) => p.success,
      cost: (p) => p.cost && p.cost.serving,
      latency: (p) => p.latency && p.latency.p50,
      memory: (p) => p.memory && {
        value: p.memory.held / 1e9, low: p.memory.held / 1e9, high: p.memory.held / 1e9 },
      risk: (p) => p.risk.value,
    };
    const title = { quality: "success", cost: "cost of 1,000 requests, $", latency: "latency p50, s",
      memory: "memory, GB", risk: "risk" };
    const there = METRICS.filter((k) => t.profiles.some(read[k]));
    const chosen = new Set(t.choices.filter((c) => c.verdict !== "none").flatMap((c) => c.variants));
    const strategies = [...new Set(t.profiles.map((p) => p.strategy))];
    const choice = (axis, value) => {
      const select = el("select", { id: `${ident}-${axis}` },
        there.map((k) => el("option", { value: k, selected: k === value }, NAMES[k])));
      select.addEventListener("change", draw);
      return select;
    };
    const x = choice("x", there.includes("cost") ? "cost" : there[there.length - 1]);
    const y = choice("y", "quality");
    const place = el("div", { class: "drawing" });

    function draw() {
      const width = Math.max(280, Math.min(place.clientWidth || 820, 980));
      const height = width < 560 ? 320 : 420, left = 52, right = 20, top = 28, bottom = 46;
      const points = t.profiles.map((p) => [p, read[x.value](p), read[y.value](p)])
        .filter(([, a, b]) => a && b);
      const range = (i) => {
        const low = Math.min(...points.map((p) => p[i].low));
        const high = Math.max(...points.map((p) => p[i].high));
        const room = 0.08 * (high - low || Math.abs(high) || 1);
        return [low >= 0 ? Math.max(0, low - room) : low - room, high + room];
      };
      const [x0, x1] = range(1), [y0, y1] = range(2);
      const px = (v) => left + ((v - x0) / (x1 - x0)) * (width - left - right);
      const py = (v) => height - bottom - ((v - y0) / (y1 - y0)) * (height - top - bottom);
      const found = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, class: "chart free",
        role: "img", "aria-label": `${NAMES[y.value]} against ${NAMES[x.value]}` });
      const text = (a, b, words, more = {}) => found.append(
        svg("text", { x: a, y: b, fill: "var(--soft)", "font-size": 12, ...more }, words));
      for (const v of ticks(x0, x1, width < 560 ? 4 : 7)) {
        found.append(svg("line", { x1: px(v), x2: px(v), y1: top, y2: height - bottom, stroke: "var(--line)" }));
        text(px(v), height - bottom + 18, number(v), { "text-anchor": "middle" });
      }
      for (const v of ticks(y0, y1, 6)) {
        found.append(svg("line", { x1: left, x2: width - right, y1: py(v), y2: py(v), stroke: "var(--line)" }));
        text(left - 8, py(v) + 4, number(v), { "text-anchor": "end" });
      }
      const toward = (k) => (k === "quality" ? "more is better" : "less is better");
      text(left, 16, `${title[y.value]} (${toward(y.value)})`);
      text((left + width - right) / 2, height - 8, `${title[x.value]} (${toward(x.value)})`, { "text-anchor": "middle" });
      const taken = points.map(([, a, b]) => [px(a.value) - 7, py(b.value) - 7, px(a.value) + 7, py(b.value) + 7]);
      for (const [p, a, b] of points) {
        const colour = `var(--s${strategies.indexOf(p.strategy) % 8})`;
        const line = (x1_, x2_, y1_, y2_) => found.append(svg("line", { x1: x1_, x2: x2_, y1: y1_, y2: y2_, stroke: colour, opacity: 0.55 }));
        line(px(a.low), px(a.high), py(b.value), py(b.value));
        line(px(a.value), px(a.value), py(b.low), py(b.high));
        const shape = SHAPES[strategies.indexOf(p.strategy) % SHAPES.length];
        const mark = svg("polygon", {
          points: shape.map(([u, v]) => `${px(a.value) + 6 * u},${py(b.value) + 6 * v}`).join(" "),
          stroke: colour, "stroke-width": 1.8, "stroke-linejoin": "round",
          fill: p.pareto ? colour : "var(--paper)", "data-variant": p.variant, "data-x": a.value, "data-y": b.value });
        if (p.variant === t.reference) {
          found.append(svg("circle", { cx: px(a.value), cy: py(b.value), r: 11, fill: "none", stroke: "var(--ink)" }));
        }
        mark.append(svg("title", {}, `${p.variant}: ${NAMES[x.value]} ${shown[x.value](a.value)}, ${NAMES[y.value]} ${shown[y.value](b.value)}`));
        found.append(mark);
      }
      for (const [p, a, b] of points) {
        const wide = 6.8 * p.variant.length;
        const spots = [[11, 5, "start"], [-11, 5, "end"], [0, -12, "middle"], [0, 21, "middle"]];
        for (const [dx, dy, anchor] of spots) {
          const from = px(a.value) + dx - { start: 0, end: wide, middle: wide / 2 }[anchor];
          const area = [from, py(b.value) + dy - 11, from + wide, py(b.value) + dy + 2];
          if (area[0] < left || area[2] > width || area[1] < top) continue;
          if (taken.some((o) => area[0] < o[2] && o[0] < area[2] && area[1] < o[3] && o[1] < area[3])) continue;
          taken.push(area);
          text(px(a.value) + dx, py(b.value) + dy, p.variant, {
            fill: "var(--ink)", "text-anchor": anchor, "font-weight": chosen.has(p.variant) ? 700 : 400 });
          break;
        }
      }
      place.replaceChildren(found);
    }

    if (typeof ResizeObserver === "function") {
      let last = 0;
      new ResizeObserver(() => {
        if (place.clientWidth !== last) { last = place.clientWidth; draw(); }
      }).observe(place);
    }
    requestAnimationFrame(draw);
    return el("div", { class: "free" },
      el("div", { class: "pick" },
        el("label", { for: `${ident}-y` }, "Draw "), y,
        el("label", { for: `${ident}-x` }, " against "), x),
      place,
      el("p", { class: "aside" }, "Shape and colour: ",
        strategies.map((name, i) => el("span", { class: "key" },
          el("span", { class: `glyph g${i % 8}`, "aria-hidden": "true" }, GLYPHS[i % 8]), `${name} `)),
        "Filled: on the front of all metrics. Ringed: the reference. Thin lines: 95% intervals."));
  }

  function ticks(low, high, most) {
    const raw = (high - low) / most, unit = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].map((f) => f * unit).find((s) => s >= raw);
    const found = [];
    for (let i = Math.ceil(low / step); i * step <= high; i += 1) found.push(Number((i * step).toPrecision(10)));
    return found;
  }

  // --- start ------------------------------------------------------------------------------------

  document.querySelectorAll("table.sortable").forEach(sortable);
  JSON.parse(document.getElementById("modellab-data").textContent).forEach((t, i) => {
    const place = document.querySelector(`#t${i} .explore`);
    if (place) explore(place, t, `t${i}-e`);
  });
})();
