"""What is said of checkpoints that are kept, removed and resumed otherwise than they should be, and where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from opv2v_doctor.result import Status
from opv2v_doctor.smoke.rehearsals import FEWEST, MOST, Frequencies

from .rehearsed import LINES, judged

SORTED_BY_NAME = {"removes": lambda numbers: [int(n) for n in sorted(map(str, numbers))[:-3]]}
OLDEST_FIRST = {"removes": lambda numbers: sorted(numbers)[:-3]}


def test_evaluations_that_were_asked_for_and_never_made_are_told(tmp_path: Path) -> None:
    script = tmp_path / "there" / "scripts" / "train.py"
    script.parent.mkdir(parents=True)
    script.write_text("def test_one_epoch(model):\n    pass\n\n\ndef train(args):\n    pass\n")
    (finding,) = judged("SMK032", tmp_path / "there", evaluates=False).findings
    assert "7 epochs were trained, and test_one_epoch() was never called: eval_freq=1" in finding.message
    assert (finding.path, finding.line) == (script, 5)
    unknown = judged("SMK032", tmp_path / "by another name", evaluates=False)
    assert unknown.status is Status.SKIPPED


@pytest.mark.parametrize(
    ("code", "changes", "words", "line"),
    [
        ("SMK030", {"resumes_from": "checkpoint-best.pth"}, "checkpoint-best.pth with 4 epochs", "load"),
        ("SMK030", {"resumes_from": "checkpoint-9.pth"}, "begins anew", ""),
        ("SMK030", {"save": 1, "saves_last": False, "keep": 5}, "holds 5 epochs of 7", "save"),
        ("SMK031", SORTED_BY_NAME, "12 was removed, older ones stayed", "removal"),
        ("SMK031", {"shift": -2}, "checkpoint-0.pth holds 2 epochs", "save"),
        ("SMK032", {"remembers_best": False}, "after a resume", ""),
        ("SMK032", {"is_best": lambda loss, _: loss < 100}, "lowest was 3.0 after 4", "save"),
        ("SMK034", {"renames": False}, "written in place", "save"),
        ("SMK035", {"updates_back": False}, "updates of the optimizer: 0 after the resume, 7 before", ""),
        ("SMK035", {"scaler_back": False}, "state of the loss scaler: not loaded after the resume", ""),
        ("SMK035", {"average": 1000.0, "updates_back": False}, "epochs in the average", ""),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    code: str, changes: dict[str, Any], words: str, line: str, tmp_path: Path
) -> None:
    result = judged(code, tmp_path, **changes)
    assert result.status in (Status.FAILED, Status.WARNED)
    told = [finding for finding in result.findings if finding.severity and words in finding.message]
    assert told, [finding.message for finding in result.findings]
    if line:
        assert (told[0].path, told[0].line) == (tmp_path / "loop.py", LINES[line])


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("SMK030", {"save": 5, "keep": 0}),
        ("SMK030", OLDEST_FIRST),
        ("SMK031", OLDEST_FIRST),
        ("SMK031", {"keep": 5}),
        ("SMK031", {"shift": -1}),
        ("SMK032", {"keep": 5, "save": 5}),
        ("SMK035", {"average": 1000.0}),
    ],
)
def test_other_ways_to_keep_checkpoints_are_right(code: str, changes: dict[str, Any], tmp_path: Path) -> None:
    result = judged(code, tmp_path, **changes)
    assert result.status is Status.PASSED, (result.reason, [finding.message for finding in result.findings])


@pytest.mark.parametrize(("keep", "epochs"), [(1, FEWEST), (5, FEWEST), (6, 14), (10, 22), (100, MOST)])
def test_as_many_epochs_as_show_each_file_twice(keep: int, epochs: int) -> None:
    assert Frequencies(save=1, keep=keep, eval=1).epochs == epochs
