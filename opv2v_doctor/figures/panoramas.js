"use strict";
/* Panoramas of one sample: for each view a grid of linked Plotly images, drawn when it comes into sight. */

const sample = JSON.parse(document.getElementById("sample").textContent);
const say = (text) => sample.words[text] ?? text;
const NAME = 20, AXIS = 18, GAP = 12; // pixels: a panel's name above it, its axis below, the space between
const NARROW = 700; // pixels: panels stand below one another
const NOT_FINITE = 65535; // the code of a depth that is no number; 0 is "not known"
const IN_MASK = 1, IS_VALID = 2, IN_RIG = 4; // bits of a view's flags
const MISSING = [214, 39, 40], EXTRA = [31, 119, 220], INSIDE = [120, 130, 142], WHITE = [245, 247, 250];
const BLACK = [25, 30, 36], LARGEST = 0.25; // share of the range at which a difference in depth is fully coloured
const COLUMNS = ["training", "reference", "difference"];
const COLUMN_NAMES = { training: say("training"), reference: say("reference"), difference: say("difference") };
const state = { x: null, y: null, shown: new Set(COLUMNS), seams: false, lidar: false, far: sample.far, cursor: null };
const figures = [];

const make = (tag, words = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), words);
  node.append(...children);
  return node;
};
const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const theme = (word) => getComputedStyle(document.documentElement).getPropertyValue(word).trim();
const css = (rgb) => `rgb(${rgb.join(" ")})`;
const map = bytesOf(sample.colours);
const mapped = (share) => {
  const place = 3 * Math.round(255 * Math.min(1, Math.max(0, share)));
  return [map[place], map[place + 1], map[place + 2]];
};

async function unpacked(text) {
  const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Depth as codes: each is 1 + (metres - low) / step; stored as changes, low bytes first, then high bytes. */
async function codes(text) {
  const bytes = await unpacked(text), count = bytes.length / 2, found = new Uint16Array(count);
  for (let i = 0, sum = 0; i < count; i += 1) {
    sum = (sum + bytes[i] + 256 * bytes[count + i]) & 65535;
    found[i] = sum;
  }
  return found;
}

async function pixelsOf(uri, width, height) {
  const image = new Image();
  image.src = uri;
  await image.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, width, height).data;
}

/** A picture as a data URI; `colour` gives [r, g, b] of a pixel, or null where nothing is to be seen. */
function painted(width, height, colour) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  for (let i = 0; i < width * height; i += 1) {
    const rgb = colour(i);
    if (rgb) image.data.set([rgb[0], rgb[1], rgb[2], 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
  return canvas.toDataURL("image/png");
}

const metres = (code, depth) => (code - 1) * depth.step + depth.low;
const known = (code, depth) => code > 0 && code < NOT_FINITE && metres(code, depth) > 0;
const spoken = (code, depth) => {
  if (code === 0) return `0 (${say("not known")})`;
  return code === NOT_FINITE ? say("not finite") : `${metres(code, depth).toFixed(depth.digits)} m`;
};
const both = (one, other) => { // -0.25 .. 0.25 as blue .. white .. red
  const share = Math.max(-1, Math.min(1, (one - other) / other / LARGEST)), end = share < 0 ? EXTRA : MISSING;
  return WHITE.map((level, k) => Math.round(level + Math.abs(share) * (end[k] - level)));
};
const signed = (value, digits) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;
const dots = (pairs) => pairs.map(([rgb, words]) => [css(rgb), words]);
const depthLegend = () => ({
  left: "0", right: `${state.far} m`, gradient: [...Array(9).keys()].map((k) => css(mapped(k / 8))),
});

/** The panels of a view by row and column: name, legend, picture (an URI), and the value of a pixel in words. */
function panelsOf(view, got) {
  const { width, height, depth } = view, { flags, source, mine, theirs, rgb, reference } = got, panels = [];
  const add = (row, column, name, panel) => panels.push({ row, column, name, legend: () => null, ...panel });
  const paint = (colour) => () => painted(width, height, colour);
  const levels = (data, i) => `${data[4 * i]} ${data[4 * i + 1]} ${data[4 * i + 2]}`;
  const apart = (i) => Math.max(...[0, 1, 2].map((k) => Math.abs(rgb[4 * i + k] - reference[4 * i + k])));
  const depthPaint = (array) => paint((i) => (known(array[i], depth) ? mapped(metres(array[i], depth) / state.far) : null));
  const bit = (i, which) => (flags[i] & which) > 0;
  const yes = (which) => ({
    picture: paint((i) => (bit(i, which) ? WHITE : BLACK)), value: (i) => (bit(i, which) ? "1" : "0"),
  });
  if (rgb) add("rgb", "training", "RGB", { picture: () => view.rgb, value: (i) => levels(rgb, i) });
  if (reference) add("rgb", "reference", "RGB", { picture: () => view.reference, value: (i) => levels(reference, i) });
  if (rgb && reference) {
    add("rgb", "difference", "RGB", {
      picture: paint((i) => (bit(i, IN_RIG) || rgb[4 * i] + rgb[4 * i + 1] + rgb[4 * i + 2] ? mapped(apart(i) / 128) : null)),
      value: (i) => `${apart(i)} / 255`,
      legend: () => ({ left: "0", right: "128", gradient: [...Array(9).keys()].map((k) => css(mapped(k / 8))) }),
    });
  }
  if (mine) add("depth", "training", say("depth"), { picture: depthPaint(mine), value: (i) => spoken(mine[i], depth), legend: depthLegend });
  if (theirs) add("depth", "reference", say("depth"), { picture: depthPaint(theirs), value: (i) => spoken(theirs[i], depth), legend: depthLegend });
  if (mine && theirs) {
    add("depth", "difference", say("depth"), {
      picture: paint((i) => {
        const one = known(mine[i], depth), other = known(theirs[i], depth);
        if (one && other) return both(metres(mine[i], depth), metres(theirs[i], depth));
        return other ? [255, 170, 0] : one ? [150, 90, 200] : null;
      }),
      value: (i) => {
        const one = known(mine[i], depth), other = known(theirs[i], depth);
        if (!one || !other) return other ? say("training lacks it") : one ? say("reference lacks it") : say("neither");
        const far = metres(theirs[i], depth), gap = metres(mine[i], depth) - far;
        return `${signed(gap, 2)} m (${signed((100 * gap) / far, 1)} %)`;
      },
      legend: () => ({
        left: "−25 %", right: "+25 %", gradient: [css(EXTRA), css(WHITE), css(MISSING)],
        dots: dots([[[255, 170, 0], say("lost")], [[150, 90, 200], say("extra")]]),
      }),
    });
  }
  if (view.has_mask) add("mask", "training", "non_ambiguous_mask", yes(IN_MASK));
  if (source) add("mask", "reference", say("what the rig sees"), yes(IN_RIG));
  if (view.has_mask && source) {
    const state_ = (i) => (bit(i, IN_RIG) ? (bit(i, IN_MASK) ? 0 : 1) : bit(i, IN_MASK) ? 2 : 3);
    add("mask", "difference", say("mask"), {
      picture: paint((i) => [INSIDE, MISSING, EXTRA, BLACK][state_(i)]),
      value: (i) => [`${say("same")}: 1`, say("missing"), say("extra"), `${say("same")}: 0`][state_(i)],
      legend: () => ({ dots: dots([[MISSING, say("missing")], [EXTRA, say("extra")]]) }),
    });
  }
  if (view.has_valid) add("valid", "training", "valid_mask", yes(IS_VALID));
  if (theirs) {
    const isKnown = (i) => known(theirs[i], depth) && bit(i, IN_RIG);
    const yesOrNo = (i) => (isKnown(i) ? (bit(i, IS_VALID) ? 0 : 1) : bit(i, IS_VALID) ? 2 : 3);
    add("valid", "reference", say("where depth is known"), { picture: paint((i) => (isKnown(i) ? WHITE : BLACK)), value: (i) => (isKnown(i) ? "1" : "0") });
    if (view.has_valid) {
      add("valid", "difference", "valid_mask", {
        picture: paint((i) => [INSIDE, MISSING, EXTRA, BLACK][yesOrNo(i)]),
        value: (i) => [`${say("same")}: 1`, say("missing"), say("extra"), `${say("same")}: 0`][yesOrNo(i)],
        legend: () => ({ dots: dots([[MISSING, say("missing")], [EXTRA, say("extra")]]) }),
      });
    }
  }
  return panels;
}

/** Where the camera that shows a pixel changes, as a picture that is else transparent: two pixels wide. */
function seamsOf(view, source) {
  const { width, height } = view, at = (column, row) => source[Math.min(Math.max(row, 0), height - 1) * width + ((column + width) % width)];
  return painted(width, height, (i) => {
    const column = i % width, row = Math.floor(i / width), own = source[i];
    const changes = own !== at(column + 1, row) || own !== at(column - 1, row) || own !== at(column, row + 1) || own !== at(column, row - 1);
    return changes ? [255, 45, 120] : null;
  });
}

/** The LiDAR's points in a view, coloured by their depth, as a picture that is else transparent. */
function lidarOf(view) {
  const { width, height } = view, at = new Map(), side = width > 300 ? 2 : 1;
  for (const [column, row, depth] of view.lidar) {
    for (let k = 0; k < side * side; k += 1) at.set((row + Math.floor(k / side)) * width + column + (k % side), depth / 10);
  }
  return painted(width, height, (i) => (at.has(i) ? mapped(at.get(i) / state.far) : null));
}

class Figure {
  constructor(view, holder) {
    Object.assign(this, { view, holder, drawn: false, visible: false, following: 0, panels: [], chart: make("div") });
    holder.append(this.chart);
    new IntersectionObserver(([entry]) => this.show(entry.isIntersecting), { rootMargin: "200px" }).observe(holder);
    new ResizeObserver(() => this.drawn && holder.clientWidth !== this.width && this.draw()).observe(holder);
    holder.addEventListener("pointermove", (event) => this.point(event));
    holder.addEventListener("pointerleave", () => setCursor(null));
    holder.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !document.getElementById("wheel").checked) event.stopPropagation();
    }, { capture: true });
    holder.style.height = `${this.measured().total}px`; // so that sections do not jump when they are drawn
  }

  async show(visible) {
    this.visible = visible;
    if (!visible) return;
    if (!this.drawing) this.drawing = this.load().then(() => this.draw()).then(() => { this.drawn = true; });
    else if (this.drawn) this.follow();
  }

  async load() {
    const { view } = this, { width, height } = view, picture = (uri) => uri && pixelsOf(uri, width, height);
    const [flags, source, mine, theirs, rgb, reference] = await Promise.all([
      unpacked(view.flags), view.source && unpacked(view.source), view.depth?.mine && codes(view.depth.mine),
      view.depth?.theirs && codes(view.depth.theirs), picture(view.rgb), picture(view.reference), plotlyReady,
    ]);
    this.got = { flags, source, mine, theirs, rgb, reference };
    this.all = panelsOf(view, this.got);
    this.seams = source && seamsOf(view, source);
  }

  /** Where panels are, in pixels of the holder. */
  measured() {
    const columns = COLUMNS.filter((name) => state.shown.has(name) && (name === "training" || this.view.source));
    const rows = ["rgb", "depth", "mask", "valid"], width = Math.max(300, this.holder.clientWidth);
    const across = width < NARROW ? 1 : Math.max(1, columns.length), lines = (rows.length * columns.length) / across;
    const wide = (width - GAP * (across - 1)) / across, high = (wide * this.view.height) / this.view.width;
    return { columns, rows, width, wide, high, across, lines, total: lines * (NAME + high) + AXIS };
  }

  async draw() {
    const size = this.measured(), data = [], axes = {};
    this.width = this.holder.clientWidth;
    this.holder.style.height = `${size.total}px`;
    this.panels = this.all.filter((panel) => size.columns.includes(panel.column));
    this.panels.forEach((panel, k) => {
      const place = size.rows.indexOf(panel.row) * size.columns.length + size.columns.indexOf(panel.column);
      panel.line = Math.floor(place / size.across);
      panel.left = (place % size.across) * (size.wide + GAP);
      panel.top = panel.line * (size.high + NAME) + NAME;
      Object.assign(panel, { wide: size.wide, high: size.high, number: k ? String(k + 1) : "" });
      Object.assign(axes, this.axes(panel, size));
      const trace = { type: "image", xaxis: `x${panel.number}`, yaxis: `y${panel.number}`, hoverinfo: "skip" };
      data.push({ ...trace, source: panel.picture() });
      if (this.seams && state.seams && panel.row !== "valid") data.push({ ...trace, source: this.seams });
      const scanned = state.lidar && this.view.lidar && ["rgb", "depth"].includes(panel.row) && panel.column !== "difference";
      if (scanned) data.push({ ...trace, source: lidarOf(this.view) });
    });
    const layout = {
      ...axes, width: size.width, height: size.total, margin: { l: 0, r: 0, t: 0, b: 0, pad: 0 }, dragmode: "pan",
      hovermode: false, showlegend: false, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: theme("--empty"),
      font: { size: 10, color: theme("--faint") }, annotations: this.names(),
    };
    await Plotly.react(this.chart, data, layout, { displayModeBar: false, scrollZoom: true, doubleClick: "reset", responsive: false });
    this.label();
    if (this.listening) return;
    this.listening = true;
    this.chart.on("plotly_relayouting", (change) => shareRange(this, change));
    this.chart.on("plotly_relayout", (change) => shareRange(this, change));
    this.chart.on("plotly_doubleclick", () => setRange(null, null, null));
  }

  axes(panel, size) {
    const { view } = this, { number } = panel, full = fullRange(view), last = panel.line === size.lines - 1;
    const shared = { showgrid: false, zeroline: false, ticks: "", showticklabels: false };
    const x = {
      ...shared, anchor: `y${number}`, domain: [panel.left / size.width, Math.min(1, (panel.left + size.wide) / size.width)],
      range: state.x ?? full.x, minallowed: full.x[0], maxallowed: full.x[1],
      showticklabels: last, tickangle: 0, ...(view.azimuth ? azimuthTicks(view) : {}),
    };
    const y = {
      ...shared, anchor: `x${number}`, scaleanchor: false,
      domain: [Math.max(0, 1 - (panel.top + size.high) / size.total), 1 - panel.top / size.total],
      range: state.y ?? full.y, minallowed: full.y[1], maxallowed: full.y[0],
    };
    if (number) Object.assign(x, { matches: "x" }), Object.assign(y, { matches: "y" });
    return { [`xaxis${number}`]: x, [`yaxis${number}`]: y };
  }

  /** The cameras' names on what they show, while seams are shown. */
  names() {
    if (!state.seams) return [];
    const rows = this.panels.filter((panel) => panel.row === "rgb" && panel.column !== "difference");
    return rows.flatMap((panel) => (this.view.places ?? []).map(([name, x, y]) => ({
      text: name, x, y, xref: `x${panel.number}`, yref: `y${panel.number}`, showarrow: false,
      xanchor: x < 0.07 * this.view.width ? "left" : x > 0.93 * this.view.width ? "right" : "center", font: { size: 11, color: "#fff" }, bgcolor: "rgba(0,0,0,.6)", borderpad: 2,
    })));
  }

  label() {
    this.holder.querySelectorAll(".name, .cross").forEach((node) => node.remove());
    for (const panel of this.panels) {
      const name = make("div", { className: "name" });
      Object.assign(name.style, { left: `${panel.left}px`, top: `${panel.top - NAME}px`, width: `${panel.wide}px` });
      const what = make("span", { className: "what", textContent: `${COLUMN_NAMES[panel.column]} · ${panel.name}` });
      panel.output = make("span", { className: "value" });
      panel.output.dataset.panel = `${panel.row} ${panel.column}`;
      name.append(what, legendOf(panel.legend()), panel.output);
      panel.cross = make("div", { className: "cross", hidden: true });
      Object.assign(panel.cross.style, { left: `${panel.left}px`, top: `${panel.top}px`, width: `${panel.wide}px`, height: `${panel.high}px` });
      this.holder.append(name, panel.cross);
    }
    this.follow();
  }

  point(event) {
    const box = this.holder.getBoundingClientRect(), left = event.clientX - box.left, top = event.clientY - box.top;
    const panel = this.panels.find((one) => left >= one.left && left < one.left + one.wide && top >= one.top && top < one.top + one.high);
    if (!panel) return setCursor(null);
    const full = fullRange(this.view), [x0, x1] = state.x ?? full.x, [y1, y0] = state.y ?? full.y; // y's first is the bottom
    const u = Math.round(x0 + ((left - panel.left) / panel.wide) * (x1 - x0)), v = Math.round(y0 + ((top - panel.top) / panel.high) * (y1 - y0));
    const inside = u >= 0 && u < this.view.width && v >= 0 && v < this.view.height;
    return setCursor(inside ? { u, v, figure: this, panel, x: event.clientX, y: event.clientY } : null);
  }

  /** Show the shared range. */
  follow() {
    if (!this.panels.length) return;
    const full = fullRange(this.view), x = state.x ?? full.x, y = state.y ?? full.y, shown = this.chart.layout;
    if (far(shown.xaxis.range, x) || far(shown.yaxis.range, y)) {
      this.following += 1; // what follows is no news to the others
      Plotly.relayout(this.chart, { "xaxis.range": [...x], "yaxis.range": [...y] }).finally(() => { this.following -= 1; });
    }
    this.tell();
  }

  /** Show the values under the shared cursor, and where it is. */
  tell() {
    const full = fullRange(this.view), x = state.x ?? full.x, y = state.y ?? full.y;
    const { cursor } = state, fits = cursor && cursor.u < this.view.width && cursor.v < this.view.height;
    for (const panel of this.panels) {
      panel.output.textContent = fits ? panel.value(cursor.v * this.view.width + cursor.u) : "";
      panel.cross.hidden = !fits;
      if (!fits) continue;
      panel.cross.style.setProperty("--u", `${((cursor.u - x[0]) / (x[1] - x[0])) * panel.wide}px`);
      panel.cross.style.setProperty("--v", `${((cursor.v - y[1]) / (y[0] - y[1])) * panel.high}px`);
    }
  }
}

const fullRange = (view) => ({ x: [-0.5, view.width - 0.5], y: [view.height - 0.5, -0.5] });
const far = (one, other) => Math.abs(one[0] - other[0]) + Math.abs(one[1] - other[1]) > 1e-6;

function legendOf(legend) {
  if (!legend) return "";
  const node = make("span", { className: "legend" });
  if (legend.gradient) {
    const bar = make("i");
    bar.style.background = `linear-gradient(90deg, ${legend.gradient.join(", ")})`;
    node.append(legend.left, bar, legend.right);
  }
  for (const [colour, words] of legend.dots ?? []) {
    const dot = make("i", { className: "dot" });
    dot.style.background = colour;
    node.append(dot, words);
  }
  return node;
}

/** An azimuth in words: degrees to the right of straight ahead. */
const DIRECTIONS = [say("ahead"), say("ahead right"), say("right"), say("behind right"), say("behind"), say("behind left"), say("left"), say("ahead left")];
const directionOf = (degrees) => DIRECTIONS[((Math.round(degrees / 45) % 8) + 8) % 8];

/** Degrees to the right of straight ahead, at the bottom of each column. */
function azimuthTicks(view) {
  const { horizontal } = view.azimuth, degrees = [-180, -135, -90, -45, 0, 45, 90, 135, 180].filter((a) => Math.abs(a) <= horizontal / 2);
  return { tickvals: degrees.map((a) => (a / horizontal + 0.5) * view.width - 0.5), ticktext: degrees.map((a) => (a % 90 ? `${a}°` : directionOf(a))) };
}

function angles(view, u, v) {
  if (!view.azimuth) return "";
  const { horizontal, vertical, middle } = view.azimuth;
  const azimuth = ((u + 0.5) / view.width - 0.5) * horizontal, elevation = middle + (0.5 - (v + 0.5) / view.height) * vertical;
  return `   ${say("azimuth")} ${azimuth.toFixed(1)}° (${directionOf(azimuth)})  ${say("elevation")} ${elevation.toFixed(1)}°`;
}

function setCursor(cursor) {
  state.cursor = cursor;
  for (const figure of figures) if (figure.visible && figure.drawn) figure.tell();
  const tip = document.getElementById("tip");
  tip.hidden = !cursor;
  if (!cursor) return;
  const { u, v, figure, panel } = cursor, value = panel.value(v * figure.view.width + u);
  const shows = figure.got.source && figure.view.cameras[figure.got.source[v * figure.view.width + u]];
  tip.textContent = `${panel.name}: ${value}\n${say("column")} ${u}  ${say("row")} ${v}${angles(figure.view, u, v)}${shows ? `\n${shows}` : ""}`;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${cursor.x + 16 + width > innerWidth ? cursor.x - width - 12 : cursor.x + 16}px`;
  tip.style.top = `${cursor.y + 18 + height > innerHeight ? cursor.y - height - 12 : cursor.y + 18}px`;
}

/** What somebody moved one figure to holds for all. */
function shareRange(figure, change) {
  if (figure.following) return;
  const of = (axis) => {
    const key = Object.keys(change).find((word) => new RegExp(`^${axis}axis\\d*\\.range(\\[0\\])?$`).test(word));
    if (!key) return figure.chart.layout[`${axis}axis`].range;
    return key.endsWith("]") ? [change[key], change[key.replace("[0]", "[1]")]] : change[key];
  };
  setRange(figure, [...of("x")], [...of("y")]);
}

let waiting = false, moved = null; // the figure that shows the state already: it moves by itself
function setRange(mover, x, y) {
  Object.assign(state, { x, y });
  moved = mover;
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    for (const figure of figures) if (figure !== moved && figure.visible && figure.drawn) figure.follow();
    moved?.tell();
  });
}

function zoom(factor) {
  const view = sample.views[0], full = fullRange(view), x = state.x ?? full.x, y = state.y ?? full.y;
  const scaled = ([from, to], low, high) => {
    const half = ((to - from) / 2) * factor, limit = (value) => Math.min(high, Math.max(low, value));
    return [limit((from + to) / 2 - half), limit((from + to) / 2 + half)];
  };
  setRange(null, scaled(x, ...full.x), scaled(y, full.y[1], full.y[0]));
}

const redraw = () => figures.forEach((figure) => figure.drawn && figure.draw());

/** One line of words; a pair [words, kind] is coloured by its kind. */
const words = (line) => (Array.isArray(line) ? make("span", { textContent: line[0], className: line[1] }) : line);

/** What is wrong, a line each, and all else in one line. */
function notesOf(lines) {
  const wrong = lines.filter(Array.isArray).map((line) => make("p", {}, words(line))), rest = lines.filter((line) => !Array.isArray(line));
  return [...wrong, make("p", { className: "words", textContent: rest.map((line) => `${line}.`).join(" ") })];
}

function sourcesOf(view) {
  const holder = make("div", { className: "sources", hidden: true });
  holder.fill = () => {
    if (holder.children.length) return;
    for (const source of view.sources) {
      const image = make("img", { src: source.uri, alt: source.name, width: source.width, height: source.height });
      image.style.height = "auto";
      const picture = make("div", { className: "picture" }, image);
      if (view.crop) {
        const [left, top, right, bottom] = view.crop.map((share) => 100 * share), frame = make("div", { className: "crop" });
        Object.assign(frame.style, { left: `${left}%`, top: `${top}%`, width: `${right - left}%`, height: `${bottom - top}%` });
        picture.append(frame);
      }
      const caption = `${source.name} · ${source.width} x ${source.height}${view.crop ? ` · ${say("framed: what the crop leaves")}` : ""}`;
      const figure = make("figure", {}, picture, make("figcaption", { textContent: caption, title: source.path }));
      picture.addEventListener("click", () => figure.classList.toggle("large"));
      holder.append(figure);
    }
  };
  return holder;
}

/** The cameras of each agent beside each other, from left to right, each a link to its view. */
function mosaicOf(views) {
  const agents = [...new Set(views.map((view) => view.agent).filter(Boolean))], order = ["camera2", "camera0", "camera1", "camera3"];
  return agents.map((agent) => {
    const own = views.filter((view) => view.agent === agent && view.rgb).sort((a, b) => order.indexOf(a.camera) - order.indexOf(b.camera));
    const pictures = own.map((view) => {
      const image = make("img", { src: view.rgb, alt: view.name, width: view.width, height: view.height });
      image.style.height = "auto";
      const link = make("a", { href: `#view${views.indexOf(view)}` }, make("div", { className: "picture" }, image));
      return make("figure", {}, link, make("figcaption", { textContent: view.camera }));
    });
    return make("div", { className: "mosaic" }, make("h2", { textContent: `${say("agent")} ${agent}` }), make("div", { className: "sources" }, ...pictures));
  });
}

function build() {
  document.getElementById("facts").append(...sample.facts.map((line) => make("p", { className: "words" }, words(line))));
  document.getElementById("mosaic").append(...mosaicOf(sample.views));
  const table = document.getElementById("agents"), row = (tag, cells) => make("tr", {}, ...cells.map((cell) => make(tag, {}, words(cell))));
  table.append(row("th", sample.table[0]));
  sample.views.forEach((view, number) => {
    const cells = row("td", sample.table[number + 1]), first = cells.firstChild;
    first.replaceChildren(make("a", { href: `#view${number}`, textContent: first.textContent }));
    table.append(cells);
    const section = make("section", { id: `view${number}` });
    const title = make("div", { className: "title" }, make("h2", { textContent: view.name }), ...view.words.map((line) => make("span", { className: "words" }, words(line))));
    const pose = make("details", {}, make("summary", { textContent: say("pose, types, files") }), make("pre", { textContent: view.details }));
    const holder = make("div", { className: "panels" }), sources = sourcesOf(view);
    section.append(title, ...notesOf(view.notes), pose, sources, holder);
    document.getElementById("views").append(section);
    if (view.flags) figures.push(new Figure(view, holder));
  });
}

function toggle(id, act) {
  const button = document.getElementById(id);
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    act(on);
  });
}

function controls() {
  for (const name of sample.views.some((view) => view.source) ? COLUMNS : []) {
    const box = make("input", { type: "checkbox", checked: true });
    box.addEventListener("change", () => {
      state.shown[box.checked ? "add" : "delete"](name);
      redraw();
    });
    document.getElementById("columns").append(make("label", {}, box, COLUMN_NAMES[name]));
  }
  toggle("seams", (on) => { state.seams = on; redraw(); });
  toggle("lidar", (on) => { state.lidar = on; redraw(); });
  toggle("sources", (on) => document.querySelectorAll(".sources").forEach((holder) => {
    if (on) holder.fill();
    holder.hidden = !on;
  }));
  const farthest = document.getElementById("far");
  farthest.value = state.far;
  farthest.addEventListener("change", () => { state.far = Math.max(1, Number(farthest.value) || sample.far); redraw(); });
  document.getElementById("nearer").addEventListener("click", () => zoom(0.5));
  document.getElementById("wider").addEventListener("click", () => zoom(2));
  document.getElementById("whole").addEventListener("click", () => setRange(null, null, null));
  document.addEventListener("themechange", redraw);
}

controls();
build();
