"""The weights of checkpoints: silent on the healthy run, and each check speaks when one thing is broken."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from opv2v_doctor import Severity
from opv2v_doctor.check import Examined
from opv2v_doctor.facts.launch.config import Config, config
from opv2v_doctor.registry import installed_checks
from opv2v_doctor.result import Result, Status
from opv2v_doctor.sandbox.faults.checkpoints import RUN, edit_checkpoint
from opv2v_doctor.target import make_target
from opv2v_doctor.testing import run_check

from ..edges import assert_edge

Broken = Callable[..., Path]
FEW = 0.01  # of the optimised tensors
CODES = ["CKP007", "CKP008"]
LAST = "checkpoint-last.pth"


def examined(code: str, repo: Path, *overrides: str) -> Result:
    return run_check(code, make_target(repo=repo, overrides=overrides))


@pytest.mark.parametrize("code", CODES)
def test_a_healthy_run_passes(code: str, healthy: Path) -> None:
    result = examined(code, healthy)
    assert result.status is Status.PASSED
    assert [finding.severity for finding in result.findings] == [Severity.NOTE]


@pytest.mark.parametrize("code", CODES)
def test_a_run_without_checkpoints_is_skipped(code: str, healthy: Path, tmp_path: Path) -> None:
    assert examined(code, healthy, f"hydra.run.dir={tmp_path}").status is Status.SKIPPED


def test_a_nan_in_the_newest_checkpoint_is_an_error_that_names_the_tensor(broken: Broken) -> None:
    result = examined("CKP007", broken("nan_weights"))
    (finding,) = [f for f in result.findings if f.severity is Severity.ERROR]
    assert finding.path is not None
    assert finding.path.name == LAST
    assert finding.text.values["bad"] == {"pose_head.weight": 1}
    assert "opv2v-doctor checkpoint --deep" in str(finding.hint)


def test_what_was_not_read_is_said(healthy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finite, moved = (next(c for c in installed_checks() if c.code == code) for code in ("CKP007", "CKP008"))
    monkeypatch.setattr(sys.modules[finite.function.__module__], "MOST_BYTES", 1000)
    monkeypatch.setattr(sys.modules[moved.function.__module__], "MOST_VALUES", 16)
    result = examined("CKP007", healthy)
    (note,) = result.findings
    read, elements = note.text.values["read"], note.text.values["n"]
    assert int(str(read)) < int(str(elements))
    assert result.examined[0] == Examined(count=int(str(read)), unit="value")
    assert "checkpoint --deep" in note.message
    (note,) = examined("CKP008", healthy).findings
    assert "in their first 16 values" in note.message


def test_a_sub_module_that_stood_still_is_a_warning(broken: Broken) -> None:
    result = examined("CKP008", broken("frozen_group_checkpoint"))
    assert result.status is Status.WARNED
    still = result.findings[0].text.values["still"]
    assert isinstance(still, list)
    assert still
    assert all(name.startswith("encoder.") for name in still)


def test_weights_of_which_none_moved_are_an_error(broken: Broken) -> None:
    repo = broken()
    before = torch.load(repo / RUN / "checkpoint-2.pth", weights_only=False)["model"]
    edit_checkpoint(repo / RUN / LAST, lambda saved: saved.update(model=before))
    assert examined("CKP008", repo).status is Status.FAILED


def test_what_the_optimizer_was_not_given_may_stand_still(broken: Broken) -> None:
    repo = broken("frozen_group_checkpoint")

    def freeze(saved: dict[str, Any]) -> None:
        groups = saved["optimizer"]["param_groups"]
        groups[0]["params"] = groups[0]["params"][3:]
        groups[1]["params"] = groups[1]["params"][3:]

    edit_checkpoint(repo / RUN / LAST, freeze)
    assert examined("CKP008", repo).status is Status.PASSED


def test_a_single_epoch_cannot_have_moved(broken: Broken) -> None:
    repo = broken()
    for path in (repo / RUN).glob("checkpoint-*.pth"):
        if path.name != "checkpoint-1.pth":
            path.unlink()
    assert examined("CKP008", repo).status is Status.SKIPPED


def test_without_an_optimizer_nobody_knows_what_should_have_moved(broken: Broken) -> None:
    repo = broken("frozen_group_checkpoint")
    for path in (repo / RUN).glob("checkpoint-*.pth"):
        edit_checkpoint(path, lambda saved: saved.pop("optimizer", None))
    assert examined("CKP008", repo).status is Status.BLOCKED


def test_a_few_optimised_tensors_may_stand_still(healthy: Path, tmp_path: Path) -> None:
    tensors = 200

    def status(share: float) -> Status:
        folder = tmp_path / str(share)
        folder.mkdir()
        still = round(share * tensors)
        for epoch in range(2):
            values = {
                f"m{n}.w": torch.tensor([float(n + (epoch if n >= still else 0))]) for n in range(tensors)
            }
            state = {0: {"step": torch.tensor(10.0 * (epoch + 1))}}
            optimizer = {"state": state, "param_groups": [{"lr": 0.1, "params": list(range(tensors))}]}
            torch.save(
                {"model": values, "optimizer": optimizer, "epoch": epoch},
                folder / f"checkpoint-{epoch + 1}.pth",
            )
        return run_check("CKP008", make_target(repo=healthy, run=folder)).status

    assert_edge(FEW, status, step=0.5)


def test_weights_of_a_kind_that_is_not_read_pass_no_check(healthy: Path, tmp_path: Path) -> None:
    for epoch in range(2):
        model = {"head.w": torch.full((3,), 1.0 + epoch).to(torch.float8_e4m3fn)}
        torch.save({"model": model, "epoch": epoch}, tmp_path / f"checkpoint-{epoch + 1}.pth")
    run = {"hydra": {"run": {"dir": str(tmp_path)}}}
    given = {config: Config(values=run, missing=(), unresolved={}, files=())}
    for code in CODES:
        result = run_check(code, make_target(repo=healthy), given)
        assert result.status is Status.WARNED
        assert "values of kind float8_e4m3fn are not read" in result.findings[0].message
