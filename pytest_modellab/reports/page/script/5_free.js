// any metric against any other

const GLYPHS = "●■▲◆▼✦★⬟";
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

function free(t, ident) {
  const read = {
    quality: (p) => p.success,
    cost: (p) => p.cost && p.cost.serving,
    latency: (p) => p.latency && p.latency.p50,
    memory: (p) => p.memory && {
      value: p.memory.held / 1e9, low: p.memory.held / 1e9, high: p.memory.held / 1e9 },
    risk: (p) => p.risk.value,
  };
  const title = { quality: NAMES.quality, cost: "cost of 1,000 requests, $", latency: "latency p50, s",
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
