"""The model of a run, opened as its training opens it, and batches of views as its loaders make them."""

from __future__ import annotations

import functools
import inspect
import json
import os
from typing import Any, TypedDict

from .config import LeafReading, function_of
from .datasets import dataset_of
from .samples import SEED, begin, leaves, turn_retries_off, views_at
from .weights import weights_of


class WeightPart(TypedDict):
    """A sub-module: its parameters, those that were found, and the names of those that were not."""

    elements: int
    loaded: int
    missing: list[str]


class Account(TypedDict):
    """What of a model given weights fill, and what is left over."""

    parts: dict[str, WeightPart]
    unexpected: list[str]
    reshaped: list[tuple[str, list[int], list[int]]]  # name, in the file, in the model


def device_of(device: str | None = None) -> Any:
    """The device of a name; without one, that of the training: the GPU where there is one."""
    import torch

    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def config_of(values: Any) -> Any:
    """The config of plain values, or of a file; its interpolations are resolved where they are read."""
    from omegaconf import OmegaConf

    return OmegaConf.load(values) if isinstance(values, str) else OmegaConf.create(values)


def config_values(configs: list[Any]) -> list[dict[str, Any]]:
    """The values of configs, each leaf resolved as far as that is possible without Hydra."""
    return [resolved_values(config_of(values)) for values in configs]


def resolved_values(config: Any) -> dict[str, Any]:
    """The values of one config, without Hydra's own."""
    return {key: value for key, value in LeafReading().plain(config).items() if key != "hydra"}


def open_model(values: Any, checkpoint: str, init_model: str) -> tuple[Any, Account]:
    """The model that a config describes, in eval mode, with a checkpoint's weights; and the account of them.

    It is opened once for the same config and file. What the file lacks stays as the config initialises it,
    and all of it without a file (an empty path).
    """
    stat = os.stat(checkpoint) if checkpoint else None
    written = (stat.st_mtime_ns, stat.st_size) if stat else (0, 0)
    asked = (json.dumps(values, sort_keys=True), checkpoint, *written)
    model, account = _open(*asked, init_model)
    model.eval()
    return model, account


@functools.lru_cache(maxsize=1)
def _open(values: str, checkpoint: str, _written: int, _size: int, init_model: str) -> tuple[Any, Account]:
    model = initialise(config_of(json.loads(values)), init_model)
    account = loaded_into(model, weights_of(checkpoint) if checkpoint else {})
    return model.to(device_of()).eval(), account


def initialise(config: Any, init_model: str) -> Any:
    """The model as its function makes it, but without pretrained weights: the checkpoint has all of them."""
    import torch

    _forget_pretrained(config.model)
    made = function_of(init_model)
    known = inspect.signature(made).parameters
    words = {"torch_hub_force_reload": False} if "torch_hub_force_reload" in known else {}
    state = torch.random.get_rng_state()
    torch.manual_seed(SEED)  # what no checkpoint fills is the same each time
    try:
        return made(config.model.model_str, config.model.model_config, **words)
    finally:
        torch.random.set_rng_state(state)


def _forget_pretrained(node: Any) -> None:
    """Let no part of the model read weights from a file that the checkpoint's own replace."""
    from omegaconf import DictConfig, OmegaConf

    for key in list(node):
        if key == "pretrained_checkpoint_path":
            node[key] = None
        elif not OmegaConf.is_missing(node, key) and isinstance(node._get_node(key), DictConfig):
            _forget_pretrained(node._get_node(key))


def loaded_into(model: Any, weights: dict[str, Any]) -> Account:
    """Load weights by name and shape, and account for them."""
    wanted = model.state_dict()
    fitting = {n: w for n, w in weights.items() if n in wanted and w.shape == wanted[n].shape}
    model.load_state_dict(fitting, strict=False)
    return account_of(wanted, weights)


def account_of(wanted: dict[str, Any], weights: dict[str, Any]) -> Account:
    """A model's parameters that given weights fill, by sub-module, and what is left over."""
    parts: dict[str, WeightPart] = {}
    for name, value in wanted.items():
        part = parts.setdefault(name.partition(".")[0], {"elements": 0, "loaded": 0, "missing": []})
        fits = name in weights and weights[name].shape == value.shape
        part["elements"] += value.numel()
        part["loaded"] += value.numel() if fits else 0
        part["missing"] += [] if name in weights else [name]
    return {
        "parts": parts,
        "unexpected": [name for name in weights if name not in wanted],
        "reshaped": [
            (name, list(weights[name].shape), list(value.shape))
            for name, value in wanted.items()
            if name in weights and weights[name].shape != value.shape
        ],
    }


def batch_of(expression: str, module_name: str, test_loader: str, index: int) -> list[dict[str, Any]]:
    """The sample at an index of a split as the batch that the evaluation would make of it: a list of views.

    The index is that of the frames: `N @ DATASET` would shuffle them. The sample has the most views where the
    dataset leaves the choice to its sampler.
    """
    whole = dataset_of(expression, module_name)
    turn_retries_off(whole)
    begin(whole, SEED)
    dataset = leaves(whole)[0]
    loader = _loader(function_of(test_loader), dataset)
    batch: list[dict[str, Any]] = loader.collate_fn([views_at(dataset, _key(dataset, index))])
    return batch


def _loader(function: Any, dataset: Any) -> Any:
    """The evaluation loader of one dataset, without workers."""
    known = inspect.signature(function).parameters
    wanted = {"batch_size": 1, "num_workers": 0, "shuffle": False, "drop_last": False, "pin_mem": False}
    words = {name: value for name, value in wanted.items() if name in known}
    return function(dataset, **words)


def _key(dataset: Any, index: int) -> tuple[int, ...]:
    """What the loader would ask the dataset for: an index, and a number of views where there is a choice."""
    choices = getattr(dataset, "num_views", None)
    if not 0 <= index < len(dataset):
        raise IndexError("index %d: the split has %d samples" % (index, len(dataset)))
    if not isinstance(choices, (list, tuple)):
        return (index,)
    return (index, 0, list(choices).index(max(choices)))
