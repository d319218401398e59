"""The guards of the family geometry: few copies, each with several faults, as each is drawn and stitched."""

import os
import shutil
from pathlib import Path

from opv2v_doctor.result import Result
from opv2v_doctor.sandbox import copy_repository, put
from opv2v_doctor.target import make_target

from .guard import Case, Guard, Workshop, guarded, healthy, run_check

DATASET, BASE = "mapanything/datasets/opv2v_cyl.py", "mapanything/datasets/base/base_dataset.py"
ALONE = ((DATASET, "return [agents[0], *map(str, others)]", "return [agents[0]]"),)
UNNAMED = ((BASE, '"data_norm_type": self.data_norm_type', '"normalised": self.data_norm_type'),)
BARE = (  # panoramas without depth, rays and images
    (DATASET, 'np.load(f"{self.depth_root / place}_depth.npy").astype(np.float64)', "image[..., 0] * 0.0"),
    (
        BASE,
        "            **view,\n",
        "            **{k: v for k, v in view.items() if k[:3] not in ('img', 'ray')},\n",
    ),
    (BASE, '"img": self.transform', '"picture": self.transform'),
    (BASE, '"ray_directions_cam": rays', '"directions": rays'),
)


def few(repo: Path, code: str) -> Result:
    return run_check(code, make_target(repo=repo, splits=("val",), num_samples=1))


def copy_of(shop: Workshop, name: str) -> tuple[Path, bool]:
    """The copy of that name that all guards of this process share, and whether it was made just now."""
    copy = shop.healthy.parent / f"geometry_{os.getpid()}_{name}"
    if copy.exists():
        return copy, False
    copy_repository(shop.healthy, copy)
    return copy, True


def faults(*names: str) -> Case:
    def case(shop: Workshop, code: str) -> Result:
        copy, is_new = copy_of(shop, "_".join(names))
        for name in names if is_new else ():
            put(name, copy)
        return few(copy, code)

    return case


def without(*edits: tuple[str, str, str], folder: str = "") -> Case:
    """A copy with edits, and without a folder of its data."""

    def case(shop: Workshop, code: str) -> Result:
        copy, is_new = copy_of(shop, f"without_{len(edits)}")
        for file, old, new in edits if is_new else ():
            text = (copy / file).read_text()
            assert old in text, f"{old!r} is not in {file}"
            (copy / file).write_text(text.replace(old, new))
        if folder and is_new:
            shutil.rmtree(copy / folder)
        return few(copy, code)

    return case


SOUND, EMPTY = healthy(), without(*BARE, folder="data/opv2v_depth/validate")
POSED = faults("depth_in_millimetres", "inverse_pose", "rays_mirrored", "image_shifted")
NEAR = faults("parallax_ignored", "red_and_blue_exchanged")
COLOURS = faults("one_camera_grey", "wrong_encoder_numbers")
LARGE = faults("images_enlarged", "depth_saturated")

GUARDS = {
    "GEO001": Guard(bad=POSED, good=SOUND, empty=EMPTY),
    "GEO002": Guard(bad=NEAR, good=SOUND, empty=EMPTY),
    "GEO003": Guard(bad=faults("euler_order"), good=SOUND, empty=without(*ALONE)),
    "GEO004": Guard(bad=POSED, good=SOUND, empty=without(*ALONE)),
    "GEO005": Guard(bad=POSED, good=SOUND, empty=EMPTY),
    "GEO006": Guard(bad=faults("elevation_flipped"), good=SOUND, empty=EMPTY),
    "GEO007": Guard(bad=POSED, good=SOUND, empty=EMPTY),
    "GEO008": Guard(bad=POSED, good=SOUND, empty=without(*ALONE)),
    "GEO009": Guard(bad=POSED, good=SOUND, empty=EMPTY),
    "GEO010": Guard(bad=faults("intrinsics_not_followed"), good=SOUND, empty=EMPTY),
    "GEO011": Guard(bad=LARGE, good=SOUND, empty=EMPTY),
    "GEO012": Guard(bad=faults("frames_mixed"), good=SOUND, empty=EMPTY),
    "GEO013": Guard(bad=LARGE, good=SOUND, empty=EMPTY),
    "GEO014": Guard(bad=faults("camera_turned"), good=SOUND, empty=EMPTY),
    "GEO015": Guard(bad=NEAR, good=SOUND, empty=EMPTY),
    "GEO016": Guard(bad=faults("one_agents_lidar_turned", "depth_wraps_around"), good=SOUND, empty=EMPTY),
    "GEO017": Guard(bad=faults("one_agents_lidar_turned", "depth_wraps_around"), good=SOUND, empty=EMPTY),
    "GEO023": Guard(bad=COLOURS, good=SOUND, empty=EMPTY),
    "GEO025": Guard(
        bad=faults("one_agents_images_inverted"), good=SOUND, empty=without(folder="data/opv2v_depth")
    ),
    "GEO024": Guard(bad=COLOURS, good=SOUND, empty=without(*ALONE, *UNNAMED)),
}

test_geometry = guarded(GUARDS)
