"""Questions about the Hydra config: composed, resolved and read as the training would."""

from __future__ import annotations

import builtins
import functools
import importlib
import math
from typing import Any, Callable, Dict, TypedDict

MISSING = "???"


@functools.lru_cache(maxsize=None)
def hydra_config(config_dir: str, config_name: str, overrides: tuple[str, ...]) -> tuple[Any, Any]:
    """The config as `hydra.main` would hand it over, and the configs that it was made of."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    GlobalHydra.instance().clear()
    with initialize_config_dir(config_dir=config_dir, version_base=None):
        cfg = hydra_compose(config_name, overrides=list(overrides), return_hydra_config=True)
        loader = GlobalHydra.instance().config_loader()
        made_of = loader.compute_defaults_list(config_name, list(overrides), RunMode.RUN)
    HydraConfig.instance().set_config(cfg)
    # time stays a pattern: a value that changes with every question could not be compared
    OmegaConf.register_new_resolver("now", lambda pattern: "<now:%s>" % pattern, replace=True)
    return cfg, made_of


def function_of(reference: str) -> Any:
    """A function by its module and name: `mapanything.models:init_model`."""
    module_name, _, name = reference.partition(":")
    return getattr(importlib.import_module(module_name), name)


class LeafReading:
    """Resolves leaf by leaf, so that one value that cannot be resolved does not hide the others."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self.unresolved: dict[str, str] = {}

    def plain(self, node: Any, key: str = "") -> Any:
        from omegaconf import DictConfig, ListConfig

        if isinstance(node, DictConfig):
            return {str(k): self.entry(node, k, key) for k in node}
        if isinstance(node, ListConfig):
            return [self.entry(node, i, key) for i in range(len(node))]
        if isinstance(node, float) and not math.isfinite(node):
            return str(node)
        if node is None or isinstance(node, (bool, int, float, str)):
            return node
        return str(node)

    def entry(self, node: Any, part: Any, prefix: str) -> Any:
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException, UnsupportedInterpolationType

        key = "%s.%s" % (prefix, part) if prefix else str(part)
        if OmegaConf.is_missing(node, part):
            self.missing.append(key)
            return None
        try:
            return self.plain(node[part], key)
        except UnsupportedInterpolationType:  # the training code registers it later: keep the text
            unresolved: Any = OmegaConf.to_container(node, resolve=False)
            return str(unresolved[part])
        except OmegaConfBaseException as problem:
            self.unresolved[key] = str(problem).split("\n")[0]
            return None


class Composed(TypedDict):
    """A config: its values, and what of it stays open."""

    values: dict[str, Any]
    missing: list[str]
    unresolved: dict[str, str]
    files: list[tuple[str, str]]


def compose(config_dir: str, config_name: str, overrides: list[str]) -> Composed:
    """Values with all interpolations resolved, what stays open, and the files in the order of composition."""
    cfg, made_of = hydra_config(config_dir, config_name, tuple(overrides))
    reading = LeafReading()
    values = reading.plain(cfg)
    return {
        "values": values,
        "missing": reading.missing,
        "unresolved": reading.unresolved,
        "files": [(d.config_path, d.package or "") for d in made_of.defaults if d.config_path],
    }


class Names(Dict[str, Any]):
    """Names for replayed lines; those of the module that they stand in are imported only when needed."""

    module_name = ""

    def __missing__(self, name: str) -> Any:
        if hasattr(builtins, name):
            return getattr(builtins, name)
        try:
            return getattr(importlib.import_module(self.module_name), name)
        except (ImportError, AttributeError):
            raise NameError("name %r is not defined" % name) from None


class Lines(TypedDict):
    """Lines of a module that build loaders: the name of the config in them, and the home of each builder."""

    source: str
    module: str
    parameter: str
    builders: dict[str, str]


class EpochLines(TypedDict):
    """What the training does at the start of an epoch, and the names of loaders and of the epoch in it."""

    source: str
    module: str
    loaders: list[str]
    epoch: str
    configs: list[str]


class BuilderCall(TypedDict):
    """A call of a builder: the dataset, and what else it is given."""

    builder: str
    dataset: str
    words: dict[str, Any]


class Replayed(TypedDict):
    """What replayed lines kept, and their calls of builders."""

    kept: dict[str, str]
    calls: list[BuilderCall]


def replay(config_dir: str, config_name: str, overrides: list[str], lines: Lines) -> Replayed:
    """Run the lines that build loaders, with builders that only note what they are asked for.

    `kept` is what stays in the collection that the lines fill: key -> dataset expression.
    """
    cfg = hydra_config(config_dir, config_name, tuple(overrides))[0]
    found, calls = run_lines(lines, cfg, lambda call, *_: call)
    return {"kept": {str(key): call["dataset"] for key, call in found.items()}, "calls": calls}


def run_lines(
    lines: Lines, cfg: Any, build: Callable[[BuilderCall, dict[str, Any], str], Any]
) -> tuple[dict[Any, Any], list[BuilderCall]]:
    """What lines keep in a collection, by key, and the calls that they make.

    `build` is given a call, its arguments as they are, and the name of the one that is the dataset. Where the
    lines evaluate a dataset themselves, it stays an expression.
    """
    calls: list[BuilderCall] = []
    built: list[Any] = []

    def builder(name: str) -> Callable[..., Any]:
        def noted(*_: Any, **words: Any) -> Any:
            dataset = next((key for key, value in words.items() if _is_dataset(value)), next(iter(words), ""))
            rest = {key: LeafReading().plain(value) for key, value in words.items() if key != dataset}
            calls.append({"builder": name, "dataset": str(words.get(dataset)), "words": rest})
            built.append(build(calls[-1], words, dataset))
            return built[-1]

        return noted

    def evaluated(text: Any, *_: Any) -> Any:
        return text if _is_dataset(text) else eval(text, names)

    names = Names({name: builder(name) for name in lines["builders"]}, eval=evaluated)
    names[lines["parameter"]] = cfg
    names.module_name = lines["module"]
    exec(compile(lines["source"], "<string>", "exec", dont_inherit=True), names)
    kept = next((found for found in map(_kept, names.values()) if found and _all_in(found, built)), {})
    return kept, calls


def begin_epoch(lines: EpochLines, cfg: Any, loader: Any, epoch: int) -> None:
    """Run the lines that begin an epoch of a loader."""
    names = Names(dict.fromkeys(lines["configs"], cfg))
    names.update(dict.fromkeys(lines["loaders"], loader))
    names[lines["epoch"]] = epoch
    names.module_name = lines["module"]
    exec(compile(lines["source"], "<string>", "exec", dont_inherit=True), names)


def call_with(calls: list[BuilderCall], expression: str) -> BuilderCall | None:
    """The call that is given this dataset, else the first one."""
    return next(
        (call for call in calls if call["dataset"].strip() == expression.strip()), next(iter(calls), None)
    )


def _is_dataset(value: Any) -> bool:
    return isinstance(value, str) and "(" in value


def _kept(value: Any) -> dict[Any, Any]:
    """A collection as a dictionary; a list is keyed by position."""
    if isinstance(value, (list, tuple)):
        return dict(enumerate(value))
    return dict(value) if type(value) is dict else {}


def _all_in(found: dict[Any, Any], built: list[Any]) -> bool:
    return all(any(loader is one for one in built) for loader in found.values())
