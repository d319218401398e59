"use strict";
/* Draws the scene: unpacks the points, places them with the chosen poses, and hands them to Plotly.
   Frames: an agent's own (x right, y down, z ahead) becomes the page's (x right, y ahead, z up). */

const METRES_A_UNIT = 30; // of Plotly's camera coordinates
const BIT = { prediction: 1, truth: 2, none: 0 };
const NAMES = { prediction: "predicted", truth: "true", input: "given", lidar: "LiDAR" };
const AGENT_COLOURS = ["#2a6fdb", "#e07b00", "#1f9d55", "#c2378d", "#7a5cd6", "#0f9bb4", "#b8860b", "#d0342c"];
const LIDAR_COLOUR = { light: "#5b6572", dark: "#c9d3de" };
const POSE_MARKS = { prediction: "diamond", truth: "circle-open", input: "square-open" };
const RAINBOW = ["#30123b", "#4675ed", "#1bcfd4", "#61fc6c", "#d1e834", "#fe9b2d", "#d93806", "#7a0403"]
  .map((colour, place, all) => [place / (all.length - 1), colour]);
const PRESETS = ["chase", "ego", "top"];

const $ = (id) => document.getElementById(id);
const told = JSON.parse($("scene").textContent);
const state = { ...told.opening, layers: new Set(["cloud", "agents"]), hidden: new Set(), view: "chase", fit: false };
let sceneNames = [];
let frame = null; // the box around everything: middle and extent, metres
let moved = null; // the camera, as the reader left it

async function unpacked() {
  const packed = Uint8Array.from(atob($("points").textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  $("points").remove();
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function readClouds(bytes) {
  let at = 0;
  const take = (count) => bytes.subarray(at, (at += count));
  for (const agent of told.agents) {
    for (const cloud of Object.values(agent.clouds)) {
      const n = cloud.count;
      cloud.own = [0, 1, 2].map((axis) => summed(take(n), take(n), cloud.corner[axis], cloud.step));
      cloud.colours = cloud.coloured ? [take(n), take(n), take(n)] : null;
      cloud.masks = cloud.masked ? take(n) : null;
    }
  }
}

/** A column of positions from the changes of its 16-bit numbers. */
function summed(low, high, corner, step) {
  const column = new Float32Array(low.length);
  for (let i = 0, number = 0; i < low.length; i++) {
    number = (number + low[i] + 256 * high[i]) & 0xffff;
    column[i] = corner + number * step;
  }
  return column;
}

/** The numbers of a cloud's points that the mask leaves. */
function kept(cloud, mask) {
  const bit = cloud.masks ? BIT[mask] : 0;
  const found = new Uint32Array(cloud.count);
  let n = 0;
  for (let i = 0; i < cloud.count; i++) if (!bit || cloud.masks[i] & bit) found[n++] = i;
  return found.subarray(0, n);
}

/** The factor that lengths of a source are shown with: what is predicted can be put to its right scale. */
const factor = (source) => (state.fit && source === "prediction" ? told.scale : 1);

/** A pose, 4 x 4 numbers row by row, with its position scaled as its source is. */
function poseOf(agent, source) {
  const pose = agent.poses[source];
  return pose && pose.map((value, place) => (place % 4 === 3 && place < 12 ? value * factor(source) : value));
}

/** Some of a cloud's points in the page's frame, lengths times a factor, by an agent's pose. */
function placed(cloud, chosen, pose, scale) {
  const [X, Y, Z] = cloud.own;
  const out = [0, 1, 2].map(() => new Float32Array(chosen.length));
  const rows = [
    [pose[0], pose[1], pose[2], pose[3]],
    [pose[8], pose[9], pose[10], pose[11]],
    [-pose[4], -pose[5], -pose[6], -pose[7]],
  ];
  rows.forEach(([a, b, c, d], axis) => {
    const column = out[axis];
    for (let k = 0; k < chosen.length; k++) {
      const i = chosen[k];
      column[k] = scale * (a * X[i] + b * Y[i] + c * Z[i]) + d;
    }
  });
  return out;
}

const position = (pose) => [pose[3], pose[11], -pose[7]];

const hex = Array.from({ length: 256 }, (_, n) => n.toString(16).padStart(2, "0"));

/** Colours for Plotly: one word, words, or numbers with a scale. Truth is mixed with green, to be told apart. */
function marker(agent, number, source, cloud, chosen, heights, layer) {
  const size = state.size;
  const plain = { size, opacity: 1, line: { width: 0 } };
  if (state.colour === "agent") return { ...plain, color: AGENT_COLOURS[number % AGENT_COLOURS.length] };
  if (state.colour === "height") return { ...plain, color: heights, colorscale: RAINBOW, cmin: -2.5, cmax: 8 };
  if (state.colour === "distance") {
    const [X, Y, Z] = cloud.own;
    return { ...plain, color: Float32Array.from(chosen, (i) => Math.hypot(X[i], Y[i], Z[i])),
      colorscale: RAINBOW, reversescale: true, cmin: 0, cmax: 60 };
  }
  if (!cloud.colours) return { ...plain, color: LIDAR_COLOUR[theme()] };
  const [R, G, B] = cloud.colours;
  const green = layer === "truth";
  const words = new Array(chosen.length);
  for (let k = 0; k < chosen.length; k++) {
    const i = chosen[k];
    words[k] = green
      ? "#" + hex[R[i] >> 1] + hex[(G[i] + 255) >> 1] + hex[(B[i] + 64) >> 1]
      : "#" + hex[R[i]] + hex[G[i]] + hex[B[i]];
  }
  return { ...plain, color: words };
}

function pointTrace(agent, number, source, poseSource, layer, scene) {
  const cloud = agent.clouds[source], pose = poseOf(agent, poseSource);
  if (!cloud || !pose || state.hidden.has(agent.name) || !state.layers.has(layer)) return null;
  const chosen = kept(cloud, layer === "truth" && state.mask !== "none" ? "truth" : state.mask);
  const [x, y, z] = placed(cloud, chosen, pose, factor(source));
  return {
    type: "scatter3d", mode: "markers", scene, x, y, z, name: safe(agent.name), meta: "points", showlegend: false,
    marker: marker(agent, number, source, cloud, chosen, z, layer),
    hovertemplate: `${safe(agent.name)}: ${NAMES[source]} depth, ${NAMES[poseSource]} pose<br>` +
      "%{x:.2f} right, %{y:.2f} ahead, %{z:.2f} up<extra></extra>",
  };
}

/** Plotly reads some HTML in its texts, and draws entities as they are written in some of them. */
const safe = (text) => String(text).replace(/</g, "‹").replace(/>/g, "›");

/** The agents' positions by one source of poses, each with its name and a line where it looks. */
function agentTraces(source, scene) {
  const ink = getComputedStyle(document.body).color;
  const shown = told.agents.map((agent, number) => ({ agent, number }))
    .filter(({ agent }) => agent.poses[source] && !state.hidden.has(agent.name));
  if (!shown.length || !state.layers.has("agents")) return [];
  const places = shown.map(({ agent }) => position(poseOf(agent, source)));
  const colours = shown.map(({ number }) => AGENT_COLOURS[number % AGENT_COLOURS.length]);
  const named = source === state.pose || state.compare;
  const marks = {
    type: "scatter3d", mode: named ? "markers+text" : "markers", scene, showlegend: false,
    x: places.map((p) => p[0]), y: places.map((p) => p[1]), z: places.map((p) => p[2]),
    text: shown.map(({ agent }) => safe(agent.name)), textposition: "top center",
    textfont: { color: ink, size: 14 },
    marker: { size: source === "truth" ? 11 : 8, symbol: POSE_MARKS[source], color: colours,
      line: { width: 1, color: ink } },
    hovertemplate: `%{text}: ${NAMES[source]} position<br>%{x:.2f}, %{y:.2f}, %{z:.2f}<extra></extra>`,
  };
  const ahead = { type: "scatter3d", mode: "lines", scene, showlegend: false, hoverinfo: "skip",
    x: [], y: [], z: [], line: { width: 5, color: source === "truth" ? "#1f9d55" : ink } };
  shown.forEach(({ agent }, k) => {
    const pose = poseOf(agent, source), reach = 4;
    const tip = [pose[2], pose[10], -pose[6]].map((part, axis) => places[k][axis] + reach * part);
    ["x", "y", "z"].forEach((axis, n) => ahead[axis].push(places[k][n], tip[n], null));
  });
  return [marks, ahead];
}

const poseSources = () => ["prediction", "truth", "input"].filter((s) => told.agents.some((a) => a.poses[s]));

function traces() {
  const all = [];
  sceneNames.forEach((scene, place) => {
    const pose = state.compare ? poseSources()[place] : state.pose;
    told.agents.forEach((agent, number) => {
      all.push(pointTrace(agent, number, state.depth, pose, "cloud", scene));
      all.push(pointTrace(agent, number, "truth", "truth", "truth", scene));
      all.push(pointTrace(agent, number, "lidar", "truth", "lidar", scene));
    });
    const marked = state.compare ? [pose] : poseSources();
    for (const source of marked) all.push(...agentTraces(source, scene));
  });
  return all.filter((trace) => trace !== null);
}

/** The least and the largest number of a column. */
function spread(column) {
  let low = Infinity, high = -Infinity;
  for (const value of column) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

/** A box around all agents and points wherever any source puts them, so that switching keeps the frame. */
function boxed() {
  const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
  const include = (point) => point.forEach((value, axis) => {
    low[axis] = Math.min(low[axis], value);
    high[axis] = Math.max(high[axis], value);
  });
  for (const agent of told.agents) {
    for (const name of Object.keys(agent.poses)) {
      const pose = poseOf(agent, name);
      include(position(pose));
      for (const [source, cloud] of Object.entries(agent.clouds)) {
        if (!cloud.count) continue;
        const corners = cloud.own.map((column) => spread(column).map((value) => value * factor(source)));
        for (let n = 0; n < 8; n++) {
          const corner = corners.map((pair, axis) => pair[(n >> axis) & 1]);
          const [x, y, z] = [0, 2, 1].map((row) =>
            pose[4 * row] * corner[0] + pose[4 * row + 1] * corner[1] + pose[4 * row + 2] * corner[2] + pose[4 * row + 3]);
          include([x, y, -z]);
        }
      }
    }
  }
  if (!Number.isFinite(low[0])) return { low: [-1, -1, -1], high: [1, 1, 1] };
  return { low: low.map((v) => v - 1), high: high.map((v) => v + 1) };
}

const toUnits = (point) => {
  const [x, y, z] = point.map((value, axis) => (value - (frame.low[axis] + frame.high[axis]) / 2) / METRES_A_UNIT);
  return { x, y, z };
};
const toMetres = ({ x, y, z }) => [x, y, z].map(
  (value, axis) => value * METRES_A_UNIT + (frame.low[axis] + frame.high[axis]) / 2);

/** Where a preset looks from: metres. */
function preset(name) {
  if (name === "given" && told.opening.camera) return told.opening.camera;
  if (name === "ego") return { eye: [0, -0.3, 0.1], center: [0, 10, -0.6], up: [0, 0, 1] };
  if (name === "chase") return { eye: [0, -22, 13], center: [0, 9, -1], up: [0, 0, 1] };
  const places = told.agents.map((agent) => poseOf(agent, state.pose) || agent.poses.truth).filter(Boolean).map(position);
  const middle = (axis) => places.reduce((sum, place) => sum + place[axis], 0) / Math.max(1, places.length);
  const reach = Math.max(0, ...places.map((place) => Math.hypot(place[0] - middle(0), place[1] - middle(1))));
  const height = Math.min(400, 45 + 2 * reach);
  return { eye: [middle(0), middle(1) - 0.02 * height, height], center: [middle(0), middle(1), 0], up: [0, 0, 1] };
}

function cameraOf(view) {
  const { eye, center, up } = preset(view);
  return { eye: toUnits(eye), center: toUnits(center), up: { x: up[0], y: up[1], z: up[2] },
    projection: { type: "perspective" } };
}

function layout() {
  const dark = theme() === "dark";
  const grid = dark ? "#333c47" : "#d5dbe2", ink = dark ? "#aab4c0" : "#55606e";
  const axis = (n, title) => ({
    title: { text: title, font: { size: 11 } }, range: [frame.low[n], frame.high[n]], autorange: false,
    showbackground: false, gridcolor: grid, zeroline: false, color: ink, showspikes: false, nticks: 8,
  });
  const span = frame.high.map((value, n) => (value - frame.low[n]) / METRES_A_UNIT);
  const result = {
    margin: { l: 0, r: 0, t: 0, b: 0 }, autosize: true, showlegend: false, uirevision: "kept",
    paper_bgcolor: "rgba(0,0,0,0)", annotations: [],
    modebar: { bgcolor: "rgba(0,0,0,0)", color: ink, activecolor: dark ? "#6ea8fe" : "#1f5fbf" }, hoverlabel: { align: "left" },
  };
  sceneNames.forEach((name, place) => {
    const from = place / sceneNames.length, to = (place + 1) / sceneNames.length;
    result[name] = {
      domain: { x: [from, to], y: [0, 1] }, xaxis: axis(0, "right, m"), yaxis: axis(1, "ahead, m"),
      zaxis: axis(2, "up, m"), aspectmode: "manual", aspectratio: { x: span[0], y: span[1], z: span[2] },
      camera: moved || cameraOf(state.view), dragmode: "turntable", bgcolor: "rgba(0,0,0,0)",
    };
    if (state.compare) {
      result.annotations.push({ text: `${NAMES[poseSources()[place]]} poses`, showarrow: false, x: from + 0.008,
        y: 0.99, xref: "paper", yref: "paper", xanchor: "left", yanchor: "top",
        font: { size: 15, color: dark ? "#e6edf3" : "#1c2733" } });
    }
  });
  return result;
}

const theme = () => document.documentElement.dataset.theme;

let drawing = Promise.resolve();

/** Draw all anew, after what is being drawn. */
function draw() {
  drawing = drawing.then(async () => {
    const wanted = state.compare ? poseSources().map((_, n) => (n ? `scene${n + 1}` : "scene")) : ["scene"];
    const anew = wanted.length !== sceneNames.length;
    sceneNames = wanted;
    const shown = traces();
    const plot = $("cloud");
    if (anew && plot.data) Plotly.purge(plot);
    await Plotly.react(plot, shown, layout(), { displaylogo: false });
    if (anew) {
      plot.on("plotly_relayout", follow);
      new ResizeObserver(() => Plotly.Plots.resize(plot)).observe(plot);
    }
    report(shown);
  });
  return drawing;
}

/** A camera that was moved moves those of the other scenes, and is shown as options of the command. */
function follow(change) {
  const key = Object.keys(change).find((name) => /^scene\d?\.camera$/.test(name));
  if (!key) return;
  moved = change[key];
  showCamera(moved);
  const others = sceneNames.filter((name) => `${name}.camera` !== key);
  const differs = others.filter((name) => JSON.stringify($("cloud").layout[name].camera.eye) !== JSON.stringify(moved.eye));
  if (differs.length) Plotly.relayout($("cloud"), Object.fromEntries(differs.map((name) => [`${name}.camera`, moved])));
}

function showCamera(camera) {
  const word = (values) => values.map((value) => value.toFixed(1)).join(",");
  const { x, y, z } = camera.up;
  $("camera").textContent = `--camera-eye=${word(toMetres(camera.eye))} ` +
    `--camera-center=${word(toMetres(camera.center))} --camera-up=${word([x, y, z])}`;
}

function look(view) {
  state.view = view;
  moved = null;
  const camera = cameraOf(view);
  showCamera(camera);
  for (const button of document.querySelectorAll("#views button")) {
    button.setAttribute("aria-pressed", String(button.value === view));
  }
  return Plotly.relayout($("cloud"), Object.fromEntries(sceneNames.map((name) => [`${name}.camera`, camera])));
}

/** How many points are to be seen, and what hides the others. */
function report(shown) {
  const points = shown.filter((trace) => trace.meta === "points").reduce((sum, trace) => sum + trace.x.length, 0);
  let all = 0, left = 0;
  for (const agent of told.agents) {
    const cloud = agent.clouds[state.depth];
    if (!cloud) continue;
    all += cloud.count;
    left += kept(cloud, state.mask).length;
  }
  const hidden = all ? 1 - left / all : 0;
  const words = [`${points.toLocaleString("en")} points drawn`];
  const lost = told.agents.filter((agent) => !agent.poses[state.pose]).map((agent) => agent.name);
  if (lost.length && !state.compare) words.push(`no finite ${NAMES[state.pose]} pose of ${lost.join(", ")}`);
  if (hidden > 0.005) words.push(`the ${NAMES[state.mask]} mask hides ${(100 * hidden).toFixed(hidden > 0.99 ? 1 : 0)} %`);
  if (all && hidden > 0.95) words.push("set the mask to none to see them");
  $("status").textContent = words.join("; ");
}

function choose(id, key) {
  const box = $(id);
  box.value = state[key];
  box.addEventListener("change", () => { state[key] = box.value; draw(); });
}

function toggle(parent, label, colour, on, change) {
  const line = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = on;
  box.name = label;
  box.addEventListener("change", () => { change(box.checked); draw(); });
  line.append(box, document.createTextNode(label));
  if (colour) line.style.setProperty("--mark", colour);
  parent.append(line);
}

function controls() {
  const has = (kind, source) => told.agents.some((agent) => agent[kind][source]);
  for (const [id, kind] of [["pose", "poses"], ["depth", "clouds"]]) {
    for (const option of [...$(id).options]) if (!has(kind, option.value)) option.remove();
  }
  if (!told.agents.some((agent) => Object.values(agent.clouds).some((cloud) => cloud.masked))) $("mask").disabled = true;
  for (const key of ["pose", "depth", "mask", "colour"]) choose(key, key);
  $("size").value = state.size;
  $("size").addEventListener("input", () => { state.size = Number($("size").value); draw(); });
  const layer = (name) => (on) => (on ? state.layers.add(name) : state.layers.delete(name));
  toggle($("layers"), "cloud", "", true, layer("cloud"));
  if (has("clouds", "truth")) toggle($("layers"), "ground truth", "", false, layer("truth"));
  if (has("clouds", "lidar")) toggle($("layers"), "LiDAR", "", false, layer("lidar"));
  toggle($("layers"), "positions", "", true, layer("agents"));
  told.agents.forEach((agent, number) => toggle($("agents"), agent.name, AGENT_COLOURS[number % AGENT_COLOURS.length],
    true, (on) => (on ? state.hidden.delete(agent.name) : state.hidden.add(agent.name))));
  for (const name of told.opening.camera ? ["given", ...PRESETS] : PRESETS) {
    const button = document.createElement("button");
    button.type = "button";
    button.value = name;
    button.textContent = name;
    button.addEventListener("click", () => look(name));
    $("views").append(button);
  }
  if (told.scale) {
    $("fitted").hidden = false;
    $("fitted").append(`fit scale (times ${told.scale.toPrecision(3)})`);
    $("fit").addEventListener("change", () => { state.fit = $("fit").checked; frame = boxed(); draw().then(() => look(state.view)); });
  }
  $("compare").checked = state.compare;
  $("compare").addEventListener("change", () => { state.compare = $("compare").checked; draw(); });
  $("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = theme() === "dark" ? "light" : "dark";
    draw();
  });
}

async function begin() {
  readClouds(await unpacked());
  frame = boxed();
  state.view = told.opening.camera ? "given" : "chase";
  controls();
  await plotlyReady;
  await draw();
  await look(state.view);
  document.body.dataset.ready = "yes";
}

const dark = window.matchMedia("(prefers-color-scheme: dark)");
document.documentElement.dataset.theme = dark.matches ? "dark" : "light";
begin().catch((problem) => { $("status").textContent = `cannot be drawn: ${problem.message || problem}`; throw problem; });
