"use strict";
/* The controls of the page: what they say becomes a state, the state a plan, the plan text and two plots.

   Everything that a scenario may have named goes into the page by textContent or setAttribute: it stays text. */

const model = JSON.parse(document.getElementById("what-if-model").textContent);
const sliders = new Map(model.sliders.map((slider) => [slider.key, slider]));
const STEPS = 1000;
const at = (id) => document.getElementById(id);

// Numbers as people write and read them

const SUFFIXES = [["T", 1e12], ["B", 1e9], ["M", 1e6], ["k", 1e3]];

/** Three digits, as everywhere in the report. */
function human(value, digits = 3) {
  const rounded = Number(value.toPrecision(digits));
  const size = Math.abs(rounded);
  if (!Number.isFinite(size)) return String(value);
  const fixed = (x) => x.toFixed(Math.max(digits - 1 - Math.floor(Math.log10(Math.abs(x))), 0));
  for (const [suffix, scale] of SUFFIXES) if (size >= scale && size < 1e16) return fixed(rounded / scale) + suffix;
  if (size === 0) return "0";
  return size >= 1e-4 && size < 1e3 ? fixed(rounded) : rounded.toExponential(digits - 1).replace("e+", "e");
}

const amount = (value) => (model.unit === "USD" ? `${value < 0 ? "-" : ""}$${human(Math.abs(value))}` : `${human(value)} ${model.unit}`);
const percent = (share) => `${(100 * share).toFixed(1)}%`;

/** The number itself, to the last digit, as short as that can be. */
function exact(value, share) {
  if (share) {
    const cent = Number((100 * value).toPrecision(6));
    return cent / 100 === value ? `${cent}%` : String(value);
  }
  for (const [suffix, scale] of SUFFIXES) {
    const short = Number((value / scale).toPrecision(4));
    if (value >= scale && short < 1e4 && short * scale === value) return short + suffix;
  }
  return String(value);
}

/** What was typed: 1e9, 1.5B, 2,000, 50%; NaN where that is no number. */
function typed(text) {
  const match = /^\s*\$?\s*(\d[\d,_]*\.?\d*|\.\d+)(e[-+]?\d+)?\s*([kKMBT%])?\s*$/i.exec(text);
  if (!match) return NaN;
  const number = Number(match[1].replace(/[,_]/g, "") + (match[2] || ""));
  if (!match[3]) return number;
  if (match[3] === "%") return number / 100;
  return number * { k: 1e3, K: 1e3, M: 1e6, B: 1e9, T: 1e12 }[match[3]];
}

// The state: a law, a target, and a number for each slider

const initial = Object.freeze({
  law: model.laws[0].key,
  target: model.target.way,
  "target.chinchilla": model.target.chinchilla,
  "target.loss": model.target.loss,
  ...Object.fromEntries(model.sliders.map((slider) => [slider.key, slider.value])),
});
let state = { ...initial };

/** The bounds of a number of the state. */
const boundsOf = (key) => sliders.get(key) || model.target;

/** Whether a value may stand in the state: an address is typed by anybody. */
function sound(key, value) {
  if (key === "law") return model.laws.some((law) => law.key === value);
  if (key === "target") return value === "chinchilla" || value === "loss" || (value === "model" && "model" in model.target);
  const { least, most } = boundsOf(key);
  return typeof value === "number" && value >= least && value <= most;
}

/** The state of an address; what is unknown or unsound in it is left as it was. */
function fromHash(hash) {
  const found = { ...initial };
  for (const [key, text] of new URLSearchParams(hash.replace(/^#/, ""))) {
    if (!Object.hasOwn(initial, key)) continue;
    const value = key === "law" || key === "target" ? text : Number(text);
    if (sound(key, value)) found[key] = value;
  }
  return found;
}

/** Only what differs from the scenario. */
function toHash(one) {
  const moved = Object.keys(initial).filter((key) => one[key] !== initial[key]);
  return new URLSearchParams(moved.map((key) => [key, String(one[key])])).toString();
}

// The scenario of a state, as YAML

/** A value in flow style; quoted text is YAML as it is JSON. */
function flow(value) {
  if (Array.isArray(value)) return `[${value.map(flow).join(", ")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  return `{${Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${flow(item)}`).join(", ")}}`;
}

function yaml(tree, indent = "") {
  return Object.entries(tree).map(([key, value]) => {
    const name = indent + (/^[A-Za-z_][\w-]*$/.test(key) ? key : JSON.stringify(key));
    const nested = value !== null && typeof value === "object" && !Array.isArray(value) && Object.keys(value).length;
    return nested ? `${name}:\n${yaml(value, `${indent}  `)}` : `${name}: ${flow(value)}\n`;
  }).join("");
}

function scenarioOf(one) {
  const tree = structuredClone(model.tree);
  if (one.law !== initial.law) tree.law = one.law;
  if (one.target !== initial.target || one[`target.${one.target}`] !== initial[`target.${one.target}`]) {
    tree.target = { [one.target]: one[`target.${one.target}`] };
  }
  for (const key of sliders.keys()) {
    if (one[key] === initial[key]) continue;
    const [section, name] = key.split(".");
    tree[section][name] = one[key];
    // The price is nobody's list price any more.
    if (key === "serving.price") delete tree.serving.price_source;
  }
  return yaml(tree);
}

// Controls

/** Place of a number on its slider: even steps in the logarithm. A loss moves with the size of its model. */
const sizeOf = (key, value) => {
  if (key !== "target.loss") return value;
  const law = model.laws.find((one) => one.key === state.law);
  const R = (value - law.E) ** (1 / law.power);
  return (law.A * (law.alpha + law.beta) / (law.beta * R)) ** (1 / law.alpha);
};
const place = (key, value) => {
  const { low, high } = boundsOf(key);
  return (STEPS * Math.log(sizeOf(key, value) / low)) / Math.log(high / low);
};
const valueAt = (key, position) => {
  const { low, high } = boundsOf(key);
  const value = low * (high / low) ** (position / STEPS);
  if (key !== "target.loss") return Number(value.toPrecision(3));
  const law = model.laws.find((one) => one.key === state.law);
  return Number(targetLoss(model, law, { target: "chinchilla", "target.chinchilla": value }).toPrecision(5));
};

/** The key that a control speaks of: the target's is that of the way chosen. */
const keyOf = (control) => (control.dataset.key === "target" ? `target.${state.target}` : control.dataset.key);

function complain(control, text) {
  const place = control.querySelector(".error");
  place.textContent = text;
  place.hidden = !text;
  control.querySelector("input.field").setAttribute("aria-invalid", text ? "true" : "false");
}

/** Put the state into the controls, but for the one that is in the user's hands. */
function showControls(except) {
  at("what-if-law").value = state.law;
  at("what-if-way").value = state.target;
  for (const control of document.querySelectorAll(".control[data-key]")) {
    const key = keyOf(control);
    const [range, field] = [control.querySelector("input[type=range]"), control.querySelector("input.field")];
    const fixed = key === "target.model";
    range.disabled = field.disabled = fixed;
    const written = fixed ? model.target.model.title || human(model.target.model.params) : exact(state[key], boundsOf(key).share);
    if (range !== except && !fixed) range.value = String(place(key, state[key]));
    range.setAttribute("aria-valuetext", written);
    if (field !== except) {
      field.value = written;
      complain(control, "");
    }
  }
}

function change(values, except) {
  state = { ...state, ...values };
  showControls(except);
  show();
  later("address", 150, () => {
    const hash = toHash(state);
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  });
}

const waiting = new Map();
function later(what, milliseconds, act) {
  clearTimeout(waiting.get(what));
  waiting.set(what, setTimeout(act, milliseconds));
}

function listen() {
  for (const control of document.querySelectorAll(".control[data-key]")) {
    const [range, field] = [control.querySelector("input[type=range]"), control.querySelector("input.field")];
    range.addEventListener("input", () => change({ [keyOf(control)]: valueAt(keyOf(control), Number(range.value)) }, range));
    field.addEventListener("input", () => {
      const key = keyOf(control), value = typed(field.value), { least, most } = boundsOf(key);
      if (sound(key, value)) {
        complain(control, "");
        change({ [key]: value }, field);
      } else if (Number.isNaN(value)) complain(control, "Not a number: write it like 1e9, 2.5B, 300k or 50%.");
      else complain(control, `Must be from ${human(least)} to ${human(most)}.`);
    });
    field.addEventListener("blur", () => showControls(null));
  }
  at("what-if-law").addEventListener("change", (event) => change({ law: event.target.value }, null));
  at("what-if-way").addEventListener("change", (event) => change({ target: event.target.value }, null));
  at("what-if-reset").addEventListener("click", () => change({ ...initial }, null));
  at("what-if-download").addEventListener("click", download);
  at("what-if-share").addEventListener("click", async () => {
    const said = at("what-if-said");
    try {
      await navigator.clipboard.writeText(location.href);
      said.textContent = "The link is copied.";
    } catch {
      said.textContent = "Copy the link from the address bar.";
    }
  });
  window.addEventListener("hashchange", () => { state = fromHash(location.hash); showControls(null); show(); });
  new ResizeObserver(() => show()).observe(at("what-if-curve"));
}

function download() {
  const address = URL.createObjectURL(new Blob([scenarioOf(state)], { type: "application/yaml" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = "scenario.yaml";
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

// What the page says of a plan

function row(label, best, base, write, strong) {
  const line = document.createElement("tr");
  if (strong) line.className = "total";
  const ratio = best / base;
  for (const [index, text] of [label, write(best), write(base), Number.isFinite(ratio) ? `${human(ratio)}x` : ""].entries()) {
    const cell = document.createElement(index ? "td" : "th");
    if (!index) cell.scope = "row";
    cell.textContent = text;
    line.append(cell);
  }
  return line;
}

function show() {
  const found = solve(model, state);
  const planned = found.status === "optimal";
  at("what-if-result").hidden = !planned;
  const sentence = planned ? answer(found) : `No plan. ${found.why}`;
  at("what-if-answer").textContent = sentence;
  later("voice", 600, () => { at("what-if-voice").textContent = sentence; });
  if (!planned) return;
  const { plan, baseline } = found;
  at("what-if-bill").replaceChildren(
    row("params", plan.params, baseline.params, human),
    row("tokens", plan.tokens, baseline.tokens, human),
    row("tokens per param", plan.tokens_per_param, baseline.tokens_per_param, human),
    ...Object.keys(plan.terms).map((label) => row(label, plan.terms[label], baseline.terms[label], amount)),
    row("total", plan.total, baseline.total, amount, true),
  );
  const facts = [`Loss ${plan.loss.toFixed(4)}.`];
  if (found.kappa !== null) facts.push(`Kappa ${human(found.kappa)}: serving over training spend of the Chinchilla model.`);
  if (found.binding.length) facts.push(`Binds: ${found.binding.join(", ")}.`);
  if (baseline.breaks.length) facts.push(`The Chinchilla model breaks: ${baseline.breaks.join(", ")}.`);
  at("what-if-facts").textContent = facts.join(" ");
  drawCurve(at("what-if-curve"), found);
  drawBars(at("what-if-bars"), found);
}

function answer({ plan, baseline, savings_fraction: saved }) {
  return `Train ${human(plan.params)} params on ${human(plan.tokens)} tokens instead of ${human(baseline.params)} on ` +
    `${human(baseline.tokens)}: ${amount(plan.total)} instead of ${amount(baseline.total)}, ` +
    `${percent(Math.abs(saved))} ${saved >= 0 ? "saved" : "more"}.`;
}

showControls(null);
state = fromHash(location.hash);
showControls(null);
at("what-if").hidden = false;
listen();
show();

/* For tests and for the curious: the plan of any state, without moving a slider. */
window.whatIf = Object.freeze({
  model,
  initial,
  state: () => ({ ...state }),
  solve: (one = {}) => JSON.parse(JSON.stringify(solve(model, { ...initial, ...one }))),
  yaml: (one = {}) => scenarioOf({ ...initial, ...one }),
});
