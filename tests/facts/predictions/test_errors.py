"""Prediction errors: the truth handed back has none, and each error that is put in is measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from opv2v_doctor import Blocked
from opv2v_doctor.facts.interpreter.questions import Account, WeightPart
from opv2v_doctor.facts.predictions.errors import Errors, errors
from opv2v_doctor.facts.predictions.prediction import SKY, PredictedView, PredictionRequest, Predictions
from opv2v_doctor.facts.predictions.summaries import SCHEMA, summary, write_summary
from opv2v_doctor.geometry.cameras import Cylinder, Pinhole

CYLINDER = Cylinder(64, 16)
Arrays = dict[str, NDArray[Any]]
Change = Callable[[int, Arrays], None]


def turned(x: float, z: float, degrees: float) -> NDArray[np.float64]:
    """A pose on the ground, turned about the vertical."""
    pose, angle = np.eye(4), np.deg2rad(degrees)
    pose[[0, 0, 2, 2], [0, 2, 0, 2]] = np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)
    pose[[0, 2], 3] = x, z
    return pose


def sample(folder: Path, change: Change = lambda place, arrays: None, origin: Any = None) -> Predictions:
    """Three agents whose prediction is the truth, but for the change."""
    random = np.random.default_rng(0)
    views = []
    for place, pose in enumerate([turned(0, 0, 0), turned(6, 20, 30), turned(-8, 15, -170)]):
        depth = random.uniform(3, 60, (16, 64, 1)).astype(np.float32)
        depth[0] = 1000.0  # sky
        rays = CYLINDER.rays().astype(np.float32)
        mask = np.arange(64)[None] < np.full((16, 1), 48)
        predicted = (origin if origin is not None else np.eye(4)) @ pose
        points = depth * rays @ predicted[:3, :3].T + predicted[:3, 3]
        arrays: Arrays = {
            "truth_depth": depth,
            "truth_rays": rays,
            "truth_pose": pose,
            "truth_mask": mask,
            "truth_valid": (depth > 0)[..., 0],
            "prediction_depth": depth.copy(),
            "prediction_rays": rays,
            "prediction_pose": predicted,
            "prediction_mask": mask.copy(),
            "prediction_points": points,
            "prediction_scale": np.ones(1),
        }
        change(place, arrays)
        for name, array in arrays.items():
            np.save(folder / f"{place}_{name}.npy", array)
        views.append(
            PredictedView(
                place=place,
                agent=str(641 + place),
                label="2021/641",
                instance="000069",
                frame=None,
                prefix=str(folder / str(place)),
            )
        )
    return Predictions(
        inquiry=PredictionRequest(checkpoint=folder / "checkpoint-best.pth"),
        views=tuple(views),
        inputs=("img",),
        effect=None,
        precision="fp32",
        weights=Account(
            parts={"encoder": WeightPart(elements=4, loaded=4, missing=())}, unexpected=(), reshaped=()
        ),
    )


def changed(folder: Path, change: Change) -> Errors:
    return errors(sample(folder, change))


def test_the_truth_handed_back_has_no_error(tmp_path: Path) -> None:
    found = errors(sample(tmp_path))
    assert found.pose_rmse == pytest.approx(0, abs=1e-9)
    assert found.pose_degrees == pytest.approx(0, abs=1e-6)
    assert found.depth_rmse == found.depth_median == 0
    assert found.scale == found.scale_of_depth == found.scale_of_poses == 1
    assert found.pred_mask_mean == found.gt_mask_mean == 0.75
    assert [view.mask_iou for view in found.views] == [1, 1, 1]
    assert found.points.none == pytest.approx(0, abs=1e-5)
    assert found.self_rmse == pytest.approx(0, abs=1e-4)
    assert [view.valid_pixels for view in found.views] == [15 * 64] * 3  # without the sky


def test_poses_are_told_in_the_first_agents_frame(tmp_path: Path) -> None:
    found = errors(sample(tmp_path, origin=turned(100, -50, 77)))
    assert found.pose_rmse == pytest.approx(0, abs=1e-9)
    assert found.points.none == pytest.approx(0, abs=1e-4)


def test_a_pose_that_is_off_is_measured_and_repaired_by_the_true_one(tmp_path: Path) -> None:
    def change(place: int, arrays: Arrays) -> None:
        if place == 2:
            arrays["prediction_pose"] = arrays["prediction_pose"] @ turned(3, 4, 7)

    found = changed(tmp_path, change)
    assert found.views[1].pose_metres == pytest.approx(0, abs=1e-9)
    assert found.views[2].pose_metres == pytest.approx(5)
    assert found.views[2].pose_degrees == pytest.approx(7)
    assert found.pose_rmse == pytest.approx(5 / 2**0.5)  # the first agent is the origin, and does not count
    assert found.points.none is not None and found.points.none > 1
    assert found.points.pose == pytest.approx(0, abs=1e-4)
    assert found.points.depth == pytest.approx(found.points.none, rel=0.01)


def test_a_scale_that_is_wrong_is_found_and_repaired_by_the_right_one(tmp_path: Path) -> None:
    def change(place: int, arrays: Arrays) -> None:
        arrays["prediction_depth"] = arrays["prediction_depth"] / 4
        arrays["prediction_pose"] = arrays["prediction_pose"].copy()
        arrays["prediction_pose"][:3, 3] /= 4

    found = changed(tmp_path, change)
    assert found.scale_of_depth == pytest.approx(4)
    assert found.scale_of_poses == pytest.approx(4)
    assert found.pose_rmse is not None and found.pose_rmse > 10
    assert found.pose_rmse_scaled == pytest.approx(0, abs=1e-9)
    assert found.points.scale == pytest.approx(0, abs=1e-4)
    assert found.points.pose is not None and found.points.pose > 10


def test_a_depth_that_is_off_is_repaired_by_the_true_one(tmp_path: Path) -> None:
    def change(place: int, arrays: Arrays) -> None:
        arrays["prediction_depth"] = arrays["prediction_depth"] + 2

    found = changed(tmp_path, change)
    assert (found.depth_rmse, found.depth_median) == pytest.approx((2, 2), abs=1e-5)
    assert found.points.none == pytest.approx(2, abs=1e-4)
    assert found.points.depth == pytest.approx(0, abs=1e-4)


def test_a_model_that_contradicts_itself_is_told(tmp_path: Path) -> None:
    def change(place: int, arrays: Arrays) -> None:
        arrays["prediction_points"] = arrays["prediction_points"] + np.array([0, 0, 3.0])

    found = changed(tmp_path, change)
    assert found.self_rmse == pytest.approx(3, abs=1e-3)
    assert found.points.none == pytest.approx(0, abs=1e-4)


def test_what_is_not_finite_is_counted_and_no_number_is_made_of_it(tmp_path: Path) -> None:
    def change(place: int, arrays: Arrays) -> None:
        if place == 1:
            arrays["prediction_pose"] = np.full((4, 4), np.nan)
            arrays["prediction_depth"][:8] = np.nan

    found = sample(tmp_path, change)
    wrong = errors(found)
    assert wrong.views[1].pose_metres is None and wrong.views[1].bounds is None
    assert wrong.views[1].finite == 0.5
    assert wrong.depth_rmse == 0
    counts = [{"prediction": 1, "drawn": 1}] * 3
    document = summary(found, wrong, {}, counts)
    assert document["total"]["without_pose"] == 1
    assert document["total"]["points"] == {"prediction": 3, "drawn": 3}
    assert json.loads(write_summary(tmp_path, document).read_text())["schema"] == SCHEMA


def test_masks_that_are_missing_are_unknown(tmp_path: Path) -> None:
    def change(place: int, arrays: Arrays) -> None:
        del arrays["prediction_mask"]

    found = changed(tmp_path, change)
    assert found.pred_mask_mean is None and found.gt_mask_mean == 0.75


def test_another_size_of_depth_cannot_be_measured(tmp_path: Path) -> None:
    def change(place: int, arrays: Arrays) -> None:
        arrays["prediction_depth"] = arrays["prediction_depth"][:, ::2]

    with pytest.raises(Blocked, match="16 x 32"):
        changed(tmp_path, change)


def test_one_view_has_no_pose_error(tmp_path: Path) -> None:
    found = sample(tmp_path)
    alone = Predictions(**{**vars(found), "views": found.views[:1]})
    assert errors(alone).pose_rmse is None
    assert alone.views[0].depths("truth").max() > SKY


def test_the_depth_of_a_pinhole_is_z_and_its_ranges_are_longer(tmp_path: Path) -> None:
    rays = Pinhole(np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]]), 64, 48).rays()
    ranges = np.random.default_rng(0).uniform(3, 60, (48, 64))
    for name, array in {"truth_depth": ranges * rays[..., 2], "truth_rays": rays}.items():
        np.save(tmp_path / f"0_{name}.npy", array)
    view = PredictedView(
        place=0,
        agent="641",
        label="2021/641",
        instance="000069/camera0",
        frame=None,
        camera_model="pinhole",
        prefix=tmp_path / "0",
    )
    assert np.allclose(view.depths("truth"), ranges, rtol=1e-5)
    assert np.allclose(view.points("truth"), ranges[..., None] * rays, rtol=1e-5, atol=1e-4)
