"""The files of a prediction: names, pictures, tensors, and a cloud that holds what the page shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from opv2v_doctor.facts.interpreter.questions import Account
from opv2v_doctor.facts.predictions.prediction import PredictedView, PredictionRequest, Predictions
from opv2v_doctor.figures.cloud_pictures import PAPER, Eye, cloud_picture, mask_picture
from opv2v_doctor.figures.ply import RECORD
from opv2v_doctor.figures.point_cloud import PREDICTION, TRUTH, InitialChoice
from opv2v_doctor.figures.prediction_files import file_names, write_prediction
from opv2v_doctor.geometry.cameras import Cylinder

EVIL = "../<script>"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Predictions:
    """Two agents, each in a ball of ten metres; half of each is masked, a row is sky."""
    folder = tmp_path_factory.mktemp("arrays")
    rays = Cylinder(40, 10).rays().astype(np.float32)
    views = []
    for place, agent in enumerate(["641", EVIL]):
        pose, depth = np.eye(4), np.full((10, 40, 1), 10, np.float32)
        pose[2, 3], depth[0] = 5.0 * place, 1000.0
        mask = np.tile(np.arange(40) < 20, (10, 1))
        for source in (PREDICTION, TRUTH):
            arrays: dict[str, NDArray[Any]] = {"depth": depth, "rays": rays, "pose": pose, "mask": mask}
            for name, array in arrays.items():
                np.save(folder / f"{place}_{source}_{name}.npy", array)
        np.save(folder / f"{place}_prediction_image.npy", np.full((10, 40, 3), 0.5, np.float32))
        views.append(
            PredictedView(
                place=place,
                agent=agent,
                label="s/641",
                instance="f",
                frame=None,
                prefix=f"{folder / str(place)}",
            )
        )
    return Predictions(
        inquiry=PredictionRequest(checkpoint=Path("c.pth")),
        views=tuple(views),
        inputs=("img",),
        effect=None,
        precision="fp32",
        weights=Account(parts={}, unexpected=(), reshaped=()),
    )


@pytest.fixture(scope="module")
def folder(found: Predictions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("out")
    write_prediction(place, "val_0", "title", found, InitialChoice())
    return place


def test_every_agent_has_its_pictures_and_tensors_under_its_id(folder: Path) -> None:
    for kind in ("cloud", "depth", "mask"):
        picture = cv2.imread(str(folder / f"agent_641_{kind}.png"))
        assert picture is not None and picture.shape[1] >= 800
    depth = np.load(folder / "tensors" / "agent_641_prediction_depth.npy")
    assert depth.shape == (10, 40, 1)
    assert {path.parent for path in folder.rglob("*")} <= {
        folder,
        folder / "tensors",
    }  # no id leads elsewhere


def test_names_of_files_hold_letters_that_every_path_may_have() -> None:
    assert file_names(["-1", EVIL, "a/b", "a_b"]) == [
        "agent_-1",
        "agent_..__script_",
        "agent_a_b",
        "agent_a_b_view3",
    ]


def test_the_cloud_holds_what_the_mask_leaves_placed_by_the_poses(folder: Path) -> None:
    header, _, body = (folder / "val_0_pointcloud.ply").read_bytes().partition(b"end_header\n")
    rows = np.frombuffer(body, RECORD)
    assert f"element vertex {len(rows)}".encode() in header
    assert len(rows) == 2 * 9 * 20  # without the sky and the other half
    other = rows[rows["agent"] == 1]
    centred = np.stack([other["x"], other["y"], other["z"] - 5], -1)
    assert np.linalg.norm(centred, axis=-1) == pytest.approx(10, abs=1e-4)
    assert set(rows["red"]) == {127}


def test_the_summary_counts_points_by_source(folder: Path) -> None:
    document = json.loads((folder / "summary.json").read_text())
    assert document["views"][0]["points"] == {"prediction": 360, "truth": 360, "drawn": 720}
    assert document["total"]["points"]["drawn"] == 1440
    assert document["render"] == {"pose_source": PREDICTION, "depth_source": PREDICTION, "mask": PREDICTION}
    assert document["total"]["pose_rmse"] == 0


def test_what_is_near_hides_what_is_far() -> None:
    eye = Eye(place=(0.0, 0.0, -5.0), target=(0.0, 0.0, 0.0), width=40, height=40, focal=40.0)
    points = np.array([[0.0, 0, 0], [0, 0, 9], [0, 0, -9], [np.nan, 0, 0]])
    colours = np.array([[250, 0, 0], [0, 250, 0], [0, 0, 250], [9, 9, 9]], np.uint8)
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        picture = cloud_picture(points[order], colours[order], eye)
        assert {tuple(shade) for shade in picture.reshape(-1, 3).tolist()} == {PAPER, (250, 0, 0)}


def test_a_mask_picture_tells_all_four_cases() -> None:
    predicted, true = np.array([[True, True, False, False]]), np.array([[True, False, True, False]])
    assert len({tuple(shade) for shade in mask_picture(predicted, true)[0].tolist()}) == 4
