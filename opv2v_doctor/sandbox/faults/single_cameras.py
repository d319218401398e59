"""Faults of the training on single cameras: poses, intrinsics, depth and images of something else."""

from pathlib import Path

from opv2v_doctor.sandbox.faults.dataset import POSES
from opv2v_doctor.sandbox.faults.fault import fault, replace_text

CAMERAS = "mapanything/datasets/opv2v.py"
CROPPING = "mapanything/utils/cropping.py"
LAUNCH = ("dataset=opv2v_coop_ft",)
POSE = 'camera_pose = cords_to_pose(frame[name]["cords"])'
GIVEN_POSE = '"camera_pose": pose_to_opencv(relative_pose(camera_pose, reference)) @ self.camera_axes,'
OTHER = '{"camera1": "camera2", "camera2": "camera1"}.get(name, name)'


@fault("GEO003", *LAUNCH)
def camera_euler_order(directory: Path) -> None:
    """Roll, pitch and yaw are applied in the other order, as scipy's from_euler("zyx", ...) does."""
    replace_text(
        directory / POSES,
        "return about_z @ about_y @ about_x",
        "return about_x.T @ about_y.T @ about_z  # Rotation.from_euler('zyx', [yaw, pitch, roll])",
    )


@fault("GEO003", *LAUNCH)
def pitch_and_roll_sign(directory: Path) -> None:
    """Pitch and roll have the wrong sign."""
    replace_text(directory / POSES, "about_z @ about_y @ about_x", "about_z @ about_y.T @ about_x.T")


@fault("GEO003", *LAUNCH)
def upside_down_axes(directory: Path) -> None:
    """CARLA's z, which points up, is taken for y, which points down."""
    replace_text(directory / POSES, "[0.0, 0.0, -1.0]", "[0.0, 0.0, 1.0]")


@fault("GEO003", *LAUNCH)
def carla_axes(directory: Path) -> None:
    """The cameras' poses are still in CARLA's axes."""
    replace_text(directory / CAMERAS, GIVEN_POSE, '"camera_pose": relative_pose(camera_pose, reference),')


@fault("GEO003", *LAUNCH)
def opengl_poses(directory: Path) -> None:
    """The cameras' poses are in OpenGL's axes, their rays in OpenCV's."""
    replace_text(
        directory / CAMERAS, "reference)) @ self.camera_axes,", 'reference)) @ CAMERA_AXES["opengl"],'
    )


@fault("GEO004", *LAUNCH)
def lidar_pose_for_camera(directory: Path) -> None:
    """The cameras' poses are those of their agent's LiDAR."""
    replace_text(directory / CAMERAS, POSE, 'camera_pose = cords_to_pose(frame["lidar_pose"])')


@fault("GEO004", *LAUNCH)
def camera_poses_exchanged(directory: Path) -> None:
    """The poses of the left and the right camera are exchanged."""
    replace_text(directory / CAMERAS, POSE, f'camera_pose = cords_to_pose(frame[{OTHER}]["cords"])')


@fault("GEO004", *LAUNCH)
def camera_pose_turned(directory: Path) -> None:
    """One camera is taken to look two degrees farther to the right."""
    turned = '[*frame[name]["cords"][:4], frame[name]["cords"][4] + 2.0 * (name == "camera1"), '
    replace_text(directory / CAMERAS, POSE, f'camera_pose = cords_to_pose({turned}frame[name]["cords"][5]])')


@fault("GEO001", *LAUNCH)
def range_for_z(directory: Path) -> None:
    """The depth of single cameras is the range along the ray, where z is expected."""
    replace_text(
        directory / CAMERAS,
        '"depthmap": depth,',
        '"depthmap": depth / pinhole_rays(intrinsics, depth.shape)[..., 2],',
    )


@fault("GEO010", *LAUNCH)
def crop_not_followed(directory: Path) -> None:
    """Images are cropped to their middle, their principal point stays that of the whole."""
    replace_text(
        directory / CROPPING,
        "    intrinsics = intrinsics - [[0, 0, left], [0, 0, top], [0, 0, 0]]\n",
        "",
    )


@fault("GEO010", *LAUNCH)
def resize_not_followed(directory: Path) -> None:
    """Images are resized, their intrinsics stay those of the file."""
    replace_text(
        directory / CROPPING,
        "    intrinsics = np.diag([size[0] / width, size[1] / height, 1.0]) @ intrinsics\n",
        "",
    )


@fault("GEO010", *LAUNCH)
def focal_length_and_middle_exchanged(directory: Path) -> None:
    """The focal lengths stand in the place of the principal point, and the other way round."""
    replace_text(
        directory / CAMERAS,
        "        return {\n",
        "        (fx, _, cx), (_, fy, cy), _ = intrinsics\n"
        "        intrinsics = np.array([[cx, 0, fx], [0, cy, fy], [0, 0, 1]])\n"
        "        return {\n",
    )


@fault("GEO014", *LAUNCH)
def images_exchanged(directory: Path) -> None:
    """The images of the left and the right camera are exchanged; depth and poses are not."""
    replace_text(
        directory / CAMERAS,
        'image = cv2.imread(f"{self.root / place}.png")',
        f'shown = {OTHER}\n        image = cv2.imread(str(self.root / place).replace(name, shown) + ".png")',
    )


@fault("GEO012", *LAUNCH)
def camera_files_exchanged(directory: Path) -> None:
    """The image and the depth of the left and the right camera are exchanged, their poses are not."""
    replace_text(
        directory / CAMERAS,
        """f"{scene['frame']}_{name}")""",
        f"""f"{{scene['frame']}}_" + {OTHER})""",
    )
