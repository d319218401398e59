"""Faults of the checkpoints: broken, hostile, out of step with the run or with the config."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from opv2v_doctor.sandbox.archive import rewrite_pickle
from opv2v_doctor.sandbox.faults.fault import fault

RUN = "experiments/opv2v_cyl_coop"
MARK = "hostile_checkpoint_was_executed"


@fault("CKP001")
def truncated_checkpoint(directory: Path) -> None:
    """The last checkpoint ends in the middle."""
    path = directory / RUN / "checkpoint-last.pth"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@fault("CKP001")
def hostile_checkpoint(directory: Path) -> None:
    """Unpickling the last checkpoint makes a folder `hostile_checkpoint_was_executed` in the repository."""
    hostile = pickle.dumps(_MakesFolder(directory / MARK), protocol=2)
    rewrite_pickle(directory / RUN / "checkpoint-last.pth", lambda _: hostile)


@fault("CKP002")
def epoch_off_by_one(directory: Path) -> None:
    """The last checkpoint says one epoch more than the optimizer has made."""
    edit_checkpoint(
        directory / RUN / "checkpoint-last.pth", lambda saved: saved.update(epoch=saved["epoch"] + 1)
    )


@fault("CKP003")
def checkpoints_out_of_order(directory: Path) -> None:
    """The files of the first and the third epoch are swapped."""
    first, third, between = (directory / RUN / f"checkpoint-{name}.pth" for name in ("1", "3", "swapped"))
    first.rename(between)
    third.rename(first)
    between.rename(third)


@fault("CKP004")
def killed_save(directory: Path) -> None:
    """A save was killed: half a temporary file lies beside the last checkpoint."""
    path = directory / RUN / "checkpoint-last.pth"
    content = path.read_bytes()
    path.with_suffix(".pth.tmp").write_bytes(content[: len(content) // 2])


@fault("CKP005")
def optimizer_not_saved(directory: Path) -> None:
    """The last checkpoint lacks the optimizer: resuming would start it anew."""
    edit_checkpoint(directory / RUN / "checkpoint-last.pth", lambda saved: saved.pop("optimizer"))


@fault("CKP006")
def other_config_stored(directory: Path) -> None:
    """The last checkpoint was made with another learning rate and number of epochs than the config has."""

    def change(saved: dict[str, Any]) -> None:
        saved["args"].train_params.update(lr=5e-5, epochs=30)

    edit_checkpoint(directory / RUN / "checkpoint-last.pth", change)


@fault("CKP007")
def nan_weights(directory: Path) -> None:
    """One weight of the last checkpoint is NaN: its training went on after a loss that was none."""

    def change(saved: dict[str, Any]) -> None:
        saved["model"]["pose_head.weight"][0, 0] = float("nan")

    edit_checkpoint(directory / RUN / "checkpoint-last.pth", change)


@fault("CKP008")
def frozen_group_checkpoint(directory: Path) -> None:
    """The encoder was given to the optimizer, and did not move in the last epoch."""
    import torch

    before = torch.load(directory / RUN / "checkpoint-2.pth", map_location="cpu", weights_only=False)["model"]
    encoder = {name: value for name, value in before.items() if name.startswith("encoder.")}
    edit_checkpoint(directory / RUN / "checkpoint-last.pth", lambda saved: saved["model"].update(encoder))


def edit_checkpoint(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Load a checkpoint of the sandbox, change it in place, and save it again."""
    import torch

    saved = torch.load(path, map_location="cpu", weights_only=False)
    change(saved)
    torch.save(saved, path)


class _MakesFolder:
    """Unpickled, this makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.path),)
