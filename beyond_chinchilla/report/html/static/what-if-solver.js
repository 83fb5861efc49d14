"use strict";
/* The solver of the page: parameters N and training tokens D of least cost at a loss, under limits.

   Bill and limits are sums of terms c N^p D^r, the same that bc-opt reads. All models of one loss lie on a curve,
   A N^-alpha + B D^-beta = R. Its coordinate is z = ln(u/(1 - u)), u = A N^-alpha / R: N falls and D grows with z. */

// e^600 is beyond any model; limits count as kept when they are over by no more than rounding.
const WIDEST = 600;
const SLIP = 1e-12;

/** ln(1 + e^x), whatever x. */
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/** ln N and ln D at z. */
function pointAt(law, R, z) {
  return {
    n: (Math.log(law.A) - Math.log(R) + softplus(-z)) / law.alpha,
    d: (Math.log(law.B) - Math.log(R) + softplus(z)) / law.beta,
  };
}

/** ln of a sum of terms, and the mean powers of N and D under the terms' shares. */
function logSum(terms, { n, d }) {
  const logs = terms.map((t) => Math.log(t.coefficient) + (t.params ? t.params * n : 0) + (t.tokens ? t.tokens * d : 0));
  const peak = Math.max(...logs);
  const weights = logs.map((x) => Math.exp(x - peak));
  const total = weights.reduce((a, b) => a + b, 0);
  const mean = (key) => terms.reduce((sum, t, i) => sum + (t[key] * weights[i]) / total, 0);
  return { value: peak + Math.log(total), p: mean("params"), r: mean("tokens") };
}

/** The same along the curve. dn/dz = -(1 - u)/alpha and dd/dz = u/beta say whether it rises in z. */
function alongCurve(law, R, terms, z) {
  const { value, p, r } = logSum(terms, pointAt(law, R, z));
  const u = 1 / (1 + Math.exp(-z)), rest = 1 / (1 + Math.exp(z));
  return { value, rises: (u / law.beta) * r > (rest / law.alpha) * p };
}

/** Where a yes follows upon no, to the last bit that counts. */
function bisect(low, high, yes) {
  for (let i = 0; i < 200; i++) {
    const middle = 0.5 * (low + high);
    if (middle <= low || middle >= high) break;
    if (yes(middle)) high = middle; else low = middle;
  }
  return 0.5 * (low + high);
}

/** The universal curve: s, the serving over training spend of the best plan, for a bill a N D + b N.
    y + ln(1 + q e^y)/beta = ln kappa rises and is convex in y = ln s, so that Newton's method cannot miss. */
function spendRatio(law, logKappa) {
  const q = law.beta / (law.alpha + law.beta);
  let y = logKappa < -Math.log(q) ? logKappa : (logKappa - Math.log(q) / law.beta) / (1 + 1 / law.beta);
  for (let i = 0; i < 50; i++) {
    const e = q * Math.exp(y);
    const step = (y + Math.log1p(e) / law.beta - logKappa) / (1 + e / (law.beta * (1 + e)));
    y -= step;
    if (Math.abs(step) < 1e-15 * Math.max(1, Math.abs(y))) break;
  }
  return Math.exp(y);
}

/** ln(1 + x) - x for a small x by its series, without cancellation. */
function log1pLess(x) {
  let sum = 0;
  for (let k = 15; k > 1; k--) sum = (k % 2 ? 1 : -1) / k + x * sum;
  return x * x * sum;
}

/** ln(least cost / cost of the Chinchilla model of equal loss). Where s is small its first-order terms cancel: there
    they are left out by hand. */
function logCostRatio(law, s) {
  const q = law.beta / (law.alpha + law.beta);
  const part = s < 0.05 ? log1pLess : Math.log1p;
  const excess = Math.log1p((s / (1 + s)) * Math.expm1(Math.log1p(q * s) / law.beta));
  return part(q * s) * (1 / law.alpha + 1 / law.beta) - part(s) / law.alpha - excess;
}

/** a and b where the bill is a N D + b N, else nothing. */
function ratesOf(terms) {
  const plain = terms.every((t) => t.params === 1 && (t.tokens === 0 || t.tokens === 1));
  const sum = (r) => terms.reduce((total, t) => total + (t.tokens === r ? t.coefficient : 0), 0);
  return plain && sum(0) > 0 ? { a: sum(1), b: sum(0) } : null;
}

/** The z between which a limit is kept, or nothing: a convex function of z is at most 0 on one interval. */
function intervalOf(law, R, terms) {
  const value = (z) => alongCurve(law, R, terms, z).value;
  const lowest = bisect(-WIDEST, WIDEST, (z) => alongCurve(law, R, terms, z).rises);
  if (!(value(lowest) <= SLIP)) return null;
  return [bisect(-WIDEST, lowest, (z) => value(z) <= 0), bisect(lowest, WIDEST, (z) => value(z) > 0)];
}

const keeps = (limit, point) =>
  logSum(limit.terms, point).value <= SLIP * (1 + Math.abs(point.n) + Math.abs(point.d));

/** The least N and D that floors on both allow, where that model is already better than asked; else nothing. */
function cornerOf(law, R, limits) {
  const floors = limits.filter((l) => l.terms.length === 1 && (l.terms[0].params < 0 || l.terms[0].tokens < 0));
  let n = -Infinity, d = -Infinity;
  // Floors may refer to each other, as tokens per parameter do: two rounds settle that.
  for (let round = 0; round < 2; round++) {
    for (const { terms: [t] } of floors) {
      if (t.tokens < 0) d = Math.max(d, (Math.log(t.coefficient) + (t.params ? t.params * n : 0)) / -t.tokens);
      else n = Math.max(n, (Math.log(t.coefficient) + (t.tokens ? t.tokens * d : 0)) / -t.params);
    }
  }
  if (!Number.isFinite(n) || !Number.isFinite(d)) return null;
  return law.A * Math.exp(-law.alpha * n) + law.B * Math.exp(-law.beta * d) <= R ? { n, d } : null;
}

/** The plan: where the bill is least on the curve, moved to the nearest model that keeps every limit. */
function locate(law, R, cost, limits) {
  const rates = ratesOf(cost);
  const logDc = (Math.log(law.B) - Math.log(R) + Math.log1p(law.beta / law.alpha)) / law.beta;
  const s = rates && spendRatio(law, Math.log(rates.b / rates.a) - logDc);
  const free = rates
    ? Math.log(law.beta / law.alpha) + Math.log1p(s)
    : bisect(-WIDEST, WIDEST, (z) => alongCurve(law, R, cost, z).rises);
  const point = pointAt(law, R, free);
  if (limits.every((limit) => keeps(limit, point))) return { point, free, spend: s };
  const corner = cornerOf(law, R, limits);
  if (corner) {
    const broken = limits.filter((limit) => !keeps(limit, corner));
    return broken.length ? { why: `The floors leave no model that keeps ${broken[0].words}.` } : { point: corner, free };
  }
  const intervals = limits.map((limit) => ({ limit, ends: intervalOf(law, R, limit.terms) }));
  const alone = intervals.find(({ ends }) => !ends);
  if (alone) return { why: `No model of this quality keeps ${alone.limit.words}.` };
  const low = intervals.reduce((a, b) => (b.ends[0] > a.ends[0] ? b : a));
  const high = intervals.reduce((a, b) => (b.ends[1] < a.ends[1] ? b : a));
  const z = Math.min(Math.max(free, low.ends[0]), high.ends[1]);
  const held = pointAt(law, R, z);
  if (!limits.every((limit) => keeps(limit, held))) {
    return { why: `No model of this quality keeps both ${low.limit.words} and ${high.limit.words}.` };
  }
  return { point: held, free };
}

/** Terms with their coefficients at the sliders' values. */
function scaled(terms, state) {
  return terms.map((t) => ({
    ...t,
    coefficient: t.scales.reduce(
      (c, s) => c * ((state[s.key] + s.offset) / (s.value + s.offset)) ** s.power, t.coefficient),
  }));
}

/** The loss that a state asks for. */
function targetLoss(model, law, state) {
  const loss = (N, D) => law.E + (law.A * N ** -law.alpha + law.B * D ** -law.beta) ** law.power;
  if (state.target === "loss") return state["target.loss"];
  if (state.target === "model") return loss(model.target.model.params, model.target.model.tokens);
  const q = law.beta / (law.alpha + law.beta);
  return law.E + ((law.A * state["target.chinchilla"] ** -law.alpha) / q) ** law.power;
}

/** The plan of a state beside its Chinchilla model, or why there is none. */
function solve(model, state) {
  const law = model.laws.find((one) => one.key === state.law);
  const target = targetLoss(model, law, state);
  if (!(target > law.E)) {
    return { status: "infeasible", target, why: `Loss ${target.toPrecision(4)} is at or below the floor E = ${law.E.toPrecision(4)} of law ${law.name}.` };
  }
  const R = (target - law.E) ** (1 / law.power);
  const cost = scaled(model.cost, state);
  const limits = model.limits.map((limit) => ({ ...limit, terms: scaled(limit.terms, state) }));
  const candidate = (point) => {
    const N = Math.exp(point.n), D = Math.exp(point.d);
    const terms = {};
    for (const t of cost) terms[t.label] = (terms[t.label] || 0) + t.coefficient * N ** t.params * D ** t.tokens;
    const total = Object.values(terms).reduce((a, b) => a + b, 0);
    const loss = law.E + (law.A * N ** -law.alpha + law.B * D ** -law.beta) ** law.power;
    const breaks = limits.filter((limit) => logSum(limit.terms, point).value > 1e-9).map((limit) => limit.words);
    return { params: N, tokens: D, tokens_per_param: D / N, loss, terms, total, breaks };
  };
  const optimal = pointAt(law, R, Math.log(law.beta / law.alpha));
  const baseline = candidate(optimal);
  const beyond = (x, most) => !(x >= 1 && x <= most);
  if (beyond(baseline.params, model.target.most_params) || beyond(baseline.tokens, model.target.most_tokens)) {
    return { status: "infeasible", target, why: "Nobody trains such a model: the target is out of this world." };
  }
  const found = locate(law, R, cost, limits);
  if (found.why) return { status: "infeasible", target, baseline, why: found.why };
  const best = candidate(found.point);
  const saved = found.spend === undefined || found.spend === null
    ? logSum(cost, found.point).value - logSum(cost, optimal).value
    : logCostRatio(law, found.spend);
  const rates = ratesOf(cost);
  const binding = limits.filter((limit) => Math.abs(logSum(limit.terms, found.point).value) <= 1e-7);
  return {
    status: "optimal", target, plan: best, baseline, free: found.free,
    savings_fraction: -Math.expm1(saved),
    kappa: rates ? rates.b / (rates.a * baseline.tokens) : null,
    binding: binding.map((limit) => limit.words),
    /** ln N, ln D and ln cost at z, for the plots. */
    curve: (z) => ({ ...pointAt(law, R, z), cost: alongCurve(law, R, cost, z).value }),
    kept: (z) => limits.every((limit) => keeps(limit, pointAt(law, R, z))),
  };
}
