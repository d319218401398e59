"""The criterion's bench: disturbances are what they say, and a term goes wrong on the line that is wrong."""

from pathlib import Path

import pytest
import torch

from opv2v_doctor.inside.criterion import measured
from opv2v_doctor.inside.criterion_options import numbers_in, with_value
from opv2v_doctor.inside.disturbances import (
    SPARSE,
    explanations,
    has_real_first,
    quaternions,
    rotation,
    thinned,
    truth_of,
)
from opv2v_doctor.inside.parting import Parting

from ..checks.test_criterion import FAULTY, HEALTHY
from ..criteria import bench, views

WAYS = {  # fault -> a term, how it is wrong, what it judges, what stands on the line
    "reordered": ("pose_quats_view2", "truth", "cam_quats", "[..., [1, 2, 3, 0]]"),
    "sigmoid twice": ("mask_view1", "truth", "non_ambiguous_mask_logits", "logits.sigmoid()"),
    "another mask": (
        "mask_view1",
        "read valid_mask",
        "non_ambiguous_mask_logits",
        'masks = [view["valid_mask"]',
    ),
    "log of one side": ("cam_pts3d_view2", "truth", "pts3d_cam", "self._log(view[key]"),
    "labels alone": ("gradient_matching_view2", "blind", "depth_along_ray", "in (view, view)"),
    "all pixels": ("scale", "invalid labels", "metric_scaling_factor", "distances.mean("),
    "detached": ("pose_quats_view2", "detached", "cam_quats", ".detach()"),
    "scaled twice": ("pose_trans_view3", "scale", "cam_trans", "] / size[:, None]"),
    "costless": ("pts3d_conf_loss_avg", "confidence", "pts3d", "confidence.log()"),
    "one view less": ("ray_directions_avg", "average", "ray_directions", "max(len(losses) - 1, 1)"),
}


@pytest.mark.parametrize("name", WAYS)
def test_a_term_goes_wrong_where_the_fault_is(name: str, tmp_path: Path) -> None:
    term, how, entry, words = WAYS[name]
    tried = bench(tmp_path, *FAULTY[name][2])
    whole = next(one for one in tried.traced_wrong.details if one.endswith(term))
    alike = {one for one in tried.traced_wrong.details if term.rpartition("_view")[0] in one}
    place = Parting(tried, whole, alike, entry).place(how, None, 0.0)
    assert place is not None
    assert words in Path(place["path"]).read_text().splitlines()[place["line"] - 1]


def test_quaternions_and_rotations_are_inverse_of_each_other() -> None:
    turns = torch.nn.functional.normalize(torch.randn(50, 4, dtype=torch.float64), dim=-1)
    turns = torch.where(turns[:, 3:] < 0, -turns, turns)
    assert torch.allclose(quaternions(rotation(turns)), turns, atol=1e-9)
    assert torch.allclose(quaternions(rotation(turns), real_last=False), turns[:, [3, 0, 1, 2]], atol=1e-9)


def test_the_truth_of_a_frame_is_that_of_its_own_camera() -> None:
    batch = views()
    truth = truth_of(batch, frame=1)
    assert torch.allclose(truth[1]["pts3d"], batch[1]["pts3d_cam"], atol=1e-3)
    assert torch.allclose(truth[1]["cam_trans"], torch.zeros(2, 3), atol=1e-5)
    assert torch.equal(truth_of(batch)[2]["cam_trans"], batch[2]["camera_pose_trans"])


def test_the_order_of_quaternions_is_told_by_the_poses() -> None:
    batch = views()
    assert not has_real_first(batch)
    for view in batch:
        view["camera_pose_quats"] = view["camera_pose_quats"][:, [3, 0, 1, 2]]
    assert has_real_first(batch)


def test_maps_are_thinned_together_and_nothing_else_is() -> None:
    batch = [dict(view, img=torch.zeros(2, 3, 12, 20), camera_intrinsics=torch.eye(3)) for view in views()]
    (first, *_) = thinned(batch, 60)
    assert first["pts3d"].shape == (2, 6, 10, 3) and first["img"].shape == (2, 3, 6, 10)
    assert torch.equal(first["pts3d"], batch[0]["pts3d"][:, ::2, ::2])
    assert first["camera_pose"].shape == (2, 4, 4) and first["camera_intrinsics"].shape == (3, 3)


def test_next_to_no_valid_pixels_are_put_side_by_side() -> None:
    batch = [dict(view, img=torch.zeros(2, 3, 12, 20)) for view in views()]
    share = round(SPARSE * 12 * 20)
    for sparse in (True, False):
        for view in batch:
            valid = torch.zeros(2, 240, dtype=torch.bool)
            valid[:, torch.randperm(240)[: share + 1 - 2 * sparse]] = True
            view["valid_mask"] = valid.reshape(2, 12, 20)
        (first, *_) = thinned(batch, 240)
        assert (first["valid_mask"].shape == (2, 12, 20)) is not sparse
        if sparse:
            assert first["img"].shape == (2, 3, *first["valid_mask"].shape[1:])
            assert first["valid_mask"].sum() == 2 * (share - 1) and first["valid_mask"][:, 0, :11].all()
            along = first["depth_along_ray"] * first["ray_directions_cam"]
            assert torch.allclose(along, first["pts3d_cam"], atol=1e-3)


def test_every_explanation_differs_from_the_truth_in_what_it_names() -> None:
    batch = views()
    truth = truth_of(batch)
    for name, (entries, predictions) in explanations(batch, real_last=True).items():
        differ = {
            key
            for one, other in zip(truth, predictions, strict=True)
            for key in one
            if not torch.allclose(one[key].float(), other[key].float(), atol=1e-4)
        }
        assert differ <= entries | {"non_ambiguous_mask"}, name
        assert differ or name == "the frame of the labels", name


def test_numbers_of_an_expression_are_found_and_replaced() -> None:
    text = "0.5 * Outer(Inner(L1, weight=2.0), top=5, name='a', on=True) + Other(é=3)"
    found = numbers_in(text)
    by_name = {(one["owner"], one["name"]): one for one in found}
    assert {name: one["value"] for name, one in by_name.items()} == {
        ("Outer", "*"): 0.5,
        ("Outer", "top"): 5.0,
        ("Other", "é"): 3.0,
        ("Inner", "weight"): 2.0,
    }
    assert with_value(text, by_name["Other", "é"], 6.0) == text.replace("é=3", "é=6")
    assert with_value(text, by_name["Outer", "*"], 1.5) == text.replace("0.5", "1.5")
    (negative,) = numbers_in("A(weight=-2)")
    assert negative["value"] == -2 and with_value("A(weight=-2)", negative, -4.0) == "A(weight=-4)"
    assert numbers_in("not python") == []


def test_views_without_labels_are_told_by_name(tmp_path: Path) -> None:
    batch = [{key: value for key, value in view.items() if key != "pts3d"} for view in views()]
    assert bench(tmp_path, batch=batch).lacking == ["pts3d"]


def test_what_nothing_logs_is_judged_by_the_loss_alone(tmp_path: Path) -> None:
    found = measured(bench(tmp_path, *HEALTHY["nothing logged"]), [])
    assert {term["owner"] for term in found["terms"]} == {
        "NonAmbiguousMaskLoss",
        "FactoredGeometryScaleRegr3DPlusNormalGMLoss",
    }
    assert found["loss"] < 1e-3 < min(trial["loss"] for trial in found["trials"] if trial["name"] == "noise")
