// scenarios weighed anew

const MOST_ROWS = 12;

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
    if (!able && OF_MEDIA.has(k)) continue;
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
        `${LIMITS[x.limit][0]} ${shown[x.limit](x.allowed)}, is ${x.value === null ? "not measured" : shown[x.limit](x.value)}`);
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
        `Changed weights rest on ${m.size} resamples.`));
  }

  reset.addEventListener("click", () => load(declared));
  select.addEventListener("change", () => load(Number(select.value)));
  place.append(controls, el("div", {}, result, free(t, ident)));
  load(0);
}
