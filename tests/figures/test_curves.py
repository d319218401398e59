"""The page of a log: what it holds, and what it must not."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from opv2v_doctor import Check, Place, error, note, quoted
from opv2v_doctor.facts.past.logs import read_log
from opv2v_doctor.figures.curves import page
from opv2v_doctor.result import Result, Status

MISSION = Path(__file__).parents[2] / "examples" / "mission" / "train.log"


def results(message: str = "4000 steps per epoch", line: int = 585) -> list[Result]:
    check = Check(code="LOG005", function=results, tier="run")  # type: ignore[arg-type]
    finding = error(quoted(message), at=Place(MISSION, line), hint="resume")
    return [Result(check=check, status=Status.FAILED, findings=(finding,))]


@pytest.fixture(scope="module")
def html() -> str:
    return page([read_log(MISSION)], results())


def test_all_curves_are_there(html: str) -> None:
    for name in (
        "training loss (median)",
        "validation loss (average)",
        "lr, as configured",
        "H(target mean)",
    ):
        assert name in html


def test_findings_are_listed_and_marked(html: str) -> None:
    assert "train.log:585" in html
    assert '"text":"line 585"' in html


def test_nothing_is_loaded_from_elsewhere(html: str) -> None:
    without_scripts = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert not re.search(r"(src|href)=", without_scripts)
    assert "default-src 'none'" in html


def test_a_finding_of_several_subjects_names_them_and_one_without_a_hint_needs_none() -> None:
    (result,) = results()
    told = note("{n:line|lines} seen", n=1, of="rank 3", at=MISSION)
    html = page([read_log(MISSION)], [replace(result, findings=(told,))])
    assert "<td>train.log</td><td>rank 3: 1 line seen</td><td></td>" in html


def test_text_of_the_log_cannot_become_markup() -> None:
    html = page([read_log(MISSION)], results("</td><script>alert(1)</script>"))
    assert "<script>alert(1)" not in html


def test_a_log_without_metrics_has_a_page(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text("nothing\n")
    assert "No metrics" in page([read_log(path)], [])


def test_plotly_is_imported_when_a_page_is_drawn() -> None:
    import subprocess

    done = subprocess.run(
        [sys.executable, "-c", "import sys, opv2v_doctor.figures.curves; print('plotly' in sys.modules)"],
        capture_output=True,
        check=True,
    )
    assert done.stdout.strip() == b"False"
