"""Metric names: what kind of number a name stands for, as far as names go."""

from __future__ import annotations

import re

_gradient = re.compile(r"grad|gnorm", re.IGNORECASE)
_setting = re.compile(
    r"(?:^|[^a-z])(?:lrs?|epochs?|wd|weight_?decay|momentum|beta\d?|temp(?:erature)?|clip\w*|ema\w*|dropout|"
    r"time|data|max mem|memory|loss_?scale|n_parameters|cardinality\w*|batch_?size|ratio|num|steps?|iter|"
    r"gt_mask_mean)(?:$|[^a-z])",
    re.IGNORECASE,
)
_higher = re.compile(
    r"(?:^|[^a-z])(?:m?acc(?:uracy)?|top|m?ap|ar|psnr|ssim|f?w?m?ious?|dice|f|auc|auroc|recall|precision|"
    r"coco_eval\w*|kappa|icc|r)(?:[@_-]?\d+)?(?:$|[^a-z\d])",
    re.IGNORECASE,
)
_error = re.compile(r"error|abs_?rel|rmse|mae(?:$|_)|epe", re.IGNORECASE)


def is_gradient_norm(name: str) -> bool:
    return _gradient.search(name) is not None


def is_setting(name: str) -> bool:
    """Whether it is chosen and not learned: a learning rate, a weight decay, a time, the mean of a target."""
    return _setting.search(name) is not None or is_gradient_norm(name)


def is_score(name: str) -> bool:
    """Whether higher is better: an accuracy, an average precision, a PSNR. A loss is none."""
    return "loss" not in name.lower() and _higher.search(name) is not None


def has_bounds(name: str) -> bool:
    """Whether it can be as good or as bad as it gets, and then stays: a score, or an error in per cent."""
    return is_score(name) or _error.search(name) is not None


def is_loss(name: str) -> bool:
    return "loss" in name.lower() and not is_setting(name)
