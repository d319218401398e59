"""Faults of the dataset code: views, poses, masks, geometry and randomness."""

from pathlib import Path

from opv2v_doctor.sandbox.faults.fault import fault, replace_text

DATASET = "mapanything/datasets/opv2v_cyl.py"
PANORAMA = "mapanything/datasets/opv2v_panorama.py"
BASE = "mapanything/datasets/base/base_dataset.py"
POSES = "data_processing/opv2v_poses.py"

CROP = """\
height = image.shape[1] * self.stitcher.height // self.stitcher.width
        top = (image.shape[0] - height) // 2
        image, depth = image[top : top + height], depth[top : top + height]
        frame[name]["intrinsic"][1][2] -= top
        return CameraView("""


@fault("DAT004")
def view_per_camera(directory: Path) -> None:
    """Each camera becomes a view of its own: four times as many views, and agents repeat."""
    replace_text(
        directory / DATASET,
        "main_pose, self.camera_ids) for agent in chosen",
        "main_pose, [name]) for agent in chosen for name in self.camera_ids",
    )


@fault("DAT005")
def view_counts_ignored(directory: Path) -> None:
    """A sample has two views, however many were asked for."""
    replace_text(
        directory / DATASET,
        '_choose_agents(scene["agents"], num_views_to_sample)',
        '_choose_agents(scene["agents"], 2)',
    )


@fault("DAT006")
def poses_in_centimetres(directory: Path) -> None:
    """The poses' translations are centimetres."""
    scaled = '"camera_pose": pose * ([[1, 1, 1, 100]] * 3 + [[1, 1, 1, 1]]),'
    replace_text(directory / DATASET, '"camera_pose": pose,', scaled)


@fault("DAT006")
def scaled_rotation(directory: Path) -> None:
    """The poses' rotations are a tenth too large: they are no rotations."""
    replace_text(
        directory / DATASET, '"camera_pose": pose,', '"camera_pose": pose @ np.diag([1.1, 1.1, 1.1, 1]),'
    )


@fault("DAT007")
def unseeded_validation(directory: Path) -> None:
    """A seed of 0 counts as no seed: validation samples are others in every process."""
    replace_text(directory / BASE, "if self.seed is not None:", "if self.seed:")


@fault("DAT008")
def frozen_epochs(directory: Path) -> None:
    """The random numbers forget the epoch: every epoch draws the same samples."""
    randomness = directory / "mapanything/datasets/base/randomness.py"
    replace_text(randomness, "[777, int(epoch), ", "[777, ")


@fault("MSK001")
def empty_mask(directory: Path) -> None:
    """The non-ambiguous mask is False everywhere."""
    replace_text(
        directory / DATASET,
        '"non_ambiguous_mask": panorama.mask,',
        '"non_ambiguous_mask": panorama.mask & False,',
    )


@fault("MSK002")
def cropped_before_stitching(directory: Path) -> None:
    """Every image is cropped to the panorama's shape first: most of the field of view is thrown away."""
    replace_text(directory / DATASET, "return CameraView(", CROP)


@fault("MSK003")
def valid_outside_mask(directory: Path) -> None:
    """Depth is filled in where no camera looks, and counts as valid there."""
    replace_text(directory / PANORAMA, "depth[~mask] = 0.0", "depth[~mask] = 50.0")


@fault("MSK004")
def depth_zero_is_valid(directory: Path) -> None:
    """Pixels whose depth is not known, 0, count as valid: the sky is trained as 0 m away."""
    replace_text(directory / BASE, '"valid_mask": depth > 0,', '"valid_mask": depth >= 0,')


@fault("MSK005")
def mask_moved(directory: Path) -> None:
    """The mask is a third of the panorama too low, image and depth are in their places."""
    moved = '"non_ambiguous_mask": np.roll(panorama.mask, panorama.mask.shape[0] // 3, 0),'
    replace_text(directory / DATASET, '"non_ambiguous_mask": panorama.mask,', moved)


@fault("MSK006")
def sky_filled(directory: Path) -> None:
    """What nothing was measured of is said to be 400 m away."""
    read = 'np.load(f"{self.depth_root / place}_depth.npy").astype(np.float64)'
    replace_text(directory / DATASET, read, f"{read}\n        depth[depth == 0] = 400.0")


@fault("GEO001")
def z_read_as_range(directory: Path) -> None:
    """The depth maps' distance to the image plane is taken for the range along the ray."""
    replace_text(
        directory / PANORAMA,
        "scaled = measured * points[:, 2]",
        "scaled = measured * np.linalg.norm(points, axis=1)",
    )


@fault("GEO002")
def parallax_ignored(directory: Path) -> None:
    """The cameras are taken to sit where the LiDAR is."""
    replace_text(directory / DATASET, "offset=camera_pose[:3, 3],", "offset=np.zeros(3),")


@fault("GEO003")
def euler_order(directory: Path) -> None:
    """Roll, pitch and yaw are applied in the wrong order and with the wrong signs."""
    replace_text(directory / POSES, "about_z @ about_y @ about_x", "about_x.T @ about_y.T @ about_z")


@fault("GEO004")
def inverse_pose(directory: Path) -> None:
    """The views' poses are world to camera, where camera to world is meant."""
    replace_text(
        directory / DATASET,
        "pose_to_opencv(relative_pose(agent_pose, main_pose))",
        "pose_to_opencv(relative_pose(main_pose, agent_pose))",
    )
