"""Faults of the criterion: terms that see nothing, the wrong thing, or too much."""

from pathlib import Path

from opv2v_doctor.sandbox.faults.fault import fault, replace_text

LOSSES = "mapanything/train/losses.py"
BASE = "mapanything/datasets/base/base_dataset.py"
QUATERNION = 'quaternion, true = prediction["cam_quats"], view["camera_pose_quats"]'


@fault("CRT001")
def points_turned_back(directory: Path) -> None:
    """The labels' points are turned by the inverse of their pose's rotation."""
    replace_text(
        directory / BASE,
        '"pts3d": points @ pose[:3, :3].T + pose[:3, 3]',
        '"pts3d": points @ pose[:3, :3] + pose[:3, 3]',
    )


@fault("CRT002")
def quaternions_reordered(directory: Path) -> None:
    """The pose loss takes the predicted quaternions for (w, x, y, z)."""
    replace_text(directory / LOSSES, QUATERNION, QUATERNION.replace('"],', '"][..., [1, 2, 3, 0]],'))


@fault("CRT002")
def sigmoid_twice(directory: Path) -> None:
    """The mask loss is given probabilities, and takes them for logits."""
    replace_text(
        directory / LOSSES, "cross_entropy_with_logits(logits,", "cross_entropy_with_logits(logits.sigmoid(),"
    )


@fault("CRT003")
def gradients_of_the_labels(directory: Path) -> None:
    """The gradient loss compares the labels with themselves."""
    replace_text(directory / LOSSES, "for values in (view, prediction)", "for values in (view, view)")


@fault("CRT003")
def translations_logged_only(directory: Path) -> None:
    """The loss of translations is logged, and not added to the loss."""
    replace_text(
        directory / "mapanything/train/details.py",
        "sum(sum(losses) for losses in parts.values())",
        'sum(sum(losses) for name, losses in parts.items() if name != "pose_trans")',
    )


@fault("CRT004")
def invalid_pixels_counted(directory: Path) -> None:
    """The losses of points and depth are means over all pixels, valid or not."""
    replace_text(directory / LOSSES, '                )[view["valid_mask"]]\n', "                )\n")
    replace_text(directory / LOSSES, 'prediction["conf"][mask] for', 'prediction["conf"] for')


@fault("CRT005")
def rotations_detached(directory: Path) -> None:
    """The pose loss gets the predicted quaternions without their gradient."""
    replace_text(directory / LOSSES, QUATERNION, QUATERNION.replace('"],', '"].detach(),'))


@fault("CRT006")
def weights_exchanged(directory: Path) -> None:
    """The weight of translations is that of the rotations, too."""
    replace_text(
        directory / LOSSES, '"pose_quats": pose_quats_loss_weight', '"pose_quats": pose_trans_loss_weight'
    )


@fault("CRT007")
def confidence_without_cost(directory: Path) -> None:
    """The logarithm of the confidence is added to the loss instead of taken from it."""
    replace_text(
        directory / LOSSES, "loss * confidence - self.conf_alpha", "loss * confidence + self.conf_alpha"
    )


@fault("CRT008")
def averages_of_one_view_less(directory: Path) -> None:
    """Logged averages divide by one view less than there are."""
    replace_text(directory / "mapanything/train/details.py", "max(len(losses), 1)", "max(len(losses) - 1, 1)")
