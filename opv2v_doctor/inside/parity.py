"""Questions about parity: one batch through training's forward and through inference's, compared."""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
from typing import Any, Callable, Iterator, TypedDict

from . import progress
from .comparison import ForwardComparison, Unlike, comparison, raw
from .config import function_of
from .frames import CodePlace
from .model import Account, batch_of, config_of, device_of, open_model
from .recording import ForwardCall, InferCall, calls_of, inferences_of
from .samples import SEED
from .tensor_likeness import words_of
from .truth import Fit, composition_fits, return_fits

SMALL = 1_000_000  # parameters, below which threads wait for each other longer than they work
GEOMETRY = {  # what training's views call it -> how `infer` takes it
    "ray_directions_cam": "ray_directions",
    "depth_along_ray": "depth_z",
    "camera_pose_quats": "camera_poses",
    "camera_pose_trans": "camera_poses",
}


class Case(TypedDict):
    """A checkpoint with the config that opens it, a sample, and what opens them, each as MODULE:NAME."""

    config: Any  # values, or the path of a file
    checkpoint: str
    models: str
    losses: str
    datasets: str
    test_loader: str
    expression: str
    index: int


class Subject:
    """A checkpoint's model and one batch, on a device, with the precision that the training evaluates in."""

    def __init__(
        self,
        config: Any,
        checkpoint: str,
        models: str,
        losses: str,
        datasets: str,
        test_loader: str,
        expression: str,
        index: int,
    ) -> None:
        self.model, self.account = open_model(config, checkpoint, models)
        self.device = device_of()
        self.batch = batch_of(expression, datasets, test_loader, index)
        self.loss_of_one_batch = function_of(losses)
        params = config_of(config).get("train_params") or {}
        self.precision = {
            "use_amp": bool(params.get("amp")),
            "amp_dtype": params.get("amp_dtype") or "bf16",
        }

    @functools.cached_property
    def trained(self) -> ForwardCall:
        """Training's forward of the batch."""
        return self.evaluated(SEED)

    def evaluated(self, seed: int) -> ForwardCall:
        """The forward that training's evaluation makes of the batch; the criterion follows it."""
        import torch

        torch.manual_seed(seed)
        batch = [dict(view) for view in self.batch]
        self.model.eval()
        with torch.no_grad(), calls_of(type(self.model)) as calls:
            self.loss_of_one_batch(batch, self.model, None, self.device, **self.precision)
        return calls[0]

    def inferred(
        self,
        views: list[dict[str, Any]],
        answer: Callable[[Any], list[dict[str, Any]]] | None = None,
    ) -> InferCall:
        """What `infer` makes of views; `answer` answers in the model's place."""
        import torch

        torch.manual_seed(SEED)
        wanted = dict(self.precision, mask_edges=False, memory_efficient_inference=False)
        known = inspect.signature(self.model.infer).parameters
        words = {name: value for name, value in wanted.items() if name in known}
        self.model.eval()
        with inferences_of(type(self.model)) as found:
            if answer is None:
                self.model.infer(views, **words)
            else:
                with calls_of(type(self.model), answer):
                    self.model.infer(views, **words)
        self.model.eval()
        return found[0]


def subject_of(case: Case) -> Subject:
    """The subject of a question, opened once: the next question is about the same."""
    return _subject(json.dumps(case, sort_keys=True))


@functools.lru_cache(maxsize=1)
def _subject(text: str) -> Subject:
    return Subject(**json.loads(text))


@contextlib.contextmanager
def threads_for(model: Any) -> Iterator[None]:
    """One thread for a small model."""
    import torch

    threads = torch.get_num_threads()
    if sum(parameter.numel() for parameter in model.parameters()) < SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Parity(TypedDict):
    """What the model does with one batch."""

    load: Account
    device: str
    views: list[str | None]
    outputs: int  # that two evaluations both answered
    unrepeated: list[Unlike]  # those that differ
    unseeded: bool  # and that other random numbers explain
    composed: list[Fit | None]
    inference: ForwardComparison | None
    returned: list[Fit | None]
    returned_at: CodePlace | None


def infer(case: Case) -> Parity:
    """How the weights load, evaluation repeats itself, `infer` compares, and ground truth comes back."""
    progress.advance("parity", 0, 4)
    asked = subject_of(case)
    with threads_for(asked.model):
        return _measure(asked)


class RoundTrip(TypedDict):
    """What becomes of ground truth in the computation of points, and in `infer`."""

    composed: list[Fit | None]
    returned: list[Fit | None]
    returned_at: CodePlace | None


def round_trip(case: Case) -> RoundTrip:
    """How ground truth comes back from the computation of points and from `infer`; any weights will do."""
    asked = subject_of(case)
    found: RoundTrip = {"composed": composition_fits(asked.batch), "returned": [], "returned_at": None}
    if hasattr(asked.model, "infer"):
        with threads_for(asked.model):
            views = views_for_infer(asked.model, asked.batch, asked.trained)
            found["returned"], found["returned_at"] = return_fits(asked, views, asked.trained)
    return found


def _measure(asked: Subject) -> Parity:
    progress.advance("parity", 1, 4)
    first, second = asked.trained, asked.evaluated(SEED + 1)
    progress.advance("parity", 2, 4)
    unrepeated = raw(first.outputs, second.outputs)
    found: Parity = {
        "load": asked.account,
        "device": str(asked.device),
        "views": [words_of(view.get("instance")) for view in asked.batch],
        "outputs": sum(hasattr(value, "dtype") for output in first.outputs for value in output.values()),
        "unrepeated": unrepeated,
        "unseeded": not (unrepeated and raw(first.outputs, asked.evaluated(SEED).outputs)),
        "composed": composition_fits(asked.batch),
        "inference": None,
        "returned": [],
        "returned_at": None,
    }
    if hasattr(asked.model, "infer"):
        views = views_for_infer(asked.model, asked.batch, first, second)
        found["inference"] = comparison("infer", [first, second], asked.inferred(views))
        progress.advance("parity", 3, 4)
        found["returned"], found["returned_at"] = return_fits(asked, views, first)
    progress.advance("parity", 4, 4)
    return found


def views_for_infer(model: Any, batch: list[dict[str, Any]], *calls: ForwardCall) -> list[dict[str, Any]]:
    """The batch as `infer` takes views: the images, and what geometry training's forward really took."""
    allowed = allowed_keys(model)
    taken = {key for call in calls for view in call.views for key in view.taken}
    return [_view_for_infer(view, allowed, taken) for view in batch]


def allowed_keys(model: Any) -> set[str]:
    """The keys that the repository's own validation lets pass, as far as it names them."""
    names = getattr(inspect.unwrap(type(model).infer), "__globals__", {}) if hasattr(model, "infer") else {}
    validate = names.get("validate_input_views_for_inference")
    return set(getattr(validate, "__globals__", {}).get("ALLOWED_VIEW_KEYS", ()))


def _view_for_infer(view: dict[str, Any], allowed: set[str], taken: set[str]) -> dict[str, Any]:
    given = {"img": view["img"], "data_norm_type": view["data_norm_type"]}
    if "camera_model" in allowed and "camera_model" in view:
        given["camera_model"] = words_of(view["camera_model"])
    wanted = {name for key, name in GEOMETRY.items() if key in taken}
    if "camera_poses" in wanted:
        given["camera_poses"] = (view["camera_pose_quats"], view["camera_pose_trans"])
    if wanted & {"ray_directions", "depth_z"}:
        given["ray_directions"] = view["ray_directions_cam"]
    if "depth_z" in wanted:
        given["depth_z"] = (view["depth_along_ray"] * view["ray_directions_cam"][..., 2:]).squeeze(-1)
    if wanted & {"camera_poses", "depth_z"} and "is_metric_scale" in allowed:
        given["is_metric_scale"] = view["is_metric_scale"]
    return given
