"""The model of a run, opened as its training opens it, and batches of views as its loaders make them."""

import functools
import importlib
import inspect
import json
import os

from .config import Reading
from .datasets import dataset_of
from .samples import SEED, begin, leaves, turn_retries_off
from .weights import weights_of


def device_of(device=None):
    """The device of a name; without one, that of the training: the GPU where there is one."""
    import torch

    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def config_of(values):
    """The config of plain values, or of a file; its interpolations are resolved where they are read."""
    from omegaconf import OmegaConf

    return OmegaConf.load(values) if isinstance(values, str) else OmegaConf.create(values)


def resolved(send_progress, configs):
    """The values of configs, each leaf resolved as far as that is possible without Hydra."""
    return [resolved_values(config_of(values)) for values in configs]


def resolved_values(config):
    """The values of one config, without Hydra's own."""
    return {key: value for key, value in Reading().plain(config).items() if key != "hydra"}


def open_model(values, checkpoint, module_name="mapanything.models", device=None):
    """The model that a config describes, in eval mode, with a checkpoint's weights; and the account of them.

    It is opened once for the same config and file. What the file lacks stays as the config initialises it.
    """
    stat = os.stat(checkpoint)
    asked = json.dumps(values, sort_keys=True), checkpoint, stat.st_mtime_ns, stat.st_size
    model, account = _opened(*asked, module_name, str(device_of(device)))
    model.eval()
    return model, account


@functools.lru_cache(maxsize=1)
def _opened(values, checkpoint, written, size, module_name, device):
    model = initialised(config_of(json.loads(values)), module_name)
    account = loaded_into(model, weights_of(checkpoint))
    return model.to(device).eval(), dict(account, device=device, model=type(model).__name__)


def initialised(config, module_name):
    """The model as `init_model` makes it, but without pretrained weights: the checkpoint has all of them."""
    import torch

    _forget_pretrained(config.model)
    init_model = importlib.import_module(module_name).init_model
    known = inspect.signature(init_model).parameters
    words = {"torch_hub_force_reload": False} if "torch_hub_force_reload" in known else {}
    state = torch.random.get_rng_state()
    torch.manual_seed(SEED)  # what no checkpoint fills is the same each time
    try:
        return init_model(config.model.model_str, config.model.model_config, **words)
    finally:
        torch.random.set_rng_state(state)


def _forget_pretrained(node):
    """Let no part of the model read weights from a file that the checkpoint's own replace."""
    from omegaconf import DictConfig, OmegaConf

    for key in list(node):
        if key == "pretrained_checkpoint_path":
            node[key] = None
        elif not OmegaConf.is_missing(node, key) and isinstance(node._get_node(key), DictConfig):
            _forget_pretrained(node._get_node(key))


def loaded_into(model, weights):
    """Load weights by name and shape, and account for them."""
    wanted = model.state_dict()
    fitting = {n: w for n, w in weights.items() if n in wanted and w.shape == wanted[n].shape}
    model.load_state_dict(fitting, strict=False)
    return account_of(wanted, weights)


def account_of(wanted, weights):
    """A model's parameters that given weights fill, by sub-module, and what is left over."""
    parts = {}
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
            [name, list(weights[name].shape), list(value.shape)]
            for name, value in wanted.items()
            if name in weights and weights[name].shape != value.shape
        ],
    }


def open(send_progress, config, checkpoint, module_name, device=None):
    """Open the model; the answer is the account of its weights."""
    return open_model(config, checkpoint, module_name, device)[1]


def batch_of(expression, module_name, index, views=None):
    """The sample at an index of a split as the batch that the evaluation would make of it: a list of views.

    The index is that of the frames: `N @ DATASET` would shuffle them. `views` is how many of them, where the
    dataset leaves the choice to its sampler: the most by default.
    """
    whole = dataset_of(expression, module_name)
    turn_retries_off(whole)
    begin(whole, SEED)
    dataset = leaves(whole)[0]
    loader = _loader(importlib.import_module(module_name), dataset)
    return loader.collate_fn([dataset[_key(dataset, index, views)]])


def _loader(module, dataset):
    """The evaluation loader of one dataset, without workers."""
    known = inspect.signature(module.get_test_data_loader).parameters
    wanted = {"batch_size": 1, "num_workers": 0, "shuffle": False, "drop_last": False, "pin_mem": False}
    words = {name: value for name, value in wanted.items() if name in known}
    return module.get_test_data_loader(dataset, **words)


def _key(dataset, index, views):
    """What the loader would ask the dataset for: an index, and a number of views where there is a choice."""
    choices = getattr(dataset, "num_views", None)
    if not 0 <= index < len(dataset):
        raise IndexError("index %d: the split has %d samples" % (index, len(dataset)))
    if not isinstance(choices, (list, tuple)):
        return index
    wanted = max(choices) if views is None else views
    return (index, 0, list(choices).index(wanted))
