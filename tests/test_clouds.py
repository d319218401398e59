"""Point clouds are read as they are, in PCD files of all kinds and bare arrays; nothing else is one."""

import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from opv2v_doctor.clouds import points as points_of

SHARED = Path(os.environ.get("OPV2V_DOCTOR_SHARED", Path(__file__).parents[2] / "shared"))
POINTS = np.array([[1.5, 2.0, -3.0], [4.0, 5.25, 6.0]])
HEADER = "# .PCD v0.7\nVERSION 0.7\nFIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F F\nCOUNT 1 1 1 1\nPOINTS 2\n"


def ascii_file() -> bytes:
    lines = [" ".join(f"{number}" for number in (*point, 1.8e-38)) for point in POINTS]
    return (HEADER + "DATA ascii\n" + "\n".join(lines) + "\n").encode()


def binary_file() -> bytes:
    body = np.concatenate([POINTS, np.zeros((2, 1))], axis=1).astype("<f4").tobytes()
    return (HEADER + "DATA binary\n").encode() + body


def compressed_file(packed: bytes | None = None, unpacked: int = 32) -> bytes:
    """Field by field: 24 bytes as they are, and for the last field eight bytes by reference to one zero."""
    columns = np.concatenate([POINTS, np.zeros((2, 1))], axis=1).astype("<f4").T.tobytes()
    tokens = bytes([24]) + columns[:25] + bytes([5 << 5, 0]) if packed is None else packed
    body = struct.pack("<II", len(tokens), unpacked) + tokens
    return (HEADER + "DATA binary_compressed\n").encode() + body


def npy_file(points: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, points)
    return file.getvalue()


@pytest.mark.parametrize(
    "content", [ascii_file(), binary_file(), compressed_file()], ids=["ascii", "binary", "compressed"]
)
def test_all_kinds_say_the_same(content: bytes) -> None:
    assert np.allclose(points_of(content, "000069.pcd"), POINTS)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"ply\n", "no DATA line"),
        (ascii_file()[:-12], "6 numbers, expected 2 points of 4"),
        (binary_file()[:-1], "truncated"),
        (ascii_file().replace(b"DATA ascii", b"DATA magic"), "unknown DATA"),
        (compressed_file(bytes([5 << 5, 0])), "do not unpack"),  # refers to what is before the beginning
        (compressed_file(bytes([24]) + bytes(25)), "do not unpack to 32"),
        (compressed_file(unpacked=1 << 31), "claims"),
        (compressed_file()[:-1], "its points are in"),
        (ascii_file().replace(b"FIELDS x y z", b"FIELDS a b c"), "fields"),
        (ascii_file().replace(b"4.0", b"four"), "four"),
    ],
)
def test_what_is_damaged_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        points_of(content, "000069.pcd")


def test_bare_arrays_are_points_with_more_numbers_behind_them() -> None:
    more = np.concatenate([POINTS, np.ones((2, 1))], axis=1).astype("<f4")
    assert np.allclose(points_of(more.tobytes(), "000069.bin"), POINTS)
    assert np.allclose(points_of(npy_file(more), "000069.npy"), POINTS)


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (bytes(17), "000069.bin", "17 bytes are no whole points of 4 numbers"),
        (npy_file(np.zeros((4, 2))), "000069.npy", "shape"),
        (npy_file(np.zeros(4)), "000069.npy", "shape"),
        (b"PK", "000069.npy", "not an array"),
    ],
)
def test_other_arrays_are_refused(content: bytes, name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        points_of(content, name)


def test_a_real_scan_is_read_whole() -> None:
    paths = sorted(SHARED.glob("data/opv2v_frame/*/*/*/*.pcd"))
    if not paths:
        pytest.skip("no real OPV2V frames outside the clone: export OPV2V_DOCTOR_SHARED=FOLDER")
    for path in paths:
        points = points_of(path.read_bytes(), path.name)
        assert f"POINTS {len(points)}\n".encode() in path.read_bytes()
        assert 50 < np.linalg.norm(points, axis=-1).max() < 150
