"""Rasters: what an image or array claims is known before it is decoded; no pipe or device is waited for."""

import io
import os
import struct
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from opv2v_doctor.rasters import (
    MOST_PIXELS,
    NotReadError,
    array,
    array_of,
    depth,
    image,
    image_of,
    image_size,
    is_whole,
)


def encoded(suffix: str, picture: np.ndarray) -> bytes:
    return bytes(cv2.imencode(suffix, picture)[1].tobytes())


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_bomb(width: int, height: int) -> bytes:
    """A PNG of so many pixels in a few bytes."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1 << 24), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def jpeg_bomb(width: int, height: int, *, before: bytes = b"") -> bytes:
    """A JPEG that claims another size than it has."""
    whole = encoded(".jpg", np.zeros((8, 16, 3), np.uint8))
    sizes = struct.pack(">HH", 8, 16)
    assert whole.count(sizes) == 1
    return whole[:2] + before + whole[2:].replace(sizes, struct.pack(">HH", height, width))


def npy(shape: str, dtype: str = "<f4", body: bytes = b"") -> bytes:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


def zipped() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, depth=np.zeros((2000, 2000)))
    return file.getvalue()


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_what_is_decoded_is_what_opencv_decodes(suffix: str, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    content = encoded(suffix, picture)
    (tmp_path / "it").write_bytes(content)
    assert image_size(content) == (64, 48)
    expected = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert expected is not None
    assert np.array_equal(image(content), expected)
    assert np.array_equal(image_of(tmp_path / "it"), expected)


def test_depth_keeps_its_bits() -> None:
    depth = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    assert np.array_equal(image(encoded(".png", depth), colour=False), depth)


@pytest.mark.parametrize(
    "content",
    [
        png_bomb(65535, 65535),
        png_bomb(2**31 - 1, 2**31 - 1),
        png_bomb(MOST_PIXELS, 2),
        jpeg_bomb(65535, 65535),
        jpeg_bomb(65535, 65535, before=b"\xff\xff\xff\xfe\x00\x04ab"),
        jpeg_bomb(65535, 65535, before=b"\xff\x01"),
        jpeg_bomb(65535, 65535, before=encoded(".jpg", np.zeros((8, 16, 3), np.uint8))[2:-2][:20]),
        png_bomb(10, 10)[:20],
        b"\xff\xd8\xff",
        b"\xff\xd8\xff" + b"\xff" * 1000,
        b"\xff\xd8" + b"\xff\xe0\x00\x00" * 1000,
        encoded(".bmp", np.zeros((8, 8, 3), np.uint8)),
        encoded(".tiff", np.zeros((8, 8, 3), np.uint8)),
        encoded(".png", np.zeros((8, 8, 3), np.uint8))[:40],
        b"",
    ],
)
def test_no_image_is_decoded_beyond_its_bound(content: bytes) -> None:
    before, begun = psutil.Process().memory_info().rss, time.monotonic()
    with pytest.raises(ValueError):
        image(content)
    assert psutil.Process().memory_info().rss - before < 64 << 20
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (npy("(1000000, 1000000)"), "truncated"),
        (npy(f"({10**30},)"), "truncated"),
        (npy("(-5, 4)"), "negative"),
        (npy("(2, 2)", "|O", b"cos\nsystem\n"), "pickled objects"),
        (npy("(2,)", "<U4", b"\0" * 32), "not of numbers"),
        (npy("(1,)" * 3), "not an array"),
        (npy("(" + "1," * 100 + ")", body=b"\0" * 4), "dimension"),
        (zipped(), "not an array"),
        (b"", "not an array"),
        (b"\x93NUMPY\x09\x00", "not an array"),
    ],
)
def test_no_array_is_read_beyond_what_is_there(content: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        array(content)


def test_an_array_is_as_numpy_reads_it(tmp_path: Path) -> None:
    for number, values in enumerate(
        (
            np.arange(12.0).reshape(3, 4),
            np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
            np.ones(3, bool),
        )
    ):
        path = tmp_path / f"{number}.npy"
        np.save(path, values)
        found = array_of(path)
        found[:] = found  # ours to change
        assert found.dtype == values.dtype and np.array_equal(found, values)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir])
def test_no_pipe_or_device_is_waited_for(make: object, tmp_path: Path) -> None:
    assert callable(make)
    make(tmp_path / "it")
    for read in (image_of, array_of):
        with pytest.raises(OSError, match="not a file"):
            read(tmp_path / "it")


DEPTH = np.array([[0.0, 1.5, 2.0], [3.25, 100.0, 7.0]], np.float32)


def saved(save: Callable[..., None], **arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "scale"),
    [
        (npy("(2, 3)", body=DEPTH.tobytes()), None),
        (saved(np.savez, depth=DEPTH, more=DEPTH + 1), None),
        (saved(np.savez_compressed, arr_0=DEPTH), None),
        (saved(np.savez, arr_0=(DEPTH * 4).astype(np.uint16)), 0.25),
        (encoded(".png", (DEPTH * 100).astype(np.uint16)), 0.01),
    ],
    ids=["npy", "npz", "compressed npz", "npz of whole numbers", "png of 16 bits"],
)
def test_depth_is_read_from_every_kind_of_file(content: bytes, scale: float | None) -> None:
    assert np.allclose(depth(content, scale), DEPTH)


def test_carlas_colours_are_depth_of_a_thousand_metres() -> None:
    steps = np.rint(DEPTH / 1000 * (256**3 - 1)).astype(np.uint32)
    blue, green, red = steps >> 16, steps >> 8 & 255, steps & 255
    assert np.allclose(
        depth(encoded(".png", np.dstack([blue, green, red]).astype(np.uint8))), DEPTH, atol=1e-4
    )


def test_whole_numbers_without_a_scale_are_asked_for() -> None:
    with pytest.raises(NotReadError) as raised:
        depth(encoded(".png", np.ones((2, 3), np.uint16)))
    assert "depth_scale" in raised.value.hint


@pytest.mark.parametrize(
    "content",
    [
        saved(np.savez, a=DEPTH, b=DEPTH),
        saved(np.savez, depth=DEPTH)[:-30],
        saved(np.savez, depth=np.array([{"a": 1}], dtype=object)),
        b"PK\x03\x04",
        encoded(".jpg", np.zeros((4, 4, 3), np.uint8)),
    ],
)
def test_what_holds_no_depth_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        depth(content, 1.0)


def test_exr_is_asked_for_where_openexr_is_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(NotReadError) as raised:
        depth(b"v/1\x01" + bytes(40))
    assert "opv2v-doctor[exr]" in raised.value.hint


def test_exr_is_depth(tmp_path: Path) -> None:
    exr = pytest.importorskip("OpenEXR", reason="no OpenEXR: pip install 'opv2v-doctor[exr]'")
    kind = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
    exr.File(kind, {"Z": DEPTH}).write(str(tmp_path / "z.exr"))
    content = (tmp_path / "z.exr").read_bytes()
    assert np.allclose(depth(content), DEPTH)
    for damaged in (content[:200], content[:4]):
        with pytest.raises(ValueError, match="EXR"):
            depth(damaged)
    window = struct.pack("<4i", 0, 0, 2, 1)
    assert content.count(window) == 2  # the data's, and the display's
    with pytest.raises(ValueError, match="it claims 60000 x 60000 pixels"):
        depth(content.replace(window, struct.pack("<4i", 0, 0, 59_999, 59_999)))


def test_an_npz_is_unpacked_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    content = saved(np.savez_compressed, depth=np.zeros((2000, 2000)))
    monkeypatch.setattr("opv2v_doctor.rasters.LARGEST", 1 << 20)
    with pytest.raises(ValueError, match="more than 1 MB"):
        depth(content)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_picture_that_is_cut_has_no_end(suffix: str) -> None:
    content = encoded(suffix, np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8))
    assert is_whole(content[:8], content)
    assert is_whole(content[:8], content + bytes(99))
    assert not is_whole(content[:8], content[: len(content) // 2])
