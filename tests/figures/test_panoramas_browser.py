"""The page of a preview in a real browser, without a network."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from opv2v_doctor.figures.panorama_files import write_preview

from .looks import faint_texts, hangs_over, phone, turn_theme
from .sights import HEIGHT, HOSTILE, WIDTH, default_arrays, reference_of, sample_of_views, shown_of, view_of

webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium: make test")
WINDOW = (1400, 2900)
WHERE = """
const figure = figures[arguments[0]], box = figure.holder.getBoundingClientRect();
const panel = figure.panels.find((one) => `${one.row} ${one.column}` === arguments[1]);
const share = [(arguments[2] + 0.5) / figure.view.width, (arguments[3] + 0.5) / figure.view.height];
return [box.left + panel.left + share[0] * panel.wide, box.top + panel.top + share[1] * panel.high];
"""
RANGES = "return figures.map((figure) => figure.chart.layout.xaxis.range)"


@pytest.fixture(scope="module")
def drawn(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The browser with a page of two views, both drawn."""
    folder = tmp_path_factory.mktemp("arrays")
    views = (view_of(folder, 0), view_of(folder, 1, agent=HOSTILE))
    shown = [shown_of(view, reference_of(folder, view.view.identity.agent or "")) for view in views]
    with ThreadPoolExecutor(1) as threads:
        path = write_preview(folder / "page", sample_of_views(views), shown, [f"fact {HOSTILE}"], threads)
    browser.get(path.as_uri())
    until(lambda: browser.execute_script("return figures.filter((figure) => figure.drawn).length") == 2)
    return browser


def until(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    pytest.fail("it never happened")


def action_builder(browser: Any, duration: int) -> Any:
    from selenium.webdriver.common.actions.action_builder import ActionBuilder

    return ActionBuilder(browser, duration=duration)


def point(browser: Any, panel: str, column: int, row: int, figure: int = 0) -> dict[str, str]:
    """Move the cursor there; what every panel of that view says then."""
    x, y = browser.execute_script(WHERE, figure, panel, column, row)
    actions = action_builder(browser, duration=0)
    actions.pointer_action.move_to_location(int(x), int(y))
    actions.perform()
    until(lambda: f"column {column}  row {row}" in browser.find_element("id", "tip").text)
    section = browser.find_elements("css selector", ".panels")[figure]
    values = section.find_elements("css selector", ".value")
    return {value.get_attribute("data-panel"): value.text for value in values}


def test_every_panel_is_drawn(drawn: Any) -> None:
    for section in drawn.find_elements("css selector", ".panels"):
        assert len(section.find_elements("css selector", ".value")) == 12
        assert len(section.find_elements("css selector", ".imagelayer image, .im image")) >= 12


def test_the_values_under_the_cursor_are_those_of_the_arrays(drawn: Any) -> None:
    arrays = default_arrays(0)
    depth, valid = arrays["depthmap"][..., 0], arrays["valid_mask"]
    for column, row in ((40, 12), (3, 20), (WIDTH - 2, HEIGHT - 3)):
        said = point(drawn, "depth training", column, row)
        assert float(said["depth training"].split()[0]) == pytest.approx(depth[row, column], abs=0.003)
        assert said["mask training"] == str(int(8 <= row < 24))
        assert said["mask reference"] == str(int(2 <= row < 30))
        assert said["valid training"] == str(int(valid[row, column]))
        assert said["valid reference"] == str(int(2 <= row < 30))
        shows = drawn.find_element("id", "tip").text.splitlines()[-1]
        assert shows.endswith(f"camera{column * 4 // WIDTH}") == (2 <= row < 30)
    assert point(drawn, "rgb training", 5, 4)["depth training"] == "not finite"
    assert point(drawn, "rgb training", 7, 2)["depth training"].startswith("0 ")


def test_colours_under_the_cursor_are_those_of_the_panorama(drawn: Any) -> None:
    expected = np.moveaxis(default_arrays(1)["img"], 0, 2) * 0.2 + (0.5, 0.4, 0.3)
    said = point(drawn, "rgb training", 70, 15, figure=1)["rgb training"].split()
    assert [int(level) for level in said] == np.rint(255 * expected[15, 70]).astype(int).tolist()


def test_all_panoramas_zoom_and_pan_together(drawn: Any) -> None:
    drawn.find_element("id", "nearer").click()
    until(lambda: drawn.execute_script(RANGES) == [[31.5, 95.5]] * 2)
    x, y = drawn.execute_script(WHERE, 0, "mask reference", WIDTH // 2, HEIGHT // 2)
    actions = action_builder(drawn, duration=20)
    actions.pointer_action.move_to_location(int(x), int(y)).pointer_down()
    for step in (20, 60, 100):
        actions.pointer_action.move_to_location(int(x) + step, int(y))
    actions.pointer_action.pointer_up()
    actions.perform()
    until(lambda: drawn.execute_script(RANGES)[1][0] < 30)
    ranges = until(
        lambda: len({tuple(r) for r in drawn.execute_script(RANGES)}) == 1 and drawn.execute_script(RANGES)
    )
    assert ranges[0][1] - ranges[0][0] == pytest.approx(64)
    drawn.find_element("id", "whole").click()
    until(lambda: drawn.execute_script(RANGES) == [[-0.5, WIDTH - 0.5]] * 2)


def test_source_images_and_seams_come_on_demand(drawn: Any) -> None:
    assert not drawn.find_elements("css selector", ".sources img")
    drawn.find_element("id", "sources").click()
    images = drawn.find_elements("css selector", ".sources img")
    assert len(images) == 8
    until(lambda: all(image.get_property("naturalWidth") == 200 for image in images))
    assert all(image.is_displayed() for image in images)
    drawn.find_element("id", "sources").click()
    assert not any(image.is_displayed() for image in images)
    drawn.find_element("id", "seams").click()
    until(lambda: len(drawn.find_elements("css selector", ".annotation-text")) == 16)
    drawn.find_element("id", "seams").click()
    until(lambda: not drawn.find_elements("css selector", ".annotation-text"))


def test_a_column_can_be_hidden(drawn: Any) -> None:
    (box,) = (box for box in drawn.find_elements("css selector", "#columns label") if box.text == "reference")
    box.click()
    until(lambda: len(drawn.find_elements("css selector", ".panels .value")) == 16)
    box.click()
    until(lambda: len(drawn.find_elements("css selector", ".panels .value")) == 24)


def test_texts_of_the_data_are_no_markup(drawn: Any) -> None:
    assert HOSTILE in drawn.find_element("id", "agents").text
    assert HOSTILE in drawn.find_element("id", "facts").text
    assert drawn.execute_script("return window.hostile") is None


def test_each_agent_has_a_verdict_in_words(drawn: Any) -> None:
    rows = drawn.find_elements("css selector", "#agents tr")[1:]
    assert all("GEO009" in row.text or "MSK002" in row.text for row in rows)
    assert len(drawn.find_elements("css selector", "header .bad")) == 2


def test_directions_are_words(drawn: Any) -> None:
    ticks = [one.text for one in drawn.find_elements("css selector", ".panels g[class$=tick] text")]
    assert {"ahead", "left", "right", "behind", "45°"} <= set(ticks)


def test_everything_can_be_read_in_the_light_the_dark_and_on_a_phone(drawn: Any) -> None:
    colour = "return getComputedStyle(document.body).backgroundColor"
    before = drawn.execute_script(colour)
    for _ in range(2):
        turn_theme(drawn)
        assert faint_texts(drawn) == []
    assert drawn.execute_script(colour) == before
    with phone(drawn):
        assert hangs_over(drawn) <= 0


def test_the_console_is_silent(drawn: Any) -> None:
    assert [entry for entry in drawn.get_log("browser") if entry["level"] == "SEVERE"] == []
