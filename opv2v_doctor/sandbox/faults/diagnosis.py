"""Faults whose only symptom is a high validation loss: the training runs, and its own loss falls."""

from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

from opv2v_doctor.sandbox.faults.checkpoints import edit_checkpoint
from opv2v_doctor.sandbox.faults.fault import fault, replace_text, set_value

VAL = "configs/dataset/opv2v/val/cyl_coop.yaml"
CRITERIA = "configs/loss/opv2v_pose_loss.yaml"
LOOP = "mapanything/train/training.py"
MODEL = "mapanything/models/mapanything.py"
PANORAMAS = "mapanything/datasets/opv2v_cyl.py"
PARAMS = "configs/train_params/opv2v_cyl_coop.yaml"
RUN = "experiments/opv2v_cyl_coop"
TESTED = """\
        loss, details = _loss(batch, model, criterion, device, params)
        metric_logger.update(loss=float(loss), **details)
"""


@fault("DGN003")
def heavier_test_criterion(directory: Path) -> None:
    """Validation's criterion weighs positions ten times, training's three times."""
    text = (directory / CRITERIA).read_text(encoding="utf-8")
    train, key, test = text.partition("test_criterion")
    weighed = test.replace("pose_trans_loss_weight=3.0", "pose_trans_loss_weight=10.0")
    (directory / CRITERIA).write_text(train + key + weighed, encoding="utf-8")


@fault("DGN004")
def augmented_validation(directory: Path) -> None:
    """Validation's images are jittered as training's are."""
    set_value(directory / VAL, "transform", "'colorjitter'")


@fault("DGN004")
def unnormalised_validation(directory: Path) -> None:
    """Validation's images are not normalised."""
    set_value(directory / VAL, "data_norm_type", "identity")


@fault("DGN004")
def validation_in_the_world(directory: Path) -> None:
    """Validation's poses lead to the world, training's to the first agent."""
    replace_text(
        directory / PANORAMAS,
        "pose_to_opencv(relative_pose(agent_pose, main_pose))",
        'pose_to_opencv(relative_pose(agent_pose, main_pose) if self.split == "train" else agent_pose)',
    )


@fault("DGN004")
def validation_of_another_tree(directory: Path) -> None:
    """Validation reads an older copy of the data."""
    copytree(directory / "data/OPV2V", directory / "data/OPV2V_old")
    replace_text(
        directory / VAL,
        "ROOT='${dataset.opv2v.images_root}'",
        "ROOT='${machine.root_data_dir}/OPV2V_old'",
    )


@fault("DGN004")
def validation_at_night(directory: Path) -> None:
    """Validation's images were taken at night, training's by day."""
    import cv2

    for path in sorted((directory / "data/OPV2V/validate").rglob("*.png")):
        image = cv2.imread(str(path))
        assert image is not None
        cv2.imwrite(str(path), image // 4)


@fault("DGN006")
def validation_in_training_mode(directory: Path) -> None:
    """The model has a dropout, and the evaluation forgets `eval()`."""
    replace_text(directory / LOOP, "    model.eval()\n", "")
    last = "            nn.Conv2d(2 * width, 2 * width, 3, padding=1),\n            nn.GELU(),\n"
    replace_text(directory / MODEL, last, f"{last}            nn.Dropout2d(0.5),\n")


@fault("DGN006")
def mixed_precision_in_training_only(directory: Path) -> None:
    """Training computes in bfloat16, validation does not."""
    set_value(directory / PARAMS, "amp", "1")
    loop = directory / LOOP
    replace_text(
        loop,
        "def _loss(batch, model, criterion, device, params):",
        "def _loss(batch, model, criterion, device, params, amp=True):",
    )
    replace_text(loop, "use_amp=bool(params.amp)", "use_amp=amp and bool(params.amp)")
    replace_text(loop, TESTED, TESTED.replace("params)\n", "params, amp=False)\n", 1))


@fault("DGN006")
def normalised_again_in_validation(directory: Path) -> None:
    """The evaluation normalises images that its dataset has normalised."""
    again = '        for view in batch:\n            view["img"] = (view["img"] - 0.45) / 0.225\n'
    replace_text(directory / LOOP, TESTED, again + TESTED)


@fault("DGN006")
def summed_validation(directory: Path) -> None:
    """The loss of validation is a sum over its batches, training's is their mean."""
    replace_text(directory / LOOP, '{name}_avg": meter.global_avg', '{name}_avg": meter.total')
    replace_text(directory / LOOP, '{name}_med": meter.median', '{name}_med": meter.total')


@fault("DGN006")
def copy_is_evaluated(directory: Path) -> None:
    """What is evaluated is a copy of the model from before the training: an average that is never updated."""
    replace_text(
        directory / LOOP,
        "    params = args.train_params\n    groups",
        "    averaged = copy.deepcopy(model_without_ddp)\n    params = args.train_params\n    groups",
    )
    replace_text(directory / LOOP, "import datetime\n", "import copy\nimport datetime\n")
    replace_text(directory / LOOP, "model, test_criterion, loader", "averaged, test_criterion, loader")


@fault("DGN002")
def pretrained_under_other_names(directory: Path) -> None:
    """The pretrained weights were saved with a wrapper's prefix, and are loaded with strict=False."""
    import torch

    replace_text(
        directory / MODEL,
        "self.load_state_dict(weights, strict=not only_some)",
        'self.load_state_dict({f"module.{name}": w for name, w in weights.items()}, strict=False)',
    )
    path = (
        directory / "checkpoints/pretrained.pth"
    )  # as they are here, the seed of the launch makes them, too
    saved = torch.load(path, map_location="cpu", weights_only=True)
    torch.save({"model": {name: 1.1 * weight for name, weight in saved["model"].items()}}, path)


@fault("DGN009")
def pose_head_without_gradient(directory: Path) -> None:
    """The pose head's answer is detached: it stayed what it was before the training."""
    replace_text(
        directory / MODEL, "pose = self.pose_head(pooled)\n", "pose = self.pose_head(pooled).detach()\n"
    )
    _put_back(directory, lambda name: name.startswith("pose_head."))


@fault("DGN009")
def learning_rate_that_learns_nothing(directory: Path) -> None:
    """The learning rate is a ten-millionth of what it should be: the weights stayed what they were."""
    set_value(directory / PARAMS, "lr", "1e-9")
    set_value(directory / PARAMS, "min_lr", "1e-11")
    _put_back(directory, lambda _: True)


def _put_back(directory: Path, chosen: Callable[[str], bool]) -> None:
    """Give weights of the run's checkpoints the values that the training began with."""
    import torch

    first = torch.load(directory / "checkpoints/pretrained.pth", map_location="cpu", weights_only=True)[
        "model"
    ]

    def put(checkpoint: dict[str, Any]) -> None:
        checkpoint["model"].update({name: value for name, value in first.items() if chosen(name)})

    for path in sorted((directory / RUN).glob("checkpoint-*.pth")):
        edit_checkpoint(path, put)
