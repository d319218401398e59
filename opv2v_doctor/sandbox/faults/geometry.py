"""Faults of geometry: panoramas, poses and depth maps that are in order, but not where or what they seem."""

from pathlib import Path

import numpy as np

from opv2v_doctor.sandbox.faults.dataset import CROP, DATASET, PANORAMA, POSES
from opv2v_doctor.sandbox.faults.fault import fault, replace_text
from opv2v_doctor.sandbox.scene import FOCAL_LENGTH

DEPTH = "data/opv2v_depth"
STITCHED = "return Panorama(image.round().astype(np.uint8), depth.astype(np.float32), mask)"
IN_VIEW = '"depthmap": panorama.depth,'
DEPTH_PLACE = 'np.load(f"{self.depth_root / place}_depth.npy")'


@fault("GEO001")
def depth_in_millimetres(directory: Path) -> None:
    """The panoramas' depth is millimetres, their poses are metres."""
    replace_text(directory / DATASET, IN_VIEW, '"depthmap": panorama.depth * 1000,')


@fault("GEO001")
def range_read_as_z(directory: Path) -> None:
    """The depth files hold the range along the ray, and are read as distance to the image plane."""
    for path in (directory / DEPTH).rglob("*_depth.npy"):
        depth = np.load(path)
        height, width = depth.shape
        columns, rows = np.meshgrid(np.arange(width) + 0.5 - width / 2, np.arange(height) + 0.5 - height / 2)
        length = np.sqrt(1 + (columns**2 + rows**2) / (FOCAL_LENGTH * width / 800) ** 2)
        np.save(path, (depth * length).astype(np.float32))


@fault("GEO003")
def handedness(directory: Path) -> None:
    """CARLA's axes are taken for right-handed ones: left and right are exchanged."""
    replace_text(
        directory / POSES, "np.array([[0.0, 1.0, 0.0], [0.0, 0.0,", "np.array([[0.0, -1.0, 0.0], [0.0, 0.0,"
    )


@fault("GEO005")
def rays_mirrored(directory: Path) -> None:
    """The views' rays have azimuth growing to the left."""
    replace_text(
        directory / DATASET,
        '"ray_directions_cam": self.stitcher.rays,',
        '"ray_directions_cam": self.stitcher.rays * [-1, 1, 1],',
    )


@fault("GEO006")
def mirror(directory: Path) -> None:
    """The panoramas are mirrored: image, depth and mask."""
    mirrored = STITCHED.replace("uint8)", "uint8)[:, ::-1]").replace("float32)", "float32)[:, ::-1]")
    replace_text(directory / PANORAMA, STITCHED, mirrored.replace("mask)", "mask[:, ::-1])"))


@fault("GEO006")
def azimuth_offset(directory: Path) -> None:
    """The depth begins at another azimuth than the image: it is 45 degrees too far to the right."""
    rolled = '"depthmap": np.roll(panorama.depth, panorama.depth.shape[1] // 8, axis=1),'
    replace_text(directory / DATASET, IN_VIEW, rolled)


@fault("GEO006")
def elevation_flipped(directory: Path) -> None:
    """The depth is upside down."""
    replace_text(directory / DATASET, IN_VIEW, '"depthmap": panorama.depth[::-1],')


@fault("GEO007")
def square_root_of_depth(directory: Path) -> None:
    """The panoramas hold the square root of depth."""
    replace_text(directory / DATASET, IN_VIEW, '"depthmap": np.sqrt(panorama.depth),')


@fault("GEO008")
def flat_poses(directory: Path) -> None:
    """The views' poses are those of a flat world: roll and pitch are left out."""
    replace_text(
        directory / DATASET,
        "        pose = pose_to_opencv(relative_pose(agent_pose, main_pose))\n",
        "        pose = cords_to_pose([*frame['lidar_pose'][:3], 0, frame['lidar_pose'][4], 0])\n"
        "        pose = pose_to_opencv(relative_pose(pose, main_pose))\n",
    )
    replace_text(
        directory / DATASET,
        'main_pose = cords_to_pose(frames[chosen[0]]["lidar_pose"])',
        'main_pose = frames[chosen[0]]["lidar_pose"]\n'
        "        main_pose = cords_to_pose([*main_pose[:3], 0, main_pose[4], 0])",
    )


@fault("GEO004")
def vehicle_pose_for_lidar(directory: Path) -> None:
    """The first agent's pose is that of its vehicle, all others are those of their LiDARs."""
    replace_text(
        directory / DATASET,
        'main_pose = cords_to_pose(frames[chosen[0]]["lidar_pose"])',
        'main_pose = cords_to_pose(frames[chosen[0]]["true_ego_pos"])',
    )


@fault("GEO009")
def image_shifted(directory: Path) -> None:
    """The image is a sixteenth of a turn too far to the right; the depth is where it belongs."""
    rolled = '"img": np.roll(panorama.image, panorama.image.shape[1] // 16, axis=1),'
    replace_text(directory / DATASET, '"img": panorama.image,', rolled)


@fault("GEO015")
def red_and_blue_exchanged(directory: Path) -> None:
    """Images are left in OpenCV's order of channels: blue first."""
    replace_text(directory / DATASET, "image=image[..., ::-1].astype", "image=image.astype")


@fault("GEO015")
def normalised_twice(directory: Path) -> None:
    """Mean and deviation are taken off the images twice: in the dataset, and by who made the transform."""
    replace_text(
        directory / "mapanything/utils/image.py",
        "return ((images - mean) / deviation).contiguous()",
        "return (((images - mean) / deviation - mean) / deviation).contiguous()",
    )


@fault("GEO014")
def camera_turned(directory: Path) -> None:
    """One camera is taken to look two degrees farther to the right: its part does not meet the others'."""
    turn = 'cv2.Rodrigues(np.deg2rad([0.0, 2.0 * (name == "camera1"), 0.0]))[0]'
    replace_text(
        directory / DATASET, "rotation=camera_pose[:3, :3],", f"rotation={turn} @ camera_pose[:3, :3],"
    )


@fault("GEO014")
def cameras_swapped(directory: Path) -> None:
    """The files of the left and the right camera are exchanged, their poses are not."""
    other = "{'camera1': 'camera2', 'camera2': 'camera1'}.get(name, name)"
    place = """f"{scene['frame']}_{name}")"""
    replace_text(directory / DATASET, place, f"""f"{{scene['frame']}}_" + {other})""")


@fault("GEO013")
def images_enlarged(directory: Path) -> None:
    """The images are cropped to their middle nine tenths and resized back; their intrinsics stay behind."""
    enlarged = """\
height, width = image.shape[:2]
        image = image[height // 20 : height - height // 20, width // 20 : width - width // 20]
        image = cv2.resize(image, (width, height))
        return CameraView("""
    replace_text(directory / DATASET, "return CameraView(", enlarged)


@fault("GEO010")
def intrinsics_not_followed(directory: Path) -> None:
    """Every image is cropped to the panorama's shape, and its intrinsics stay those of the whole."""
    kept = "\n".join(line for line in CROP.split("\n") if "intrinsic" not in line)
    replace_text(directory / DATASET, "return CameraView(", kept)


@fault("GEO011")
def depth_saturated(directory: Path) -> None:
    """The depth files say 12 m of everything that is farther away."""
    for path in (directory / DEPTH).rglob("*_depth.npy"):
        np.save(path, np.minimum(np.load(path), np.float32(12)))


@fault("GEO017")
def depth_wraps_around(directory: Path) -> None:
    """Depth is kept in sixteen bits of millimetres: what is farther than 65.5 m begins anew."""
    replace_text(
        directory / DATASET,
        f"{DEPTH_PLACE}.astype(np.float64)",
        f"np.mod({DEPTH_PLACE}.astype(np.float64), 65.536)",
    )


@fault("GEO017")
def one_cameras_depth_scaled(directory: Path) -> None:
    """The depth of the camera behind is a twentieth too large: its sensor was calibrated otherwise."""
    replace_text(
        directory / DATASET,
        f"{DEPTH_PLACE}.astype(np.float64)",
        f'{DEPTH_PLACE}.astype(np.float64) * (1.05 if name == "camera3" else 1.0)',
    )


@fault("GEO012")
def frames_mixed(directory: Path) -> None:
    """The depth is that of another frame than the image and the pose."""
    other = "{int(scene['frame']) ^ 2:06d}_{name}"
    path = 'self.depth_root / self.split / scene["sequence"] / agent'
    replace_text(directory / DATASET, DEPTH_PLACE, f'np.load({path} / f"{other}_depth.npy")')


@fault("GEO012")
def agents_swapped(directory: Path) -> None:
    """An agent's images and depth are those of another one, its pose is its own."""
    replace_text(
        directory / DATASET,
        'place = Path(self.split, scene["sequence"], agent, f',
        'agent = scene["agents"][scene["agents"].index(agent) - 1]\n'
        '        place = Path(self.split, scene["sequence"], agent, f',
    )


@fault("GEO001")
def depth_halved(directory: Path) -> None:
    """The views' depth is half of that of the files, their poses are in metres."""
    depth = 'depth = view["depthmap"].astype(np.float32)'
    replace_text(directory / "mapanything/datasets/base/base_dataset.py", depth, f"{depth} * 0.5")


@fault("GEO003")
def quaternion_order(directory: Path) -> None:
    """Rotations go through quaternions whose real part is taken for the first number."""
    related = "        pose = pose_to_opencv(relative_pose(agent_pose, main_pose))\n"
    replace_text(
        directory / DATASET,
        related,
        f"{related}        x, y, z, w = matrix_to_quaternion(pose[:3, :3])\n"
        "        pose[:3, :3] = quaternion_to_matrix(torch.tensor([w, x, y, z])).numpy()\n",
    )
    replace_text(directory / DATASET, "import numpy as np\n", "import numpy as np\nimport torch\n")
    imported = "from mapanything.datasets.opv2v_panorama import"
    used = "from mapanything.utils.geometry import matrix_to_quaternion, quaternion_to_matrix\n"
    replace_text(directory / DATASET, imported, f"{used}{imported}")


@fault("GEO004")
def predicted_poses(directory: Path) -> None:
    """Poses are those that the vehicles predicted, in place of their LiDARs'."""
    for name in ('frames[chosen[0]]["', 'cords_to_pose(frame["'):
        replace_text(directory / DATASET, f'{name}lidar_pose"]', f'{name}predicted_ego_pos"]')


@fault("GEO004")
def reference_is_the_last(directory: Path) -> None:
    """Poses lead to the last agent of a sample, its label names the first one."""
    replace_text(directory / DATASET, 'frames[chosen[0]]["lidar_pose"]', 'frames[chosen[-1]]["lidar_pose"]')


@fault("GEO023")
def one_camera_grey(directory: Path) -> None:
    """The images of one camera are grey."""
    grey = 'image.mean(-1, keepdims=True).repeat(3, -1) if name == "camera2" else image[..., ::-1]'
    replace_text(directory / DATASET, "image=image[..., ::-1].astype", f"image=({grey}).astype")


@fault("GEO024")
def wrong_encoder_numbers(directory: Path) -> None:
    """The repository's table says another deviation of red for DINOv2."""
    replace_text(directory / "mapanything/utils/image.py", "(0.229, 0.224", "(0.299, 0.224")
