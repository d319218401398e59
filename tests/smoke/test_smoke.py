"""The smoke test passes on a healthy repository, in the end with the same bits, and names each fault."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from opv2v_doctor.cli.smoking import with_ranks
from opv2v_doctor.result import Result, Status
from opv2v_doctor.runner import run
from opv2v_doctor.sandbox import FAULTS
from opv2v_doctor.smoke import CHECKS
from opv2v_doctor.target import Target, make_target


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
    assert {code: result.reason for code, result in found.items() if result.status is not Status.PASSED} == {}
    assert {path: path.stat().st_mtime for path in healthy.rglob("*")} == before
    assert not living()


def test_each_of_seven_faults_at_once_is_named_by_its_check(broken: Callable[..., Path]) -> None:
    names = [name for name, fault in FAULTS.items() if fault.code in {check.code for check in CHECKS}]
    codes = [FAULTS[name].code for name in names]
    found = results(make_target(repo=broken(*names), gpus=2), *codes)
    assert len(names) == 7
    assert {code: result.status for code, result in found.items()} == dict.fromkeys(codes, Status.FAILED)
    assert all(any(finding.hint for finding in result.findings) for result in found.values())


def test_a_training_that_fails_is_no_answer_with_its_last_lines(healthy: Path) -> None:
    target = make_target(repo=healthy, gpus=2, overrides=("model.model_str=nothing",))
    found = results(target)
    assert {result.status for result in found.values()} == {Status.BLOCKED}
    assert "ended with exit code 1; its last lines:" in found["SMK001"].reason
    assert max(result.seconds for code, result in found.items() if code != "SMK001") < 1


def test_fewer_ranks_than_planned_train_on_the_planned_dataset(healthy: Path) -> None:
    four = make_target(repo=healthy, gpus=4)
    assert with_ranks(four, 2).launch_overrides[-1] == "dataset=opv2v_cyl_coop_ft_2gpu"
    assert with_ranks(replace(four, gpus=5), 3).launch_overrides[-1] == "dataset=opv2v_cyl_coop_ft_5gpu"
