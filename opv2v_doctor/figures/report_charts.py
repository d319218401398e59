"""Charts of a report: small inline SVG that follows the page's colours, prints, and needs no script.

Plotly would bring 4.5 MB of JavaScript to a page that is attached to a pull request; these take a few kB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from xml.etree.ElementTree import Element, SubElement, tostring

from opv2v_doctor.text import Text

Say = Callable[[str | Text], str]
Words = str | Text  # what is said in the reader's language is a Text, a name of somebody's is none
Point = tuple[float, ...]  # x, y, and for a span the y of its other end, for what a log says its line

WIDTH, HEIGHT = 360, 210
LEFT, RIGHT, TOP, LEVEL, SLANTED = 64, 10, 8, 38, 62  # margins; below, for level or slanted names
MOST_POINTS = 240  # of a line: more are not seen


@dataclass(frozen=True, kw_only=True)
class Series:
    """One name in the legend: a line, dots, ticks across a row, or spans from one value to another."""

    name: Words
    points: Sequence[Point]
    kind: str = "line"  # line, steps, dots, ticks, dashes or spans; faint, best and last are a line and dots
    colour: int = 0


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One picture of a report, or why there is none."""

    title: Words
    family: str
    caption: Words = ""
    x: Words = ""
    y: Words = ""
    series: tuple[Series, ...] = ()
    columns: tuple[str, ...] = ()  # names at x = 0, 1, 2 where x is no number
    rows: tuple[str, ...] = ()  # and at y
    ends: tuple[float, float] | None = None  # of x, where they do not follow from the points
    ratios: bool = False  # whether the y axis may be logarithmic
    missing: Words = ""

    @property
    def legend(self) -> tuple[tuple[str, Words], ...]:
        """(class, name) of each series."""
        return tuple((f"{one.kind} c{one.colour}", one.name) for one in self.series if one.name)

    def svg(self, say: Say = str) -> str:
        """The picture, its words in the language of `say`."""
        return tostring(_Sheet(self, say).root, encoding="unicode")


class _Sheet:
    """A chart being drawn: its scales, and the elements so far."""

    def __init__(self, chart: Chart, say: Say) -> None:
        self.chart, self.say = chart, say
        points = [point for one in chart.series for point in one.points]
        heights = [
            y
            for one in chart.series
            for point in one.points
            for y in point[1 : 3 if one.kind == "spans" else 2]
        ]
        self.is_slanted = len(chart.columns) > 5
        self.floor = HEIGHT - (SLANTED if self.is_slanted else LEVEL)
        self.x_ends = chart.ends or _ends([point[0] for point in points], len(chart.columns))
        self.y_ends = _ends(heights, len(chart.rows), zero=True)
        named = {"viewBox": f"0 0 {WIDTH} {HEIGHT}", "role": "img", "aria-label": say(chart.title)}
        self.root = Element("svg", named)
        self._axes()
        for one in chart.series:
            group = SubElement(self.root, "g", {"class": f"{one.kind} c{one.colour}"})
            _DRAWN[one.kind](self, group, one)

    def at(self, x: float, y: float) -> tuple[str, str]:
        """Where a value is on the sheet."""
        (left, right), (low, high) = self.x_ends, self.y_ends
        across = LEFT + (x - left) / (right - left) * (WIDTH - LEFT - RIGHT)
        up = self.floor - (y - low) / (high - low) * (self.floor - TOP)
        return f"{across:.1f}", f"{up:.1f}"

    def _axes(self) -> None:
        axes = SubElement(self.root, "g", {"class": "axes"})
        for y, name in _labels(self.chart.rows) or _ticks(*self.y_ends):
            self._stroke(axes, (self.x_ends[0], y), (self.x_ends[1], y))
            across, up = self.at(self.x_ends[0], y)
            self._text(axes, float(across) - 6, float(up) + 4, name, "end")
        for x, name in _labels(self.chart.columns) or _ticks(*self.x_ends):
            across, up = self.at(x, self.y_ends[0])
            words = self._text(
                axes, float(across), float(up) + 15, name, "end" if self.is_slanted else "middle"
            )
            if self.is_slanted:
                words.set("transform", f"rotate(-40 {across} {float(up) + 12:.1f})")
        if self.chart.x:
            self._text(axes, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, self.chart.x, "middle")
        if self.chart.y:
            words = self._text(axes, 12, self.floor / 2, self.chart.y, "middle")
            words.set("transform", f"rotate(-90 12 {self.floor / 2})")

    def _stroke(self, group: Element, start: tuple[float, float], end: tuple[float, float]) -> Element:
        (x1, y1), (x2, y2) = self.at(*start), self.at(*end)
        return SubElement(group, "line", {"x1": x1, "y1": y1, "x2": x2, "y2": y2})

    def _text(self, group: Element, x: float, y: float, words: Words, anchor: str) -> Element:
        element = SubElement(group, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor})
        element.text = words if isinstance(words, str) else self.say(words)
        return element

    def line(self, group: Element, one: Series) -> None:
        """A line through all points."""
        places = " ".join(",".join(self.at(*point[:2])) for point in extremes(one.points))
        SubElement(group, "polyline", {"points": places})

    def dots(self, group: Element, one: Series) -> None:
        """A dot a point; its value appears under the cursor."""
        for point in one.points:
            x, y = self.at(point[0], point[1])
            self._tell(SubElement(group, "circle", {"cx": x, "cy": y, "r": "3.2"}), one, point)

    def line_and_dots(self, group: Element, one: Series) -> None:
        """Few points of a curve: each is to be seen."""
        self.line(group, one)
        self.dots(group, one)

    def ticks(self, group: Element, one: Series) -> None:
        """A stroke across the row of each point."""
        for x, y in one.points:
            self._tell(self._stroke(group, (x, y - 0.38), (x, y + 0.38)), one, (x, y))

    def spans(self, group: Element, one: Series) -> None:
        """From a dot upwards to another value."""
        for x, low, high in one.points:
            self._stroke(group, (x, low), (x, high))
        self.dots(group, one)

    def _tell(self, element: Element, one: Series, point: Point) -> None:
        SubElement(element, "title").text = f"{self.say(one.name)}: {', '.join(f'{v:.4g}' for v in point)}"


_DRAWN: dict[str, Callable[[_Sheet, Element, Series], None]] = {
    "line": _Sheet.line,
    "dashes": _Sheet.line,
    "faint": _Sheet.line,
    "best": _Sheet.dots,
    "last": _Sheet.dots,
    "steps": _Sheet.line_and_dots,
    "dots": _Sheet.dots,
    "ticks": _Sheet.ticks,
    "spans": _Sheet.spans,
}


def extremes(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """As many points as can be seen: of each stretch its lowest and its highest, so that no peak is lost."""
    if len(points) <= most:
        return list(points)
    size = ceil(len(points) / (most / 2))
    stretches = (points[start : start + size] for start in range(0, len(points), size))
    return [point for part in stretches for point in _extremes(part)]


def _extremes(points: Sequence[Point]) -> Iterator[Point]:
    """The lowest and the highest point, in their order."""
    low = min(range(len(points)), key=lambda place: points[place][1])
    high = max(range(len(points)), key=lambda place: points[place][1])
    yield from (points[place] for place in sorted({low, high}))


def _ends(values: Sequence[float], names: int, *, zero: bool = False) -> tuple[float, float]:
    """The ends of an axis: half a place around names, else the values, and 0 where it shall be seen."""
    if names:
        return -0.5, names - 0.5
    low, high = min(values, default=0.0), max(values, default=1.0)
    low = min(0.0, low) if zero else low
    return (low, high + 0.06 * (high - low) * zero) if high > low else (low - 0.5, low + 0.5)


def _labels(names: Sequence[str]) -> list[tuple[float, str]]:
    return [(float(place), name) for place, name in enumerate(names)]


def _ticks(low: float, high: float) -> list[tuple[float, str]]:
    """About five round numbers between the ends."""
    rough = (high - low) / 5
    unit = 10.0 ** floor(log10(rough))
    step = next(unit * times for times in (1, 2, 5, 10) if unit * times >= rough)
    places = range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)
    return [(place * step, _short(place * step)) for place in places]


def _short(value: float) -> str:
    """A number as an axis has room for."""
    return f"{value / 1000:g}k" if abs(value) >= 10_000 else f"{value:.4g}"
