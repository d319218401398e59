"""The repository's inference script, run as a user would, up to its first inference, and listened to."""

import builtins
import contextlib
import functools
import importlib
import os
import random
import runpy
import sys

from .comparison import compared
from .model import account_of, resolved_values
from .parity import subject_of, threads_for
from .recording import inferences_of, place, replaced


class Enough(BaseException):
    """Ends the script after its first inference: what it writes is not wanted."""


def script(send_progress, path, arguments, **subject):
    """What the script did up to its first inference, and how that compares with training's forward."""
    asked = subject_of(subject)
    with threads_for(asked.model):
        return _heard(asked, path, arguments, subject["models"])


def _heard(asked, path, arguments, models):
    trained = asked.trained
    heard = {"loads": [], "configs": [], "module": models, "kind": type(asked.model)}
    with as_it_was(), hearing(heard), inferences_of(heard["kind"]) as found:
        inference = _run(path, arguments, asked, heard, found)
    return {
        "loads": heard["loads"],
        "held": heard.get("held"),
        "configs": heard["configs"],
        "inference": None if inference is None else compared([trained], inference),
    }


def _run(path, arguments, asked, heard, found):
    """The script's first inference, None where it makes none; and the weights that its model holds then."""
    kind = heard["kind"]
    infer = kind.infer

    @functools.wraps(infer)
    def first(self, *rest, **words):
        heard["held"] = held(self, asked)
        infer(self, *rest, **words)
        raise Enough

    sys.argv = [path, *arguments]
    sys.path.insert(0, os.path.dirname(path))
    with replaced(kind, "infer", first):
        try:
            runpy.run_path(path, run_name="__main__")
        except Enough:
            pass
        except SystemExit as end:
            if end.code not in (None, 0):
                raise RuntimeError("%s exits with %s" % (path, end.code)) from end
    return found[0] if found else None


@contextlib.contextmanager
def hearing(heard):
    """Hear which config the script builds its model of, and what it loads into it, from where."""
    import torch

    module = importlib.import_module(heard["module"])
    real_init, real_load = module.init_model, torch.nn.Module.load_state_dict

    @functools.wraps(real_init)
    def init_model(model_str, model_config, *rest, **words):
        heard["configs"].append({"values": root_of(model_config), "at": place()})
        return real_init(model_str, model_config, *rest, **words)

    @functools.wraps(real_load)
    def load_state_dict(self, state_dict, *rest, **words):
        if isinstance(self, heard["kind"]):
            strict = words.get("strict", rest[0] if rest else True)
            heard["loads"].append(_load(self, state_dict, strict))
        return real_load(self, state_dict, *rest, **words)

    with contextlib.ExitStack() as stack:
        for owner in [one for one in list(sys.modules.values()) if _has(one, "init_model", real_init)]:
            stack.enter_context(replaced(owner, "init_model", init_model))
        stack.enter_context(replaced(torch.nn.Module, "load_state_dict", load_state_dict))
        yield


def _has(module, name, value):
    try:
        return vars(module).get(name) is value
    except TypeError:
        return False


def root_of(model_config):
    """The whole config that a model's part was taken from; the part alone where it is taken from none."""
    from omegaconf import OmegaConf

    whole = model_config._get_root() if OmegaConf.is_config(model_config) else OmegaConf.create(model_config)
    values = resolved_values(whole)
    return values if "model" in values else {"model": {"model_config": values}}


def _load(model, state_dict, strict):
    """What a load will find, counted before it happens."""
    wanted = model.state_dict()
    given = {name: weight for name, weight in state_dict.items() if hasattr(weight, "shape")}
    return dict(account_of(wanted, given), strict=bool(strict), at=place())


def held(model, asked):
    """How many of the checkpoint's weights a model holds, by sub-module: whichever file it loaded."""
    account, holds, parts = asked.account, model.state_dict(), {}
    unfilled = {name for part in account["parts"].values() for name in part["missing"]}
    unfilled.update(name for name, _, _ in account["reshaped"])
    for name, weight in asked.model.state_dict().items():
        if name not in unfilled:
            part = parts.setdefault(name.partition(".")[0], {"elements": 0, "loaded": 0})
            part["elements"] += weight.numel()
            part["loaded"] += weight.numel() if _is(holds.get(name), weight) else 0
    return parts


def _is(one, weight):
    """Whether a tensor is that weight, in its own precision."""
    import torch

    if one is None or one.shape != weight.shape:
        return False
    same = weight.to(device=one.device, dtype=one.dtype)
    return torch.equal(one, same) or torch.allclose(one, same, rtol=0, atol=0, equal_nan=True)


@contextlib.contextmanager
def as_it_was():
    """Undo what a script does to its process: arguments, paths, environment, printing, random state."""
    import torch

    argv, paths, env, folder, real_print = sys.argv, list(sys.path), dict(os.environ), os.getcwd(), print
    streams, state, seed = (sys.stdout, sys.stderr), torch.random.get_rng_state(), random.getstate()
    kind, main = torch.get_default_dtype(), sys.modules.get("__main__")
    try:
        yield
    finally:
        sys.argv, sys.path[:], builtins.print = argv, paths, real_print
        sys.stdout, sys.stderr = streams
        os.environ.clear()
        os.environ.update(env)
        os.chdir(folder)
        torch.random.set_rng_state(state)
        torch.set_default_dtype(kind)
        random.setstate(seed)
        sys.modules["__main__"] = main
