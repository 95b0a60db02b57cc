"use strict";
const TOKEN = new URLSearchParams(location.search).get("token");
const REACH = 1.6, GRID = 48;
const element = id => document.getElementById(id);
const dark = matchMedia("(prefers-color-scheme: dark)");
let frame = null, drawn = 0, colour = 0, cross = null;
window.frames_drawn = () => drawn; // what the tests count

async function ask(asked) {
  const answer = await fetch(`/do?token=${TOKEN}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(asked) });
  const said = await answer.json();
  element("error").textContent = said.error ?? "";
  return said.result;
}
async function watch() {
  let after = 0;
  for (;;) {
    try {
      const answer = await fetch(`/frame?token=${TOKEN}&after=${after}`);
      frame = await answer.json();
      if (frame.number !== after) { after = frame.number; await new Promise(requestAnimationFrame); draw(); drawn += 1; }
    } catch (error) {
      element("error").textContent = "The playground has ended.";
      return;
    }
  }
}

// ---- settings ------------------------------------------------------------------------------------------------

const NAMES = { data: "data", "loss-name": "loss", activation: "activation", start: "start", optimizer: "optimizer" };
for (const [id, name] of Object.entries(NAMES)) {
  for (const choice of CHOICES[name]) element(id).add(new Option(choice, choice));
  element(id).addEventListener("change", reset);
}
for (const id of ["lr", "batch"]) element(id).addEventListener("change", reset);
function units() { return [...document.querySelectorAll("#units input")].map(input => +input.value); }
function showUnits(layers) {
  if (JSON.stringify(units()) === JSON.stringify(layers)) return;
  element("units").replaceChildren(...layers.map((n, i) => {
    const row = document.createElement("div"), input = document.createElement("input"), less = document.createElement("button");
    Object.assign(input, { type: "number", min: 1, max: 16, value: n, ariaLabel: `units of hidden layer ${i + 1}` });
    Object.assign(less, { textContent: "\u2212", ariaLabel: `without hidden layer ${i + 1}` });
    input.addEventListener("change", reset);
    less.addEventListener("click", () => { row.remove(); reset(); });
    row.append(input, less);
    return row;
  }));
}
function settings() {
  const chosen = Object.fromEntries(Object.entries(NAMES).map(([id, name]) => [name, element(id).value]));
  return { ...chosen, lr: +element("lr").value, batch: +element("batch").value, layers: units(), seed: frame?.settings.seed ?? 0 };
}
function reset() { return ask({ action: "reset", settings: settings() }); }
element("more").addEventListener("click", () => { const all = [...units(), 4].slice(0, 5); element("units").replaceChildren(); showUnits(all); reset(); });
element("run").addEventListener("click", () => ask({ action: frame?.running ? "pause" : "run" }));
element("step").addEventListener("click", () => ask({ action: "step" }));
element("reset").addEventListener("click", () => { if (frame) frame.settings.seed += 1; reset(); });

// ---- drawing points --------------------------------------------------------------------------------------------

function put(x, y, label) {
  ask({ action: "draw", points: [...frame.points, [+x.toFixed(3), +y.toFixed(3), label]] });
}
const plane = element("plane");
plane.addEventListener("click", event => {
  const box = plane.getBoundingClientRect();
  put((event.clientX - box.left) / box.width * 2 * REACH - REACH, REACH - (event.clientY - box.top) / box.height * 2 * REACH, event.shiftKey ? 1 - colour : colour);
});
plane.addEventListener("keydown", event => {
  const step = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] }[event.key];
  cross ??= [0, 0];
  if (step) { cross = cross.map((v, i) => Math.max(-REACH, Math.min(REACH, v + step[i]))); event.preventDefault(); drawPlane(); }
  if (event.key === "a" || event.key === "b") put(...cross, +(event.key === "b"));
});
for (const label of [0, 1]) element(`draw${label}`).addEventListener("click", () => {
  colour = label;
  for (const other of [0, 1]) element(`draw${other}`).setAttribute("aria-pressed", other === label);
});
element("clear").addEventListener("click", () => ask({ action: "draw", points: [] }));

// ---- what is seen ----------------------------------------------------------------------------------------------

const image = new ImageData(GRID, GRID), small = document.createElement("canvas");
small.width = small.height = GRID;
function shades() { return dark.matches ? [[120, 66, 24], [26, 30, 38], [36, 74, 140]] : [[246, 196, 150], [255, 255, 255], [160, 190, 245]]; }
function drawPlane() {
  const c = plane.getContext("2d"), n = plane.width, [a, middle, b] = shades();
  frame.grid.forEach((v, i) => {
    const side = v < 128 ? a : b, share = Math.abs(v - 127.5) / 127.5;
    for (let k = 0; k < 3; k++) image.data[4 * i + k] = middle[k] + (side[k] - middle[k]) * share;
    image.data[4 * i + 3] = 255;
  });
  small.getContext("2d").putImageData(image, 0, 0);
  c.imageSmoothingEnabled = true;
  c.drawImage(small, 0, 0, n, n);
  const at = (x, y) => [(x + REACH) / (2 * REACH) * n, (REACH - y) / (2 * REACH) * n];
  for (const [x, y, label] of frame.points) {
    c.beginPath(); c.arc(...at(x, y), 4.5, 0, 7);
    c.fillStyle = label ? (dark.matches ? "#7eaaff" : "#2b62c9") : (dark.matches ? "#ffa45c" : "#c25a0c"); c.fill();
    c.lineWidth = 1; c.strokeStyle = dark.matches ? "#12151b" : "#fff"; c.stroke();
  }
  if (cross && document.activeElement === plane) {
    const [x, y] = at(...cross);
    c.strokeStyle = dark.matches ? "#fff" : "#000"; c.lineWidth = 2; c.beginPath(); c.moveTo(x - 9, y); c.lineTo(x + 9, y); c.moveTo(x, y - 9); c.lineTo(x, y + 9); c.stroke();
  }
}

const svg = (tag, attributes, text = "") => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = text;
  return node;
};
let shape = "";
function drawNetwork() {
  const layers = frame.layers, most = Math.max(1, ...layers.map(l => l.out?.length ?? 1)), wide = 62, high = Math.max(150, most * 24 + 40);
  const key = JSON.stringify(layers.map(l => [l.label, l.out?.length, l.broken]));
  if (key !== shape) { // build anew only when the network is another
    shape = key;
    const picture = svg("svg", { viewBox: `0 0 ${layers.length * wide + 10} ${high}`, width: layers.length * wide + 10, role: "img", "aria-label": "output and gradient of every neuron" });
    layers.forEach((layer, i) => {
      picture.append(svg("text", { x: i * wide + 36, y: 12, "text-anchor": "middle", class: layer.broken ? "bad" : "" }, layer.label.split("(")[0]));
      picture.append(svg("text", { x: i * wide + 36, y: 25, "text-anchor": "middle", class: layer.broken ? "bad" : "" }, layer.broken ? "broken" : layer.label.includes("Dense") ? layer.label.replace(/.*\((.*)\)/, "$1") : ""));
      (layer.out ?? []).forEach((_, u) => {
        const y = 44 + u * 24 + (most - layer.out.length) * 12;
        const group = svg("g", { id: `n${i}-${u}` });
        group.append(svg("circle", { cx: i * wide + 36, cy: y, r: 9, fill: "none", stroke: "var(--orange)", "stroke-width": 0 }), svg("circle", { cx: i * wide + 36, cy: y, r: 7, fill: "var(--blue)", stroke: "var(--line)" }), svg("title", {}));
        picture.append(group);
      });
    });
    element("network").replaceChildren(picture);
    const chosen = element("place").value;
    element("place").replaceChildren(...layers.map((l, i) => new Option(`${i} ${l.label}${l.broken ? " (broken)" : ""}`, i)));
    if (chosen && chosen < layers.length) element("place").value = chosen;
    showWays();
  }
  const largest = name => Math.max(1e-12, ...layers.flatMap(l => l[name] ?? []));
  const top = largest("out"), steep = largest("grad");
  element("sizes").textContent = `Root mean squares over the data: the fullest blue is ${top.toPrecision(2)}, the thickest ring ${steep.toPrecision(2)}.`;
  layers.forEach((layer, i) => (layer.out ?? []).forEach((v, u) => {
    const [ring, disc, title] = element(`n${i}-${u}`).children, g = layer.grad?.[u] ?? 0;
    disc.setAttribute("fill-opacity", (0.08 + 0.92 * v / top).toFixed(3));
    ring.setAttribute("stroke-width", (5 * Math.sqrt(g / steep)).toFixed(2));
    title.textContent = `output ${v}, gradient ${g}`;
  }));
}
function showWays() {
  const layer = frame.layers[+element("place").value || 0], chosen = element("how").value;
  element("how").replaceChildren(...Object.entries(layer.ways).map(([name, words]) => new Option(words, name)));
  if (layer.ways[chosen]) element("how").value = chosen;
}
function drawCurve() {
  const curve = frame.curve.filter(v => v !== null), top = Math.max(1e-9, ...curve);
  const line = curve.map((v, i) => `${(i / Math.max(1, curve.length - 1) * 400).toFixed(1)},${(86 - 82 * v / top).toFixed(1)}`).join(" ");
  element("range").textContent = curve.length ? `from 0 to ${top.toPrecision(2)}` : "";
  element("curve").replaceChildren(svg("polyline", { points: line, fill: "none", stroke: "var(--mark)", "stroke-width": 2, "vector-effect": "non-scaling-stroke" }));
}
function draw() {
  element("run").textContent = frame.running ? "Pause" : "Train";
  element("steps").textContent = frame.steps;
  element("loss").textContent = frame.loss === null ? (frame.points.length ? "not finite" : "\u2013") : frame.loss.toPrecision(3);
  element("accuracy").textContent = frame.accuracy === null ? "\u2013" : `${Math.round(100 * frame.accuracy)}%`;
  for (const [id, name] of Object.entries(NAMES)) if (document.activeElement !== element(id)) element(id).value = frame.settings[name];
  for (const id of ["lr", "batch"]) if (document.activeElement !== element(id)) element(id).value = frame.settings[id];
  if (!element("units").contains(document.activeElement)) showUnits(frame.settings.layers);
  drawPlane(); drawNetwork(); drawCurve();
}

// ---- broken on purpose -----------------------------------------------------------------------------------------

element("place").addEventListener("change", showWays);
element("break").addEventListener("click", () => { element("verdict").replaceChildren(); ask({ action: "break", layer: +element("place").value, how: element("how").value }); });
element("mend").addEventListener("click", async () => { element("verdict").replaceChildren(); for (const [i, layer] of frame.layers.entries()) if (layer.broken) await ask({ action: "break", layer: i, how: "" }); });
element("referee").addEventListener("click", async () => {
  element("verdict").textContent = "The referees compute \u2026";
  const found = await ask({ action: "referee" });
  element("verdict").replaceChildren(...found.flatMap(({ layer, ok, text }) => {
    const line = document.createElement("p");
    line.className = ok ? "ok" : "no";
    line.textContent = `${ok ? "\u2713" : "\u2717"} ${layer}: ${ok ? "the backward is right" : "the referees object"}`;
    if (ok) return [line];
    const report = document.createElement("pre");
    report.textContent = text;
    report.tabIndex = 0; // so that the keyboard can scroll it
    return [line, report];
  }));
});
dark.addEventListener("change", () => { if (frame) draw(); });
watch();
