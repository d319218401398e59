"""The smoke test passes on a healthy repository, in the end with the same bits, and names each fault."""

import datetime
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from opv2v_doctor.check import Check
from opv2v_doctor.cli.smoke import with_ranks
from opv2v_doctor.result import Result, Status
from opv2v_doctor.runner import run
from opv2v_doctor.runs.record import Launch, RankFailure, Run, Stamp
from opv2v_doctor.sandbox import FAULTS
from opv2v_doctor.smoke import CHECKS
from opv2v_doctor.smoke.launches import (
    Outcome,
    _failure,
    _innermost,
    resumed_training,
    uninterrupted_training,
)
from opv2v_doctor.smoke.smoke_processes import ROUNDING, SAME_RATE, SMALL
from opv2v_doctor.smoke.traces import EVENTS, read_trace
from opv2v_doctor.state import State
from opv2v_doctor.target import Target, make_target
from opv2v_doctor.text import Place, Text

from ..edges import assert_edge
from ..guards.test_smoke import rates_doubled, scaled
from .recordings import Events, Tamper, every, judged, lost, of_kind, recorded, told


def results(target: Target, *codes: str) -> dict[str, Result]:
    """The results of some checks without what they require, or of all with it."""
    chosen = [check for check in CHECKS if not codes or check.code in codes]
    waived = {code: "tested alone" for check in chosen for code in check.requires} if codes else {}
    return {result.check.code: result for result in run(chosen, target, ignored=waived)}


def living() -> set[str]:
    """Processes that belong to a launch."""
    return {
        folder.name
        for folder in Path("/proc").iterdir()
        if folder.name.isdecimal() and b"opv2v-doctor-smoke-" in _command(folder)
    }


def _command(folder: Path) -> bytes:
    try:
        return (folder / "cmdline").read_bytes()
    except OSError:
        return b""


def test_a_healthy_training_passes_and_leaves_nothing(healthy: Path) -> None:
    before = {path: path.stat().st_mtime for path in healthy.rglob("*")}
    found = results(make_target(repo=healthy, gpus=2))
    others = {code: result.status for code, result in found.items() if result.status is not Status.PASSED}
    assert others == dict.fromkeys(("SMK018", "SMK019"), Status.SKIPPED)  # nothing is accumulated, or frozen
    assert {path: path.stat().st_mtime for path in healthy.rglob("*")} == before
    assert not living()


# by ranks that train on their own, gradients that add up, and a resume that begins elsewhere
HIDDEN = {"SMK010", "SMK014", "SMK015", "SMK016"}
LAST = "SMK026"  # those that follow are of the rehearsal


def test_each_of_eleven_faults_at_once_is_named_by_its_check(broken: Callable[..., Path]) -> None:
    codes_of_smoke = {check.code for check in CHECKS if check.code <= LAST} - HIDDEN
    names = [name for name, fault in FAULTS.items() if fault.code in codes_of_smoke]
    codes = [FAULTS[name].code for name in names]
    found = results(make_target(repo=broken(*names), gpus=2), *codes)
    assert len(names) == 11
    assert {code: result.status for code, result in found.items()} == dict.fromkeys(codes, Status.FAILED)
    assert all(any(finding.hint for finding in result.findings) for result in found.values())


def test_a_training_that_fails_is_a_fault_and_no_answer_for_what_follows(healthy: Path) -> None:
    target = make_target(repo=healthy, gpus=2, overrides=("model.model_str=nothing",))
    found = results(target)
    raised = "ValueError: unknown model 'nothing'; known: mapanything"
    (finding,) = found["SMK001"].findings
    assert finding.message == f"the uninterrupted training ended with exit code 1: {raised}"
    assert finding.path == healthy / "mapanything" / "models" / "__init__.py"
    others = [result for code, result in found.items() if "SMK001" < code <= LAST]
    assert {result.status for result in others} == {Status.BLOCKED}  # the rehearsal has a model of its own
    assert max(result.seconds for result in others) < 1


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.code)
def test_trainings_of_which_no_step_was_seen_pass_nothing(check: Check, tmp_path: Path) -> None:
    result = judged(check.code, tmp_path, uninterrupted=lost, resumed=lost, alone=lost)
    assert result.status is Status.BLOCKED
    if check.code <= LAST:
        assert str(result.reason) == "the uninterrupted training ended without a step of rank 0"


def test_a_rank_of_which_no_step_was_seen_is_no_answer(tmp_path: Path) -> None:
    def only_one(events: Events) -> None:
        events[:] = [event for event in events if event["rank"] == 0]

    result = judged("SMK001", tmp_path, uninterrupted=only_one)
    assert (result.status, "of rank 1" in str(result.reason)) == (Status.BLOCKED, True)


def test_a_resume_that_trains_nothing_has_skipped_an_epoch(tmp_path: Path) -> None:
    assert judged("SMK007", tmp_path, resumed=lost).status is Status.FAILED
    assert judged("SMK009", tmp_path, resumed=lost).status is Status.BLOCKED


def test_a_resume_that_fails_is_a_fault(tmp_path: Path) -> None:
    place, now = Place(tmp_path / "train_tools.py", 186), datetime.datetime.now(datetime.UTC)
    target = recorded(tmp_path)
    whole = uninterrupted_training(target)
    launch = Launch(stamp=Stamp(), digest="", started=now)

    def result(launches: int) -> Result:
        failed = Outcome(
            trace=replace(whole.trace, steps=(), others=()),
            run=Run(path=tmp_path, launches=(launch,) * launches),
            failure=Text("ended with exit code 1"),
            at=place,
        )
        given: dict[Any, Any] = {uninterrupted_training: whole, resumed_training: failed}
        return results(replace(target, state=State(given)), "SMK007")["SMK007"]

    (finding,) = result(2).findings
    assert finding.message == "the resumed training ended with exit code 1"
    assert (finding.path, finding.line) == (place.path, 186)
    assert result(1).status is Status.BLOCKED  # it never came so far that it could be resumed


LOADS = """
def load_model(args, model_without_ddp, optimizer):
    checkpoint = torch.load(args.resume)
    model_without_ddp.load_state_dict(checkpoint["model"], strict=False)
    optimizer.load_state_dict(checkpoint["optimizer"])


params.lr = params.lr * get_world_size()
"""


def test_what_differs_is_placed_where_the_repository_makes_it(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    script = tmp_path / "scripts" / "train.py"
    tampered: list[tuple[str, dict[str, Tamper], int]] = [
        ("SMK008", {"resumed": every(before="other")}, 4),
        ("SMK009", {"resumed": every(optimizer="other")}, 5),
        ("SMK009", {"resumed": every(optimizer_steps=0)}, 5),
        ("SMK005", {"alone": rates_doubled}, 8),
    ]
    for code, changes, line in tampered:
        script.write_text(LOADS)
        (finding,) = judged(code, tmp_path, **changes).findings
        assert (finding.path, finding.line) == (script, line), code


def test_an_epoch_alone_has_no_other_order(tmp_path: Path) -> None:
    assert judged("SMK004", tmp_path, uninterrupted=every(epoch=0)).status is Status.SKIPPED


def test_what_the_watch_says_is_quoted(tmp_path: Path) -> None:
    result = judged("SMK002", tmp_path, uninterrupted=told("gradients not cleared", "a {b} of the watch"))
    assert [finding.message for finding in result.findings] == ["epoch 0, step 1: a {b} of the watch"]
    assert result.findings[0].text.template == "{place}: {message}"


def test_a_learning_rate_may_differ_by_rounding(tmp_path: Path) -> None:
    def status(difference: float) -> Status:
        def change(events: Events) -> None:
            for event in of_kind(events, "step"):
                event["lr"] = {group: rate * (1 + difference) for group, rate in event["lr"].items()}

        return judged("SMK005", tmp_path / str(difference), alone=change).status

    assert_edge(SAME_RATE, status)


def test_gradients_may_differ_by_the_order_of_a_sum(tmp_path: Path) -> None:
    def status(difference: float) -> Status:
        change = scaled(1 + difference, "update")
        return judged("SMK006", tmp_path / str(difference), alone=change).status

    assert_edge(ROUNDING, status)


def test_the_smallest_gradients_are_rounding(tmp_path: Path) -> None:
    def status(share: float) -> Status:
        def vanish(events: Events) -> None:
            for event in of_kind(events, "update"):  # of all ranks
                event["gradients"]["mask_prior"] = [0.0] * 5

        def remain(events: Events) -> None:
            rows = of_kind(events, "update")[0]["gradients"]
            others = [row for name, row in rows.items() if name != "mask_prior"]
            sizes = [math.sqrt(sum(value**2 for value in row[:-1]) / 4) for row in others]
            rows["mask_prior"] = [share * max(sizes)] * 5

        folder = tmp_path / str(share)
        return judged("SMK006", folder, uninterrupted=vanish, alone=remain).status

    assert_edge(SMALL, status)


def test_an_exception_is_told_with_all_its_lines(tmp_path: Path) -> None:
    events = [
        {"event": "raised", "rank": 1, "error": "ConnectionError: reset", "frames": ["/elsewhere/a.py:3"]},
        {
            "event": "raised",
            "rank": 0,
            "error": "RuntimeError: Error(s) in loading:\n\tMissing key(s): x",
            "frames": [f"{tmp_path}/model.py:7", "/elsewhere/torch.py:9"],
        },
    ]
    (tmp_path / EVENTS).write_text("".join(json.dumps(event) + "\n" for event in events))
    trace = read_trace(tmp_path)
    now = datetime.datetime.now(datetime.UTC)
    last = Launch(
        stamp=Stamp(), digest="", started=now, exit_code=1, failure=RankFailure(rank=0, last_lines=("a", "b"))
    )
    run = Run(path=tmp_path, launches=(last,))
    told = "ended with exit code 1: RuntimeError: Error(s) in loading: Missing key(s): x"
    assert str(_failure(run, trace)) == told
    assert _innermost(run, trace, tmp_path) == Place(tmp_path / "model.py", 7)
    assert str(_failure(run, replace(trace, raised=()))) == "ended with exit code 1; its last lines: a | b"


def test_fewer_ranks_than_planned_train_on_the_planned_dataset(healthy: Path) -> None:
    four = make_target(repo=healthy, gpus=4)
    assert with_ranks(four, 2).launch_overrides[-1] == "dataset=opv2v_cyl_coop_ft_2gpu"
    assert with_ranks(replace(four, gpus=5), 3).launch_overrides[-1] == "dataset=opv2v_cyl_coop_ft_5gpu"
