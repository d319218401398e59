"""Point clouds are read as they are, in both kinds of PCD file, and nothing else is taken for one."""

import os
from pathlib import Path

import numpy as np
import pytest

from opv2v_doctor.facts.disk.lidar_files import read_points

SHARED = Path(os.environ.get("OPV2V_DOCTOR_SHARED", Path(__file__).parents[4] / "shared"))
POINTS = np.array([[1.5, 2.0, -3.0], [4.0, 5.25, 6.0]])
HEADER = "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F F\nCOUNT 1 1 1 1\nPOINTS 2\n"


def ascii_file() -> bytes:
    lines = [" ".join(f"{number}" for number in (*point, 1.8e-38)) for point in POINTS]
    return (HEADER + "DATA ascii\n" + "\n".join(lines) + "\n").encode()


def binary_file() -> bytes:
    body = np.concatenate([POINTS, np.zeros((2, 1))], axis=1).astype("<f4").tobytes()
    return (HEADER + "DATA binary\n").encode() + body


@pytest.mark.parametrize("content", [ascii_file(), binary_file()], ids=["ascii", "binary"])
def test_both_kinds_say_the_same(content: bytes) -> None:
    assert np.allclose(read_points(content), POINTS)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"ply\n", "no DATA line"),
        (ascii_file()[:-12], "6 numbers, expected 2 points of 4"),
        (binary_file()[:-1], "truncated"),
        (ascii_file().replace(b"DATA ascii", b"DATA binary_compressed"), "neither"),
        (ascii_file().replace(b"FIELDS x y z", b"FIELDS a b c"), "fields"),
        (ascii_file().replace(b"4.0", b"four"), "four"),
    ],
)
def test_what_is_damaged_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_points(content)


def test_a_real_scan_is_read_whole() -> None:
    paths = sorted(SHARED.glob("data/opv2v_frame/*/*/*/*.pcd"))
    if not paths:
        pytest.skip("no real OPV2V frames outside the clone: export OPV2V_DOCTOR_SHARED=FOLDER")
    for path in paths:
        points = read_points(path.read_bytes())
        assert f"POINTS {len(points)}\n".encode() in path.read_bytes()
        assert 50 < np.linalg.norm(points, axis=-1).max() < 150
