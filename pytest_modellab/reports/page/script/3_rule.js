// the rule of decision.py, with its constants, on the draws that the page has

const RULE = Object.fromEntries(
  Object.entries(DATA.dataset).map(([name, value]) => [name, Number(value)]));

const DIGITS = 9; // sums that differ in later ones are equal

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
  // what a limit holds; null for a variant that was not measured, which is then out
  const each = (read) => {
    const found = t.profiles.map((p) => { const v = read(p); return v === undefined ? null : v; });
    return found.some((v) => v !== null) ? found : null;
  };
  const held = {
    worst_bucket: each((p) => p.worst_low),
    churn: each((p) => p.churn),
    latency: each((p) => p.latency && p.latency.p95.value),
    cost: each((p) => p.cost && p.cost.serving.value),
    memory: each((p) => p.memory && p.memory.held / 1e9),
    forgetting: each((p) => p.lost),
    real_time_factor: each((p) => p.latency && p.latency.real_time_factor && p.latency.real_time_factor.value),
    wer: each((p) => p.metrics.wer),
    cer: each((p) => p.metrics.cer),
  };
  const draws = {};
  for (const metric of Object.keys(t.draws)) draws[metric] = names.map((n) => t.draws[metric][n]);
  const training = t.profiles.map((p) => (p.cost && p.cost.training) || 0);
  const size = draws.quality ? draws.quality[0].length : 0;
  return { names, at, values, held, draws, training, size };
}

function steps(metric, value, base) {
  if (metric === "quality") return (value - base) / RULE.step;
  if (metric === "risk") return (base - value) / RULE.step;
  const ratio = base > 0 ? value / base : value > 0 ? Infinity : 1;
  return -Math.log2(Math.min(Math.max(ratio, RULE.ratio), 1 / RULE.ratio));
}

function decide(m, state) {
  const extra = m.training.map((usd) => (1000 * usd) / state.volume);
  const point = (k, i) => m.values[k][i] + (k === "cost" ? extra[i] : 0);
  const drawn = (k, b, i) => m.draws[k][i][b] + (k === "cost" ? extra[i] : 0);
  const weighed = METRICS.filter((k) => state.weights[k] > 0 && m.values[k] && m.draws[k]);
  const total = weighed.reduce((sum, k) => sum + state.weights[k], 0);
  const limits = Object.keys(state.limits).filter((k) => m.held[k] || (m.values[k] && !(k in m.held)));
  const meets = (k, v) => v !== null && (AT_LEAST.has(k) ? v >= state.limits[k] : v <= state.limits[k]);
  const limited = (k, i) => {
    if (!m.held[k]) return point(k, i);
    const v = m.held[k][i];
    return v === null ? null : v + (k === "cost" ? extra[i] : 0);
  };
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
  const rows = Array.from({ length: m.size }, (_, b) => b);
  const able = rows.map((b) => indices.map((i) =>
    limits.every((k) => meets(k, drawnLimit(k, b, i)))));
  const sums = rows.map((b) => indices.map((i) => weighed.reduce((sum, k) =>
    sum + (state.weights[k] / total) * steps(k, drawn(k, b, i), drawn(k, b, m.at)), 0)));
  const worlds = hierarchy(value, sums, able).map(([weight, drawnSums]) =>
    [weight, masked(drawnSums, able)]);
  const shares = indices.map(() => 0);
  for (const [weight, best] of worlds) {
    sharesOf(best, indices.length).forEach((share_, i) => { shares[i] += weight * share_; });
  }
  const result = { parts, value, misses, shares, weighed, total };
  const feasible = indices.filter((i) => misses[i].length === 0);
  if (!feasible.length) {
    const distance = (i) => misses[i].reduce((sum, x) =>
      sum + (x.value === null ? 1
        : Math.abs(x.value - x.allowed) / Math.max(Math.abs(x.allowed), RULE.step)), 0);
    const order = [...indices].sort((a, b) =>
      distance(a) - distance(b) || shares[b] - shares[a] || (m.names[a] < m.names[b] ? -1 : 1));
    return { ...result, verdict: "none", chosen: [order[0]] };
  }
  const top = feasible.reduce((a, b) => {
    const order = shares[b] - shares[a] || value[b] - value[a] || (b === m.at) - (a === m.at);
    return order > 0 ? b : a;
  });
  const beats = (i) => worlds.reduce((all, [weight, best]) => all + (weight / m.size) *
    best.reduce((sum, row) => sum + (row[top] > row[i] ? 1 : row[top] === row[i] ? 0.5 : 0), 0), 0);
  const tied = feasible.filter((i) => i !== top && beats(i) < RULE.sure);
  if (!tied.length) return { ...result, verdict: "choose", chosen: [top] };
  const order = [top, ...tied].sort((a, b) => (a !== m.at) - (b !== m.at) ||
    shares[b] - shares[a] || value[b] - value[a] || (m.names[a] < m.names[b] ? -1 : 1));
  return { ...result, verdict: "tie", chosen: order };
}

function masked(sums, able) {
  const unit = 10 ** DIGITS;
  return sums.map((row, b) => row.map((v, i) => (able[b][i] ? Math.round(v * unit) / unit : -Infinity)));
}

function sharesOf(best, count) {
  const shares = new Array(count).fill(0);
  for (const row of best) {
    const top = Math.max(...row);
    if (top === -Infinity) continue;
    const won = row.reduce((sum, v) => sum + (v === top), 0);
    row.forEach((v, i) => { if (v === top) shares[i] += 1 / won / best.length; });
  }
  return shares;
}

// the sums of those that could be the best, shrunk towards each other: decision._hierarchy
function hierarchy(value, sums, able) {
  const first = sharesOf(masked(sums, able), value.length);
  const rivals = value.map((_, i) => i).filter((i) => first[i] >= RULE.contends);
  const count = rivals.length;
  if (count < 2) return [[1, sums]];
  const mean = (list) => list.reduce((a, b) => a + b, 0) / list.length;
  const middle = rivals.map((i) => mean(sums.map((row) => row[i])));
  const moved = sums.map((row) => rivals.map((i, r) => row[i] - middle[r]));
  const contrasts = Array.from({ length: count - 1 }, (_, k) => {
    const scale = Math.sqrt((k + 1) * (k + 2));
    return rivals.map((_, r) => (r <= k ? 1 : r === k + 1 ? -(k + 1) : 0) / scale);
  });
  const dot = (a, b) => a.reduce((sum, v, i) => sum + v * b[i], 0);
  const seenBy = (list, axes) => axes.map((axis) => dot(list, axis));
  const inContrasts = moved.map((row) => seenBy(row, contrasts));
  const covariance = contrasts.map((_, a) => contrasts.map((__, b) =>
    mean(inContrasts.map((row) => row[a] * row[b]))));
  const [found, vectors] = eigen(covariance);
  const variances = found.map((v) => Math.max(v, 1e-12));
  const axes = vectors.map((vector) => rivals.map((_, r) =>
    vector.reduce((sum, v, k) => sum + v * contrasts[k][r], 0)));
  const y = seenBy(rivals.map((i) => value[i]), axes);
  const inAxes = moved.map((row) => seenBy(row, axes));
  const level = mean(rivals.map((i) => value[i]));
  const spreads = Array.from({ length: 25 }, (_, i) => 0.01 * 1000 ** (i / 24));
  const logs = spreads.map((s) => Math.log(s / (1 + (s / RULE.spread) ** 2)) - 0.5 *
    variances.reduce((sum, v, k) => sum + Math.log(s * s + v) + y[k] ** 2 / (s * s + v), 0));
  const most = Math.max(...logs);
  const weights = logs.map((v) => Math.exp(v - most));
  const all = weights.reduce((a, b) => a + b, 0);
  const kept = spreads.map((s, i) => [s, weights[i] / all]).filter(([, w]) => w >= 1e-4);
  const sum = kept.reduce((total, [, w]) => total + w, 0);
  return kept.map(([s, weight]) => {
    const shrink = variances.map((v) => (s * s) / (s * s + v));
    return [weight / sum, sums.map((row, b) => {
      const shrunk = [...row];
      const parts = shrink.map((f, k) => f * y[k] + Math.sqrt(f) * inAxes[b][k]);
      rivals.forEach((i, r) => {
        shrunk[i] = level + parts.reduce((t, part, k) => t + part * axes[k][r], 0);
      });
      return shrunk;
    })];
  });
}

// eigenvalues and eigenvectors of a symmetric matrix, by Jacobi's rotations
function eigen(matrix) {
  const size = matrix.length;
  const a = matrix.map((row) => [...row]);
  const vectors = a.map((_, i) => a.map((__, j) => (i === j ? 1 : 0)));
  const scale = Math.max(...a.flat().map(Math.abs), 1e-300);
  for (let sweep = 0; sweep < 60; sweep += 1) {
    let left = 0;
    for (let p = 0; p < size; p += 1) {
      for (let q = p + 1; q < size; q += 1) {
        left = Math.max(left, Math.abs(a[p][q]));
        if (Math.abs(a[p][q]) <= 1e-18 * scale) continue;
        const theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
        const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
        const c = 1 / Math.sqrt(t * t + 1), s = t * c;
        for (let k = 0; k < size; k += 1) {
          const x = a[k][p], z = a[k][q];
          a[k][p] = c * x - s * z;
          a[k][q] = s * x + c * z;
        }
        for (let k = 0; k < size; k += 1) {
          const x = a[p][k], z = a[q][k];
          a[p][k] = c * x - s * z;
          a[q][k] = s * x + c * z;
          const u = vectors[p][k], w = vectors[q][k];
          vectors[p][k] = c * u - s * w;
          vectors[q][k] = s * u + c * w;
        }
      }
    }
    if (left <= 1e-15 * scale) break;
  }
  return [a.map((row, i) => row[i]), vectors];
}
