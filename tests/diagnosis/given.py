"""Facts of a healthy diagnosis, to judge or to tamper with, without a training interpreter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from opv2v_doctor.diagnosis import CHECKS
from opv2v_doctor.diagnosis import measurements as measured
from opv2v_doctor.diagnosis.measurements import BothSets, CheckpointErrors, DiagnosisRequest, JudgedSample
from opv2v_doctor.diagnosis.questions import (
    Crossing,
    Disagreement,
    Drawn,
    Evaluated,
    Moved,
    Opened,
    Overfitted,
    Part,
    Paths,
    ReadFile,
    ViewNumbers,
)
from opv2v_doctor.facts.interpreter.questions import Account, ShownView, WeightPart
from opv2v_doctor.facts.interpreter.views import Identity
from opv2v_doctor.facts.predictions.errors import Errors, PredictionRepairs, ViewErrors
from opv2v_doctor.result import Result
from opv2v_doctor.runner import run
from opv2v_doctor.state import State
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place

LOOP = Path("/repository/train.py")
TRAIN, TEST = Place(LOOP, 10), Place(LOOP, 20)
DINOV2 = {"mean": (0.0, 0.0, 0.0), "deviation": (1.0, 1.0, 1.0), "least": (-2.1, -2.0, -1.8)}


def part(kind: str, path: str = "", **values: Any) -> Part:
    return Part(path=path, kind=kind, values=values, place=Place(Path("/repository/losses.py"), 3))


def moved(relative: float = 0.5, still: tuple[str, ...] = (), frozen: int = 0) -> Moved:
    return Moved(elements=100, relative=relative, still=still, frozen=frozen)


def opened(**changed: Any) -> Opened:
    """A launch whose checkpoint fits it."""
    healthy: dict[str, Any] = {
        "device": "cpu",
        "train_criterion": (part("Loss", weight=1.0),),
        "test_criterion": (part("Loss", weight=1.0),),
        "sets": (("validate",),),
        "chosen": 0,
        "train_place": TRAIN,
        "test_place": TEST,
        "account": account(100),
        "read": (ReadFile(file=Path("/weights.pth"), elements=100, named=100, held=100),),
        "load_place": Place(LOOP, 5),
        "moved": {"encoder": moved(), "head": moved()},
        "attributes": {"split": ("train", "validate")},
        "fresh": False,
    }
    return Opened(**{**healthy, **changed})


def account(loaded: int) -> Account:
    return Account(
        parts={"encoder": WeightPart(elements=100, loaded=loaded, missing=())}, unexpected=(), reshaped=()
    )


def view(**changed: Any) -> ViewNumbers:
    healthy: dict[str, Any] = {
        **DINOV2,
        "norm_type": "dinov2",
        "position": (0.0, 0.0, 0.0),
        "turned": 0.0,
        "depth": 12.0,
        "known": 0.5,
        "mask": 0.85,
    }
    return ViewNumbers(**{**healthy, **changed})


def sample(number: int = 0, **changed: Any) -> tuple[ViewNumbers, ...]:
    """Two views, some twenty metres apart."""
    x, y, z = changed.pop("position", (0.0, 0.0, 0.0))
    return view(position=(x, y, z), **changed), view(position=(x + 1, y, z + 20 + number), **changed)


def drawn(train: dict[str, Any] | None = None, test: dict[str, Any] | None = None, **changed: Any) -> Drawn:
    """Eight samples of each set, all of one kind but for what is changed."""
    healthy: dict[str, Any] = {
        "train": tuple(sample(number, **(train or {})) for number in range(8)),
        "test": tuple(sample(number, **(test or {})) for number in range(8)),
        "distinct": 40,
        "jitter": 0.0,
    }
    return Drawn(**{**healthy, **changed})


def errors(**changed: Any) -> Errors:
    one = ViewErrors(
        agent="1",
        pose_metres=0.5,
        pose_degrees=1.0,
        depth_rmse=2.0,
        depth_median=1.0,
        depth_ratio=1.0,
        valid_pixels=100,
        finite=1.0,
        pred_mask_mean=0.85,
        gt_mask_mean=0.85,
        mask_iou=0.98,
        bounds=None,
    )
    healthy: dict[str, Any] = {
        "views": (one, one),
        "pose_rmse": 0.5,
        "pose_rmse_scaled": 0.4,
        "pose_degrees": 1.0,
        "depth_rmse": 2.0,
        "depth_median": 1.0,
        "pred_mask_mean": 0.85,
        "gt_mask_mean": 0.85,
        "scale": 10.0,
        "scale_of_depth": 1.0,
        "scale_of_poses": 1.0,
        "points": PredictionRepairs(none=3.0, pose=2.0, depth=1.0, scale=3.0),
        "self_rmse": 0.0,
    }
    return Errors(**{**healthy, **changed})


def judged_sample(part: str = "train", loss: float = 10.0, **changed: Any) -> JudgedSample:
    names = {field for field in Evaluated.__dataclass_fields__ if field in changed}
    healthy: dict[str, Any] = {
        "part": part,
        "views": tuple(
            ShownView(
                identity=Identity(label="scene/1", instance=f"000/{n}", agent_id=str(n)), camera_model="cyl"
            )
            for n in range(2)
        ),
        "prefix": "",
        "loss": loss,
        "by_train": loss,
        "terms": {"Loss_pose_avg": loss / 2},
        "repaired": {"pose": loss / 2, "depth": loss / 2},
        "constant": 20.0,
        "constant_terms": {"Loss_pose_avg": 10.0},
        "initial": 30.0,
        "matched": loss,
    }
    return JudgedSample(
        evaluated=Evaluated(**{**healthy, **{name: changed[name] for name in names}}),
        errors=changed.get("errors", errors()),
        places=((0.0, 0.0, 0.0), (0.0, 0.0, 25.0)),
    )


def both(test: float = 10.0, train: float = 10.0, **changed: Any) -> BothSets:
    """Eight samples of each set with these losses, a little apart from each other."""
    return BothSets(
        train=tuple(judged_sample("train", train * (1 + n / 1000)) for n in range(8)),
        test=tuple(judged_sample("test", test * (1 + n / 1000), **changed) for n in range(8)),
        asked=16,
        problem="",
    )


def crossing(**changed: Any) -> Crossing:
    healthy: dict[str, Any] = {
        "loss": 10.0,
        "again": None,
        "factor": 1.0,
        "in_training": (),
        "modules": 0,
        "precision": None,
        "line": TEST,
        "weights_differ": 0,
    }
    return Crossing(**{**healthy, **changed})


def paths(test: dict[str, Any] | None = None, train: dict[str, Any] | None = None, **changed: Any) -> Paths:
    healthy: dict[str, Any] = {
        "part": "train",
        "train": crossing(**{"modules": 9, "in_training": ("the model",), "line": TRAIN, **(train or {})}),
        "test": crossing(**(test or {})),
        "inputs": {},
        "changed_by": {},
        "by_test_of_train": 10.0,
    }
    return Paths(batches=(Disagreement(**{**healthy, **changed}),), problem="")


def overfitted(**changed: Any) -> Overfitted:
    healthy: dict[str, Any] = {
        "samples": 2,
        "whole": 2,
        "steps": 30,
        "losses": tuple(100.0 - 2 * step for step in range(30)),
        "first_terms": {"Loss_pose_avg": 10.0},
        "last_terms": {"Loss_pose_avg": 4.0},
        "rates": (0.01,) * 30,
        "moved": {"encoder": moved(), "head": moved()},
        "without_gradient": (),
        "unused": (),
        "validated": 42.0,
        "train_after": 42.0,
        "problem": "",
    }
    return Overfitted(**{**healthy, **changed})


def checkpoints(*losses: float | None) -> tuple[CheckpointErrors, ...]:
    return tuple(
        CheckpointErrors(
            path=Path(f"/run/checkpoint-{number}.pth"),
            loss=loss,
            pose_metres=1.0,
            pose_degrees=1.0,
            depth_metres=2.0,
            pred_mask_mean=0.85,
            true_mask_mean=0.85,
        )
        for number, loss in enumerate(losses, 1)
    )


def given(**changed: Any) -> dict[Any, Any]:
    """All facts that the checks look at, by their functions."""
    healthy: dict[str, Any] = {
        "asked": DiagnosisRequest(checkpoint=Path("/run/checkpoint-best.pth")),
        "opened": opened(),
        "drawn": drawn(),
        "both_sets": both(),
        "paths": paths(),
        "overfitted": overfitted(),
        "every_checkpoint": checkpoints(12.0, 10.0),
        "data_results": (),
        "epoch_losses": (20.0, 12.0, 10.1, 10.0),
        "updates_made": 400,
        "config_places": {},
        "with_given_poses": errors(),
    }
    return {getattr(measured, name): value for name, value in {**healthy, **changed}.items()}


def diagnosed(folder: Path, **changed: Any) -> dict[str, Result]:
    """What all checks say of these facts."""
    target = Target(repo=folder, python=Path("/python"), state=State(given(**changed)))
    return {result.check.code: result for result in run(CHECKS, target)}


def judged(code: str, folder: Path, **changed: Any) -> Result:
    """What one check says of these facts."""
    target = Target(repo=folder, python=Path("/python"), state=State(given(**changed)))
    (check,) = [check for check in CHECKS if check.code == code]
    (result,) = run([check], target, ignored=dict.fromkeys(check.requires, "tested alone"))
    return result
