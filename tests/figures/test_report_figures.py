"""The pictures of a report: drawn of what the checks have measured, or the reason why not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree.ElementTree import Element, fromstring

import pytest

from opv2v_doctor import Target, Text
from opv2v_doctor.figures.report_charts import MOST_POINTS, Chart, Series, extremes
from opv2v_doctor.figures.report_figures import DEPTHS, LENGTHS, LOSSES, MASKS, RATES, SECTORS, charts
from opv2v_doctor.registry import installed_checks
from opv2v_doctor.result import Result, Status
from opv2v_doctor.target import make_target
from opv2v_doctor.testing import run_check

DRAWN_OF = ("LDR001", "SCH002", "MSK001", "GEO007", "LOG003")


@pytest.fixture(scope="module")
def measured(healthy: Path) -> Target:
    return make_target(repo=healthy, python=sys.executable, gpus=4)


@pytest.fixture(scope="module")
def drawn(measured: Target) -> dict[str | Text, Chart]:
    results = [run_check(code, measured) for code in DRAWN_OF]
    return {chart.title: chart for chart in charts(measured, results)}


def of(svg: str, tag: str) -> list[Element]:
    return list(fromstring(svg).iter(tag))


def test_all_are_drawn_of_a_healthy_run(drawn: dict[str | Text, Chart]) -> None:
    assert list(drawn) == [LENGTHS, RATES, MASKS, DEPTHS, SECTORS, LOSSES]
    assert not [chart.missing for chart in drawn.values() if chart.missing]
    assert all(of(chart.svg(), "polyline") or of(chart.svg(), "circle") for chart in drawn.values())


def test_steps_and_rates_are_those_of_the_facts(drawn: dict[str | Text, Chart]) -> None:
    steps = [point[1] for point in drawn[LENGTHS].series[0].points]
    assert steps[3:5] == [10, 8]
    four, *others = drawn[RATES].series
    assert four.points[-1][0] == pytest.approx(29)
    five = [one for one in others if str(one.name).startswith("5 GPUs")]
    assert [one.points[-1][0] < four.points[-1][0] for one in five] == [True]


def test_masks_lie_where_the_rig_sees(drawn: dict[str | Text, Chart]) -> None:
    seen, cropped, mask, _ = drawn[MASKS].series
    assert mask.points
    assert {round(x, 1) for x, _ in mask.points} == {round(x, 1) for x, _ in seen.points}
    assert max(x for x, _ in cropped.points) < 0.5
    assert drawn[MASKS].rows == ("test", "val", "train")


def test_an_evaluation_is_drawn_after_the_epochs_before_it(drawn: dict[str | Text, Chart]) -> None:
    _, training, evaluation, *_ = drawn[LOSSES].series
    assert max(point[0] for point in evaluation.points) <= max(point[0] for point in training.points)


def test_what_was_not_asked_for_is_not_drawn(measured: Target) -> None:
    assert list(charts(measured, [])) == []


def test_what_was_not_measured_has_a_reason(measured: Target) -> None:
    (check,) = [check for check in installed_checks() if check.code == "GEO007"]
    blocked = Result(check=check, status=Status.BLOCKED, reason=Text("needs {codes}", codes=["DAT001"]))
    (chart,) = charts(measured, [blocked])
    assert (chart.title, str(chart.missing)) == (DEPTHS, "GEO007 was blocked: needs DAT001")


def test_what_was_measured_and_compared_with_nothing_is_drawn(broken: Callable[..., Path]) -> None:
    repo = broken()
    settings = repo / "opv2v-doctor.toml"
    settings.write_text(settings.read_text().replace("steps_per_epoch = 10", ""))
    target = make_target(repo=repo)
    result = run_check("LDR001", target)
    assert result.status is Status.SKIPPED
    (chart,) = charts(target, [result])
    assert not chart.missing
    assert chart.series


def test_names_are_text() -> None:
    hostile = "</svg><script>alert(1)</script>"
    chart = Chart(title=hostile, family="log", series=(Series(name=hostile, points=[(0, 1)], kind="dots"),))
    assert "<script" not in chart.svg()
    assert of(chart.svg(), "title")[0].text == f"{hostile}: 0, 1"


@pytest.mark.parametrize("points", [[], [(3.0, 5.0)], [(0.0, 0.0), (0.0, 0.0)], [(1e-9, 1e9), (2e-9, -1e9)]])
def test_few_and_extreme_points_can_be_drawn(points: list[tuple[float, ...]]) -> None:
    chart = Chart(title="any", family="log", series=(Series(name="a", points=points, kind="steps"),))
    places = [c.get("cx", "") for c in of(chart.svg(), "circle")]
    assert len(places) == len(points)
    assert all(0 <= float(place) <= 400 for place in places)


def test_thousands_have_room_on_an_axis() -> None:
    points = [(0.0, 0.0), (1.0, 200_000.0)]
    chart = Chart(title="steps", family="loader", series=(Series(name="a", points=points),))
    assert {"0", "50k", "200k"} <= {text.text for text in of(chart.svg(), "text")}


def test_thinning_keeps_peaks() -> None:
    points = [(float(x), 100.0 if x == 777 else 1.0) for x in range(5000)]
    kept = extremes(points)
    assert (777.0, 100.0) in kept
    assert len(kept) <= MOST_POINTS + 2
