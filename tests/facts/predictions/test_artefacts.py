"""What is told of the files of an inference: what is wrong by its name, and what is right in any form."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from opv2v_doctor import clouds, rasters
from opv2v_doctor.facts.predictions.artefacts import OutputKind, TrueView, artefacts_of, kind_of, kinds_of
from opv2v_doctor.facts.predictions.comparisons import AnsweredView, Ending, Scripted, WrittenFile
from opv2v_doctor.facts.predictions.likeness import Likeness, apart
from opv2v_doctor.facts.predictions.wording import CLOSE
from opv2v_doctor.result import Status
from opv2v_doctor.settings import Infer

from ...edges import assert_edge

Array = NDArray[Any]
HEIGHT, WIDTH, SCALE = 12, 20, 4.0


@pytest.fixture
def views(tmp_path: Path) -> list[TrueView]:
    """Two views of different points, poses and masks, as the training interpreter leaves them."""
    found = []
    for number in range(2):
        random = np.random.default_rng(number)
        cam = random.normal(size=(HEIGHT, WIDTH, 3)) * 10 + [0, 0, 20]
        turn, _ = np.linalg.qr(random.normal(size=(3, 3)))
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = turn * np.sign(np.linalg.det(turn)), random.normal(size=3) * 5
        arrays = {
            "pts3d": cam @ pose[:3, :3].T + pose[:3, 3],
            "pts3d_cam": cam,
            "depth_along_ray": np.linalg.norm(cam, axis=-1),
            "metric_scaling_factor": np.array([SCALE]),
            "camera_poses": pose,
            "mask": random.random((HEIGHT, WIDTH)) > 0.3,
        }
        files = {key: tmp_path / f"{number}_{key}.npy" for key in arrays}
        for key, array in arrays.items():
            np.save(files[key], array)
        returned = {key: files[key] for key in ("mask", "camera_poses")}
        answered = {key: files[key] for key in files if key not in returned}
        view = AnsweredView(
            instance=f"000069/{number + 7}", agent=str(number + 7), answered=answered, returned=returned
        )
        found.append(TrueView(view))
    return found


def told(
    views: list[TrueView], quantity: str, change: Callable[[Array], Array]
) -> tuple[str, Mapping[str, Any]]:
    """What is said of the right array of the first view after a change; nothing where it is right."""
    truth = views[0].truth(quantity)
    assert truth is not None
    found = Likeness(views, CLOSE).of_view(change(truth), OutputKind(quantity=quantity), 0)
    return (found.what, found.numbers) if found else ("", {})


@pytest.mark.parametrize(
    ("quantity", "change", "what"),
    [
        ("points", lambda a: a * SCALE, "factor"),
        ("points", lambda a: a[..., [2, 0, 1]], "axes"),
        ("points", lambda a: a * [1, -1, 1], "axes"),
        ("points", lambda a: a + np.array([0, 0, 3.0]), "moved"),
        ("points", lambda a: a[::2, ::2], "thinned"),
        ("points", lambda a: np.swapaxes(a, 0, 1), "turned"),
        ("depth", lambda a: a[:, ::-1], "mirrored"),
        ("depth", lambda a: a[::-1], "mirrored"),
        ("depth", lambda a: np.minimum(a, np.median(a)), "clipped"),
        ("depth", lambda a: (a * 10).astype(np.uint8), "overflow"),
        ("depth", lambda a: (a * 10_000).astype(np.float16), "overflow"),
        ("depth", lambda a: np.log(a), "values"),
        ("depth", lambda a: a[:-1], "shape"),
        ("pose", lambda a: np.linalg.inv(a), "other"),
        ("pose", lambda a: np.block([[a[:3, :3].T, a[:3, 3:]], [a[3:]]]), "transposed"),
        ("pose", lambda a: a * np.array([[1, 1, 1, 2]] * 3 + [[1, 1, 1, 1]]), "position"),
        ("mask", lambda a: 1 - a, "inverted"),
        ("mask", lambda a: a[:, ::-1], "mirrored"),
        ("scale", lambda a: 1 / a, "factor"),
    ],
)
def test_what_is_wrong_is_named(
    quantity: str, change: Callable[[Array], Array], what: str, views: list[TrueView]
) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        assert told(views, quantity, change)[0] == what


@pytest.mark.parametrize(
    ("quantity", "change"),
    [
        ("points", lambda a: a),
        ("points", lambda a: a.astype(np.float16)),
        ("points", lambda a: a[None]),
        ("points", lambda a: np.moveaxis(a, -1, 0)),
        ("depth", lambda a: a[..., None]),
        ("mask", lambda a: (a * 255).astype(np.uint8)),
        ("mask", lambda a: a.astype(bool)[None, ..., None]),
    ],
)
def test_other_forms_of_what_is_right_are_right(
    quantity: str, change: Callable[[Array], Array], views: list[TrueView]
) -> None:
    assert told(views, quantity, change) == ("", {})


def test_pixels_that_the_mask_drops_do_not_count(views: list[TrueView]) -> None:
    kept = views[0].kept
    assert kept is not None
    assert told(views, "points", lambda a: np.where(kept[..., None], a, np.nan)) == ("", {})
    assert told(views, "points", lambda a: np.where(kept[..., None], np.nan, a))[0] == "overflow"


def test_the_numbers_of_what_is_wrong(views: list[TrueView]) -> None:
    factor = told(views, "points", lambda a: a * SCALE)[1]
    assert (round(factor["factor"], 6), factor["scale"]) == (SCALE, SCALE)
    assert told(views, "points", lambda a: a[..., [2, 0, 1]])[1]["axes"] == "z,x,y"
    moved = told(views, "points", lambda a: a + np.array([0, 0, 3.0]))[1]
    assert (round(moved["metres"], 6), round(moved["factor"], 6)) == (3.0, 1.0)
    assert told(views, "points", lambda a: a[::3, ::3])[1]["step"] == 3


def test_another_quantity_and_another_view_are_named(views: list[TrueView]) -> None:
    cam, other = views[0].truth("camera points"), views[1].truth("depth")
    assert cam is not None and other is not None
    assert told(views, "points", lambda _: cam) == ("other", {"other": "camera points"})
    assert told(views, "depth", lambda _: cam[..., 2]) == ("other", {"other": "z depth"})
    assert told(views, "depth", lambda _: other) == ("view", {"other": 1})


def test_the_edge_of_what_is_close(views: list[TrueView]) -> None:
    def status(relative: float) -> Status:
        what = told(views, "depth", lambda a: a * (1 + relative))[0]
        return Status.FAILED if what == "factor" else Status.PASSED

    assert_edge(CLOSE, status)


def points_of(views: list[TrueView]) -> Array:
    """The points that the masks keep, of all views."""
    found = []
    for view in views:
        truth, kept = view.truth("points"), view.kept
        assert truth is not None and kept is not None
        found.append(truth[kept])
    return np.concatenate(found)


@pytest.mark.parametrize(
    ("change", "quantity", "what"),
    [
        (lambda a: a, "points", ""),
        (lambda a: np.round(a, 4), "points", ""),
        (lambda a: a[::-1], "points", ""),
        (lambda a: a[::4], "sampled points", ""),
        (lambda a: a[::4], "points", "fewer"),
        (lambda a: np.concatenate([a, a]), "points", "twice"),
        (lambda a: a * 0.1, "points", "factor"),
        (lambda a: a[::4] * SCALE, "sampled points", "factor"),
        (lambda a: a[::4][:, [1, 0, 2]] * [1, 1, -1], "sampled points", "axes"),
        (lambda a: np.zeros_like(a), "points", "zeros"),
        (lambda a: a**2, "points", "list"),
    ],
)
def test_lists_of_points(
    change: Callable[[Array], Array], quantity: str, what: str, views: list[TrueView]
) -> None:
    found = Likeness(views, CLOSE).of_list(change(points_of(views)), OutputKind(quantity=quantity), [0, 1])
    assert (found.what if found else "") == what


def test_points_outside_of_the_mask_and_of_one_view_only(views: list[TrueView]) -> None:
    likeness, kind = Likeness(views, CLOSE), OutputKind(quantity="points")
    truths = [view.truth("points") for view in views]
    everything = np.concatenate([truth.reshape(-1, 3) for truth in truths if truth is not None])
    masks = [np.asarray(view.kept) for view in views]
    dropped = np.concatenate([np.asarray(t)[~m] for t, m in zip(truths, masks, strict=True)])
    for array, what in (
        (everything, "outside"),
        (dropped, "inverted"),
        (points_of(views[:1]), "fewer views"),
    ):
        found = likeness.of_list(array, kind, [0, 1])
        assert found is not None and found.what == what


def test_a_setting_names_axes_and_a_factor() -> None:
    kind = kind_of("points z,-x,-y * 1000")
    right = np.array([[1.0, 2.0, 3.0]])
    written = right[:, [2, 0, 1]] * [1, -1, -1] * 1000
    assert (kind.undone(written) == right).all()
    assert kind_of("depth * 1e3").undone(np.array([5000.0])) == 5


@pytest.mark.parametrize("words", ["point", "points x,x,y", "depth * -1", "depth*2", ""])
def test_a_kind_that_is_not_known_is_refused(words: str) -> None:
    with pytest.raises(ValueError, match="known are points"):
        Infer(outputs={"*.npy": words})  # type: ignore[arg-type]


def written(folder: Path, *names: str) -> Scripted:
    files = tuple(WrittenFile(path=folder / name, place=None, inferences=1, times=1) for name in names)
    ending = Ending(how="finished", why="", place=None)
    return Scripted(
        path=folder / "infer.py", loads=(), held=None, configs=(), inference=None, read=(), written=files,
        views=(), ending=ending,
    )  # fmt: skip


def test_files_are_read_by_key_and_what_is_not_read_says_why(tmp_path: Path) -> None:
    folder = tmp_path / "output"
    folder.mkdir()
    np.savez(folder / "a.npz", pts3d=np.ones((2, 3)), depth=np.ones(2))
    np.save(folder / "b_mask.npy", np.ones((2, 2), bool))
    np.savez(folder / "c.npz", pickled=np.array([{}], object))
    (folder / "d.json").write_text(json.dumps({"views": [{"camera_poses": np.eye(4).tolist(), "name": "x"}]}))
    (folder / "e.glb").write_bytes(b"glTF")
    (folder / "f.ply").write_text(
        "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\n"
        "end_header\n1 2 3\n"
    )
    names = ("a.npz", "b_mask.npy", "c.npz", "d.json", "e.glb", "f.ply")
    found, unread = artefacts_of(written(folder, *names), tmp_path)
    kinds = {one.label: [kind.quantity for kind in kinds_of(one, Infer())] for one in found}
    assert kinds == {
        "a.npz:pts3d": ["points"],
        "a.npz:depth": ["depth", "z depth"],
        "b_mask.npy": ["mask"],
        "d.json:views.0.camera_poses": ["pose"],
        "f.ply": ["points"],
    }
    assert [name for name, _ in unread] == ["c.npz", "e.glb"]
    settings = Infer(outputs={"*.npz:depth": "z depth", "f.ply": "other"})  # type: ignore[arg-type]
    kinds = {one.label: [kind.quantity for kind in kinds_of(one, settings)] for one in found}
    assert (kinds["a.npz:depth"], kinds["f.ply"]) == (["z depth"], ["other"])


@pytest.mark.parametrize("name", ["gt_depth", "depth_error", "scale_err", "mask_mean", "loss", "true_mask"])
def test_a_name_with_words_that_are_not_known_says_nothing(name: str, tmp_path: Path) -> None:
    np.save(tmp_path / f"{name}.npy", np.ones(3))
    (one,), _ = artefacts_of(written(tmp_path, f"{name}.npy"), tmp_path)
    assert kinds_of(one, Infer()) == ()


@pytest.mark.parametrize("form", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_vertices_of_a_ply_file(form: str) -> None:
    head = f"ply\nformat {form} 1.0\ncomment made\nelement vertex 2\n"
    head += "property double x\nproperty float y\nproperty float z\nproperty uchar red\n"
    head += "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    order = ">" if "big" in form else "<"
    record = np.dtype([("x", f"{order}f8"), ("y", f"{order}f4"), ("z", f"{order}f4"), ("red", "u1")])
    table = np.array([(1, 2, 3, 9), (4, 5, 6, 8)], record)
    body = b"1 2 3 9\n4 5 6 8\n3 0 1 1\n" if form == "ascii" else table.tobytes() + b"\x03" + bytes(12)
    assert clouds.points(head.encode() + body, "a.ply").tolist() == [[1, 2, 3], [4, 5, 6]]
    with pytest.raises(ValueError, match=r"numbers|truncated"):
        clouds.points(head.encode() + body[:6], "a.ply")


@pytest.mark.parametrize(
    "content", [b"", b"ply\n", b"ply\nformat ascii 1.0\nelement face 1\nend_header\n1\n"]
)
def test_what_is_no_ply_file_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):
        clouds.points(content, "a.ply")


def test_all_arrays_of_an_archive(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", one=np.arange(3), other=np.eye(2))
    found = rasters.arrays((tmp_path / "a.npz").read_bytes())
    assert {name: array.shape for name, array in found.items()} == {"one": (3,), "other": (2, 2)}
    with pytest.raises(ValueError, match=r"not a whole \.npz"):
        rasters.arrays(b"PK no archive")


def test_what_is_no_number_is_infinitely_far() -> None:
    assert apart(np.ones(2), np.array([1, np.nan])) == float("inf")
