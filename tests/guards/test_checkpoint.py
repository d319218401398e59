"""The guards of the family checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from opv2v_doctor.sandbox.faults.checkpoints import RUN, edit_checkpoint
from opv2v_doctor.target import make_target
from opv2v_doctor.testing import run_check

from .guard import Case, Guard, Workshop, fault, guarded, healthy


def changed(change: Callable[[Path], object]) -> Case:
    """A copy whose run directory was changed."""

    def case(shop: Workshop, code: str) -> Any:
        repo = shop.broken()
        change(repo / RUN)
        return run_check(code, make_target(repo=repo))

    return case


def without(*parts: str) -> Case:
    """Checkpoints that lack some parts."""

    def remove(saved: dict[str, Any]) -> None:
        for part in parts:
            saved.pop(part, None)

    def edit(run: Path) -> None:
        for path in run.glob("checkpoint-*.pth"):
            edit_checkpoint(path, remove)

    return changed(edit)


def only(*names: str) -> Case:
    """A run with some of its checkpoints."""
    kept = {f"checkpoint-{name}.pth" for name in names}

    def remove(run: Path) -> None:
        for path in run.glob("checkpoint-*.pth"):
            if path.name not in kept:
                path.unlink()

    return changed(remove)


def nothing_trained(shop: Workshop, code: str) -> Any:
    """A run directory that no training has written into."""
    return run_check(code, make_target(repo=shop.healthy, run=shop.folder))


GUARDS = {
    "CKP001": Guard(bad=fault("truncated_checkpoint"), good=healthy(), empty=nothing_trained),
    "CKP002": Guard(bad=fault("epoch_off_by_one"), good=healthy(), empty=without("optimizer")),
    "CKP003": Guard(bad=fault("checkpoints_out_of_order"), good=healthy(), empty=only("last")),
    "CKP004": Guard(bad=fault("killed_save"), good=healthy(), empty=nothing_trained),
    "CKP005": Guard(bad=fault("optimizer_not_saved"), good=healthy(), empty=only("best")),
    "CKP006": Guard(bad=fault("other_config_stored"), good=healthy(), empty=without("args")),
    "CKP007": Guard(bad=fault("nan_weights"), good=healthy(), empty=without("model")),
    "CKP008": Guard(bad=fault("frozen_group_checkpoint"), good=healthy(), empty=only("1")),
}

test_checkpoint = guarded(GUARDS)
