"use strict";
/* Two plots as inline SVG, drawn anew at the width that there is: text keeps its size on every screen. */

const SVG = "http://www.w3.org/2000/svg";

/** An SVG element with attributes, and text or children in it. */
function element(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.append(...children);
  return made;
}

/** 1, 2 or 5 times a power of ten: about `count` steps from 0 to `most`. */
function linearTicks(most, count) {
  const raw = most / count, scale = 10 ** Math.floor(Math.log10(raw));
  const step = scale * [1, 2, 5, 10].find((factor) => factor * scale >= raw);
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, i) => i * step);
}

/** 1, 2 and 5 times the powers of ten between two numbers; fewer where they would crowd. */
function logTicks(low, high, most) {
  for (const factors of [[1, 2, 5], [1, 3], [1]]) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
      found.push(...factors.map((factor) => factor * 10 ** power).filter((x) => x >= low && x <= high));
    }
    if (found.length <= most || factors.length === 1) return found;
  }
  return [];
}

/** An empty drawing as wide as its holder. It is drawn for text of 12 units, and grows with the page's own text. */
function frame(holder, height, title) {
  const scale = Math.max(parseFloat(getComputedStyle(document.documentElement).fontSize) / 16, 0.9);
  const width = Math.max(holder.clientWidth / scale, 240);
  const svg = element("svg", {
    viewBox: `0 0 ${width} ${height}`, width: width * scale, height: height * scale, role: "img", "aria-label": title,
  });
  holder.replaceChildren(svg);
  return { svg, width };
}

/** Cost of every model of the target's loss, against its size. */
function drawCurve(holder, found) {
  const { plan, baseline } = found;
  const height = 280, left = 62, right = 14, top = 26, bottom = 42;
  const title = `Cost against model size: least at ${human(plan.params)} params, ${amount(plan.total)}; ` +
    `Chinchilla ${human(baseline.params)}, ${amount(baseline.total)}`;
  const { svg, width } = frame(holder, height, title);
  const middle = found.free, least = found.curve(middle).cost;
  const ceiling = Math.max(2, 1.2 * Math.exp(Math.log(Math.max(baseline.total, plan.total)) - least));
  const over = (z) => found.curve(z).cost - least > Math.log(ceiling);
  // From dear small models at one end to dear large ones at the other.
  const small = Math.min(bisect(middle, middle + 60, over), middle + 30);
  const large = Math.max(bisect(middle - 60, middle, (z) => !over(z)), middle - 30);
  const ends = [found.curve(small).n, found.curve(large).n, Math.log(plan.params)];
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const most = Math.exp(least) * ceiling;
  const x = (n) => left + ((n - low) / (high - low)) * (width - left - right);
  const y = (cost) => height - bottom - (cost / most) * (height - top - bottom);

  for (const tick of linearTicks(most, 4)) {
    svg.append(
      element("line", { class: "grid", x1: left, x2: width - right, y1: y(tick), y2: y(tick) }),
      element("text", { x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, tidy(model.unit === "USD" ? amount(tick) : human(tick))),
    );
  }
  for (const tick of logTicks(Math.exp(low), Math.exp(high), width / 60)) {
    svg.append(element("text", { x: x(Math.log(tick)), y: height - bottom + 18, "text-anchor": "middle" }, tidy(human(tick))));
  }
  svg.append(
    element("text", { x: width - right, y: height - 6, "text-anchor": "end" }, "model size [params], log scale"),
    element("text", { x: 4, y: 14 }, model.unit === "USD" ? "cost of life [USD]" : "compute of life [FLOP]"),
  );

  // What breaks a limit is drawn, but dotted.
  const count = 160, runs = [];
  for (let i = 0; i <= count; i++) {
    const z = large + ((small - large) * i) / count;
    const point = found.curve(z), kept = found.kept(z);
    if (!runs.length || runs.at(-1).kept !== kept) {
      const last = runs.length ? [runs.at(-1).points.at(-1)] : [];
      runs.push({ kept, points: last });
    }
    runs.at(-1).points.push(`${x(point.n).toFixed(1)},${y(Math.exp(point.cost)).toFixed(1)}`);
  }
  if (runs.some(({ kept }) => !kept)) {
    svg.append(element("text", { x: width - right, y: 14, "text-anchor": "end" }, "dotted: breaks a limit"));
  }
  for (const { kept, points } of runs) {
    svg.append(element("polyline", { class: kept ? "curve" : "curve broken", points: points.join(" ") }));
  }
  // Names stand below the curve, where there is room; one under the other where they would meet.
  const meet = Math.abs(x(Math.log(baseline.params)) - x(Math.log(plan.params))) < 150;
  const floor = height - bottom - 4;
  const under = Math.min(y(plan.total) + 22, meet ? floor - 16 : floor);
  const far = Math.min(Math.max(y(baseline.total) + 22, meet ? under + 16 : 0), floor);
  for (const [one, kind, name, line] of [[baseline, "chinchilla", "Chinchilla", far], [plan, "plan", "plan", under]]) {
    const cx = x(Math.log(one.params)), cy = y(one.total);
    const anchor = cx > width - 110 ? "end" : cx < left + 60 ? "start" : "middle";
    svg.append(
      element("circle", { class: kind, cx, cy, r: 6 }),
      element("text", { class: "name", x: cx, y: line, "text-anchor": anchor }, `${name} ${human(one.params)}`),
    );
  }
}

/** A tick without the zeros that only state precision. */
const tidy = (text) => text.replace(/\.0+(?=\D|$)|(\.\d*?)0+(?=\D|$)/, "$1");

/** What the bill is made of, the plan's above Chinchilla's. */
function drawBars(holder, found) {
  const { plan, baseline } = found;
  const labels = Object.keys(plan.terms);
  const title = [["plan", plan], ["Chinchilla", baseline]].map(([name, one]) =>
    `${name}: ${labels.map((label) => `${label} ${amount(one.terms[label])}`).join(", ")}`).join("; ");
  const { svg, width } = frame(holder, 150, `The bill. ${title}`);
  const most = Math.max(plan.total, baseline.total), room = width - 4;
  for (const [index, [name, one]] of [["plan", plan], ["Chinchilla", baseline]].entries()) {
    const y = 22 + 52 * index;
    svg.append(element("text", { class: "name", x: 2, y: y - 6 }, `${name} ${amount(one.total)}`));
    let x = 2;
    for (const [term, label] of labels.entries()) {
      const wide = (one.terms[label] / most) * room;
      svg.append(element("rect", { class: `bar term-${term % 6}`, x, y, width: Math.max(wide, 0.5), height: 24 }));
      const text = amount(one.terms[label]);
      if (wide > 8 * text.length + 8) svg.append(element("text", { class: "inside", x: x + wide / 2, y: y + 16, "text-anchor": "middle" }, text));
      x += wide;
    }
  }
  let x = 2;
  for (const [term, label] of labels.entries()) {
    svg.append(
      element("rect", { class: `bar term-${term % 6}`, x, y: 128, width: 12, height: 12 }),
      element("text", { x: x + 17, y: 138 }, label),
    );
    x += 34 + 7 * label.length;
  }
}
