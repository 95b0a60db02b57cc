"use strict";
// Walks through one training step: the numbers stand in the page as JSON, nothing is fetched.
const data = JSON.parse(document.getElementById("data").textContent);
const WORDS = { inf: Infinity, "-inf": -Infinity, nan: NaN };
const FIGURES = 100, COLUMNS = 16, ENTRIES = 64; // most numbers in figures, columns of them, entries walked one by one
const number = v => WORDS[v] ?? v;
const tensors = data.tensors.map(t => ({ shape: t.shape, values: t.values.map(number) }));
const element = id => document.getElementById(id);
const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") node.addEventListener("click", value);
    else if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter(child => child !== null));
  return node;
};

// ---- numbers -------------------------------------------------------------------------------------------------

const count = shape => shape.reduce((a, b) => a * b, 1);
const sign = text => text.replace("-", "\u2212");
function short(v) { // three digits
  if (Number.isNaN(v)) return "NaN";
  if (!Number.isFinite(v)) return v > 0 ? "\u221e" : "\u2212\u221e";
  if (Number.isInteger(v) && Math.abs(v) < 1e5) return sign(String(v));
  const size = Math.abs(v);
  return sign(size < 1e-3 || size >= 1e5 ? v.toExponential(1).replace("e+", "e") : v.toPrecision(3));
}
const factor = text => text.startsWith("\u2212") ? `(${text})` : text;
const full = v => Number.isFinite(v) ? sign(String(v)) : short(v);
const flat = (shape, index) => index.reduce((at, i, d) => at * shape[d] + i, 0);
function unflat(shape, at) {
  const index = new Array(shape.length);
  for (let d = shape.length - 1; d >= 0; d--) { index[d] = at % shape[d]; at = Math.floor(at / shape[d]); }
  return index;
}
const place = index => index.length ? `[${index.join(", ")}]` : "";

// ---- how an entry came about: a tree of nodes, each with shape, at(index), hits(index, hit) and say(index) ------

function broadcast(a, b) {
  const shape = [];
  for (let d = 1; d <= Math.max(a.length, b.length); d++) shape.unshift(Math.max(a[a.length - d] ?? 1, b[b.length - d] ?? 1));
  return shape;
}
const fit = (shape, index) => shape.map((size, d) => size === 1 ? 0 : index[index.length - shape.length + d]);
function erf(x) { // Abramowitz and Stegun, 7.1.26
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const y = 1 - ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t * Math.exp(-x * x);
  return x < 0 ? -y : y;
}
const OF_ONE = {
  exp: Math.exp, log: Math.log, tanh: Math.tanh, sqrt: Math.sqrt, abs: Math.abs, erf,
  rsqrt: x => 1 / Math.sqrt(x), square: x => x * x, sigmoid: x => 1 / (1 + Math.exp(-x)),
};
const OF_TWO = {
  "+": (a, b) => a + b, "-": (a, b) => a - b, "*": (a, b) => a * b, "/": (a, b) => a / b, "**": (a, b) => a ** b,
  "<": (a, b) => +(a < b), "<=": (a, b) => +(a <= b), ">": (a, b) => +(a > b), ">=": (a, b) => +(a >= b),
  "==": (a, b) => +(a === b), "!=": (a, b) => +(a !== b), "|": (a, b) => +(a || b), "&": (a, b) => +(a && b),
};
const SIGNS = { "-": "\u2212", "*": "\u00b7", "**": "^" };
const SOME = 8; // most terms of a sum that are written out
const plus = (a, b) => b.startsWith("\u2212") ? `${a} \u2212 ${b.slice(1)}` : `${a} + ${b}`;
function many(parts, join = plus) {
  const some = parts.length <= SOME ? parts : [...parts.slice(0, SOME), `\u2026 (${parts.length} terms)`];
  return some.length ? some.reduce(join) : "";
}

// A node that is a sum of pairs of entries: pairs(index) gives [[operand, at], [operand, at]] each.
function sumOfPairs(shape, pairs, operands) {
  const value = ([k, at]) => operands[k].values[at];
  return {
    shape, pairs,
    at: index => pairs(index).reduce((sum, [a, b]) => sum + value(a) * value(b), 0),
    hits: (index, hit) => pairs(index).forEach(pair => pair.forEach(([k, at]) => hit(k, at))),
    say: index => many(pairs(index).map(([a, b]) => `${short(value(a))}\u00b7${factor(short(value(b)))}`)) || "0",
  };
}

function grow(tree, operands) {
  const [kind, ...parts] = tree;
  const g = part => grow(part, operands);
  if (kind === "c") return { shape: [], at: () => number(parts[0]), hits: () => {}, say: () => short(number(parts[0])) };
  if (kind === "x") {
    const k = parts[0], t = operands[k];
    const where = index => flat(t.shape, fit(t.shape, index));
    return { shape: t.shape, at: i => t.values[where(i)], hits: (i, hit) => hit(k, where(i)), say: i => short(t.values[where(i)]) };
  }
  if (kind in OF_TWO) {
    const [a, b] = parts.map(g), does = OF_TWO[kind];
    const bracket = (node, i) => node.simple === false ? `(${node.say(i)})` : node.say(i);
    const first = i => kind === "**" ? factor(bracket(a, i)) : bracket(a, i);
    return {
      shape: broadcast(a.shape, b.shape), simple: kind === "*" ? undefined : false,
      at: i => does(a.at(i), b.at(i)), hits: (i, hit) => { a.hits(i, hit); b.hits(i, hit); },
      say: i => kind === "+" ? plus(a.say(i), b.say(i)) : `${first(i)} ${SIGNS[kind] ?? kind} ${factor(bracket(b, i))}`,
    };
  }
  if (kind === "@") {
    const [a, b] = parts.map(g), inner = a.shape.at(-1);
    const left = (i, k) => [...i.slice(0, -1), k], right = (i, k) => [...i.slice(0, -2), k, i.at(-1)];
    const range = [...Array(inner).keys()];
    return {
      shape: [...broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2)), a.shape.at(-2), b.shape.at(-1)], simple: inner > 1 ? false : undefined,
      at: i => range.reduce((sum, k) => sum + a.at(left(i, k)) * b.at(right(i, k)), 0),
      hits: (i, hit) => range.forEach(k => { a.hits(left(i, k), hit); b.hits(right(i, k), hit); }),
      say: i => many(range.map(k => `${a.say(left(i, k))}\u00b7${factor(b.say(right(i, k)))}`)) || "0",
    };
  }
  if (kind === "T") {
    const a = g(parts[0]), swap = i => [...i.slice(0, -2), i.at(-1), i.at(-2)];
    return { shape: swap(a.shape), at: i => a.at(swap(i)), hits: (i, hit) => a.hits(swap(i), hit), say: i => a.say(swap(i)) };
  }
  if (kind === "f") {
    const [name, inside] = [parts[0], g(parts[1])];
    return { shape: inside.shape, at: i => OF_ONE[name](inside.at(i)), hits: inside.hits, say: i => `${name}(${inside.say(i)})` };
  }
  if (kind === "sum" || kind === "mean" || kind === "amax" || kind === "sumto") {
    const a = g(parts[0]), size = a.shape.length;
    let dims, kept;
    if (kind === "sumto") {
      const lead = size - parts[1].length;
      dims = a.shape.map((n, d) => d).filter(d => d < lead || parts[1][d - lead] < a.shape[d]);
      kept = parts[1];
    } else {
      dims = (parts[1] ?? a.shape.map((_, d) => d)).map(d => (d + size) % size);
      kept = a.shape.map((n, d) => dims.includes(d) ? 1 : n).filter((n, d) => parts[2] || !dims.includes(d));
    }
    const across = dims.map(d => a.shape[d]), steps = count(across);
    const all = index => [...Array(steps).keys()].map(step => {
      const over = unflat(across, step);
      const rest = [...(kept.length === size || kind === "sumto" ? fitted(index) : index)];
      return a.shape.map((_, d) => dims.includes(d) ? over[dims.indexOf(d)] : rest.shift());
    });
    const fitted = index => { // the entries of the dimensions that stay
      const lead = size - kept.length;
      return a.shape.map((_, d) => d).filter(d => !dims.includes(d)).map(d => index[d - lead]);
    };
    const fold = { sum: v => v.reduce((x, y) => x + y, 0), amax: v => Math.max(...v) };
    fold.sumto = fold.sum; fold.mean = v => fold.sum(v) / v.length;
    return {
      shape: kept, simple: kind.startsWith("sum") && steps > 1 ? false : undefined,
      at: i => fold[kind](all(i).map(a.at)), hits: (i, hit) => all(i).forEach(j => a.hits(j, hit)),
      say: i => {
        const said = all(i).map(j => a.simple === false ? `(${a.say(j)})` : a.say(j));
        return kind === "amax" ? `max(${many(said, (a, b) => `${a}, ${b}`)})` : kind === "mean" ? `(${many(said)}) / ${said.length}` : many(said);
      },
    };
  }
  if (kind === "rows") {
    const a = g(parts[0]), shape = [count(a.shape.slice(0, -1)), a.shape.at(-1)];
    const there = ([r, c]) => [...unflat(a.shape.slice(0, -1), r), c];
    return { shape, at: i => a.at(there(i)), hits: (i, hit) => a.hits(there(i), hit), say: i => a.say(there(i)) };
  }
  if (kind === "where") {
    const [test, yes, no] = parts.map(g);
    const pick = i => test.at(fit(test.shape, i)) ? yes : no;
    return {
      shape: broadcast(test.shape, broadcast(yes.shape, no.shape)), at: i => pick(i).at(i),
      hits: (i, hit) => { test.hits(fit(test.shape, i), hit); pick(i).hits(i, hit); }, say: i => pick(i).say(i),
    };
  }
  if (kind === "unsqueeze" || kind === "squeeze") {
    const a = g(parts[0]), longer = a.shape.length + (kind === "unsqueeze" ? 1 : 0), d = (parts[1] + longer) % longer;
    const shape = kind === "squeeze" ? a.shape.filter((_, e) => e !== d) : [...a.shape.slice(0, d), 1, ...a.shape.slice(d)];
    const there = i => kind === "squeeze" ? [...i.slice(0, d), 0, ...i.slice(d)] : i.filter((_, e) => e !== d);
    return { shape, at: i => a.at(there(i)), hits: (i, hit) => a.hits(there(i), hit), say: i => a.say(there(i)) };
  }
  if (kind === "cat") {
    const all = parts[0].map(g), d = (parts[1] + all[0].shape.length) % all[0].shape.length;
    const shape = all[0].shape.map((n, e) => e === d ? all.reduce((s, a) => s + a.shape[d], 0) : n);
    const find = i => { let at = i[d]; for (const a of all) { if (at < a.shape[d]) return [a, i.map((n, e) => e === d ? at : n)]; at -= a.shape[d]; } };
    return { shape, at: i => { const [a, j] = find(i); return a.at(j); }, hits: (i, hit) => { const [a, j] = find(i); a.hits(j, hit); }, say: i => { const [a, j] = find(i); return a.say(j); } };
  }
  if (kind === "softmax") {
    const a = g(parts[0]), row = i => [...Array(a.shape.at(-1)).keys()].map(k => [...i.slice(0, -1), k]);
    const e = i => { const v = row(i).map(a.at), m = Math.max(...v); return v.map(x => Number.isFinite(m) ? Math.exp(x - m) : 0); };
    return {
      shape: a.shape, at: i => { const v = e(i), s = v.reduce((x, y) => x + y, 0); return s ? v[i.at(-1)] / s : 0; },
      hits: (i, hit) => row(i).forEach(j => a.hits(j, hit)),
      say: i => `exp(${a.say(i)}) / (${many(row(i).filter(j => a.at(j) !== -Infinity).map(j => `exp(${a.say(j)})`))})`,
    };
  }
  if (kind === "channel") { // a bias beside images (N, O, H, W)
    const a = g(parts[0]), there = i => [i.at(-3)];
    return { shape: [a.shape[0], 1, 1], at: i => a.at(there(i)), hits: (i, hit) => a.hits(there(i), hit), say: i => a.say(there(i)) };
  }
  const [p, q] = operands;
  if (kind === "pick") {
    const there = i => [...i.slice(0, -2), ...unflat(p.shape.slice(-2), q.values[flat(q.shape, i)])];
    return { shape: q.shape, at: i => p.values[flat(p.shape, there(i))], hits: (i, hit) => { hit(0, flat(p.shape, there(i))); hit(1, flat(q.shape, i)); }, say: i => `${short(p.values[flat(p.shape, there(i))])}, the largest` };
  }
  if (kind === "scatter") {
    const shape = parts[2], size = count(shape.slice(-2));
    const from = i => { const lead = i.slice(0, -2), here = flat(shape.slice(-2), i.slice(-2)), n = count(q.shape.slice(-2)), start = flat(shape.slice(0, -2), lead) * n;
      return [...Array(n).keys()].map(k => start + k).filter(k => q.values[k] === here); };
    return { shape, at: i => from(i).reduce((s, k) => s + p.values[k], 0), hits: (i, hit) => from(i).forEach(k => { hit(0, k); hit(1, k); }), say: i => many(from(i).map(k => short(p.values[k]))) || "0: it was not the largest of any window" };
  }
  if (kind === "lookup") {
    const there = i => [p.values[flat(p.shape, i.slice(0, -1))], i.at(-1)];
    return { shape: [...p.shape, q.shape[1]], at: i => q.values[flat(q.shape, there(i))], hits: (i, hit) => { hit(0, flat(p.shape, i.slice(0, -1))); hit(1, flat(q.shape, there(i))); }, say: i => `weight${place(there(i))}` };
  }
  if (kind === "lookup_back") {
    const shape = parts[2], from = ([v, c]) => p.values.map((id, k) => id === v ? k * shape[1] + c : -1).filter(k => k >= 0);
    return { shape, at: i => from(i).reduce((s, k) => s + q.values[k], 0), hits: (i, hit) => from(i).forEach(k => { hit(0, Math.floor(k / shape[1])); hit(1, k); }), say: i => many(from(i).map(k => short(q.values[k]))) || "0: this id does not occur" };
  }
  if (kind === "conv" || kind === "conv_weight" || kind === "conv_input") return convolution(kind, parts, operands);
  return null; // what cannot be taken apart
}

function convolution(kind, parts, operands) {
  const how = parts[2], [p, q] = operands;
  const x = kind === "conv_input" ? { shape: parts[3] } : kind === "conv" ? p : q;
  const w = kind === "conv" ? q : kind === "conv_weight" ? { shape: parts[3] } : q;
  const [N, C, H, W] = x.shape, [O, perGroup, U, V] = w.shape, groups = C / perGroup;
  const out = kind === "conv"
    ? [0, 1].map(d => Math.floor((x.shape[2 + d] + 2 * how.before[d] - how.dilation[d] * (w.shape[2 + d] - 1) - 1) / how.stride[d]) + 1)
    : p.shape.slice(-2);
  const pixel = (i, u, d) => i * how.stride[d] - how.before[d] + u * how.dilation[d];
  const inside = (r, c) => r >= 0 && r < H && c >= 0 && c < W;
  const y = [N, O, ...out];
  const channel = (o, c) => Math.floor(o / (O / groups)) * perGroup + c;
  if (kind === "conv") return Object.assign(sumOfPairs(y, ([n, o, i, j]) => {
    const found = [];
    for (let c = 0; c < perGroup; c++) for (let u = 0; u < U; u++) for (let v = 0; v < V; v++) {
      const r = pixel(i, u, 0), s = pixel(j, v, 1);
      if (inside(r, s)) found.push([[0, flat(x.shape, [n, channel(o, c), r, s])], [1, flat(w.shape, [o, c, u, v])]]);
    }
    return found;
  }, operands), { window: ([n, o, i, j]) => [...Array(perGroup).keys()].map(c => ({
    rows: U, columns: V,
    left: [...Array(U * V).keys()].map(k => { const r = pixel(i, Math.floor(k / V), 0), s = pixel(j, k % V, 1); return inside(r, s) ? x.values[flat(x.shape, [n, channel(o, c), r, s])] : 0; }),
    right: [...Array(U * V).keys()].map(k => w.values[flat(w.shape, [o, c, Math.floor(k / V), k % V])]),
    words: ["window of x", "kernel", "products"],
  })) });
  if (kind === "conv_weight") {
    const terms = ([o, c, u, v]) => {
      const found = [];
      for (let n = 0; n < N; n++) for (let i = 0; i < out[0]; i++) for (let j = 0; j < out[1]; j++) {
        const r = pixel(i, u, 0), s = pixel(j, v, 1);
        found.push([[0, flat(y, [n, o, i, j])], inside(r, s) ? [1, flat(x.shape, [n, channel(o, c), r, s])] : null]);
      }
      return found;
    };
    return Object.assign(sumOfPairs(w.shape, index => terms(index).filter(pair => pair[1]), operands), { window: index => [{
      rows: N * out[0], columns: out[1], left: terms(index).map(([[, at]]) => p.values[at]),
      right: terms(index).map(([, b]) => b ? q.values[b[1]] : 0), words: ["gradient", "what each window had there", "products"],
    }] });
  }
  return sumOfPairs(x.shape, ([n, c, r, s]) => {
    const found = [];
    for (let o = 0; o < O; o++) for (let u = 0; u < U; u++) for (let v = 0; v < V; v++) {
      const own = c - channel(o, 0), i = (r + how.before[0] - u * how.dilation[0]) / how.stride[0], j = (s + how.before[1] - v * how.dilation[1]) / how.stride[1];
      if (own >= 0 && own < perGroup && Number.isInteger(i) && Number.isInteger(j) && i >= 0 && j >= 0 && i < out[0] && j < out[1])
        found.push([[0, flat(y, [n, o, i, j])], [1, flat(w.shape, [o, own, u, v])]]);
    }
    return found;
  }, operands);
}

const nodes = new Map();
function nodeOf(row) {
  if (!nodes.has(row)) nodes.set(row, grow(row.tree, row.operands.map(([, id]) => tensors[id])));
  return nodes.get(row);
}

// ---- the ways to go: one position each ---------------------------------------------------------------------------

const ways = { layers: [{ stop: -1 }], lines: [{ stop: -1 }], numbers: [{ stop: -1 }] };
data.stops.forEach((stop, s) => {
  ways.layers.push({ stop: s, row: stop.rows.length - 1 });
  stop.rows.forEach((row, r) => {
    ways.lines.push({ stop: s, row: r });
    const size = count(tensors[row.value].shape);
    if (size > ENTRIES || !nodeOf(row)) ways.numbers.push({ stop: s, row: r });
    else for (let e = 0; e < size; e++) ways.numbers.push({ stop: s, row: r, entry: e });
  });
});
for (const way of Object.values(ways)) way.push({ stop: data.stops.length });
const state = { detail: "lines", at: 0, row: null, chosen: null, head: 0, unit: 0, matrix: "probabilities" };
const now = () => ways[state.detail][state.at];

function go(at) {
  state.at = Math.max(0, Math.min(at, ways[state.detail].length - 1));
  const { row, entry } = now();
  state.row = row ?? 0;
  state.chosen = entry === undefined ? null : { part: "result", at: entry };
  draw();
}
function choose(detail) {
  const { stop, row } = now();
  state.detail = detail;
  const way = ways[detail];
  let at = way.findIndex(p => p.stop === stop && (p.row === row || detail === "layers" || row === undefined));
  go(at < 0 ? 0 : at);
}
const jump = stop => go(ways[state.detail].findIndex(p => p.stop === stop));

// ---- drawing -----------------------------------------------------------------------------------------------------

function draw() {
  const way = ways[state.detail], slider = element("slider");
  slider.max = way.length - 1; slider.value = state.at;
  const { stop } = now(), layer = data.stops[stop] && data.layers[data.stops[stop].layer];
  slider.setAttribute("aria-valuetext", layer ? `${data.stops[stop].way}, ${layer.label}` : stop < 0 ? "the beginning" : "the end");
  element("count").textContent = `${state.at} of ${way.length - 1}`;
  for (const button of document.querySelectorAll("[data-detail]")) button.setAttribute("aria-pressed", button.dataset.detail === state.detail);
  element("back").disabled = element("first").disabled = state.at === 0;
  element("next").disabled = element("last").disabled = state.at === way.length - 1;
  drawMap();
  const stage = element("stage"), kept = document.activeElement?.dataset?.grid;
  stage.replaceChildren(...(stop < 0 ? beginning() : stop === data.stops.length ? ending() : stopped(data.stops[stop])));
  if (kept) stage.querySelector(`[data-grid="${kept}"]`)?.focus({ preventScroll: true });
}

function drawMap() {
  const { stop } = now(), map = element("map");
  const seen = data.layers.map((layer, i) => ({ layer, i, fw: data.stops.findIndex(s => s.layer === i && s.way === "forward"), bw: data.stops.findIndex(s => s.layer === i && s.way === "backward") })).filter(l => l.fw >= 0 || l.bw >= 0);
  seen.sort((a, b) => a.fw - b.fw);
  const scroll = map.scrollLeft;
  map.replaceChildren(make("p", { class: "ends" }, make("span", { class: "above" }, "\u2193 forward"), make("span", { class: "below" }, "\u2191 backward")),
    ...seen.map(({ layer, i, fw, bw }) => {
      const dot = (kind, at, sign, word) => make("button", { class: `dot ${kind}${at >= 0 && at <= stop ? " done" : ""}`, title: `${word} of ${layer.label}`, "aria-label": `${word} of ${layer.path} ${layer.label}`, onclick: () => jump(at), ...(at < 0 ? { disabled: "" } : {}) }, sign);
      const current = data.stops[stop]?.layer === i;
      return make("div", { class: `lane${current ? " now" : ""}` }, dot("fw", fw, "\u2193", "forward"),
        make("div", { class: "name", title: layer.label, onclick: () => jump(data.stops[stop]?.way === "backward" && bw >= 0 || fw < 0 ? bw : fw), ...(current ? { "aria-current": "step" } : {}) }, make("small", {}, layer.path), layer.label.length < 24 ? layer.label : layer.kind), dot("bw", bw, "\u2191", "backward"));
    }));
  map.scrollLeft = scroll;
  if (matchMedia("(max-width: 760px)").matches) { const lane = map.querySelector(".now"); if (lane) map.scrollLeft = lane.offsetLeft - map.clientWidth / 2 + 60; }
}

function beginning() {
  return [make("h2", {}, "Before the step"), make("p", { class: "start" }, "This is what goes in. Press \u203a, or the right arrow key, to go on: first forward through every layer to the loss, then back as a gradient, then the weights move."),
    make("div", { class: "bench" }, ...data.inputs.map(([name, id], i) => grid(name, id, `input${i}`)))];
}
function ending() {
  const updates = data.stops.filter(s => s.way === "update").length;
  return [make("h2", {}, "The step is done"), make("p", { class: "start" }, `Every gradient has arrived, and ${updates} parameters have moved a little, each against its own gradient. ${data.loss === null ? "" : `The loss was ${short(number(data.loss))}; with the new weights it is ${short(number(data.loss_after))}. `}Press \u2039, or the left arrow key, to go back.`),
    ...data.notes.map(note => make("p", {}, note))];
}

function stopped(stop) {
  const layer = data.layers[stop.layer], row = stop.rows[state.row], node = row && nodeOf(row);
  const calls = data.stops.filter(s => s.layer === stop.layer && s.way === stop.way && s.function === stop.function);
  const which = stop.way === "update" ? ` ${row?.name ?? ""}` : calls.length > 1 ? ` ${stop.function}, call ${calls.indexOf(stop) + 1} of ${calls.length}` : "";
  const title = make("h2", {}, make("span", { class: `way ${stop.way}` }, stop.way), `${layer.path} ${layer.label}`.trim(), which && make("small", {}, which));
  const parts = [title];
  if (stop.way === "update" && row) parts.push(make("div", { class: "formula update" }, `new ${row.name} = ${row.name} \u2212 ${short(data.lr)} \u00b7 its gradient`));
  const clauses = stop.way === "backward" ? layer.backward : stop.way === "forward" ? layer.forward : [];
  if (clauses.length) { const box = make("div", { class: `formula ${stop.way}` }); box.innerHTML = clauses.join("<br>"); parts.push(box); } // MathML that Python wrote and escaped
  if (!row) return parts;
  const said = (r, i) => !r.code ? `${r.name} = what the layer made of ${r.operands.map(([n]) => n).join(", ")}`
    : stop.rows[i - 1]?.code === r.code ? `    \u2192 ${r.name}` : stop.rows[i + 1]?.code === r.code ? `${r.code}    \u2192 ${r.name}` : r.code;
  parts.push(make("ol", { class: "code", "aria-label": stop.function || "what the layer did" }, ...stop.rows.map((r, i) => {
    const text = make("button", { class: i > state.row ? "later" : "", onclick: () => { state.row = i; state.chosen = null; draw(); }, ...(i === state.row ? { "aria-current": "step" } : {}) }, said(r, i));
    if (r.comment && stop.way === "backward" && stop.rows[i - 1]?.code !== r.code) text.append(make("i", {}, `   # ${r.comment}`));
    return make("li", {}, text);
  })));
  const view = { lstm_step: cell, lstm_step_backward: cell, attention: looks, attention_backward: looks }[stop.function];
  const chosen = state.chosen, hits = new Map();
  const shape = tensors[row.value].shape;
  if (chosen && node && chosen.part === "result") node.hits(unflat(shape, chosen.at), (k, at) => hits.set(`${k}:${at}`, true));
  const into = new Set();
  if (chosen && node && chosen.part !== "result" && count(shape) <= 2000)
    for (let e = 0; e < count(shape); e++) node.hits(unflat(shape, e), (k, at) => { if (`operand${k}` === chosen.part && at === chosen.at) into.add(e); });
  parts.push(make("div", { class: "bench" },
    ...row.operands.map(([name, id], k) => grid(name, id, `operand${k}`, at => hits.has(`${k}:${at}`))),
    grid(row.name, row.value, "result", at => into.has(at), now().entry)));
  parts.push(why(row, node, hits, into));
  if (view) parts.push(view(stop));
  return parts;
}

function why(row, node, hits, into) {
  const box = make("div", { class: "why" }), chosen = state.chosen;
  if (!chosen) { box.append(node ? "Click a number, or go to it by keyboard, to see what made it." : "This line moves numbers to other places, or combines them in a way that this page does not take apart."); return box; }
  if (chosen.part === "result") {
    const t = tensors[row.value], index = unflat(t.shape, chosen.at), value = t.values[chosen.at];
    box.append(make("b", {}, row.name + place(index)));
    if (node) box.append(` = ${node.say(index)}`);
    box.append(make("span", { id: "value", "data-value": full(value) }, ` = ${full(value)}`));
    if (node?.window) for (const w of node.window(index)) if (w.rows * w.columns <= 100) box.append(products(w));
    const inner = node && firstWindow(row, index);
    if (inner) inner.forEach(w => { if (w.rows * w.columns <= 100) box.append(products(w)); });
  } else {
    const [name, id] = row.operands[+chosen.part.slice(7)], t = tensors[id];
    box.append(make("b", {}, name + place(unflat(t.shape, chosen.at))), make("span", { id: "value", "data-value": full(t.values[chosen.at]) }, ` = ${full(t.values[chosen.at])}`),
      node ? `; it goes into ${into.size} of the ${count(tensors[row.value].shape)} numbers of ${row.name}.` : "");
  }
  return box;
}
function firstWindow(row, index) { // of a convolution below a sum with its bias
  const [kind, left] = row.tree;
  if (kind !== "+" || left[0] !== "conv") return null;
  return grow(left, row.operands.map(([, id]) => tensors[id])).window(index);
}
function products(w) {
  const mini = (values, word) => make("div", {}, make("small", {}, word), cellsOf(values, w.rows, w.columns, Math.max(...values.map(Math.abs)) || 1, { figures: w.rows * w.columns <= 30 }));
  return make("div", { class: "products" }, mini(w.left, w.words[0]), make("span", { class: "op" }, "\u00d7"), mini(w.right, w.words[1]), make("span", { class: "op" }, "="), mini(w.left.map((v, i) => v * w.right[i]), w.words[2]),
    make("span", {}, `sum ${short(w.left.reduce((s, v, i) => s + v * w.right[i], 0))}`));
}

// ---- grids of numbers --------------------------------------------------------------------------------------------

function cellsOf(values, rows, columns, top, { figures, labels = [null, null], from = 0, hit = () => false, chosen = -1, later = Infinity }) {
  const [down, across] = labels;
  const width = Math.max(7, Math.min(22, Math.floor(420 / Math.max(rows, columns, 1))));
  const box = make("div", { class: `cells ${figures ? "figures" : "shades"}`, style: `grid-template-columns: ${down ? "max-content " : ""}repeat(${columns}, auto); --w: ${width}px` });
  if (across) { if (down) box.append(make("u")); across.forEach(word => box.append(make("u", {}, word))); }
  for (let r = 0; r < rows; r++) {
    if (down) box.append(make("u", {}, down[r]));
    for (let c = 0; c < columns; c++) {
      const at = from + r * columns + c, v = values[r * columns + c];
      const cell = document.createElement("i");
      cell.className = (v < 0 ? "b" : "") + (v === -Infinity ? " hidden" : "") + (at > later ? " later" : "") + (hit(at) ? " hit" : "") + (at === chosen ? " chosen" : "");
      cell.style.setProperty("--s", Number.isFinite(v) ? Math.min(1, Math.abs(v) / top).toFixed(2) : "0");
      cell.dataset.at = at;
      if (figures) cell.textContent = short(v);
      box.append(cell);
    }
  }
  return box;
}

function grid(name, id, part, hit = () => false, later = undefined) {
  const t = tensors[id], shape = t.shape, finite = t.values.filter(Number.isFinite);
  const top = Math.max(1e-30, ...finite.map(Math.abs));
  const columns = shape.at(-1) ?? 1, rows = shape.length > 1 ? shape.at(-2) : 1, size = rows * columns, slices = size ? t.values.length / size : 0;
  const figures = t.values.length <= FIGURES && columns <= COLUMNS;
  const words = data.words, T = words.length;
  const label = n => T && n === T ? words : null;
  const chosen = state.chosen && state.chosen.part === part ? state.chosen.at : -1;
  const box = make("div", { class: "slices" });
  for (let s = 0; s < slices; s++) {
    const cells = cellsOf(t.values.slice(s * size, (s + 1) * size), rows, columns, top, { figures, from: s * size, hit, chosen, later: later === undefined ? Infinity : later, labels: shape.length > 1 ? [label(rows), label(columns)] : [null, label(columns)] });
    box.append(make("div", {}, slices > 1 ? make("small", {}, place(unflat(shape.slice(0, -2), s))) : null, cells));
  }
  const select = at => { state.chosen = { part, at: Math.max(0, Math.min(at, t.values.length - 1)) }; draw(); };
  const holder = make("div", { class: `tensor${part === "result" ? " result" : ""}`, tabindex: "0", role: "application", "aria-roledescription": "grid of numbers", "data-grid": part, "data-tensor": id,
    "aria-label": `${name}, ${shape.join(" by ") || "one number"}${chosen >= 0 ? `: ${place(unflat(shape, chosen))} is ${short(t.values[chosen])}` : ""}` },
    make("b", {}, name), make("small", {}, shape.length ? ` ${shape.join("\u00d7")}` : ""), box);
  holder.addEventListener("click", event => { const cell = event.target.closest("i"); if (cell && cell.dataset.at !== undefined) { select(+cell.dataset.at); } });
  holder.addEventListener("keydown", event => {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    if (step === undefined) return;
    event.preventDefault(); event.stopPropagation();
    select(chosen < 0 ? 0 : chosen + step < 0 || chosen + step >= t.values.length ? chosen : chosen + step);
  });
  return holder;
}

// ---- a view of their own: the cell of an LSTM, and who looks at whom ------------------------------------------------

const svg = (tag, attributes = {}, ...children) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};
function chooser(label, options, value, set) {
  return make("div", { class: "choose", role: "group", "aria-label": label }, ...options.map(([key, word]) => make("button", { "aria-pressed": key === value, onclick: () => { set(key); draw(); } }, word)));
}

function cell(stop) {
  const back = stop.way === "backward", known = {};
  stop.rows.forEach((row, r) => {
    row.operands.forEach(([name, id]) => { known[name] ??= id; });
    if (r <= state.row || state.detail === "layers") known[`=${row.name}`] = row.value;
  });
  const units = tensors[stop.rows.find(row => row.name === (back ? "grad_c" : "c_after")).value].shape.at(-1);
  const value = (name, made) => { const id = made ? known[`=${name}`] : known[name] ?? known[`=${name}`]; return id === undefined ? null : tensors[id].values[state.unit]; };
  const boxes = [ // x, y, name, forward, backward: the tensor, and whether this call made it
    [56, 30, "c", ["c", 0], ["grad_state[1]", 1]], [176, 30, "f \u00b7 c", null, null], [316, 30, "c\u2032 = f c + i g", ["c_after", 1], ["grad_c", 1]],
    [458, 30, "tanh c\u2032", ["tanh_c", 1], null], [594, 30, "h\u2032 = o tanh c\u2032", ["m", 1], ["grad_m", 0]],
    [176, 126, "f forget", ["f", 1], ["grad_f", 1]], [276, 126, "i input", ["i", 1], ["grad_i", 1]], [376, 126, "g new", ["g", 1], ["grad_g", 1]], [506, 126, "o output", ["o", 1], ["grad_o", 1]],
  ];
  const picture = svg("svg", { viewBox: "0 0 660 216", width: 660, class: "cell", role: "img", "aria-label": `the cell, unit ${state.unit}` });
  for (const d of ["M100 31H132", "M220 31H258", "M374 31H414", "M502 31H536", "M176 102V55", "M276 102L306 55", "M376 102L326 55", "M506 102L576 55", "M76 196H506", "M176 196V150", "M276 196V150", "M376 196V150", "M506 196V150"]) picture.append(svg("path", { d, class: "wire" }));
  for (const [x, y, name, forward, backward] of boxes) {
    const wide = name.length > 9 ? 116 : 88;
    picture.append(svg("rect", { x: x - wide / 2, y: y - 24, width: wide, height: 48, rx: 7, class: "box" }), svg("text", { x, y: y - 7, "text-anchor": "middle", class: "soft" }, name));
    let v = forward && value(forward[0], forward[1] && !back);
    if (name.startsWith("f \u00b7") && value("f", !back) !== null && value("c") !== null) v = value("f", !back) * value("c");
    const g = back && backward ? value(...backward) : null;
    const fit = text => text.length * 7.5 > wide / 2 - 6 ? { textLength: wide / 2 - 6, lengthAdjust: "spacingAndGlyphs" } : {};
    const made = v === null || v === undefined ? "" : short(v);
    picture.append(svg("text", g === null ? { x, y: y + 13, "text-anchor": "middle", class: "fw" } : { x: x - 3, y: y + 13, "text-anchor": "end", class: "fw", ...fit(made) }, made));
    if (g !== null) picture.append(svg("text", { x: x + 3, y: y + 13, class: "bw", ...fit(short(g)) }, short(g)));
  }
  picture.append(svg("text", { x: 20, y: 200, class: "soft" }, "x and h"));
  return make("div", { class: "view" }, make("h3", {}, back ? "The cell: what it made (blue), and the gradient that reaches it (orange)" : "The cell"),
    chooser("unit", [...Array(units).keys()].map(u => [u, `unit ${u}`]), state.unit, u => { state.unit = u; }), picture);
}

function looks(stop) {
  const named = Object.fromEntries(stop.rows.map(row => [row.name, row.value]));
  const first = stop.rows.flatMap(row => row.operands);
  for (const [name, id] of first) named[name] ??= id;
  const back = stop.way === "backward", options = (back ? ["probabilities", "grad_p", "grad_scores"] : ["scores", "probabilities"]).filter(name => named[name] !== undefined);
  const key = options.includes(state.matrix) ? state.matrix : options.at(-1), t = tensors[named[key]];
  const [rows, columns] = t.shape.slice(-2), size = rows * columns, heads = t.values.length / size, head = Math.min(state.head, heads - 1);
  const values = t.values.slice(head * size, (head + 1) * size), top = Math.max(1e-30, ...values.filter(Number.isFinite).map(Math.abs));
  const words = n => data.words.length === n ? data.words : [...Array(n).keys()].map(String);
  const query = state.query !== undefined && state.query < rows ? state.query : rows - 1;
  const gap = 26, height = Math.max(rows, columns) * gap + 30;
  const picture = svg("svg", { viewBox: `0 0 300 ${height}`, width: 300, role: "img", "aria-label": `what query ${query} looks at` });
  picture.append(svg("text", { x: 0, y: 12, class: "soft" }, "query"), svg("text", { x: 262, y: 12, class: "soft" }, "key"));
  for (let q = 0; q < rows; q++) for (let k = 0; k < columns; k++) {
    const v = values[q * columns + k];
    if (!Number.isFinite(v) || v === 0) continue;
    picture.append(svg("line", { x1: 56, y1: 30 + q * gap, x2: 244, y2: 30 + k * gap, stroke: v < 0 ? "var(--orange)" : "var(--blue)", "stroke-width": (q === query ? 5 : 1.5) * Math.abs(v) / top + 0.2, opacity: q === query ? 0.95 : 0.22 }));
  }
  words(rows).forEach((word, q) => picture.append(svg("text", { x: 48, y: 34 + q * gap, "text-anchor": "end", "font-weight": q === query ? 700 : 400 }, word)));
  words(columns).forEach((word, k) => picture.append(svg("text", { x: 252, y: 34 + k * gap }, word)));
  const matrix = cellsOf(values, rows, columns, top, { figures: columns <= COLUMNS, labels: [words(rows), words(columns)], chosen: -1, hit: at => Math.floor(at / columns) === query });
  matrix.addEventListener("click", event => { const c = event.target.closest("i"); if (c) { state.query = Math.floor(+c.dataset.at / columns); draw(); } });
  return make("div", { class: "view" }, make("h3", {}, `Who looks at whom: ${key}, query by key`),
    chooser("head", [...Array(heads).keys()].map(h => [h, `head ${h}`]), head, h => { state.head = h; }),
    chooser("matrix", options.map(name => [name, name]), key, name => { state.matrix = name; }),
    chooser("query", words(rows).map((word, q) => [q, word]), query, q => { state.query = q; }),
    make("div", { class: "products" }, matrix, picture));
}

// ---- going -------------------------------------------------------------------------------------------------------

element("about").textContent = data.about;
element("slider").addEventListener("input", event => go(+event.target.value));
element("first").addEventListener("click", () => go(0));
element("back").addEventListener("click", () => go(state.at - 1));
element("next").addEventListener("click", () => go(state.at + 1));
element("last").addEventListener("click", () => go(Infinity));
for (const button of document.querySelectorAll("[data-detail]")) button.addEventListener("click", () => choose(button.dataset.detail));
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target === element("slider") && event.key.startsWith("Arrow")) return;
  const does = { ArrowRight: () => go(state.at + 1), ArrowLeft: () => go(state.at - 1), Home: () => go(0), End: () => go(Infinity), 1: () => choose("layers"), 2: () => choose("lines"), 3: () => choose("numbers") }[event.key];
  if (does) { event.preventDefault(); does(); }
});
go(0);

// What tests ask: by how much what the trees compute differs from what Python had, as a share of the largest number.
window.stepsDiffer = () => {
  let worst = [0, ""];
  for (const stop of data.stops) for (const row of stop.rows) {
    const node = nodeOf(row), t = tensors[row.value];
    if (!node) continue;
    const top = Math.max(1e-6, ...t.values.filter(Number.isFinite).map(Math.abs));
    t.values.forEach((v, at) => {
      const got = node.at(unflat(t.shape, at)), off = v === got || Number.isNaN(v) && Number.isNaN(got) ? 0 : Math.abs(v - got) / top;
      if (!(off <= worst[0])) worst = [off, `${stop.function} ${row.name}${place(unflat(t.shape, at))}: ${v}, ${got}`];
    });
  }
  return worst;
};
