"""The engine's nouns: check, result, runner. What a check may do, and what becomes of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from opv2v_doctor import (
    Blocked,
    Check,
    Finding,
    Findings,
    Place,
    Skip,
    Target,
    Text,
    Tier,
    check,
    error,
    examined,
    note,
    quoted,
    warning,
)
from opv2v_doctor.causes import merge
from opv2v_doctor.check import require_not_withheld
from opv2v_doctor.result import Result, Status, examined_text, exit_code, first_to_fix
from opv2v_doctor.runner import run

TARGET = Target(repo=Path("/repo"), python=Path("/python"))


@check("AAA001", tier="static")
def all_is_well(target: Target) -> Findings:
    """All is well.

    The page.
    """
    yield note("measured 1")
    yield examined(1, "value")


@check("AAA002", tier="static")
def something_is_odd(target: Target) -> Findings:
    """Nothing is odd."""
    yield warning("odd", hint="look")


@check("AAA003", tier="data", requires=["AAA002"])
def something_is_wrong(target: Target) -> Findings:
    """Nothing is wrong."""
    yield note("seen before")
    yield error("wrong", at=Place(target.repo / "file.py", 3), hint="mend it")


@check("AAA004", tier="data", requires=["AAA003"])
def needs_what_failed(target: Target) -> Findings:
    """What comes after a failure is fine."""
    yield examined(1, "value")


@check("AAA005", tier="data")
def crashes_half_way(target: Target) -> Findings:
    """Nothing crashes."""
    yield error("found before the crash", hint="-")
    raise ZeroDivisionError("a bug of the check")


@check("AAA006", tier="run")
def does_not_apply(target: Target) -> Findings:
    """Applies everywhere."""
    yield from ()
    raise Skip("no checkpoint yet")


@check("AAA007", tier="run")
def cannot_be_measured(target: Target) -> Findings:
    """Can be measured."""
    yield note("one thing is sure")
    raise Blocked("the interpreter died")


ALL = [value for value in list(globals().values()) if isinstance(value, Check)]


@check("AAA008", tier="run")
def looks_at_each_split(target: Target) -> Findings:
    """Each split is well."""
    for split, mean in (("train", 1), ("val", 2)):
        yield error(
            "mean {mean}, floor {floor}", at=Place(Path("a.py"), 1), hint="-", of=split, mean=mean, floor=5
        )
        yield error(
            "mean {mean}, floor {floor}",
            at=Place(Path("a.py"), 1),
            hint="-",
            of=split,
            mean=mean + 7,
            floor=5,
        )
        yield error("mean {mean}", at=Place(Path("a.py"), mean), hint="-", of=split, mean=mean)
        yield note("seen", of=split)
    raise Blocked("test cannot be read")


def statuses(**ignored: str) -> dict[str, Status]:
    return {result.check.code: result.status for result in run(ALL, TARGET, ignored=ignored)}


def result(entry: Check) -> Result:
    return next(iter(run([entry], TARGET, ignored=dict.fromkeys(entry.requires, "alone"))))


def test_a_cause_in_several_splits_is_one_finding_with_every_number() -> None:
    entry = result(looks_at_each_split)
    assert [(finding.message, finding.line) for finding in entry.findings] == [
        ("mean 1 (train), 2 (val), floor 5", 1),
        ("mean 8 (train), 9 (val), floor 5", 1),
        ("train: mean 1", 1),
        ("train, val: seen", None),
        ("val: mean 2", 2),
    ]
    assert entry.findings[0].subjects == ("train", "val")
    assert (entry.status, str(entry.reason)) == (Status.FAILED, "test cannot be read")
    assert (entry.check.name, entry.check.claim) == ("looks_at_each_split", "Each split is well.")


def test_other_words_inside_are_another_cause() -> None:
    why = {"train": Text("the mask is empty"), "val": Text("the mask is turned by {d} degrees", d=3)}
    found = list(merge(error("{why}", hint="-", of=split, why=text) for split, text in why.items()))
    assert [f.message for f in found] == ["train: the mask is empty", "val: the mask is turned by 3 degrees"]


def test_values_that_read_alike_are_told_once_and_the_subjects_before_them() -> None:
    alike = [
        error("{share:.0%} is lost", hint="-", of=split, share=x) for split, x in (("a", 0.031), ("b", 0.029))
    ]
    apart = [
        error("{share:.1%} is lost", hint="-", of=split, share=x) for split, x in (("a", 0.031), ("b", 0.029))
    ]
    assert [finding.message for finding in merge(alike)] == ["a, b: 3% is lost"]
    assert [finding.message for finding in merge(apart)] == ["3.1% (a), 2.9% (b) is lost"]


def test_what_many_agents_have_names_some_and_counts_the_rest() -> None:
    found = merge(error("off by {m} m", hint="-", of=f"agent {n}", m=n) for n in range(20))
    (finding,) = found
    assert finding.message.endswith("11 (agent 11), … (+8) m")
    assert len(finding.subjects) == 20


def test_a_pass_needs_evidence() -> None:
    @check("AAA021", tier="static")
    def says_nothing(target: Target) -> Findings:
        """All is well."""
        yield note("a note is no evidence")

    @check("AAA022", tier="static")
    def sees_nothing(target: Target) -> Findings:
        """All is well."""
        yield examined(0, "image", split="train")
        yield examined(0, "point cloud", split="val")

    @check("AAA023", tier="static")
    def sees_some(target: Target) -> Findings:
        """All is well."""
        yield examined(0, "image", split="train")
        yield examined(1, "image", split="val")
        yield examined(2, "image", split="test")

    @check("AAA024", tier="static")
    def finds_without_counting(target: Target) -> Findings:
        """All is well."""
        yield examined(0, "image")
        yield warning("odd", hint="look")

    silent, blind, seeing, finding = (
        result(one) for one in (says_nothing, sees_nothing, sees_some, finds_without_counting)
    )
    assert silent.status is Status.CRASHED
    assert "AAA021 ended without a word on what it examined" in str(silent.reason)
    assert f"test_engine.py:{says_nothing.place.line}" in str(silent.reason)
    assert exit_code([silent]) == 3
    assert (blind.status, str(blind.reason)) == (
        Status.SKIPPED,
        "nothing to examine: 0 images, 0 point clouds",
    )
    assert seeing.status is Status.PASSED
    assert str(examined_text(seeing.examined)) == "3 images of 2 splits"
    assert finding.status is Status.WARNED


@pytest.mark.parametrize("given", [(-1, "thing"), (2.5, "thing"), (3, "thing{x}"), (3, "")])
def test_evidence_that_counts_nothing_is_a_crash(given: tuple[Any, str]) -> None:
    @check("AAA031", tier="static")
    def counts_badly(target: Target) -> Findings:
        """All is well."""
        yield examined(*given)

    found = result(counts_badly)
    assert (found.status, found.examined) == (Status.CRASHED, ())
    assert "ValueError" in str(found.reason)


def test_what_is_no_finding_is_a_crash() -> None:
    @check("AAA032", tier="static")
    def yields_prose(target: Target) -> Findings:
        """All is well."""
        yield "all is well"  # type: ignore[misc]

    assert "yielded 'all is well', neither a finding nor" in str(result(yields_prose).reason)


def test_lists_of_several_subjects_are_told_apart() -> None:
    seen = {"train": [2, 3, 4], "val": [4], "test": [4]}
    found = merge(error("views: {views}, all {all}", hint="-", of=s, views=v, all=4) for s, v in seen.items())
    assert [finding.message for finding in found] == ["views: train: 2, 3, 4; val, test: 4, all 4"]


def test_a_cause_in_several_files_of_data_is_one_finding_with_the_first_file() -> None:
    found = merge(error("{n} files", hint="-", of=s, at=Path(s), n=n) for s, n in (("a", 1), ("b", 2)))
    assert [(finding.message, finding.at) for finding in found] == [("1 (a), 2 (b) files", Place(Path("a")))]


def test_a_block_says_where_it_is_decided_and_what_would_help() -> None:
    @check("AAA025", tier="static")
    def cannot_tell(target: Target) -> Findings:
        """All is well."""
        yield from ()
        raise Blocked("{name} is assumed", name="a", at=Place(Path("a.py"), 3), hint="set names.{name}")

    blocked = result(cannot_tell)
    assert (str(blocked.reason), str(blocked.at), str(blocked.hint)) == (
        "a is assumed",
        "a.py:3",
        "set names.a",
    )


def test_a_text_that_lacks_a_value_or_cannot_show_it_crashes_its_check() -> None:
    with pytest.raises(TypeError, match="lacks a value for mean"):
        error("mean {mean}", hint="-")
    with pytest.raises(ValueError, match="format"):
        error("mean {mean:.2f}", hint="-", mean="much")


def test_what_others_said_is_no_template() -> None:
    said = error("{said}", hint=quoted("{x}"), said="{not} a template")
    assert (said.message, str(said.hint)) == ("{not} a template", "{x}")


def test_of_the_events_in_one_log_the_first_is_the_cause() -> None:
    def tells(code: str, line: int, tell: Callable[..., Finding]) -> Result:
        finding = tell("event {n}", hint="-", at=Place(Path("a.log"), line), event=line, n=line)
        return Result(check=replace(all_is_well, code=code), status=Status.FAILED, findings=(finding,))

    chosen = first_to_fix([tells("AAA101", 30, error), tells("AAA102", 20, error), tells("AAA103", 10, note)])
    assert chosen is not None
    assert chosen[0].check.code == "AAA102"


def test_a_check_is_its_function_and_its_docstring() -> None:
    assert (all_is_well.name, all_is_well.claim) == ("all_is_well", "All is well.")
    assert all_is_well.page.endswith("The page.")
    assert all_is_well.family == "test"  # of test_engine.py: a family may have several modules


@pytest.mark.parametrize("code", ["aaa001", "AAAA001", "AA001", "AAA1"])
def test_a_code_is_three_capitals_and_three_digits(code: str) -> None:
    with pytest.raises(ValueError, match=code):
        check(code, tier="static")


def test_a_check_without_a_page_is_refused() -> None:
    def unexplained(target: Target) -> Findings:
        yield note("")

    with pytest.raises(ValueError, match="unexplained"):
        check("AAA009", tier="static")(unexplained)


def test_the_worst_finding_decides() -> None:
    assert statuses() == {
        "AAA001": Status.PASSED,
        "AAA002": Status.WARNED,
        "AAA003": Status.FAILED,
        "AAA004": Status.BLOCKED,
        "AAA005": Status.CRASHED,
        "AAA006": Status.SKIPPED,
        "AAA007": Status.BLOCKED,
    }


def test_what_requires_a_failed_check_is_blocked_with_the_reason() -> None:
    blocked = {r.check.code: r.reason for r in run(ALL, TARGET)}["AAA004"]
    assert str(blocked) == "needs AAA003"


def test_what_failed_of_one_split_blocks_that_split_alone() -> None:
    @check("AAA020", tier="data")
    def fails_of_val(target: Target) -> Findings:
        """No split is wrong."""
        yield error("wrong", hint="mend it", of="val")

    @check("AAA021", tier="data", requires=["AAA020"], by_split=True)
    def goes_on(target: Target) -> Findings:
        """Every split is fine."""
        for split in ("train", "val"):
            require_not_withheld(split)
            yield examined(1, "view", split=split)

    @check("AAA022", tier="data", requires=["AAA020"])
    def takes_all_at_once(target: Target) -> Findings:
        """All splits together are fine."""
        yield examined(1, "view")

    _, one, other = run([fails_of_val, goes_on, takes_all_at_once], TARGET)
    assert (one.status, str(one.reason)) == (Status.BLOCKED, "val needs AAA020")
    assert [seen.where for seen in one.examined] == [{"split": "train"}]
    assert (other.status, str(other.reason)) == (Status.BLOCKED, "needs AAA020")


def test_what_requires_a_check_that_does_not_apply_does_not_apply_either() -> None:
    @check("AAA014", tier="run", requires=["AAA006"])
    def looks_into_checkpoints(target: Target) -> Findings:
        """All checkpoints are well."""
        yield examined(1, "value")

    @check("AAA015", tier="run", requires=["AAA006", "AAA003"])
    def needs_what_failed_too(target: Target) -> Findings:
        """All that failed is in the checkpoints."""
        yield note("seen")

    found = {
        one.check.code: (one.status, str(one.reason))
        for one in run([*ALL, looks_into_checkpoints, needs_what_failed_too], TARGET)
    }
    assert found["AAA014"] == (Status.SKIPPED, "no checkpoint yet")
    assert found["AAA015"] == (Status.SKIPPED, "no checkpoint yet")
    assert exit_code(run([does_not_apply, looks_into_checkpoints], TARGET)) == 3


def test_who_ignores_a_check_vouches_for_it() -> None:
    assert statuses(AAA003="known")["AAA003"] is Status.SKIPPED
    assert statuses(AAA003="known")["AAA004"] is Status.PASSED


def test_a_crash_keeps_what_was_found() -> None:
    crashed = result(crashes_half_way)
    assert [finding.message for finding in crashed.findings] == ["found before the crash"]
    assert str(crashed.reason).startswith("ZeroDivisionError: a bug of the check (test_engine.py:")


def test_a_check_that_wants_to_end_us_crashes_alone() -> None:
    @check("AAA016", tier="run")
    def leaves(target: Target) -> Findings:
        """All is well."""
        yield error("found", hint="-")
        raise SystemExit(0)

    found = list(run([leaves, all_is_well], TARGET))
    assert [one.status for one in found] == [Status.CRASHED, Status.PASSED]
    assert exit_code(found) == 3


def test_a_block_keeps_what_was_found() -> None:
    blocked = result(cannot_be_measured)
    assert (blocked.status, str(blocked.reason)) == (Status.BLOCKED, "the interpreter died")
    assert len(blocked.findings) == 1


def test_an_error_before_a_block_is_an_answer() -> None:
    @check("AAA008", tier="static")
    def half_measured(target: Target) -> Findings:
        """All is measured."""
        yield error("wrong in train", hint="-")
        raise Blocked("val cannot be drawn")

    failed = result(half_measured)
    assert (failed.status, str(failed.reason)) == (Status.FAILED, "val cannot be drawn")


def test_what_takes_long_is_begun_once_as_soon_as_its_requirements_have_passed() -> None:
    events: list[str] = []

    def begin(target: Target) -> None:
        events.append("begun")
        raise Blocked("the check will say so")

    @check("AAA010", tier="run", requires=["AAA001"], ahead=begin)
    def takes_long(target: Target) -> Findings:
        """It takes long."""
        yield note("long")

    for one in run([all_is_well, something_is_odd, takes_long, needs_what_failed], TARGET):
        events.append(one.check.code)
    assert events == ["AAA001", "begun", "AAA002", "AAA010", "AAA004"]
    list(run([takes_long], TARGET, ignored={"AAA010": "not now"}))
    assert events.count("begun") == 1


def test_what_takes_long_is_begun_in_the_checklists_order() -> None:
    events: list[str] = []

    def long(code: str, *requires: str) -> Check:
        @check(code, tier="run", requires=requires, ahead=lambda target: events.append(f"begun {code}"))
        def takes_long(target: Target) -> Findings:
            """It takes long."""
            yield note("long")

        return takes_long

    first, second = long("AAA011", "AAA002"), long("AAA012", "AAA001")
    hopeless = long("AAA013", "AAA003")  # what it requires fails
    for one in run([all_is_well, something_is_odd, something_is_wrong, hopeless, first, second], TARGET):
        events.append(one.check.code)
    assert events[:5] == ["AAA001", "AAA002", "AAA003", "begun AAA011", "begun AAA012"]
    assert "begun AAA013" not in events


def test_a_result_comes_before_the_next_check_starts() -> None:
    started: list[str] = []
    results = run(ALL, TARGET, starting=lambda entry: started.append(entry.code))
    next(results)
    assert started == ["AAA001"]


@pytest.mark.parametrize(
    ("checks", "strict", "code"),
    [
        ([all_is_well], False, 0),
        ([all_is_well, something_is_odd], False, 0),
        ([all_is_well, something_is_odd], True, 1),
        ([all_is_well, something_is_wrong], False, 1),
        ([all_is_well, does_not_apply], False, 0),
        ([does_not_apply], False, 3),
        ([], False, 3),
        ([all_is_well, cannot_be_measured], False, 3),
        ([all_is_well, crashes_half_way], False, 3),
        ([something_is_wrong, crashes_half_way], False, 1),
    ],
)
def test_no_answer_is_not_fine(checks: list[Check], strict: bool, code: int) -> None:
    assert exit_code([result(entry) for entry in checks], strict=strict) == code


def test_a_requirement_that_passed_is_no_answer_to_what_was_asked() -> None:
    ignored = {"AAA002": "known"}
    kept = list(run([all_is_well, something_is_odd], TARGET, ignored=ignored, asked={"AAA002"}))
    assert exit_code(kept) == 3
    assert exit_code(run([all_is_well, something_is_odd], TARGET, ignored=ignored)) == 0


def test_a_failure_is_to_be_fixed_before_a_crash_and_a_warning() -> None:
    found = first_to_fix(run(ALL, TARGET))
    assert found is not None
    first, finding = found
    assert first.check is something_is_wrong
    assert finding is not None
    assert finding.line == 3


def test_nothing_is_to_be_fixed_when_all_is_well() -> None:
    assert first_to_fix([result(all_is_well)]) is None


def test_tiers_reach_from_static_to_run() -> None:
    reached = [[tier for tier in Tier if up_to.reaches(tier)] for up_to in Tier]
    assert [len(tiers) for tiers in reached] == [1, 2, 3]
