"""The repository's inference script, run as a user would, up to its first inference, and listened to."""

from __future__ import annotations

import builtins
import contextlib
import functools
import os
import random
import runpy
import sys
from typing import Any, Iterator, TypedDict

from .comparison import ForwardComparison, comparison
from .config import function_of
from .frames import CodePlace
from .model import Account, WeightPart, account_of, resolved_values
from .parity import Case, Subject, subject_of, threads_for
from .recording import InferCall, inferences_of, place, replacing


class Enough(BaseException):
    """Ends the script after its first inference: what it writes is not wanted."""


class Load(Account):
    """What a call of `load_state_dict` found, and where it stands."""

    strict: bool
    place: CodePlace | None


class Scripted(TypedDict):
    """What the script did up to its first inference."""

    path: str
    loads: list[Load]
    held: Account | None  # of the checkpoint's weights, those that the model holds as it infers
    configs: list[tuple[dict[str, Any], CodePlace | None]]  # of the models that it built
    inference: ForwardComparison | None


class Heard:
    """What is heard of the script."""

    def __init__(self, models: str, kind: type[Any]) -> None:
        self.models, self.kind = models, kind
        self.loads: list[Load] = []
        self.configs: list[tuple[dict[str, Any], CodePlace | None]] = []
        self.held: Account | None = None


def script(path: str, arguments: list[str], case: Case) -> Scripted:
    """What the script did up to its first inference, and how that compares with training's forward."""
    asked = subject_of(case)
    with threads_for(asked.model):
        return _heard(asked, path, arguments, case["models"])


def _heard(asked: Subject, path: str, arguments: list[str], models: str) -> Scripted:
    trained = asked.trained
    heard = Heard(models, type(asked.model))
    with as_it_was(), hearing(heard), inferences_of(heard.kind) as found:
        inference = _run(path, arguments, asked, heard, found)
    return {
        "path": path,
        "loads": heard.loads,
        "held": heard.held,
        "configs": heard.configs,
        "inference": comparison(os.path.basename(path), [trained], inference) if inference else None,
    }


def _run(
    path: str, arguments: list[str], asked: Subject, heard: Heard, found: list[InferCall]
) -> InferCall | None:
    """The script's first inference, None where it makes none; and the weights that its model holds then."""
    infer = heard.kind.infer

    @functools.wraps(infer)
    def first(self: Any, *rest: Any, **words: Any) -> None:
        heard.held = held_weights(self, asked)
        infer(self, *rest, **words)
        raise Enough

    sys.argv = [path, *arguments]
    sys.path.insert(0, os.path.dirname(path))
    with replacing(heard.kind, "infer", first):
        try:
            runpy.run_path(path, run_name="__main__")
        except Enough:
            pass
        except SystemExit as end:
            if end.code not in (None, 0):
                raise RuntimeError("%s exits with %s" % (path, end.code)) from end
    return found[0] if found else None


@contextlib.contextmanager
def hearing(heard: Heard) -> Iterator[None]:
    """Hear which config the script builds its model of, and what it loads into it, from where."""
    import torch

    name = heard.models.partition(":")[2]
    real_init, real_load = function_of(heard.models), torch.nn.Module.load_state_dict

    @functools.wraps(real_init)
    def init_model(model_str: Any, model_config: Any, *rest: Any, **words: Any) -> Any:
        heard.configs.append((root_of(model_config), place()))
        return real_init(model_str, model_config, *rest, **words)

    @functools.wraps(real_load)
    def load_state_dict(self: Any, state_dict: Any, *rest: Any, **words: Any) -> Any:
        if isinstance(self, heard.kind):
            strict = words.get("strict", rest[0] if rest else True)
            heard.loads.append(_load(self, state_dict, strict))
        return real_load(self, state_dict, *rest, **words)

    with contextlib.ExitStack() as stack:
        for owner in [one for one in list(sys.modules.values()) if _has(one, name, real_init)]:
            stack.enter_context(replacing(owner, name, init_model))
        stack.enter_context(replacing(torch.nn.Module, "load_state_dict", load_state_dict))
        yield


def _has(module: Any, name: str, value: object) -> bool:
    try:
        return vars(module).get(name) is value
    except TypeError:
        return False


def root_of(model_config: Any) -> dict[str, Any]:
    """The whole config that a model's part was taken from; the part alone where it is taken from none."""
    from omegaconf import OmegaConf

    whole = model_config._get_root() if OmegaConf.is_config(model_config) else OmegaConf.create(model_config)
    values = resolved_values(whole)
    return values if "model" in values else {"model": {"model_config": values}}


def _load(model: Any, state_dict: Any, strict: Any) -> Load:
    """What a load will find, counted before it happens."""
    wanted = model.state_dict()
    given = {name: weight for name, weight in state_dict.items() if hasattr(weight, "shape")}
    return {**account_of(wanted, given), "strict": bool(strict), "place": place()}


def held_weights(model: Any, asked: Subject) -> Account:
    """How many of the checkpoint's weights a model holds, by sub-module: whichever file it loaded."""
    account, holds = asked.account, model.state_dict()
    parts: dict[str, WeightPart] = {}
    unfilled = {name for part in account["parts"].values() for name in part["missing"]}
    unfilled.update(name for name, _, _ in account["reshaped"])
    for name, weight in asked.model.state_dict().items():
        if name not in unfilled:
            part = parts.setdefault(name.partition(".")[0], {"elements": 0, "loaded": 0, "missing": []})
            part["elements"] += weight.numel()
            part["loaded"] += weight.numel() if _is(holds.get(name), weight) else 0
    return {"parts": parts, "unexpected": [], "reshaped": []}


def _is(one: Any, weight: Any) -> bool:
    """Whether a tensor is that weight, in its own precision."""
    import torch

    if one is None or one.shape != weight.shape:
        return False
    same = weight.to(device=one.device, dtype=one.dtype)
    return torch.equal(one, same) or torch.allclose(one, same, rtol=0, atol=0, equal_nan=True)


@contextlib.contextmanager
def as_it_was() -> Iterator[None]:
    """Undo what a script does to its process: arguments, paths, environment, printing, random state."""
    import torch

    argv, paths, env, folder, real_print = sys.argv, list(sys.path), dict(os.environ), os.getcwd(), print
    streams, state, seed = (sys.stdout, sys.stderr), torch.random.get_rng_state(), random.getstate()
    kind, main = torch.get_default_dtype(), sys.modules["__main__"]
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
