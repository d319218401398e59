"""The guards of the family dataset."""

import shutil

from opv2v_doctor.result import Result
from opv2v_doctor.target import make_target

from .guard import Guard, Workshop, edited, fault, guarded, healthy, run_check

DATASET, BASE = "mapanything/datasets/opv2v_cyl.py", "mapanything/datasets/base/base_dataset.py"
VAL = "configs/dataset/opv2v/val/cyl_coop.yaml"
FOREIGN = ("dataset.train_dataset='+ 10 @ OtherDataset(num_views=2)'",)  # not of OPV2V
NO_SCENES = (  # a split that is built, and has no sample
    (DATASET, "if not self.scenes:", "if False:"),
    (DATASET, "for scene in self.scenes)", "for scene in self.scenes or [{'agents': ()}])"),
)


def without_folder(shop: Workshop, code: str) -> Result:
    """The images of the validation split are gone."""
    repo = shop.broken()
    shutil.rmtree(repo / "data/OPV2V/validate")
    return run_check(code, make_target(repo=repo, splits=("val",)))


def without(key: str) -> tuple[tuple[str, str, str], ...]:
    """Edits that take a key out of every view."""
    value = {"camera_pose": "pose,", "depthmap": "depth[..., None],"}[key]
    return (
        (BASE, "            **view,", f"            **{{k: v for k, v in view.items() if k != '{key}'}},"),
        (BASE, f'"{key}": {value}', f'"another_{key}": {value}'),
    )


GUARDS = {
    "DAT001": Guard(
        bad=fault("class_not_exported"),
        good=healthy(),
        empty=healthy(overrides=("dataset.train_dataset=''",)),
    ),
    "DAT002": Guard(bad=without_folder, good=healthy(), empty=healthy(splits=("train",), overrides=FOREIGN)),
    "DAT003": Guard(bad=fault("scenario_in_two_splits"), good=healthy(), empty=healthy(splits=("val",))),
    "DAT004": Guard(
        bad=fault("view_per_camera", splits=("val",), num_samples=1),
        good=healthy(splits=("val",)),
        empty=edited(
            (VAL, "    panorama_resolution=${dataset.opv2v.val.panorama_resolution},\n", ""),
            (DATASET, "panorama_resolution=(1008, 252)", "panorama_resolution=(256, 64)"),
            splits=("val",),
            num_samples=1,
        ),
    ),
    "DAT005": Guard(
        bad=fault("view_counts_ignored", splits=("train",)),
        good=healthy(splits=("train",)),
        empty=edited(
            *NO_SCENES, splits=("val",), num_samples=1, overrides=("dataset.opv2v.val.min_agents=9",)
        ),
    ),
    "DAT006": Guard(
        bad=fault("scaled_rotation", splits=("val",), num_samples=1),
        good=healthy(splits=("val",)),
        empty=edited(*without("camera_pose"), splits=("val",), num_samples=1),
    ),
    "DAT007": Guard(
        bad=fault("unseeded_validation", splits=("val",)),
        good=healthy(splits=("val",)),
        empty=healthy(splits=("train",)),
    ),
    "DAT008": Guard(
        bad=fault("frozen_epochs", splits=("train",)),
        good=healthy(splits=("train",)),
        empty=healthy(
            splits=("train",), overrides=("dataset.train_dataset=${dataset.opv2v.train.dataset_str}",)
        ),
    ),
    "DAT009": Guard(
        bad=fault("truncated_depth", splits=("train",), num_samples=1),
        good=healthy(splits=("val",)),
        empty=edited(
            *NO_SCENES, splits=("val",), num_samples=1, overrides=("dataset.opv2v.val.min_agents=9",)
        ),
    ),
    "DAT010": Guard(
        bad=fault("nan_depth", splits=("train",)),
        good=healthy(splits=("val",)),
        empty=edited(*without("depthmap"), splits=("val",), num_samples=1),
    ),
    "DAT011": Guard(
        bad=fault("one_pose_turned", splits=("val",)),
        good=healthy(splits=("val",)),
        empty=healthy(splits=("train",), overrides=FOREIGN),
    ),
    "DAT012": Guard(
        bad=fault("frame_file_of_the_frame_before", splits=("val",)),
        good=healthy(splits=("val",)),
        empty=healthy(splits=("train",), overrides=FOREIGN),
    ),
}

test_dataset = guarded(GUARDS)
