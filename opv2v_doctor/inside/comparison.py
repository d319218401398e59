"""Comparison: training's forward against an inference, first what went in, then what came out."""

from .likeness import channels, differing, words_of

DENSE = ("pts3d", "pts3d_cam", "depth_along_ray", "ray_directions", "conf")
WORDS = ("data_norm_type",)


def compared(trained, inference):
    """All in which an inference differs from training's forwards of the same batch, as data."""
    calls = inference.calls
    views = [view for call in calls for view in call.views]
    outputs = [output for call in calls for output in call.outputs]
    first = trained[0]
    return {
        "forwards": len(calls),
        "modules": max((call.modules for call in calls), default=0),
        "views": [len(first.views), len(views)],
        "called_at": inference.called_at,
        "defined_at": inference.defined_at,
        "forward_at": calls[0].called_at if calls else None,
        "in_training": sorted({name for call in calls for name in call.in_training}),
        "precision": [first.precision, calls[0].precision if calls else None],
        "taken": sorted({key for view in views for key in view.taken if _counts(key, view)}),
        "inputs": list(inputs(trained, views, inference)),
        "raw": raw(first.outputs, outputs),
        "final": final(inference, outputs),
        "compared": {
            "inputs": sum(1 for _ in _taken_on_both(trained, views)),
            "raw": sum(1 for _ in _answered_by_both(first.outputs, outputs)),
            "final": sum(1 for pair in zip(outputs, inference.predictions) for _ in _finished(*pair)),
        },
    }


def _taken_on_both(trained, views):
    """Entries of the views that the model takes on both ways."""
    for number, view in enumerate(views[: len(trained[0].views)]):
        was = {key for call in trained for key in call.views[number].taken}
        for key in view.taken:
            if key in was and _counts(key, view):
                yield number, key


def _answered_by_both(before, after):
    """Outputs that the model answers on both ways: view, key, training's and the inference's."""
    for number, (one, other) in enumerate(zip(before, after)):
        for key, value in one.items():
            if hasattr(value, "dtype") and key in other:
                yield number, key, value, other[key]


def _counts(key, view):
    return key in WORDS or hasattr(dict.get(view, key), "dtype")


def inputs(trained, views, inference):
    """Entries that only one side took, or that differ, of the first view in which they do."""
    told = set()
    for number, view in enumerate(views[: len(trained[0].views)]):
        before = trained[0].views[number]
        was = {key: at for call in trained for key, at in call.views[number].taken.items()}
        for key in dict.fromkeys([*was, *view.taken]):
            found = None if key in told else _input(key, before, was, view, inference, number)
            if found:
                told.add(key)
                yield dict(found, key=key, view=number)


def _input(key, before, was, view, inference, number):
    is_taken = key in view.taken
    if not (_counts(key, before) or _counts(key, view)):
        return None
    if key not in was:
        return {"kind": "only inference", "taken_at": view.taken[key], "at": inference.called_at}
    if not is_taken:
        return {"kind": "only training", "taken_at": was[key], "at": inference.called_at}
    one, other = dict.get(before, key), dict.get(view, key)
    found = differing(one, other)
    if not found:
        return None
    if key == "img" and found["kind"] == "values":
        found.update(channels(one, other))
    if key in WORDS:
        found["was"] = words_of(one)
    given = inference.views[number].get(key) if number < len(inference.views) else None
    is_given = given is not None and differing(one, given) is not None
    return dict(found, at=inference.called_at if is_given else inference.calls[0].called_at)


def raw(before, after):
    """The model's own outputs that differ, each of the view in which it does most."""
    worst = {}
    for number, key, value, other in _answered_by_both(before, after):
        found = differing(value, other)
        if found and _weight(found) >= _weight(worst.get(key)):
            worst[key] = dict(found, key=key, view=number)
    return sorted(worst.values(), key=_weight, reverse=True)


def _weight(found):
    return -1.0 if found is None else found.get("relative", found.get("differs", 1e9))


def final(inference, outputs):
    """Predictions that are not what the model answered, where they are not masked away."""
    given = [entries for call in inference.calls for entries in call.given]
    worst = {}
    for number, (answer, prediction) in enumerate(zip(outputs, inference.predictions)):
        for key, found in _finished(answer, prediction):
            if found and _weight(found) >= _weight(worst.get(key)):
                at = _changed_at(given[number], key) or inference.defined_at
                worst[key] = dict(found, key=key, view=number, at=at, scale=_scale(answer))
    return sorted(worst.values(), key=_weight, reverse=True)


def _scale(answer):
    """The metric scale that the model answered, None where it answers none."""
    scale = answer.get("metric_scaling_factor")
    return None if scale is None else float(scale.double().mean())


def _changed_at(entries, key):
    if key == "mask":
        read = (entries.taken.get(name) for name in ("non_ambiguous_mask", "non_ambiguous_mask_logits"))
        return next(filter(None, read), None) or entries.changed.get(key)
    return entries.changed.get(key)


def _finished(answer, prediction):
    """Each prediction of one view against what the model answered."""
    mask = _mask(prediction)
    for key, value in answer.items():
        if hasattr(value, "dtype") and key in prediction:
            yield key, differing(value, prediction[key], mask if key in DENSE else None)
    if mask is not None and "non_ambiguous_mask" in answer:
        yield "mask", _mask_difference(answer["non_ambiguous_mask"].bool().cpu(), mask)
    if "camera_poses" in prediction and "cam_trans" in answer:
        yield "camera_poses", differing(answer["cam_trans"], prediction["camera_poses"][:, :3, 3])


def _mask(prediction):
    if "mask" not in prediction or not hasattr(prediction["mask"], "dtype"):
        return None
    mask = prediction["mask"].detach().cpu().bool()
    return mask[..., 0] if mask.dim() == 4 else mask


def _mask_difference(answered, mask):
    """Pixels kept that the model says are ambiguous; a mask that is only smaller is one of edges."""
    outside = float((mask & ~answered).double().mean())
    if not outside:
        return None
    return {
        "kind": "mask",
        "differs": outside,
        "was": float(answered.double().mean()),
        "is": float(mask.double().mean()),
        "inverted": float((mask == ~answered).double().mean()),
    }
