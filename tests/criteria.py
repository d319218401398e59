"""The embedded repository's criteria in a moment: its own losses, edited, on views that are made up here."""

import importlib.util
import itertools
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from pydantic import TypeAdapter

from opv2v_doctor.facts.predictions.judgements import Judged
from opv2v_doctor.inside.bench import Bench
from opv2v_doctor.inside.criterion import measured
from opv2v_doctor.inside.disturbances import quaternions, rotation

TEMPLATE = Path(__file__).parents[1] / "opv2v_doctor/sandbox/repository/mapanything/train"
GEOMETRY = (
    "FactoredGeometryScaleRegr3DPlusNormalGMLoss(RobustRegressionLoss(alpha=0.5, scaling_c=0.05), "
    "pose_quats_loss_weight=3.0, pose_trans_loss_weight=2.0)"
)
TRAIN = (
    f"ConfAndExcludeTopNPercentPixelLoss({GEOMETRY}, conf_alpha=0.2) + 0.3 * NonAmbiguousMaskLoss(BCELoss())"
)
TEST = f"ExcludeTopNPercentPixelLoss({GEOMETRY}) + 0.3 * NonAmbiguousMaskLoss(BCELoss())"
Edit = tuple[str, str]  # old text, new text: of losses.py, else of details.py
numbers = itertools.count()


def losses(folder: Path, *edits: Edit) -> ModuleType:
    """The losses with edits, imported from a folder of their own."""
    number = next(numbers)
    folder = folder / f"losses_{number}"
    folder.mkdir()
    text = (TEMPLATE / "losses.py").read_text().replace("mapanything.train.details", f"details_{number}")
    details = (TEMPLATE / "details.py").read_text()
    for old, new in edits:
        assert old in text or old in details, old
        text, details = text.replace(old, new), details.replace(old, new)
    for name, content in ((f"details_{number}", details), (f"losses_{number}", text)):
        path = folder / f"{name}.py"
        path.write_text(content)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec and spec.loader
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def views(count: int = 3, batch: int = 2, height: int = 12, width: int = 20) -> list[dict[str, Any]]:
    """Views of a made-up scene, with all labels, in the frame of the first one."""
    chance = torch.Generator().manual_seed(3)
    found = []
    for number in range(count):
        rays = torch.nn.functional.normalize(torch.randn(batch, height, width, 3, generator=chance), dim=-1)
        depth = 5 + 40 * torch.rand(batch, height, width, 1, generator=chance)
        axis = torch.nn.functional.normalize(torch.randn(batch, 4, generator=chance), dim=-1)
        pose = torch.eye(4).repeat(batch, 1, 1)
        if number:
            pose[:, :3, :3] = rotation(axis.double()).float()
            pose[:, :3, 3] = 20 * torch.randn(batch, 3, generator=chance)
        valid = torch.rand(batch, height, width, generator=chance) > 0.3
        points = depth * rays
        world = torch.einsum("bij,bhwj->bhwi", pose[:, :3, :3], points) + pose[:, None, None, :3, 3]
        found.append(
            {
                "pts3d": world,
                "pts3d_cam": points,
                "ray_directions_cam": rays,
                "depth_along_ray": depth,
                "camera_pose": pose,
                "camera_pose_quats": quaternions(pose[:, :3, :3].double()).float(),
                "camera_pose_trans": pose[:, :3, 3].clone(),
                "valid_mask": valid,
                "non_ambiguous_mask": valid | (torch.rand(batch, height, width, generator=chance) > 0.5),
                "is_synthetic": torch.ones(batch, dtype=torch.bool),
            }
        )
    return found


def loss_of_one_batch(batch: Any, model: Any, criterion: Any, _device: Any) -> dict[str, Any]:
    """What every training has: the model's predictions of a batch, and the criterion's loss of them."""
    return {"loss": criterion(batch, model(batch))}


def bench(folder: Path, *edits: Edit, expression: str = TRAIN, batch: Any = None) -> Bench:
    """A criterion of edited losses, ready to be tried."""
    module = losses(folder, *edits)

    def build(other: str | None = None) -> Any:
        return eval(other or expression, vars(module))

    return Bench(views() if batch is None else batch, build, expression, loss_of_one_batch, str(folder))


def judged(folder: Path, *edits: Edit, expression: str = TRAIN, batch: Any = None) -> Judged:
    """What a criterion of edited losses says, as the doctor is told it."""
    return TypeAdapter(Judged).validate_python(
        measured(bench(folder, *edits, expression=expression, batch=batch), [])
    )
