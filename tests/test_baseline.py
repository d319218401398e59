"""A baseline: what is known fails nothing, a second one of it does, and what is mended leaves the file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from opv2v_doctor import Finding, Place, Target, Text, check, error, examined, note, quoted, warning
from opv2v_doctor.baseline import Baseline, Key, lines, read_baseline, words
from opv2v_doctor.check import Findings
from opv2v_doctor.reporters import REPORTERS, Detail, Examination, Medium
from opv2v_doctor.result import Result, Status, exit_code
from opv2v_doctor.user_error import UsageError

ROOT = Path("/home/ada/map-anything")
HEAD = Examination(repo=ROOT)
ALL = ("train", "val", "test")


@check("CFG901", tier="static")
def config_is_sound(_: Target) -> Findings:
    """The config is sound."""
    yield examined(1, "config file")


@check("DAT901", tier="data", requires=["CFG901"])
def frames_are_whole(_: Target) -> Findings:
    """Every frame is whole."""
    yield examined(1, "frame")


def lost(line: int = 12, number: int = 3, of: str | tuple[str, ...] = ()) -> Finding:
    at = Place(ROOT / "configs/a.yaml", line)
    return error("{number} sets are lost", hint="give each a name", at=at, of=of, number=number)


def failed(*findings: Finding) -> Result:
    return Result(check=config_is_sound, status=Status.FAILED, findings=findings)


def known_of(*results: Result) -> Counter[Key]:
    """The baseline that an examination with these results writes."""
    made = Baseline(known=Counter(), relative=HEAD.relative)
    list(made.marked(results))
    return made.renewed(ALL)


def judged(known: Counter[Key], *results: Result) -> list[Result]:
    return list(Baseline(known=known, relative=HEAD.relative).marked(results))


def test_another_line_and_another_number_are_the_same_finding() -> None:
    (result,) = judged(known_of(failed(lost())), failed(lost(line=40, number=5)))
    assert (result.status, result.findings[0].known, exit_code([result])) == (Status.KNOWN, True, 0)


@pytest.mark.parametrize(
    "other",
    [
        lost(of="val"),
        replace(lost(), at=Place(ROOT / "configs/b.yaml", 12)),
        replace(lost(), text=Text("{n} sets are found", n=3)),
    ],
    ids=["subject", "path", "template"],
)
def test_what_differs_in_place_subject_or_words_is_new(other: Finding) -> None:
    (result,) = judged(known_of(failed(lost())), failed(lost(), other))
    assert [one.known for one in result.findings] == [True, False]
    assert (result.status, exit_code([result])) == (Status.FAILED, 1)


def test_a_second_one_of_the_same_is_new() -> None:
    (result,) = judged(known_of(failed(lost())), failed(lost(), lost(line=30)))
    assert [one.known for one in result.findings] == [True, False]
    assert exit_code(judged(known_of(failed(lost(), lost(line=30))), failed(lost(), lost()))) == 0


def test_what_one_split_still_has_is_known() -> None:
    known = known_of(failed(lost(of=("train", "val"))))
    assert exit_code(judged(known, failed(lost(of="val")))) == 0
    assert exit_code(judged(known, failed(lost(of=("val", "test"))))) == 1


def test_a_new_warning_beside_known_errors_warns() -> None:
    hazard = warning("a hazard", hint="look")
    (result,) = judged(known_of(failed(lost())), failed(lost(), hazard))
    assert (result.status, exit_code([result]), exit_code([result], strict=True)) == (Status.WARNED, 0, 1)


def test_what_waits_for_what_is_known_is_known_and_a_crash_never_is() -> None:
    waiting = Result(
        check=frames_are_whole, status=Status.BLOCKED, reason=quoted("needs CFG901"), needs=("CFG901",)
    )
    known = known_of(failed(lost()), waiting)
    assert [one.status for one in judged(known, failed(lost()), waiting)] == [Status.KNOWN, Status.KNOWN]
    assert exit_code(judged(known, failed(lost()), waiting)) == 0
    assert judged(known, failed(lost(), lost()), waiting)[1].status is Status.BLOCKED
    crashed = Result(check=frames_are_whole, status=Status.CRASHED, reason=quoted("OSError"))
    assert exit_code(judged(known_of(crashed), crashed)) == 3


def test_why_a_check_could_not_answer_is_known_by_its_words() -> None:
    blocked = Result(check=config_is_sound, status=Status.BLOCKED, reason=Text("no rule in {n} files", n=3))
    known = known_of(blocked)
    assert exit_code(judged(known, replace(blocked, reason=Text("no rule in {n} files", n=9)))) == 0
    assert exit_code(judged(known, replace(blocked, reason=Text("no interpreter")))) == 3
    ended_early = replace(failed(lost()), reason=Text("no interpreter"))
    assert judged(known_of(failed(lost())), ended_early)[0].status is Status.BLOCKED


def test_what_is_mended_leaves_and_what_was_not_examined_stays() -> None:
    passed = Result(check=config_is_sound, status=Status.PASSED, examined=(examined(1, "file"),))
    other = Result(check=frames_are_whole, status=Status.FAILED, findings=(lost(of="train"), lost(of="val")))
    made = Baseline(known=known_of(failed(lost()), other), relative=HEAD.relative)
    list(made.marked([passed]))
    assert {key.code for key in made.renewed(ALL)} == {"DAT901"}
    only_val = Baseline(known=known_of(other), relative=HEAD.relative)
    list(only_val.marked([replace(other, status=Status.PASSED, findings=())]))
    assert [key.subject for key in only_val.renewed(["val"])] == ["train"]


def test_the_file_reads_as_it_was_written_an_entry_a_line(tmp_path: Path) -> None:
    known = known_of(failed(lost(), lost(), lost(of="val")))
    path = tmp_path / "baseline.json"
    path.write_text("\n".join(lines(known)))
    assert read_baseline(path) == known
    assert path.read_text().count('"code": "CFG901"') == len(known) == 2
    assert '"path": "configs/a.yaml"' in path.read_text()


@pytest.mark.parametrize(
    "text",
    ["[]", "{", '{"schema": 1}', '{"schema": 9, "known": []}', '{"schema": 1, "known": [{"count": 0}]}'],
)
def test_another_file_is_no_baseline(text: str, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(UsageError, match=r"other\.json: (it is no baseline|of another version)"):
        read_baseline(tmp_path / "other.json")


def test_a_template_is_told_with_those_in_it_and_a_quotation_as_it_stands() -> None:
    assert words(Text("{n:view|views} of {what}", n=3, what=Text("{x} masks", x=1))) == "{n} of {x} masks"
    assert words(quoted("OSError: gone")) == "OSError: gone"


def told(format: str, results: list[Result]) -> str:
    head = replace(HEAD, compared=True, medium=Medium(folder=ROOT, detail=Detail.FAMILIES))
    return "\n".join(REPORTERS[format](results, head))


def test_each_report_tells_what_is_known_from_what_is_new() -> None:
    results = judged(known_of(failed(lost())), failed(lost(), lost(line=30)))
    states = [one["baselineState"] for one in json.loads(told("sarif", results))["runs"][0]["results"]]
    assert states == ["unchanged", "new"]
    (found,) = json.loads(told("json", results))["results"]
    assert [one["known"] for one in found["findings"]] == [True, False]
    assert told("text", results).count("sets are lost") == 1
    assert told("github", results).count("::error") == 1


def test_what_is_known_alone_is_a_number() -> None:
    passed = Result(check=frames_are_whole, status=Status.PASSED, findings=(note("read"),))
    results = judged(known_of(failed(lost())), failed(lost()), passed)
    text = told("text", results)
    assert "1 check passed, 1 known in " in text and "known: CFG901" in text
    assert "sets are lost" not in text and "First to fix" not in text
    assert "<skipped" in told("junit", results) and "<failure" not in told("junit", results)
    for each in ("html", "markdown"):
        assert "known" in told(each, results)


def test_a_gate_with_a_baseline_judges_what_is_new(broken: Callable[..., Path], tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from opv2v_doctor.cli.program import app

    def gate(*words: str) -> int:
        known = ["--baseline", str(tmp_path / "known.json"), "--repo", str(repo)]
        return CliRunner().invoke(app, ["check", "CFG006", "CFG003", *known, *words]).exit_code

    repo = broken("eval_sets_share_a_key")
    with pytest.raises(UsageError, match="no such file"):
        CliRunner().invoke(
            app, ["check", "CFG006", "--baseline", "absent", "--repo", str(repo)], catch_exceptions=False
        )
    assert gate("--write-baseline") == 0
    assert gate() == 0
    document = json.loads((tmp_path / "known.json").read_text())
    assert [entry["code"] for entry in document["known"]] == ["CFG006"]
    (tmp_path / "known.json").write_text("\n".join(lines(Counter())))
    assert gate() == 1
