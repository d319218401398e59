"""The verdicts of an audit, in the order of its report: checks of a dataset, not of a training."""

from __future__ import annotations

from opv2v_doctor.audit.verdicts.coverage import depth_covers_the_images, rigs_cover_the_panorama
from opv2v_doctor.audit.verdicts.files import (
    dataset_can_be_read,
    depth_has_its_images_size,
    files_are_whole,
    frames_are_complete,
    images_have_one_size,
    pictures_are_not_empty,
)
from opv2v_doctor.audit.verdicts.scenes import (
    agents_share_their_clock,
    frames_follow_each_other,
    poses_do_not_jump,
    scenarios_have_all_cameras,
    splits_share_no_frame,
)
from opv2v_doctor.check import Check

VERDICTS: tuple[Check, ...] = (
    dataset_can_be_read,
    files_are_whole,
    pictures_are_not_empty,
    images_have_one_size,
    depth_has_its_images_size,
    frames_are_complete,
    scenarios_have_all_cameras,
    frames_follow_each_other,
    agents_share_their_clock,
    poses_do_not_jump,
    splits_share_no_frame,
    depth_covers_the_images,
    rigs_cover_the_panorama,
)
