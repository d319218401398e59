"""The page of a log in a real browser, without a network."""

import time
from pathlib import Path
from typing import Any

import pytest

from opv2v_doctor import Check, Place, error
from opv2v_doctor.facts.past.logs import read_log
from opv2v_doctor.figures.curves import PANELS, page
from opv2v_doctor.result import Result, Status

webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium: make test")
MISSION = Path(__file__).parents[2] / "examples" / "mission" / "train.log"


@pytest.fixture(scope="module")
def drawn(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    check = Check(code="LOG005", function=browser_page_of, tier="run")  # type: ignore[arg-type]
    finding = error("4000 steps <b>here</b>", at=Place(MISSION, 585), hint="resume on 4 GPUs")
    results = [Result(check=check, status=Status.FAILED, findings=(finding,))]
    path = tmp_path_factory.mktemp("page") / "log.html"
    path.write_text(page([read_log(MISSION)], results), encoding="utf-8")
    return browser_page_of(browser, path)


def browser_page_of(browser: Any, path: Path) -> Any:
    """The browser with the page in it, drawn."""
    browser.get(path.as_uri())
    end = time.monotonic() + 60
    while time.monotonic() < end and not browser.find_elements("css selector", "#curves .main-svg"):
        time.sleep(0.1)
    return browser


def test_every_panel_has_curves(drawn: Any) -> None:
    assert len(drawn.find_elements("css selector", "#curves .subplot")) == len(PANELS)
    drawn_lines = drawn.find_elements("css selector", "#curves .scatterlayer .trace path.js-line")
    assert len(drawn_lines) >= 8
    assert all(line.get_attribute("d") for line in drawn_lines)


def test_the_finding_is_marked_where_its_step_is(drawn: Any) -> None:
    epochs = drawn.execute_script("return document.getElementById('curves').layout.shapes.map(s => s.x0)")
    assert epochs == [pytest.approx(1, abs=0.1)]
    annotations = drawn.find_elements("css selector", "#curves .annotation-text")
    assert "line 585" in [annotation.text for annotation in annotations]


def test_findings_are_text_and_no_markup(drawn: Any) -> None:
    (row,) = drawn.find_elements("css selector", "#findings tbody tr")
    assert "4000 steps <b>here</b>" in row.text
    assert not row.find_elements("css selector", "b")


def test_a_click_on_the_legend_hides_a_curve(drawn: Any) -> None:
    before = len(drawn.find_elements("css selector", "#curves .scatterlayer .trace"))
    toggle = drawn.find_element("css selector", "#curves .legendtoggle")
    webdriver.ActionChains(drawn).move_to_element(toggle).click().perform()
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if len(drawn.find_elements("css selector", "#curves .scatterlayer .trace")) < before:
            return
        time.sleep(0.1)
    pytest.fail("the curve is still there")


def test_the_console_is_silent(drawn: Any) -> None:
    severe = [entry for entry in drawn.get_log("browser") if entry["level"] == "SEVERE"]
    assert severe == []
