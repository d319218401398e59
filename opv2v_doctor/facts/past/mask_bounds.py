"""Where the mean of predicted masks should lie: near their target's, else in the band of the settings."""

from __future__ import annotations

from opv2v_doctor.settings import MaskSettings
from opv2v_doctor.threshold import Threshold

FEWEST_UPDATES = Threshold(500, "updates", "before these a mask need not have been learned")
NEAR = Threshold(0.1, "of the panorama", "between the means of prediction and target", healthy=0.0004)


def bounds(masks: MaskSettings, target_mean: float | None) -> tuple[float, float] | None:
    """(least, most) of the predicted mean; None where neither the target nor the user says it."""
    if target_mean is not None:
        return target_mean - NEAR, target_mean + NEAR
    return masks.band if "band" in masks.model_fields_set else None
