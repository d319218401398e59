"""The page of a log in a real browser, without a network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from opv2v_doctor import Place, Target, error, warning
from opv2v_doctor.cli.reporting import head_in
from opv2v_doctor.facts.past.logs import read_log
from opv2v_doctor.figures import curves
from opv2v_doctor.registry import installed_checks
from opv2v_doctor.reporters import Examination
from opv2v_doctor.result import Result, Status
from tests.figures.looks import (
    click,
    drawn,
    faint_texts,
    hangs_over,
    opened,
    overlaps,
    phone,
    turn_theme,
    wait,
)

pytest.importorskip("selenium.webdriver", reason="no selenium: make test")
MISSION = Path(__file__).parents[2] / "examples" / "mission" / "train.log"
RANGES = "return [...document.querySelectorAll('.plot')].map((plot) => plot._fullLayout.yaxis.range.join())"
WIDTHS = """
const shapes = document.querySelector(".plot").layout.shapes;
return shapes.filter((one) => one.type === "line").map((one) => one.line.width);
"""


@pytest.fixture(scope="module")
def page(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    known = {check.code: check for check in installed_checks()}
    finding = error("4000 steps <b>here</b>", at=Place(MISSION, 585), hint="resume on 4 GPUs")
    later = tuple(warning("no better", hint="wait", at=Place(MISSION, line)) for line in (586, 590, 600, 860))
    results = [
        Result(check=known["LOG005"], status=Status.FAILED, findings=(finding,)),
        Result(check=known["LOG015"], status=Status.WARNED, findings=later),
    ]
    path = tmp_path_factory.mktemp("page") / "log.html"
    head = head_in(Examination(repo=MISSION.parent, gpus=None), target_of(MISSION), "en")
    path.write_text(curves.page([read_log(MISSION)], results, head), encoding="utf-8")
    return opened(browser, path)


def target_of(log: Path) -> Target:
    return Target(repo=log.parent, python=Path(sys.executable), logs=(log,))


def test_every_chart_has_its_curves_and_its_legend(page: Any) -> None:
    figures = page.find_elements("css selector", "#curves figure")
    assert len(figures) == 7
    for figure in figures:
        curves = figure.find_elements("css selector", ".scatterlayer .trace")
        assert len(curves) == len(figure.find_elements("css selector", ".legend button:not(.scale)"))


def test_rates_are_told_as_a_config_tells_them(page: Any) -> None:
    labels = [one.text for one in page.find_elements("css selector", "#chart-2 .ytick text")]
    assert {"0", "5e-05"} <= set(labels)


def test_codes_stand_above_the_first_chart_and_none_covers_another(page: Any) -> None:
    labels = page.find_elements("css selector", ".annotation-text")
    assert len(labels) >= 3
    assert overlaps(page, ".annotation-text") == []


def test_a_click_on_a_finding_shows_its_step_and_the_line_of_the_log(page: Any) -> None:
    before = page.execute_script(RANGES)
    article = page.find_element("css selector", "#LOG005-1")
    assert "Epoch: [1]  [   0/4000]" in article.find_element("css selector", ".excerpt .it").text
    click(page, article.find_element("css selector", ".to-step"))
    wait(lambda: page.execute_script(WIDTHS)[0] == 4)
    assert page.execute_script(RANGES) == before  # drawn anew, and as it was


def test_findings_are_text_and_no_markup(page: Any) -> None:
    article = page.find_element("css selector", "#LOG005-1")
    assert "4000 steps <b>here</b>" in article.text
    assert not article.find_elements("css selector", ".message b")


def test_a_click_on_the_legend_hides_a_curve_and_one_on_the_axis_makes_it_logarithmic(page: Any) -> None:
    figure = page.find_element("css selector", "#chart-0")
    before = len(figure.find_elements("css selector", ".scatterlayer .trace"))
    click(page, figure.find_element("css selector", ".legend button"))
    click(page, figure.find_element("css selector", ".scale"))
    wait(lambda: len(figure.find_elements("css selector", ".scatterlayer .trace")) == before - 1)
    assert page.execute_script("return document.querySelector('.plot').layout.yaxis.type") == "log"


def test_everything_can_be_read_in_the_light_and_in_the_dark(page: Any) -> None:
    for _ in range(2):
        turn_theme(page)
        assert faint_texts(page) == []


def test_a_phone_need_not_scroll_sideways_and_its_plots_are_large(page: Any) -> None:
    with phone(page):
        drawn(page)
        assert hangs_over(page) <= 0
        plots = page.find_elements("css selector", ".plot .nsewdrag")
        assert len(plots) == 7 and min(plot.rect["height"] for plot in plots) > 140
        assert overlaps(page, ".annotation-text") == []


def test_the_console_is_silent(page: Any) -> None:
    severe = [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"]
    assert severe == []
