"""Hypotheses: what explains poses, depth, masks and colours that are off, and the line that it begins at."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from opv2v_doctor.result import Result, Status
from opv2v_doctor.target import make_target
from opv2v_doctor.testing import run_check

Broken = Callable[..., Path]
DATASET, BASE = "mapanything/datasets/opv2v_cyl.py", "mapanything/datasets/base/base_dataset.py"


def examined(repo: Path, *codes: str) -> dict[str, Result]:
    """What checks say of one sample: measured once."""
    target = make_target(repo=repo, splits=("val",), num_samples=1)
    return {code: run_check(code, target) for code in codes}


def says(result: Result, words: str, repo: Path, file: str, line: str) -> bool:
    """Whether a check fails with these words, at the line that has those."""
    assert result.status is Status.FAILED, (result.status, result.reason)
    lines = (repo / file).read_text().splitlines()
    said = [str(each.text) for each in result.findings]
    for each in result.findings:
        if words in str(each.text) and each.at and each.at.path == repo / file:
            return line in lines[(each.at.line or 1) - 1]
    raise AssertionError(said)


def test_masks_and_colours_are_told_at_their_lines(broken: Broken) -> None:
    repo = broken("depth_zero_is_valid", "mask_moved", "one_camera_grey", "wrong_encoder_numbers")
    found = examined(repo, "MSK004", "MSK005", "GEO023", "GEO024")
    assert says(found["MSK004"], "is valid and its depth is 0", repo, BASE, "depth >= 0")
    assert says(found["MSK005"], "moved by 21 rows and 0 columns", repo, DATASET, "np.roll(panorama.mask")
    assert says(found["GEO023"], "camera2 is grey", repo, DATASET, "image.mean(-1")
    table = "mapanything/utils/image.py"
    assert says(found["GEO024"], "0.299", repo, table, '"dinov2"')


def test_a_filled_sky_is_of_no_file(broken: Broken) -> None:
    (result,) = examined(broken("sky_filled"), "MSK006").values()
    assert result.status is Status.FAILED
    assert "where no depth file knows any" in str(result.findings[0].text)


@pytest.mark.parametrize(
    ("fault", "code", "words", "file", "line"),
    [
        ("depth_halved", "GEO001", "depth is 0.5 times its value", BASE, "* 0.5"),
        ("quaternion_order", "GEO003", "quaternion", DATASET, "quaternion_to_matrix(torch"),
        ("predicted_poses", "GEO004", "they are those of predicted_ego_pos", DATASET, "predicted_ego_pos"),
        ("reference_is_the_last", "GEO004", "they lead to another agent", DATASET, "chosen[-1]"),
    ],
)
def test_poses_and_depth_are_explained(
    broken: Broken, fault: str, code: str, words: str, file: str, line: str
) -> None:
    repo = broken(fault)
    assert says(examined(repo, code)[code], words, repo, file, line)


def test_the_same_written_otherwise_is_right(broken: Broken) -> None:
    """Poses through quaternions, cameras by their extrinsics, a mask eroded by a pixel, a near valid mask."""
    repo = broken()
    related = "        pose = pose_to_opencv(relative_pose(agent_pose, main_pose))\n"
    edits = (
        (
            DATASET,
            related,
            f"{related}        import torch\n"
            "        from mapanything.utils.geometry import matrix_to_quaternion, quaternion_to_matrix\n"
            "        quaternion = torch.tensor(matrix_to_quaternion(pose[:3, :3]))\n"
            "        pose[:3, :3] = quaternion_to_matrix(quaternion).numpy()\n",
        ),
        (
            DATASET,
            'relative_pose(cords_to_pose(frame[name]["cords"]), agent_pose)',
            'np.linalg.inv(np.array(frame[name]["extrinsic"]))',
        ),
        (
            DATASET,
            '"non_ambiguous_mask": panorama.mask,',
            '"non_ambiguous_mask": cv2.erode(panorama.mask.astype(np.uint8), np.ones((3, 3))) > 0,',
        ),
        (BASE, '"valid_mask": depth > 0,', '"valid_mask": (depth > 0.5) & (depth < 80),'),
    )
    for file, old, new in edits:
        text = (repo / file).read_text()
        assert text.count(old) == 1
        (repo / file).write_text(text.replace(old, new))
    codes = (
        "GEO001",
        "GEO003",
        "GEO004",
        "GEO005",
        "GEO014",
        "GEO023",
        "GEO024",
        "MSK004",
        "MSK005",
        "MSK006",
    )
    found = examined(repo, *codes)
    assert {code: result.status for code, result in found.items()} == dict.fromkeys(codes, Status.PASSED)
    assert np.isfinite([result.seconds for result in found.values()]).all()
