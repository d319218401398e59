"""The HTML report in a real browser, opened from disk without a network."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from opv2v_doctor import Findings, Place, Target, check, error, quoted
from opv2v_doctor.languages import page_of, say
from opv2v_doctor.registry import installed_checks
from opv2v_doctor.reporters import REPORTERS, Examination
from opv2v_doctor.result import Result, Status
from tests.figures.looks import faint_texts, turn_theme

WINDOW = (1280, 1000)
HOSTILE = "agent <script>alert(1)</script> of '\"><img src=x onerror=alert(2)> \u202e{{ 7*7 }} `<b>x</b>`"
LARGEST = 300_000  # bytes of a report of all checks


@dataclass(frozen=True)
class Drawing:
    """A picture as the figures make them."""

    title: str
    missing: str = ""
    family: str = "log"
    caption: str = HOSTILE
    legend: Sequence[tuple[str, str]] = (("line c0", "one"), ("dots c1", HOSTILE))

    def svg(self, say: Callable[[str], str]) -> str:
        return '<svg viewBox="0 0 10 10"><polyline points="0,0 5,5"/></svg>'


@check("LOG901", tier="run")
def agents_are_named(target: Target) -> Findings:
    """Agents have names.

    ## Why it matters
    <script>alert(3)</script> ![far](http://example.com/a.png) [bad](javascript:alert(4)) `code`
    """
    yield error("never run here", hint="none")


@pytest.fixture
def all_results(results: tuple[Result, ...]) -> tuple[Result, ...]:
    values: dict[str, Any] = {"agent": HOSTILE, "<i>": HOSTILE}
    found = error(quoted(HOSTILE), at=Place(Path("/data/<b>.yaml"), 3), hint="rename `{agent}`", **values)
    return (*results, Result(check=agents_are_named, status=Status.FAILED, findings=(found,)))


@pytest.fixture
def document(all_results: tuple[Result, ...], examination: Examination) -> str:
    pictures = (Drawing("Loss"), Drawing("Masks", missing=f"needs {HOSTILE}"))
    illustrated = replace(examination, pictures=lambda results: pictures)
    return "".join(REPORTERS["html"](all_results, illustrated))


@pytest.fixture
def page(browser: Any, document: str, tmp_path: Path) -> Any:
    """The browser with the report in it."""
    path = tmp_path / "report.html"
    path.write_text(document, encoding="utf-8")
    browser.get(path.as_uri())
    return browser


def shown(page: Any) -> list[str]:
    """The codes of the checks that can be seen."""
    return [one.get_attribute("id") for one in found(page, ".check") if one.is_displayed()]


def found(page: Any, selector: str) -> list[Any]:
    return list(page.find_elements("css selector", selector))


def press(page: Any, selector: str) -> None:
    found(page, selector)[0].click()


def test_it_opens_from_disk_in_silence(page: Any) -> None:
    assert page.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert page.get_log("browser") == []


def test_the_verdict_and_the_first_thing_to_fix_are_on_top(page: Any) -> None:
    assert found(page, "h1")[0].text == "2 checks failed."
    first = found(page, "main > section")[0]
    assert first.get_attribute("id") == "first"
    assert "CFG902" in first.text
    assert "validate is replaced by test" in first.text


def test_statuses_families_and_words_filter(page: Any) -> None:
    assert len(shown(page)) == 7
    press(page, "button[data-status=failed]")
    assert shown(page) == ["CFG902", "LOG901"]
    press(page, "button[data-status=blocked]")
    assert shown(page) == ["CFG902", "DAT902", "LOG901"]
    page.find_element("css selector", "select").send_keys("config")
    assert shown(page) == ["CFG902"]
    press(page, "button[type=reset]")
    page.find_element("css selector", "input").send_keys("needs DAT901")
    assert shown(page) == ["DAT902"]
    assert found(page, "output")[0].text == "1 of 7 checks"


def test_each_finding_has_a_link_that_opens_its_check(page: Any) -> None:
    press(page, "button[data-status=passed]")
    page.execute_script("location.hash = 'LOG901-1'")
    (finding,) = found(page, "#LOG901-1")
    page.execute_script("return new Promise(done => setTimeout(done, 50))")
    assert finding.is_displayed()
    links = {link.get_attribute("href").partition("#")[2] for link in found(page, ".finding .kind a")}
    assert links == {one.get_attribute("id") for one in found(page, ".finding")}


def test_texts_are_text_and_no_markup(page: Any) -> None:
    press(page, "#unfold")
    (finding,) = found(page, "#LOG901-1")
    assert "agent <script>alert(1)</script> of" in finding.text
    assert "{{ 7*7 }}" in finding.text
    assert "\\u202e" in finding.text
    assert not found(page, "main script, main img, .message b, .finding i, [onerror], a[href^='javascript']")
    assert page.execute_script("return document.scripts.length") == 1


def test_pages_are_rendered_below_their_checks(page: Any) -> None:
    (body,) = found(page, "#LOG901 .page")
    assert [h.get_attribute("textContent") for h in body.find_elements("css selector", "h4")] == [
        "Why it matters"
    ]
    assert [c.get_attribute("textContent") for c in body.find_elements("css selector", "code")] == ["code"]


def test_pictures_are_shown_and_missing_ones_explained(page: Any) -> None:
    assert [f.find_element("css selector", "h3").text for f in found(page, "figure")] == ["Loss"]
    assert found(page, "figure > svg polyline")
    assert found(page, ".missing")[0].text.startswith("not drawn: Masks (needs agent <script>")


def test_dark_and_light_by_a_button(page: Any) -> None:
    colour = "return getComputedStyle(document.body).backgroundColor"
    before = page.execute_script(colour)
    press(page, "#theme")
    dark = page.execute_script(colour)
    press(page, "#theme")
    assert dark != before == page.execute_script(colour)


def test_everything_can_be_read_in_the_light_and_in_the_dark(page: Any) -> None:
    press(page, "#unfold")
    for _ in range(2):
        turn_theme(page)
        assert faint_texts(page) == []


def test_what_stands_around_a_place_is_quoted_and_linked(examination: Examination) -> None:
    at = Place(Path("train.py"), 2)
    finding = error(quoted("wrong"), at=at, hint="mend it")
    result = Result(check=agents_are_named, status=Status.FAILED, findings=(finding,))
    lines = [(1, "<b>one</b>"), (2, "two"), (3, "three")]
    quoting = replace(
        examination,
        excerpts=lambda places: dict.fromkeys(places, lines),
        address=lambda place: "https://github.com/a/b/blob/0/train.py#L2",
    )
    page = "".join(REPORTERS["html"]((result,), quoting))
    assert '<span class="it"><i>2</i>two</span>' in page and "<b>one" not in page
    assert '<a href="https://github.com/a/b/blob/0/train.py#L2" rel="noreferrer">' in page


def test_a_phone_need_not_scroll_sideways(page: Any) -> None:
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        press(page, "#unfold")
        assert page.execute_script("return document.documentElement.scrollWidth") <= 390
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_paper_gets_all_details_and_no_buttons(page: Any) -> None:
    folded = len(found(page, ".check:not([open])"))
    page.execute_script(
        "window.printed = null; window.addEventListener('beforeprint', () => {"
        " window.printed = document.querySelectorAll('.check:not([open])').length; });"
    )
    pdf = base64.b64decode(page.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    assert pdf.startswith(b"%PDF")
    assert folded > 0
    assert page.execute_script("return window.printed") == 0
    assert len(found(page, ".check:not([open])")) == folded


def test_without_a_script_everything_is_there(document: str) -> None:
    body = document.rpartition("<script>")[0]
    assert '<form id="filters" hidden>' in body
    assert all(code in body for code in ("CFG901", "CKP901", "LOG901"))


def test_a_report_of_all_checks_is_small(examination: Examination) -> None:
    every = [Result(check=check, status=Status.PASSED) for check in installed_checks()]
    assert len("".join(REPORTERS["html"](every, examination)).encode()) < LARGEST


def test_the_reader_is_addressed_in_the_language(examination: Examination) -> None:
    (masks,) = [check for check in installed_checks() if check.code == "MSK001"]
    results = [Result(check=masks, status=Status.PASSED)]
    spoken = replace(
        examination,
        language="zh",
        say=lambda text: say(text, "zh"),
        page=lambda check: page_of(check, "zh"),
    )
    page = "".join(REPORTERS["html"](results, spoken))
    assert '<html lang="zh">' in page
    assert all(words in page for words in ("检查清单", "通过", masks.code, "为什么重要"))
    assert "Why it matters" not in page
