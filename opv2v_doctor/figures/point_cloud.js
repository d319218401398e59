"use strict";
/* Draws the scene: unpacks the points, places them with the chosen poses, and hands them to Plotly.
   Frames: an agent's own (x right, y down, z ahead) becomes the page's (x right, y ahead, z up). */

const METRES_A_UNIT = 30; // of Plotly's camera coordinates
const BIT = { prediction: 1, truth: 2, none: 0 };
const HAS_TRUTH = 4; // a bit of a point: its true depth is known; what is not is mostly sky
const AGENT_COLOURS = ["#2a6fdb", "#e07b00", "#1f9d55", "#c2378d", "#7a5cd6", "#0f9bb4", "#b8860b", "#d0342c"];
const LIDAR_COLOUR = { light: "#5b6572", dark: "#c9d3de" };
const POSE_MARKS = { prediction: "diamond", truth: "circle-open", input: "square-open" };
const RAINBOW = ["#30123b", "#4675ed", "#1bcfd4", "#61fc6c", "#d1e834", "#fe9b2d", "#d93806", "#7a0403"]
  .map((colour, place, all) => [place / (all.length - 1), colour]);
const PRESETS = ["chase", "ego", "top"];
const HARM = [[0, "#1a9850"], [0.25, "#d9ef8b"], [0.5, "#fee08b"], [0.75, "#f46d43"], [1, "#a50026"]];
const UNKNOWN = "#8b96a3";
const ERROR_STEP = 0.02, ERROR_CODES = 14.23; // metres and codes: how an error is packed, see `point_cloud.py`
const GRID = 10; // metres between lines on the ground
const AXES = [["#e5484d", "right"], ["#2ca02c", "ahead"], ["#1f77b4", "up"]];

const $ = (id) => document.getElementById(id);
const told = JSON.parse($("scene").textContent);
const say = (text) => told.words[text] ?? text;
const NAMES = { prediction: say("predicted"), truth: say("true"), input: say("given"), lidar: "LiDAR" };
const state = {
  ...told.opening, layers: new Set(["cloud", "truth", "agents", "cameras"]), hidden: new Set(), view: "chase", fit: false,
};
let sceneNames = [];
let frame = null; // the box around everything: middle and extent, metres
let ground = 0; // metres: how high the road is
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
      cloud.hasSky = cloud.masked && cloud.masks.some((bits) => bits & HAS_TRUTH);
      cloud.pixels = cloud.located ? whole(take(n), take(n), take(n)) : null;
      cloud.errors = cloud.judged ? take(n) : null;
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

/** A column of rising whole numbers from their changes. */
function whole(low, middle, high) {
  const column = new Uint32Array(low.length);
  for (let i = 0, number = 0; i < low.length; i++) column[i] = number += low[i] + 256 * middle[i] + 65536 * high[i];
  return column;
}

/** By how much a point's depth is wrong: metres, NaN where nobody knows. */
function errorOf(cloud, i) {
  const code = cloud.errors ? cloud.errors[i] : 0;
  return code ? Math.sign(code - 128) * ERROR_STEP * Math.expm1(Math.abs(code - 128) / ERROR_CODES) : NaN;
}

/** The numbers of a cloud's points that the mask leaves, without the sky unless it is asked for. */
function kept(cloud, mask) {
  const bit = cloud.masks ? BIT[mask] : 0, isCut = cloud.hasSky && !state.layers.has("sky");
  const found = new Uint32Array(cloud.count);
  let n = 0;
  for (let i = 0; i < cloud.count; i++) {
    if ((!bit || cloud.masks[i] & bit) && (!isCut || cloud.masks[i] & HAS_TRUTH)) found[n++] = i;
  }
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
  if (state.colour === "error") {
    if (!cloud.errors) return { ...plain, color: UNKNOWN };
    const found = Float32Array.from(chosen, (i) => Math.abs(errorOf(cloud, i)));
    return { ...plain, color: found.map((value) => (Number.isNaN(value) ? 0 : value)), colorscale: HARM, cmin: 0, cmax: told.worst };
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
    type: "scatter3d", mode: "markers", scene, x, y, z, name: safe(agent.name), meta: "points", showlegend: false, shown: { agent, source, cloud, chosen, layer },
    marker: marker(agent, number, source, cloud, chosen, z, layer),
    hovertemplate: `${safe(agent.name)}: ${NAMES[source]}<br>%{x:.2f}, %{y:.2f}, %{z:.2f} m<extra></extra>`,
  };
}

/** Plotly reads some HTML in its texts, and draws entities as they are written in some of them. */
const safe = (text) => String(text).replace(/</g, "‹").replace(/>/g, "›");

/** What a point is: its agent, its pixel, how far it is, and by how much that is wrong. */
function wordsOf({ agent, source, cloud, chosen }, k) {
  const i = chosen[k], own = cloud.own.map((column) => column[i]), wrong = errorOf(cloud, i);
  const words = [`${say("agent")} ${agent.name} · ${NAMES[source]}`];
  if (cloud.pixels) words[0] += ` · ${say("column")} ${cloud.pixels[i] % agent.width}, ${say("row")} ${Math.floor(cloud.pixels[i] / agent.width)}`;
  words.push(`${say("range")} ${Math.hypot(...own).toFixed(2)} m`);
  if (!Number.isNaN(wrong)) words[1] += `, ${say("error")} ${wrong < 0 ? "−" : "+"}${Number(Math.abs(wrong).toPrecision(2))} m`;
  else if (cloud.errors) words[1] += `, ${say("the true depth is not known here")}`;
  return words.join("\n");
}

function picked(event) {
  const point = event.points.find((one) => one.data.shown);
  if (point) $("picked").textContent = wordsOf(point.data.shown, point.pointNumber);
}

/** Lines every ten metres on the ground, and the axes at the first agent. */
function groundTraces(scene) {
  const lines = { x: [], y: [], z: [] }, dark = theme() === "dark";
  const put = (...points) => { for (const [x, y] of points) { lines.x.push(x); lines.y.push(y); lines.z.push(x === null ? null : ground); } };
  const [[left, right], [back, ahead]] = [0, 1].map((n) => [Math.ceil(Math.max(-150, frame.low[n]) / GRID) * GRID, Math.floor(Math.min(150, frame.high[n]) / GRID) * GRID]);
  for (let x = left; x <= right; x += GRID) put([x, back], [x, ahead], [null, null]);
  for (let y = back; y <= ahead; y += GRID) put([left, y], [right, y], [null, null]);
  const plain = { type: "scatter3d", mode: "lines", scene, showlegend: false, hoverinfo: "skip" };
  return [{ ...plain, ...lines, line: { width: 1, color: dark ? "#46515d" : "#c3cbd4" } }].concat(AXES.map(([color], n) => {
    const tip = [0, 0, 0];
    tip[n] = 3;
    return { ...plain, x: [0, tip[0]], y: [0, tip[1]], z: [0, tip[2]], line: { width: 6, color } };
  }));
}

/** What each agent's camera saw, at its place: an image on its rays, small; and for one camera the lines to its corners. */
function cameraTraces(source, scene) {
  if (!state.layers.has("cameras")) return [];
  return told.agents.flatMap((agent) => {
    const pose = poseOf(agent, source), seen = agent.seen;
    if (!pose || !seen || state.hidden.has(agent.name)) return [];
    const own = [0, 1, 2].map((axis) => Float32Array.from({ length: seen.rows * seen.columns }, (_, k) => seen.rays[3 * k + axis] / 1000));
    const [x, y, z] = placed({ own }, [...own[0].keys()], pose, 1.6), i = [], j = [], k = [], at = (row, column) => row * seen.columns + column;
    for (let row = 0; row + 1 < seen.rows; row++) {
      for (let column = 0; column + 1 < seen.columns; column++) {
        i.push(at(row, column), at(row, column + 1));
        j.push(at(row + 1, column), at(row + 1, column));
        k.push(at(row, column + 1), at(row + 1, column + 1));
      }
    }
    const mesh = { type: "mesh3d", scene, x, y, z, i, j, k, vertexcolor: seen.colours, hoverinfo: "skip", lighting: { ambient: 1, diffuse: 0, specular: 0 } };
    if (seen.round) return [mesh];
    const [px, py, pz] = position(pose), edges = { x: [], y: [], z: [] };
    for (const corner of [at(0, 0), at(0, seen.columns - 1), at(seen.rows - 1, 0), at(seen.rows - 1, seen.columns - 1)]) {
      edges.x.push(px, x[corner], null);
      edges.y.push(py, y[corner], null);
      edges.z.push(pz, z[corner], null);
    }
    return [mesh, { type: "scatter3d", mode: "lines", scene, ...edges, showlegend: false, hoverinfo: "skip", line: { width: 3, color: getComputedStyle(document.body).color } }];
  });
}

/** From where each agent is said to be to where it is. */
function offTraces(source, scene) {
  const lines = { x: [], y: [], z: [] };
  for (const agent of told.agents) {
    const one = poseOf(agent, source), other = agent.poses.truth;
    if (!one || !other || source === "truth" || state.hidden.has(agent.name)) continue;
    [position(one), position(other), [null, null, null]].forEach((p) => ["x", "y", "z"].forEach((axis, n) => lines[axis].push(p[n])));
  }
  if (!lines.x.length || !state.layers.has("agents")) return [];
  return [{ type: "scatter3d", mode: "lines", scene, ...lines, showlegend: false, hoverinfo: "skip", line: { width: 4, color: "#e5484d", dash: "dash" } }];
}

/** The agents' positions by one source of poses, each with a line where it looks. */
function agentTraces(source, scene) {
  const ink = getComputedStyle(document.body).color;
  const shown = told.agents.map((agent, number) => ({ agent, number }))
    .filter(({ agent }) => agent.poses[source] && !state.hidden.has(agent.name));
  if (!shown.length || !state.layers.has("agents")) return [];
  const places = shown.map(({ agent }) => position(poseOf(agent, source)));
  const colours = shown.map(({ number }) => AGENT_COLOURS[number % AGENT_COLOURS.length]);
  const marks = {
    type: "scatter3d", mode: "markers", scene, showlegend: false,
    x: places.map((p) => p[0]), y: places.map((p) => p[1]), z: places.map((p) => p[2]),
    text: shown.map(({ agent }) => safe(agent.name)),
    marker: { size: source === "truth" ? 11 : 8, symbol: POSE_MARKS[source], color: colours,
      line: { width: 1, color: ink } },
    hovertemplate: `%{text}: ${NAMES[source]}<br>%{x:.2f}, %{y:.2f}, %{z:.2f}<extra></extra>`,
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
    all.push(...cameraTraces(pose, scene), ...offTraces(pose, scene), ...groundTraces(scene));
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
    showbackground: false, gridcolor: grid, showgrid: false, zeroline: false, color: ink, showspikes: false, nticks: 8,
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
      domain: { x: [from, to], y: [0, 1] }, xaxis: axis(0, say("right, m")), yaxis: axis(1, say("ahead, m")),
      zaxis: axis(2, say("up, m")), aspectmode: "manual", aspectratio: { x: span[0], y: span[1], z: span[2] },
      camera: moved || cameraOf(state.view), dragmode: "turntable", bgcolor: "rgba(0,0,0,0)",
    };
    if (state.compare) {
      result.annotations.push({ text: `${say("poses")}: ${NAMES[poseSources()[place]]}`, showarrow: false, x: from + 0.008,
        y: 0.99, xref: "paper", yref: "paper", xanchor: "left", yanchor: "top",
        font: { size: 15, color: dark ? "#e6edf3" : "#1c2733" } });
    }
  });
  return result;
}

const theme = () => (getComputedStyle(document.documentElement).colorScheme === "dark" ? "dark" : "light");

const VIEWS = { chase: say("from behind"), ego: say("as the agent"), top: say("from above"), given: say("as given") };

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
      plot.on("plotly_hover", picked);
      plot.on("plotly_click", picked);
      new ResizeObserver(() => Plotly.Plots.resize(plot)).observe(plot);
    }
    report(shown);
    legend();
    overlay(true);
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

/** The height of the ground: what few points of the first agent are below. */
function groundOf() {
  const { clouds } = told.agents[0] ?? { clouds: {} }, cloud = clouds.truth ?? clouds.lidar ?? clouds.prediction;
  if (!cloud || !cloud.count) return frame.low[2];
  const down = Float32Array.from(cloud.own[1]).sort();
  return -down[Math.floor(0.97 * (down.length - 1))];
}

/** Where a point of a scene is on the screen, in pixels of the view; null behind it. Plotly's own sums, as for its notes. */
function onScreen(scene, point) {
  const { model, view, projection } = scene.glplot.cameraParams, box = $("cloud")._fullLayout._size;
  const times = (m, v) => [0, 1, 2, 3].map((row) => m[row] * v[0] + m[4 + row] * v[1] + m[8 + row] * v[2] + m[12 + row] * v[3]);
  const [x, y, , w] = times(projection, times(view, times(model, [...point.map((value, n) => value * scene.dataScale[n]), 1])));
  if (w <= 0) return null;
  const { domain } = scene.fullSceneLayout, wide = box.w * (domain.x[1] - domain.x[0]);
  return [box.l + box.w * domain.x[0] + (wide * (1 + x / w)) / 2, box.t + (box.h * (1 - y / w)) / 2];
}

let seenFrom = ""; // what the overlay was drawn for

/** Names beside their agents, none over another, and a bar that says how long a metre is in the middle. */
function overlay(anew) {
  const plot = $("cloud"), scenes = sceneNames.map((name) => plot._fullLayout?.[name]?._scene).filter((scene) => scene?.glplot);
  const now = scenes.map((scene) => [...scene.glplot.cameraParams.view, plot.clientWidth, plot.clientHeight].join()).join();
  if (!scenes.length || (!anew && now === seenFrom)) return;
  seenFrom = now;
  const names = [], lines = [], taken = [];
  scenes.forEach((scene, place) => {
    const source = state.compare ? poseSources()[place] : state.pose;
    told.agents.forEach((agent, number) => {
      const pose = poseOf(agent, source), at = pose && onScreen(scene, position(pose));
      if (!at || state.hidden.has(agent.name) || !state.layers.has("agents")) return;
      if (at[0] < 0 || at[1] < 0 || at[0] > plot.clientWidth || at[1] > plot.clientHeight) return;
      const wide = 22 + 7.5 * agent.name.length, high = 24, left = Math.min(Math.max(4, at[0] - wide / 2), Math.max(4, plot.clientWidth - wide - 4));
      const isFree = (top) => taken.every(([x, y, w]) => x + w < left || left + wide < x || Math.abs(y - top) >= high);
      let top = Math.max(4, at[1] - 44);
      while (top > 4 && !isFree(top)) top -= 4;
      while (!isFree(top)) top += 4;
      taken.push([left, top, wide]);
      const name = Object.assign(document.createElement("span"), { textContent: agent.name });
      Object.assign(name.style, { left: `${left}px`, top: `${top}px` });
      name.style.setProperty("--mark", AGENT_COLOURS[number % AGENT_COLOURS.length]);
      names.push(name);
      const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
      Object.entries({ x1: left + wide / 2, y1: top + 22, x2: at[0], y2: at[1] }).forEach(([key, value]) => line.setAttribute(key, value));
      lines.push(line);
    });
  });
  $("names").replaceChildren(...names);
  $("leaders").replaceChildren(...lines);
  const [scene] = scenes, camera = scene.getCamera(), middle = toMetres(camera.center), eye = toMetres(camera.eye);
  const across = [eye[1] - middle[1], middle[0] - eye[0], 0], length = Math.hypot(...across) || 1;
  const one = onScreen(scene, middle), other = onScreen(scene, middle.map((value, n) => value + (length > 1e-3 ? across[n] / length : n === 0)));
  const pixels = one && other ? Math.hypot(one[0] - other[0], one[1] - other[1]) : 0;
  const metres = [1, 2, 5, 10, 20, 50, 100, 200].find((value) => value * pixels >= 50);
  $("bar").hidden = !metres || metres * pixels > 400;
  if ($("bar").hidden) return;
  $("bar").firstElementChild.style.width = `${metres * pixels}px`;
  $("bar").lastElementChild.textContent = `${metres} m ${say("in the middle")}`;
}

/** What a colour that is a number means. */
function legend() {
  const scales = { error: [HARM, "0", `${told.worst} m+`], height: [RAINBOW, "−2.5 m", "8 m"], distance: [[...RAINBOW].reverse(), "0", "60 m"] }, found = scales[state.colour];
  $("legend").hidden = !found;
  if (!found) return;
  const bar = document.createElement("i");
  bar.style.background = `linear-gradient(90deg, ${found[0].map(([, colour]) => colour).join(", ")})`;
  $("legend").replaceChildren(found[1], bar, found[2]);
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
  const words = [`${say("points drawn")}: ${points.toLocaleString("en")}`];
  const lost = told.agents.filter((agent) => !agent.poses[state.pose]).map((agent) => agent.name);
  if (lost.length && !state.compare) words.push(`${say("without a finite pose")}: ${lost.join(", ")}`);
  if (hidden > 0.005) words.push(`${say("hidden by the mask or as sky")}: ${(100 * hidden).toFixed(hidden > 0.99 ? 1 : 0)} %`);
  if (all && hidden > 0.95) words.push(say("set the mask to none to see them"));
  $("status").textContent = words.join("; ");
}

function choose(id, key) {
  const box = $(id);
  box.value = state[key];
  box.addEventListener("change", () => { state[key] = box.value; draw(); });
}

function toggle(parent, label, colour, on, change, words = label) {
  const line = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = on;
  box.name = label;
  box.addEventListener("change", () => { change(box.checked); draw(); });
  line.append(box, document.createTextNode(words));
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
  const layer = (name, words, parent = $("layers")) => toggle(parent, name, "", state.layers.has(name), (on) => (on ? state.layers.add(name) : state.layers.delete(name)), words);
  layer("cloud", say("cloud"));
  if (has("clouds", "truth")) layer("truth", say("ground truth"));
  if (has("clouds", "lidar")) layer("lidar", "LiDAR");
  layer("agents", say("positions"));
  if (told.agents.some((agent) => agent.seen)) layer("cameras", say("cameras"), $("rest"));
  if (told.agents.some((agent) => Object.values(agent.clouds).some((cloud) => cloud.hasSky))) layer("sky", say("sky"), $("rest"));
  told.agents.forEach((agent, number) => toggle($("agents"), agent.name, AGENT_COLOURS[number % AGENT_COLOURS.length],
    true, (on) => (on ? state.hidden.delete(agent.name) : state.hidden.add(agent.name))));
  for (const name of told.opening.camera ? ["given", ...PRESETS] : PRESETS) {
    const button = document.createElement("button");
    button.type = "button";
    button.value = name;
    button.textContent = VIEWS[name];
    button.addEventListener("click", () => look(name));
    $("views").append(button);
  }
  if (told.scale) {
    $("fitted").hidden = false;
    $("fitted").append(`${say("the right scale")} (× ${told.scale.toPrecision(3)})`);
    $("fit").addEventListener("change", () => { state.fit = $("fit").checked; frame = boxed(); draw().then(() => look(state.view)); });
  }
  $("compare").checked = state.compare;
  $("compare").addEventListener("change", () => { state.compare = $("compare").checked; draw(); });
  document.addEventListener("themechange", draw);
}

async function begin() {
  readClouds(await unpacked());
  frame = boxed();
  ground = groundOf();
  state.view = told.opening.camera ? "given" : "chase";
  controls();
  await plotlyReady;
  await draw();
  await look(state.view);
  const go = () => { overlay(false); requestAnimationFrame(go); };
  go();
  document.body.dataset.ready = "yes";
}

begin().catch((problem) => { $("status").textContent = `${say("It cannot be drawn")}: ${problem.message || problem}`; throw problem; });
