"""The index of the server in a real browser: a table of runs that sorts and filters."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from opv2v_doctor.serving.application import page as index_of
from tests.figures.looks import click, faint_texts, hangs_over, phone, turn_theme

pytest.importorskip("selenium.webdriver", reason="no selenium: make test")
MISSION = Path(__file__).parents[2] / "examples" / "mission" / "train.log"


@pytest.fixture(scope="module")
def page(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("results")
    for name, statistics in (
        ("long", '{"epoch": 0}\n{"train_loss": 3.0}\n{"train_loss": 2.0}\n{"train_loss": 1.0}\n'),
        ("short", '{"epoch": 0}\n{"train_loss": 9.0}\n'),
    ):
        (root / name).mkdir()
        (root / name / "train.log").write_text("")
        (root / name / "log.txt").write_text(statistics)
    (root / "mission").mkdir()
    shutil.copy(MISSION, root / "mission")
    (root / "untold").mkdir()
    (root / "untold" / "train.log").write_text("nothing\n")
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(index_of(root), encoding="utf-8")
    browser.get(path.as_uri())
    return browser


def shown(page: Any) -> list[str]:
    rows = page.find_elements("css selector", "#runs tbody tr")
    return [row.find_element("css selector", "th").text for row in rows if row.is_displayed()]


def sort(page: Any, column: str) -> list[str]:
    (head,) = (
        one
        for one in page.find_elements("css selector", "#runs th button")
        if one.text.split(" ")[0] == column
    )
    click(page, head)
    return shown(page)


def test_a_column_sorts_by_number_and_what_is_unknown_comes_last(page: Any) -> None:
    assert sort(page, "epochs")[1:] == ["short", "long", "mission"]  # behind what trained no epoch
    assert sort(page, "epochs")[0] == "mission"
    assert sort(page, "best")[-1] == "untold"
    assert sort(page, "best")[-1] == "untold"


def test_words_filter(page: Any) -> None:
    page.find_element("id", "words").send_keys("unstamped MIS")
    assert shown(page) == ["mission"]
    page.find_element("id", "words").clear()
    page.execute_script("document.getElementById('words').dispatchEvent(new Event('input'))")
    assert len(shown(page)) == 4


def test_two_runs_can_be_compared_and_one_cannot(page: Any) -> None:
    button = page.find_element("id", "compare")
    boxes = page.find_elements("css selector", "#runs input[type=checkbox]")
    click(page, boxes[0])
    assert not button.is_enabled()
    click(page, boxes[1])
    assert button.is_enabled()


def test_it_can_be_read_in_the_light_the_dark_and_on_a_phone(page: Any) -> None:
    for _ in range(2):
        turn_theme(page)
        assert faint_texts(page) == []
    with phone(page):
        assert hangs_over(page) <= 0
