"""One batch through the model: for its loss, or for its predictions."""

import torch

KEPT_ON_CPU = {
    "agent_id", "camera_model", "data_norm_type", "dataset", "depthmap",
    "idx", "instance", "label", "rng", "true_shape",
}  # fmt: skip
REQUIRED_VIEW_KEYS = {"img", "data_norm_type"}
ALLOWED_VIEW_KEYS = REQUIRED_VIEW_KEYS | {
    "camera_model", "camera_poses", "depth_z", "idx", "instance",
    "intrinsics", "is_metric_scale", "ray_directions", "true_shape",
}  # fmt: skip
AMP_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def loss_of_one_batch_multi_view(
    batch, model, criterion, device, use_amp=False, amp_dtype="bf16", ret=None, ignore_keys=None
):
    """Views, predictions and loss of a batch, by name; or only the one named by `ret`."""
    kept = KEPT_ON_CPU if ignore_keys is None else ignore_keys
    for view in batch:
        view.update({name: view[name].to(device) for name in view if name not in kept})
    kind = torch.device(device).type
    with torch.autocast(kind, enabled=bool(use_amp), dtype=AMP_TYPES[amp_dtype]):
        predictions = model(batch)
        with torch.autocast(kind, enabled=False):
            loss = criterion(batch, predictions) if criterion is not None else None
    result = {f"view{number}": view for number, view in enumerate(batch, 1)}
    result |= {f"pred{number}": prediction for number, prediction in enumerate(predictions, 1)}
    result["loss"] = loss
    return result[ret] if ret else result


def validate_input_views_for_inference(views):
    """The views, if they hold only what `model.infer` takes."""
    if not views:
        raise ValueError("at least one view is needed")
    for number, view in enumerate(views):
        if unknown := set(view) - ALLOWED_VIEW_KEYS:
            raise ValueError(
                f"view {number} has invalid keys {sorted(unknown)}; allowed: {sorted(ALLOWED_VIEW_KEYS)}"
            )
        if missing := REQUIRED_VIEW_KEYS - set(view):
            raise ValueError(f"view {number} lacks {sorted(missing)}")
    return views
