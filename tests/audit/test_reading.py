"""Tests of reading: real files are understood; hostile ones neither crash, run, grow nor hang."""

import os
import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opv2v_doctor.audit.file_record import File, FileKind, FileReading
from opv2v_doctor.audit.listing import Dataset, Folder
from opv2v_doctor.audit.reading import LIMITS, read_file

NAMES = {
    FileKind.FRAME: "000069.yaml",
    FileKind.IMAGE: "000069_camera0.png",
    FileKind.CLOUD: "000069.pcd",
    FileKind.DEPTH: "000069_camera0_depth.npy",
}
CLOUD = b"VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nCOUNT 1 1 1\nPOINTS %d\nDATA %s\n"


def reading(folder: Path, kind: FileKind, content: bytes, name: str = "") -> FileReading:
    """What a file of this content says."""
    name = name or NAMES[kind]
    (folder / name).write_bytes(content)
    file = File(name, "train", "s", "1", "000069", kind, "camera0", len(content), "now")
    return read_file(Dataset(str(folder)), file)


def png(width: int, height: int, pixels: bytes = b"") -> bytes:
    """A PNG that claims a size, with whatever pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(pixels)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def bomb(levels: int) -> bytes:
    """A YAML document whose aliases multiply by nine a level."""
    lines = [b"a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [b"a%d: &a%d [%s]" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 9)) for i in range(1, levels)]
    return b"\n".join([*lines, b"lidar_pose: *a%d" % (levels - 1)])


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 200_000,
        b"{" * 200_000,
        b"- " * 200_000,
        b"? " * 200_000,
        b"\n".join(b" " * i + b"a:" for i in range(2000)),
        b"a: &a [*a]",
        b"lidar_pose: &a [*a, *a]",
        bomb(12),
        b"!!python/object/apply:os.abort []",
        b"lidar_pose: !!python/name:os.system",
        b"lidar_pose: " + b"9" * 100_000,
        b"lidar_pose: [.nan, 0, 0, 0, 0, 0]",
        b"lidar_pose: [1, 2, 3]",
        b"lidar_pose: [a, b, c, d, e, f]",
        b"lidar_pose: [0, 0, 0, 0, 0, 0]\ncamera0: {cords: [0, 0, 0, 0, 0, 0], intrinsic: [[0]]}",
        b"lidar_pose: 2021-99-99",
        b"just words",
        b"- a\n- list",
        b"\x00\x01\x02",
        b"\xff\xfe\xff",
        b"a: [1\nb: 2",
    ],
)
def test_a_hostile_frame_file_is_a_problem(tmp_path: Path, content: bytes) -> None:
    found = reading(tmp_path, FileKind.FRAME, content)
    assert found.problem
    assert len(found.problem) <= 200
    assert found.digest


@pytest.mark.parametrize(
    "content",
    [
        png(60_000, 60_000),
        png(2**31 - 1, 2**31 - 1),
        png(4, 4, b"\0"),
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0 JPEG",
        b"GIF89a",
        b"\x89PNG\r\n\x1a\n" + b"\xff" * 40,
    ],
)
def test_a_hostile_image_is_a_problem(tmp_path: Path, content: bytes) -> None:
    assert reading(tmp_path, FileKind.IMAGE, content).problem


def array(shape: object, body: bytes = b"", descr: str = "'<f4'", order: bool = False) -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


@pytest.mark.parametrize(
    "content",
    [
        array((10**9, 10**9)),
        array((2**62, 4)),
        array((4, 4), b"\0" * 63),
        array((0, 4)),
        array((4,), b"\0" * 16),
        array((2, 2, 3), b"\0" * 48),
        array((2, 2), b"\0" * 16, descr="'<c8'"),
        array((2, 2), b"\0" * 16, descr="'<U4'"),
        array("__import__('os').abort()"),
        array((1, 1), pickle.dumps(np.zeros(1)), descr="'|O'"),
        array("(" * 5000),
        b"\x93NUMPY",
        b"\x93NUMPY\x09\x00\xff\xff",
        pickle.dumps(np.zeros(4)),
    ],
)
def test_a_hostile_array_is_a_problem(tmp_path: Path, content: bytes) -> None:
    assert reading(tmp_path, FileKind.DEPTH, content).problem


@pytest.mark.parametrize(
    "content",
    [
        CLOUD % (10**11, b"ascii"),
        CLOUD % (2, b"ascii") + b"1 2 3\n",
        CLOUD % (1, b"ascii") + b"1 2 \x00\n",
        CLOUD % (10**11, b"binary") + b"\0" * 12,
        CLOUD % (1, b"magic"),
        CLOUD.replace(b"%d", b"-5") % b"ascii",
        CLOUD.replace(b"%d", b"9" * 5000) % b"ascii",
        b"# .PCD\n" * 10_000,
        b"no cloud at all",
    ],
)
def test_a_hostile_cloud_is_a_problem(tmp_path: Path, content: bytes) -> None:
    assert reading(tmp_path, FileKind.CLOUD, content).problem


@settings(max_examples=150)
@given(st.sampled_from(list(FileKind)), st.binary(max_size=400), st.booleans())
def test_no_bytes_whatever_break_the_reader(
    tmp_path_factory: pytest.TempPathFactory, kind: FileKind, noise: bytes, plausible: bool
) -> None:
    begin = {
        FileKind.IMAGE: b"\x89PNG\r\n\x1a\n",
        FileKind.DEPTH: b"\x93NUMPY\x01\x00",
        FileKind.CLOUD: b"DATA ascii\n",
    }
    content = begin.get(kind, b"lidar_pose: ") + noise if plausible else noise
    reading(tmp_path_factory.getbasetemp(), kind, content)


@pytest.mark.parametrize("kind", list(FileKind))
def test_a_file_beyond_its_limit_is_not_read(tmp_path: Path, kind: FileKind) -> None:
    with (tmp_path / NAMES[kind]).open("wb") as file:
        file.truncate(LIMITS[kind] + 1)  # a sparse file: it takes no room
    file_of_it = File(NAMES[kind], "train", "s", "1", "000069", kind, "", 0, "now")
    assert "larger than" in (read_file(Dataset(str(tmp_path)), file_of_it).problem or "")


@pytest.mark.parametrize("kind", list(FileKind))
def test_an_empty_file_is_a_problem(tmp_path: Path, kind: FileKind) -> None:
    assert reading(tmp_path, kind, b"").problem == "empty file"


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "train" / "s" / "1"
    folder.mkdir(parents=True)
    os.mkfifo(folder / NAMES[FileKind.IMAGE])
    dataset = Dataset(str(tmp_path))
    (file,) = dataset.files(Folder("train", "s", "1"))
    found = read_file(dataset, file)
    assert "not a regular file" in (found.problem or "")
    assert not found.final  # it is looked at again next time


def test_a_broken_link_is_a_problem(tmp_path: Path) -> None:
    folder = tmp_path / "train" / "s" / "1"
    folder.mkdir(parents=True)
    (folder / NAMES[FileKind.IMAGE]).symlink_to(tmp_path / "gone")
    dataset = Dataset(str(tmp_path))
    (file,) = dataset.files(Folder("train", "s", "1"))
    assert "cannot be read" in (read_file(dataset, file).problem or "")


def test_depth_is_measured(tmp_path: Path) -> None:
    values = np.array([[0, 1, 2, np.nan], [np.inf, 3, 1e30, 4]], np.float64)
    np.save(tmp_path / "depth.npy", np.asfortranarray(values))
    found = reading(tmp_path, FileKind.DEPTH, (tmp_path / "depth.npy").read_bytes())
    assert (found.problem, found.width, found.height) == (None, 4, 2)
    assert found.known == 4 / 8
    assert found.lowest == 0


def test_depth_in_millimetres_is_measured(tmp_path: Path) -> None:
    import cv2

    done, content = cv2.imencode(".png", np.array([[0, 1500], [2000, 65535]], np.uint16))
    assert done
    found = reading(tmp_path, FileKind.DEPTH, content.tobytes(), "000069_camera0_depth.png")
    assert (found.problem, found.known, found.highest) == (None, 0.75, 65.535)


@pytest.mark.parametrize("kind", [b"ascii", b"binary"])
def test_points_are_counted(tmp_path: Path, kind: bytes) -> None:
    body = b"1 2 3\n4e-5 nan 6" if kind == b"ascii" else b"\0" * 24
    assert reading(tmp_path, FileKind.CLOUD, CLOUD % (2, kind) + body).points == 2


def test_a_real_frame_is_read(real_frame: Path) -> None:
    dataset = Dataset(str(real_frame))
    for folder in dataset.folders():
        found = {file.kind: read_file(dataset, file) for file in dataset.files(folder)}
        assert not any(each.problem for each in found.values())
        assert (found[FileKind.IMAGE].width, found[FileKind.IMAGE].height) == (800, 600)
        assert (found[FileKind.CLOUD].points or 0) > 10_000
        assert found[FileKind.FRAME].rig


def packed(content: bytes, tokens: bytes) -> bytes:
    """A compressed cloud of two points of these tokens, as LZF has them."""
    return CLOUD % (2, b"binary_compressed") + struct.pack("<II", len(tokens), len(content)) + tokens


POINTS = bytes(24)  # two points of three numbers of four bytes
LITERAL = b"\x17" + POINTS
REFERENCE = b"\x00\x00" + b"\xe0\x0e\x00"  # a zero, and 23 more of what is one byte before


@pytest.mark.parametrize("tokens", [LITERAL, REFERENCE, b"\x07" + bytes(8) + b"\xe0\x07\x07"])
def test_a_compressed_cloud_is_walked_to_its_end(tokens: bytes, tmp_path: Path) -> None:
    assert reading(tmp_path, FileKind.CLOUD, packed(POINTS, tokens)) == reading(
        tmp_path, FileKind.CLOUD, packed(POINTS, tokens)
    )._replace(points=2, problem=None)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (packed(POINTS, LITERAL)[:-1], "truncated"),
        (packed(POINTS[:-1], LITERAL), "truncated"),
        (packed(POINTS, LITERAL[:-1]), "do not unpack"),
        (packed(POINTS, LITERAL + b"\x00\x00"), "do not unpack"),
        (packed(POINTS, b"\x16" + POINTS), "do not unpack"),
        (packed(POINTS, b"\x00\x00\xe0\x0e\x01"), "do not unpack"),
        (packed(POINTS, b"\x00\x00\xe0\x0e"), "do not unpack"),
        (packed(POINTS, b""), "do not unpack"),
        (packed(POINTS, b"")[:-4], "truncated"),
        (CLOUD % (2, b"ascii") + b"1 2 3\n\n4 5", "point 2 has 2 numbers"),
        (CLOUD % (2, b"ascii") + b"1 2 3 4\n5 6 7\n", "point 1 has 4 numbers"),
        (CLOUD % (3, b"ascii") + b"1 2 3\n\n\n4 5 6\n", "truncated: 2 points"),
    ],
)
def test_a_cloud_that_is_not_whole_is_a_problem(content: bytes, said: str, tmp_path: Path) -> None:
    assert said in (reading(tmp_path, FileKind.CLOUD, content).problem or "")


@pytest.mark.parametrize(
    ("added", "said"),
    [
        (b"lidar_pose: [1, 2, 3, 4, 5, 6]\n", "key 'lidar_pose' stands twice"),
        (b"others:\n  1: {speed: 1, speed: 2}\n", "key 'speed' stands twice"),
        (b"others:\n  1:\n    speed: 1\n    speed: 2\n", "key 'speed' stands twice"),
        (b"plan: [{a: 1}, {a: 1}]\n", ""),
    ],
)
def test_a_key_that_stands_twice_is_found_and_the_last_one_is_read(
    added: bytes, said: str, tmp_path: Path
) -> None:
    frame = Path(__file__).parents[1].joinpath("corpus", "audit", "frame.yaml").read_bytes()
    found = reading(tmp_path, FileKind.FRAME, frame + added)
    assert said in (found.problem or "") if said else found.problem is None
    assert found.x == (1.0 if b"lidar" in added else reading(tmp_path, FileKind.FRAME, frame).x)
