"""The page of a log: what it holds, and what it must not."""

import json
import re
import shutil
import sys
from dataclasses import replace
from math import nan
from pathlib import Path
from typing import Any

import pytest

from opv2v_doctor import Place, error, note, quoted
from opv2v_doctor.facts.past.logs import read_log
from opv2v_doctor.facts.past.logs.excerpts import LONGEST, excerpts
from opv2v_doctor.figures.curves import page
from opv2v_doctor.registry import installed_checks
from opv2v_doctor.reporters import Examination
from opv2v_doctor.result import Result, Status
from tests.log_text import LogText

MISSION = Path(__file__).parents[2] / "examples" / "mission" / "train.log"
HEAD = Examination(repo=MISSION.parent, gpus=None)


def results(message: str = "4000 steps per epoch", line: int = 585) -> list[Result]:
    (check,) = (check for check in installed_checks() if check.code == "LOG005")
    finding = error(quoted(message), at=Place(MISSION, line), hint="resume")
    return [Result(check=check, status=Status.FAILED, findings=(finding,))]


def told(html: str) -> Any:
    """What the script of a page is given."""
    found = re.search(r'<script id="curves-data" type="application/json">(.*?)</script>', html)
    assert found
    return json.loads(found[1])


@pytest.fixture(scope="module")
def html() -> str:
    return page([read_log(MISSION)], results(), HEAD)


def test_each_question_has_its_chart(html: str) -> None:
    charts = [[one["name"] for one in chart["series"]] for chart in told(html)["charts"]]
    assert charts[0][1:3] == ["training (average of an epoch)", "validation (average)"]
    assert charts[0][3:] == ["best 39.4 (epoch 6)", "last 43.1 (epoch 10)"]
    assert ["lr", "lr, as configured"] in charts
    assert any("the best constant: H(mean of the target)" in names for names in charts)
    assert "not drawn: Gradient norm (not in this log)" in re.sub(r"\s+", " ", html)


def test_the_best_of_a_training_without_evaluations_has_the_epoch_of_its_lines(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    lines = MISSION.read_text().splitlines(keepends=True)
    log.write_text("".join(line for line in lines if "Test" not in line))
    html = page([read_log(log)], results(), HEAD)
    (best,) = [one["name"] for one in told(html)["charts"][0]["series"] if one["name"].startswith("best")]
    assert f"best: loss {best.removeprefix('best ')}" in html


def test_a_phase_has_one_colour_in_all_charts(html: str) -> None:
    for chart in told(html)["charts"]:
        for one in chart["series"]:
            assert (one["colour"] == 1) >= ("validation" in one["name"])


def test_findings_are_told_and_marked_at_their_step(html: str) -> None:
    assert "train.log:585" in html
    (mark,) = told(html)["marks"]
    assert (mark["id"], mark["x"]) == ("LOG005-1", pytest.approx(1, abs=0.1))
    assert 'id="LOG005-1"' in html and 'data-finding="LOG005-1"' in html


def test_launches_are_bands_and_rows(html: str) -> None:
    ((begin, end),) = told(html)["bands"]
    assert (begin, end) == (pytest.approx(1, abs=0.1), pytest.approx(10, abs=0.1))
    assert "455–893" in html


def test_several_runs_lie_over_each_other_with_what_differs(tmp_path: Path) -> None:
    for name, rate in (("a", 1e-4), ("b", 3e-4)):
        (tmp_path / name / ".hydra").mkdir(parents=True)
        shutil.copy(MISSION, tmp_path / name)
        config = f"train_params: {{lr: {rate}, epochs: 10, api_key: {name}}}\n"
        (tmp_path / name / ".hydra" / "config.yaml").write_text(config)
    html = page([read_log(tmp_path / name / "train.log") for name in "ab"], [], HEAD)
    first = told(html)["charts"][0]["series"]
    assert {(one["name"][:2], one["colour"]) for one in first} == {("a:", 0), ("b:", 1)}
    row = re.search(r"<code>train_params.lr</code></th>(.*?)</tr>", html)
    assert row and re.findall(r"<td>(.*?)</td>", row[1]) == ["0.0001", "0.0003"]
    assert "train_params.epochs" not in html and "api_key" not in html


def test_nothing_is_loaded_from_elsewhere(html: str) -> None:
    without_scripts = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    addresses = re.findall(r"(?:src|href)=\"([^\"]*)", without_scripts)
    assert addresses and all(address.startswith(("#", "data:,")) for address in addresses)
    assert "default-src &#39;none&#39;" in html


def test_a_finding_of_several_subjects_names_them() -> None:
    (result,) = results()
    seen = note("{n:line|lines} seen", n=1, of="rank 3", at=MISSION)
    html = page([read_log(MISSION)], [replace(result, findings=(seen,))], HEAD)
    assert "rank 3: 1 line seen" in html and not told(html)["marks"]


def test_text_of_the_log_cannot_become_markup() -> None:
    html = page([read_log(MISSION)], results("</td><script>alert(1)</script>"), HEAD)
    assert "<script>alert(1)" not in html


def test_a_log_without_metrics_has_a_page(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text("nothing\n")
    assert "No metrics to draw." in page([read_log(path)], [], HEAD)


def test_what_stands_around_a_line_is_quoted(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text("".join(f"line {number}\n" for number in range(1, 9)) + "x" * 1000)
    found = excerpts(path, {1, 5, 9, 20}, around=1)
    assert found[1] == [(1, "line 1"), (2, "line 2")]
    assert found[5] == [(4, "line 4"), (5, "line 5"), (6, "line 6")]
    assert found[9][-1] == (9, "x" * LONGEST + " …")
    assert 20 not in found


def test_plotly_is_imported_when_a_page_is_drawn() -> None:
    import subprocess

    done = subprocess.run(
        [sys.executable, "-c", "import sys, opv2v_doctor.figures.curves; print('plotly' in sys.modules)"],
        capture_output=True,
        check=True,
    )
    assert done.stdout.strip() == b"False"


def test_what_happened_and_is_no_finding_is_a_band_and_a_row(tmp_path: Path) -> None:
    text = LogText(tmp_path)
    text.launch()
    text.epoch(0, metrics={"grad_norm": 1.0})
    begin, end = len(text.lines), text.epoch(1, metrics={"grad_norm": nan})
    text.epoch(2, metrics={"grad_norm": 1.0})
    log = read_log(text.write().logs[0])
    html = page([log], [], replace(HEAD, repo=log.path.parent))
    (event,) = told(html)["events"]
    assert (event["told"], event["x"]) == ("not finite: grad_norm", [pytest.approx(1, abs=0.1), 2])
    assert "not finite: grad_norm</td>" in html
    (result,) = results(line=begin + 2)
    found = replace(result.findings[0], at=Place(log.path, end - 1))
    assert not told(page([log], [replace(result, findings=(found,))], HEAD))["events"]
