"use strict";
/* The charts of a log: drawn by Plotly in the page's colours; findings and launches stand where their steps are. */
{
  const told = JSON.parse(document.getElementById("curves-data").textContent);
  const say = (text) => told.words[text] ?? text;
  const figures = [...document.querySelectorAll("#curves figure")];
  const plots = figures.map((figure) => figure.querySelector(".plot"));
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const safe = (text) => text.replace(/</g, "‹").replace(/>/g, "›"); // Plotly reads some HTML
  const ROW = 14, LETTER = 7, MOST_ROWS = 3; // pixels of a label above a chart, and how many stand above one another
  let selected = null, revision = 0;

  const KINDS = {
    line: { mode: "lines", line: { width: 1.7 } }, faint: { mode: "lines", line: { width: 1 }, opacity: 0.55 },
    steps: { mode: "lines+markers", line: { width: 2 }, marker: { size: 6 } }, dashes: { mode: "lines", line: { width: 1.7, dash: "dash" } },
    dots: { mode: "markers", marker: { size: 7 } },
    best: { mode: "markers", marker: { size: 13, symbol: "star" } }, last: { mode: "markers", marker: { size: 13, symbol: "circle-open", line: { width: 2 } } },
  };

  function tracesOf(chart) {
    return chart.series.map((one) => {
      const colour = style(`--c${one.colour}`), kind = KINDS[one.kind], where = one.lines ? `, ${say("line")} %{customdata}` : "";
      return {
        x: one.x, y: one.y, customdata: one.lines, name: safe(one.name), visible: one.hidden ? "legendonly" : true, showlegend: false, ...kind,
        line: { ...kind.line, color: colour }, marker: { ...kind.marker, color: colour },
        hovertemplate: `%{y:.5~g}${where}<extra>${safe(one.name)}</extra>`,
      };
    });
  }

  const toneOf = (mark) => style(mark.severity === "error" ? "--failed" : "--warned");

  /** Launches as bands, findings as lines; the one that was chosen is thick. What else happened is a narrow band of its own. */
  function shapesOf() {
    const upright = { yref: "paper", y0: 0, y1: 1 };
    const bands = told.bands.map(([x0, x1]) => ({ type: "rect", x0, x1, ...upright, fillcolor: style("--band"), line: { width: 0 }, layer: "below" }));
    const events = told.events.map(({ x: [x0, x1] }) => ({ type: "rect", x0, x1, ...upright, fillcolor: style("--event"), line: { color: style("--event"), width: 1 }, layer: "below" }));
    return bands.concat(events, told.marks.map((mark) => ({
      type: "line", x0: mark.x, x1: mark.x, ...upright,
      line: { color: toneOf(mark), width: mark.id === selected ? 4 : 1.3, dash: mark.id === selected ? "solid" : "dot" },
    })));
  }

  /** Codes above the first chart, in rows so that none covers another; those for which there is no room are left out. */
  function labelsOf(width, [from, to]) {
    const ends = Array(MOST_ROWS).fill(-Infinity), labels = [];
    for (const mark of [...told.marks].sort((one, other) => (other.id === selected) - (one.id === selected) || one.x - other.x)) {
      const half = (LETTER * mark.code.length) / 2 + 3, at = Math.min(width - half, Math.max(half, ((mark.x - from) / (to - from)) * width));
      const row = ends.findIndex((_, k) => labels.every((label) => label.row !== k || Math.abs(label.at - at) > half + label.half));
      if (row >= 0 && mark.x >= from && mark.x <= to) labels.push({ mark, row, at, half });
    }
    return labels.map(({ mark, row, at }) => ({
      x: at / width, xref: "paper", yref: "paper", y: 1, yshift: row * ROW + 8, text: mark.code, showarrow: false, xanchor: "center", yanchor: "middle",
      font: { size: 11, color: toneOf(mark) }, captureevents: true, name: mark.id, hovertext: safe(mark.message), borderpad: 0,
    }));
  }

  /** A sign at the foot of each chart for what happened and is no finding: it tells what, under the pointer. */
  const signsOf = ([from, to]) => told.events.filter(({ x: [x0, x1] }) => x1 >= from && x0 <= to).map(({ x: [x0, x1], told: what }) => ({
    x: Math.min(to, Math.max(from, (x0 + x1) / 2)), xref: "x", yref: "paper", y: 0, yshift: 7, text: "◆", showarrow: false, hovertext: safe(what),
    font: { size: 11, color: style("--faint") }, borderpad: 0,
  }));

  /** Ticks of numbers that a config writes as 5e-05. */
  function smallTicks(peak) {
    const unit = 10 ** Math.floor(Math.log10(peak)), step = unit * (peak / unit > 5 ? 2 : peak / unit > 2 ? 1 : 0.5);
    const tickvals = Array.from({ length: Math.floor(peak / step + 1e-9) + 1 }, (_, k) => k * step);
    const ticktext = tickvals.map((value) => (value ? Number(value.toPrecision(6)).toExponential().replace(/e-(\d)$/, "e-0$1") : "0"));
    return { tickvals, ticktext };
  }

  let range = null; // of the epochs, as somebody zoomed; null shows all

  function layoutOf(chart, number) {
    const grid = { gridcolor: style("--line"), zeroline: false, color: style("--faint"), linecolor: style("--line"), automargin: false };
    const left = 62, right = 14, across = (range ?? told.span), wide = plots[number].clientWidth - left - right;
    const labels = number ? [] : labelsOf(wide, across), rows = number ? 0 : 1 + Math.max(-1, ...labels.map((label) => (label.yshift - 8) / ROW));
    const peak = Math.max(...chart.series.flatMap((one) => one.y.map(Math.abs)));
    return {
      margin: { l: left, r: right, t: 8 + rows * ROW, b: 40 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false,
      font: { family: "inherit", size: 12, color: style("--faint") }, hovermode: "x unified", dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
      hoverlabel: { bgcolor: style("--paper"), bordercolor: style("--line"), font: { color: style("--ink") } },
      xaxis: { ...grid, range: [...across], title: { text: chart.x, standoff: 4 }, nticks: wide < 400 ? 6 : 11,
        ...(chart.columns.length ? { tickvals: chart.columns.map((_, k) => k), ticktext: chart.columns.map(safe) } : {}) },
      yaxis: {
        ...grid, title: { text: chart.y, standoff: 4 }, type: chart.log ? "log" : "linear", rangemode: chart.zero && !chart.log ? "tozero" : "normal", nticks: 6,
        ...(chart.log ? { dtick: "D2", tickformat: "~g" } : peak > 0 && peak < 1e-3 ? smallTicks(peak) : { tickformat: "~g" }), fixedrange: true,
      },
      shapes: shapesOf(), annotations: [...labels, ...signsOf(across)], datarevision: (revision += 1),
    };
  }

  const drawn = (number) => Plotly.react(plots[number], tracesOf(told.charts[number]), layoutOf(told.charts[number], number), { displayModeBar: false, doubleClick: false });
  const draw = () => Promise.all(plots.map((_, number) => drawn(number)));

  function select(id) {
    selected = id;
    draw();
    document.getElementById("curves").scrollIntoView();
  }

  /** A finding's place leads to its step in the curves. */
  function connect() {
    for (const mark of told.marks) {
      for (const place of document.querySelectorAll(`[id="${mark.id}"] .place, [data-finding="${mark.id}"] .place`)) {
        const button = Object.assign(document.createElement("button"), { type: "button", className: "to-step", textContent: say("show its step") });
        button.addEventListener("click", (event) => { event.stopPropagation(); select(mark.id); });
        place.append(button);
        place.closest(".finding, .first").querySelector(".message")?.addEventListener("click", () => select(mark.id));
      }
    }
  }

  async function begin() {
    for (const chart of told.charts) {
      const values = chart.series.flatMap((one) => one.y), low = Math.min(...values), high = Math.max(...values);
      chart.zero = low >= 0;
      chart.log = chart.ratios && high / low > 50;
    }
    await plotlyReady;
    await draw();
    figures.forEach((figure, number) => {
      const chart = told.charts[number];
      [...figure.querySelectorAll(".legend button:not(.scale)")].forEach((button, k) => button.addEventListener("click", () => {
        chart.series[k].hidden = !chart.series[k].hidden;
        button.setAttribute("aria-pressed", String(!chart.series[k].hidden));
        drawn(number);
      }));
      const scale = figure.querySelector(".scale");
      scale?.setAttribute("aria-pressed", String(chart.log));
      scale?.addEventListener("click", () => {
        chart.log = !chart.log;
        scale.setAttribute("aria-pressed", String(chart.log));
        drawn(number);
      });
      plots[number].on("plotly_relayout", (change) => {
        if (!("xaxis.range[0]" in change)) return;
        range = [change["xaxis.range[0]"], change["xaxis.range[1]"]];
        draw();
      });
      plots[number].on("plotly_doubleclick", () => { range = null; draw(); });
      plots[number].on("plotly_clickannotation", ({ annotation }) => { if (annotation.name) location.hash = annotation.name; });
    });
    let width = innerWidth;
    addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; draw(); } });
    document.addEventListener("themechange", draw);
    document.body.dataset.ready = "true";
  }

  connect();
  if (plots.length) begin();
}
