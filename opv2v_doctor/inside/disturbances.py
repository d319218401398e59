"""Ground truth in the form of a model's predictions, and known disturbances of it."""

from __future__ import annotations

import math
from typing import Any, Callable, Dict, List

Views = List[Dict[str, Any]]  # of a batch: tensors (B, ...)
SURE = 10.0  # of a logit: a probability of 0.99995, which no format rounds to 1
NOISE = 0.1  # of a length: large against rounding, small against what a robust loss flattens
SPARSE = 0.05  # of the pixels: with so few valid ones hardly two are neighbours
SIDE = 16  # pixels in a row of valid ones that are put together
TURN = math.radians(10)
NEEDED = ("pts3d", "pts3d_cam", "ray_directions_cam", "depth_along_ray", "camera_pose", "valid_mask")
LABELS = {  # an entry of a prediction -> the entries of a view that it is compared with
    "pts3d": ("pts3d",),
    "pts3d_cam": ("pts3d_cam", "depth_along_ray"),
    "depth_along_ray": ("depth_along_ray", "pts3d_cam"),
    "ray_directions": ("ray_directions_cam",),
    "cam_quats": ("camera_pose_quats", "camera_pose"),
    "cam_trans": ("camera_pose_trans", "camera_pose"),
    "metric_scaling_factor": ("pts3d", "pts3d_cam"),
    "non_ambiguous_mask_logits": ("non_ambiguous_mask",),
}
MAPS = ("pts3d", "pts3d_cam", "depth_along_ray")  # of which only what is valid counts


def thinned(views: Views, most: int) -> Views:
    """The views with every n-th row and column of their maps: at most so many pixels a view.

    Where next to no pixel is valid, as of sparse depth, valid ones are put side by side, and some others:
    what compares neighbours finds none otherwise, and truth stays truth in any order.
    """
    height, width = views[0]["valid_mask"].shape[1:3]
    step = max(1, math.ceil(math.sqrt(height * width / most)))
    valid = [int(view["valid_mask"].flatten(1).sum(1).min()) for view in views]
    if 0 < min(valid) < SPARSE * height * width:
        return [_gathered(view, (height, width), min(most // 2, min(valid)) // SIDE) for view in views]
    return [{key: _thin(value, (height, width), step) for key, value in view.items()} for view in views]


def _gathered(view: dict[str, Any], shape: tuple[int, int], rows: int) -> dict[str, Any]:
    """A view of so many rows of valid pixels, and as many of others; at least one of each."""
    import torch

    order = view["valid_mask"].flatten(1).int().argsort(dim=1, descending=True, stable=True)
    count = max(1, rows) * SIDE
    places = torch.cat([order[:, :count], order[:, -count:]], 1)

    def gather(value: Any) -> Any:
        sizes = tuple(getattr(value, "shape", ()))
        if sizes[1:3] == shape:
            flat = value.flatten(1, 2)
            chosen = torch.stack([one[place] for one, place in zip(flat, places)])
            return chosen.reshape(sizes[0], -1, SIDE, *sizes[3:])
        if len(sizes) > 3 and sizes[-2:] == shape:
            chosen = torch.stack([one[..., place] for one, place in zip(value.flatten(-2), places)])
            return chosen.reshape(*sizes[:-2], -1, SIDE)
        return value

    return {key: gather(value) for key, value in view.items()}


def _thin(value: Any, shape: tuple[int, int], step: int) -> Any:
    sizes = tuple(getattr(value, "shape", ()))
    if sizes[1:3] == shape:
        return value[:, ::step, ::step].contiguous()
    return value[..., ::step, ::step].contiguous() if len(sizes) > 3 and sizes[-2:] == shape else value


def truth_of(views: Views, frame: int | None = 0, real_last: bool = True) -> Views:
    """What a perfect model predicts of views, in the frame of one of them; None: that of the labels.

    Quaternions have their real part last or first. The metric scale is the mean distance of all valid points
    of a sample from the origin.
    """
    import torch

    first = views[0 if frame is None else frame]["camera_pose"].double()
    to_frame = torch.eye(4).double().expand_as(first) if frame is None else torch.linalg.inv(first)
    moved = [to_frame @ view["camera_pose"].double() for view in views]
    points = [_moved(view["pts3d"].double(), to_frame) for view in views]
    valid = torch.stack([view["valid_mask"].bool() for view in views])
    lengths = torch.stack([one.norm(dim=-1) for one in points])
    scale = torch.where(valid, lengths, torch.zeros_like(lengths)).sum((0, 2, 3))
    scale = (scale / valid.sum((0, 2, 3)).clamp(min=1)).clamp(min=1e-3)[:, None]
    return [
        {
            "pts3d": place.float(),
            "pts3d_cam": view["pts3d_cam"].float(),
            "ray_directions": view["ray_directions_cam"].float(),
            "depth_along_ray": view["depth_along_ray"].float(),
            "cam_trans": pose[:, :3, 3].float(),
            "cam_quats": quaternions(pose[:, :3, :3], real_last).float(),
            "metric_scaling_factor": scale.float(),
            "conf": torch.ones(view["valid_mask"].shape),
            **_mask(view.get("non_ambiguous_mask")),
        }
        for view, place, pose in zip(views, points, moved)
    ]


def _mask(mask: Any) -> dict[str, Any]:
    if mask is None:
        return {}
    known = mask.bool()
    return {"non_ambiguous_mask": known, "non_ambiguous_mask_logits": (known.float() * 2 - 1) * SURE}


def _moved(points: Any, pose: Any) -> Any:
    return (points.flatten(1, 2) @ pose[:, :3, :3].transpose(1, 2) + pose[:, None, :3, 3]).view(points.shape)


def quaternions(rotations: Any, real_last: bool = True) -> Any:
    """Unit quaternions (B, 4) of rotations (B, 3, 3), their real part not negative: the largest of four ways.

    Shepperd, "Quaternion from rotation matrix", 1978.
    """
    import torch

    r = rotations
    trace = r.diagonal(dim1=1, dim2=2).sum(-1)
    x, y, z = (1 + 2 * r[:, k, k] - trace for k in range(3))
    xy, xz, yz = (r[:, a, b] + r[:, b, a] for a, b in ((0, 1), (0, 2), (1, 2)))
    wx, wy, wz = (r[:, a, b] - r[:, b, a] for a, b in ((2, 1), (0, 2), (1, 0)))
    ways = ((x, xy, xz, wx), (xy, y, yz, wy), (xz, yz, z, wz), (wx, wy, wz, 1 + trace))
    rows = torch.stack([torch.stack(way, -1) for way in ways], 1)
    squares = torch.stack([x, y, z, 1 + trace], -1)
    found = rows[torch.arange(len(r)), squares.argmax(-1)]
    found = found / found.norm(dim=-1, keepdim=True)
    found = torch.where(found[:, 3:] < 0, -found, found)
    return found if real_last else found[:, [3, 0, 1, 2]]


def rotation(quaternion: Any) -> Any:
    """Rotations (B, 3, 3) of unit quaternions (B, 4), real part last."""
    import torch

    x, y, z, w = quaternion.unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w),
        2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w),
        2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, -1).view(-1, 3, 3)


def has_real_first(views: Views) -> bool:
    """Whether the labels' quaternions are the poses' rotations as (w, x, y, z), and not as (x, y, z, w)."""
    if any("camera_pose_quats" not in view for view in views):
        return False
    errors = [0.0, 0.0]
    for view in views:
        given, pose = view["camera_pose_quats"].double(), view["camera_pose"].double()[:, :3, :3]
        errors[0] += float((rotation(given) - pose).abs().max())
        errors[1] += float((rotation(given[:, [1, 2, 3, 0]]) - pose).abs().max())
    return errors[1] < 1e-3 < errors[0]


Change = Callable[[Any, Dict[str, Any]], Any]  # of an entry, and of the prediction that it is in


def _noisy(value: Any, _: dict[str, Any], most: float = NOISE) -> Any:
    import torch

    chance = torch.Generator().manual_seed(1)
    shape = (*value.shape[:3], *[1] * (value.dim() - 3))
    return value * (1 + most * (2 * torch.rand(shape, generator=chance) - 1))


def _times(factor: float) -> Change:
    return lambda value, _: value * factor


def _turned_rays(value: Any, _: dict[str, Any]) -> Any:
    return value @ _turn().to(value.dtype).T


def _turn() -> Any:
    import torch

    axis = torch.tensor([[0.36, 0.48, 0.8]]) * math.sin(TURN / 2)
    return rotation(torch.cat([axis, torch.tensor([[math.cos(TURN / 2)]])], -1))[0]


def _turned(real_last: bool, inverted: bool = False) -> Change:
    def turned(value: Any, _: dict[str, Any]) -> Any:
        import torch

        given = value if real_last else value[:, [1, 2, 3, 0]]
        if inverted:
            made = given * torch.tensor([-1.0, -1.0, -1.0, 1.0])
            return made if real_last else made[:, [3, 0, 1, 2]]
        return quaternions(_turn() @ rotation(given), real_last)

    return turned


AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0), "x against y": (0.7, -0.7, 0.0)}


def _moved_by(share: float, direction: tuple[float, float, float] = (0.6, -0.48, 0.64)) -> Change:
    def moved(value: Any, prediction: dict[str, Any]) -> Any:
        import torch

        step = share * prediction["metric_scaling_factor"] * torch.tensor(direction)
        return value + step.view(len(step), *[1] * (value.dim() - 2), 3)

    return moved


ALL, EACH, LAST, BOTH = "all views", "each view", "the last view", "all views, and each"


def changes(real_last: bool) -> list[tuple[str, str, Change, str]]:
    """(name, entry, change, in which views): poses in single ones: some losses know relative ones only."""
    found: list[tuple[str, str, Change, str]] = []
    for entry in MAPS:
        found += [
            ("noise", entry, _noisy, BOTH),
            ("times 1.1", entry, _times(1.1), ALL),
            ("times 0.9", entry, _times(0.9), ALL),
        ]
    for name, direction in AXES.items():
        for entry, views in (("pts3d", ALL), ("pts3d_cam", ALL), ("cam_trans", LAST)):
            found.append(("moved along " + name, entry, _moved_by(NOISE, direction), views))
    found += [
        ("turned", "ray_directions", _turned_rays, BOTH),
        ("opposite", "ray_directions", _times(-1.0), ALL),
        ("turned", "cam_quats", _turned(real_last), EACH),
        ("inverted", "cam_quats", _turned(real_last, inverted=True), ALL),
        ("other sign", "cam_quats", _times(-1.0), BOTH),
        ("moved", "cam_trans", _moved_by(NOISE), EACH),
        ("moved back", "cam_trans", _moved_by(-NOISE), LAST),
        ("times 1.1", "metric_scaling_factor", _times(1.1), ALL),
        ("times 0.9", "metric_scaling_factor", _times(0.9), ALL),
        ("flipped", "non_ambiguous_mask_logits", _times(-1.0), BOTH),
        ("unsure", "non_ambiguous_mask_logits", _times(0.1), ALL),
        ("less sure", "non_ambiguous_mask_logits", _times(0.3), ALL),
    ]
    return found


def views_of(where: str, count: int) -> list[int | None]:
    """The views, one after the other, in which a change is made; None: in all at once."""
    every: list[int | None] = list(range(count))
    meant: dict[str, list[int | None]] = {ALL: [None], EACH: every, LAST: every[-1:], BOTH: [None, *every]}
    return meant[where]


def changed(predictions: Views, entry: str, change: Change, view: int | None = None) -> Views:
    """Predictions with one entry changed, in one view or in all."""
    return [
        dict(one, **{entry: change(one[entry], one)})
        if entry in one and view in (None, number)
        else dict(one)
        for number, one in enumerate(predictions)
    ]


def larger(predictions: Views, factor: float) -> Views:
    """Predictions whose every length is off by a factor, and the metric scale with them."""
    lengths = (*MAPS, "cam_trans", "metric_scaling_factor")
    return [dict(one, **{key: one[key] * factor for key in lengths}) for one in predictions]


def all_disturbed(predictions: Views, real_last: bool) -> Views:
    """Every entry wrong at once, each view otherwise: where gradients are taken."""
    found = [dict(one) for one in predictions]
    for number in range(len(found)):
        for place, entry in enumerate(MAPS):  # no two terms shall have one value
            found = changed(found, entry, _more(NOISE * (number + 2 + place / 4)), number)
        for entry, change in (("ray_directions", _turned_rays), ("cam_quats", _turned(real_last))):
            for _ in range(number + 1):
                found = changed(found, entry, change, number)
        found = changed(found, "cam_trans", _moved_by(NOISE * (number + 1)), number)
        found = changed(found, "non_ambiguous_mask_logits", _times(-0.1 / (number + 1)), number)
        found = changed(found, "conf", _times(2.0 + number), number)
    return changed(found, "metric_scaling_factor", _times(1.2))


def _more(most: float) -> Change:
    return lambda value, one: _noisy(value, one, most)


def invalid_changed(views: Views, predictions: Views) -> Views:
    """Predictions that are wrong, and confident, where no pixel is valid."""
    import torch

    found = []
    for view, one in zip(views, predictions):
        known = view["valid_mask"].bool()
        wrong = {entry: torch.where(known[..., None], one[entry], one[entry] * 3 + 7) for entry in MAPS}
        found.append(dict(one, conf=torch.where(known, one["conf"], one["conf"] + 6), **wrong))
    return found


def invalid_labels_changed(views: Views) -> Views:
    """Views whose labels are others where no pixel is valid."""
    import torch

    found = []
    for view in views:
        known = view["valid_mask"].bool()[..., None]
        found.append(dict(view, **{key: torch.where(known, view[key], view[key] * 3 + 7) for key in MAPS}))
    return found


ALIKE = 0.05  # of the pixels of two masks differ, of cameras in the same places


def with_invalid(views: Views) -> Views:
    """Views in which a ninth of the valid pixels is not valid, in patches, and whose masks are their own.

    Rigs are alike, and with them the masks of all panoramas: whatever takes another view's would go unseen.
    """
    import torch

    found = []
    for number, view in enumerate(views):
        height, width = view["valid_mask"].shape[1:3]
        rows, columns = torch.arange(height) // 4 % 3 == 1, torch.arange(width) // 4 % 3 == (1 + number) % 3
        patch = rows[:, None] & columns[None]
        found.append(dict(view, valid_mask=view["valid_mask"] & ~patch))
        mask = view.get("non_ambiguous_mask")
        if number and mask is not None and mask.shape == views[0]["non_ambiguous_mask"].shape:
            apart = (mask.bool() != views[0]["non_ambiguous_mask"].bool()).float().mean()
            if float(apart) < ALIKE:
                found[-1]["non_ambiguous_mask"] = torch.roll(mask, height // (number + 2), 1)
    return found


def explanations(views: Views, real_last: bool, frame: int | None = 0) -> dict[str, tuple[set[str], Views]]:
    """What else a term could take for the truth: a name -> the entries that differ, and the predictions."""
    import torch

    truth = truth_of(views, frame, real_last)
    last = len(views) - 1
    others: dict[str, tuple[set[str], Views]] = {}
    world = {"pts3d", "cam_quats", "cam_trans", "metric_scaling_factor"}
    frames = {"view 1": 0, "view 2": 1, "the last view": last, "the labels": None}
    for name, meant in frames.items():
        if meant != frame:
            others["the frame of " + name] = (world, truth_of(views, meant, real_last))
    for name, order in (("(w, x, y, z)", [3, 0, 1, 2]), ("(y, z, w, x)", [1, 2, 3, 0])):
        turned = [dict(one, cam_quats=one["cam_quats"][:, order]) for one in truth]
        others["quaternions as " + (name if real_last else "another order")] = ({"cam_quats"}, turned)
    inverse = []
    for one in truth:
        turn = rotation(one["cam_quats"] if real_last else one["cam_quats"][:, [1, 2, 3, 0]]).transpose(1, 2)
        back = -(turn @ one["cam_trans"][..., None])[..., 0]
        inverse.append(dict(one, cam_quats=quaternions(turn, real_last), cam_trans=back))
    others["inverse poses"] = ({"cam_quats", "cam_trans"}, inverse)
    for name, order_of_views in (("the next view", 1), ("the view before", -1)):
        turned = truth[order_of_views:] + truth[:order_of_views]
        others["the labels of " + name] = (set(truth[0]), turned)
    if len(truth[0]["conf"]) > 1:
        rolled = [{key: value.roll(1, 0) for key, value in one.items()} for one in truth]
        others["the labels of another sample"] = (set(truth[0]), rolled)
    swaps: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
        "points in the frame of the camera": ("pts3d", lambda one: one["pts3d_cam"]),
        "points in the common frame": ("pts3d_cam", lambda one: one["pts3d"]),
        "depth along the z axis": ("depth_along_ray", lambda one: one["pts3d_cam"][..., 2:]),
        "rays in the opposite direction": ("ray_directions", lambda one: -one["ray_directions"]),
        "inverse depth": ("depth_along_ray", lambda one: 1 / one["depth_along_ray"].clamp(min=1e-3)),
    }
    for name, (entry, other) in swaps.items():
        others[name] = ({entry}, [dict(one, **{entry: other(one)}) for one in truth])
    lengths = {"pts3d", "pts3d_cam", "depth_along_ray", "cam_trans"}
    others["lengths divided by the scene's size"] = (
        lengths,
        [
            dict(one, **{key: _over(one[key], one["metric_scaling_factor"]) for key in lengths})
            for one in truth
        ],
    )
    others["a metric scale of 1"] = (
        {"metric_scaling_factor"},
        [dict(one, metric_scaling_factor=torch.ones_like(one["metric_scaling_factor"])) for one in truth],
    )
    targets: dict[str, Callable[[dict[str, Any]], Any]] = {
        "the opposite mask": lambda view: ~view["non_ambiguous_mask"].bool(),
        "valid_mask instead of non_ambiguous_mask": lambda view: view["valid_mask"].bool(),
    }
    for name, given in targets.items():
        if "non_ambiguous_mask_logits" in truth[0]:
            masks = [_mask(given(view)) for view in views]
            others[name] = ({"non_ambiguous_mask_logits"}, [dict(a, **b) for a, b in zip(truth, masks)])
    return others


def _over(value: Any, scale: Any) -> Any:
    return value / scale.view(-1, *[1] * (value.dim() - 1))
