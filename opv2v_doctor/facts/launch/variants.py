"""Dataset configs that differ in the number of GPUs they are made for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.interpreter import questions
from opv2v_doctor.facts.interpreter.questions import TrainSet
from opv2v_doctor.facts.launch.config import config, entry_point
from opv2v_doctor.facts.launch.loaders import Length, length_of
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target

_gpus_named = re.compile(r"_(\d+)g(pus?)?$")


def gpus_in(name: str) -> int | None:
    """The number of GPUs that a config is named for."""
    found = _gpus_named.search(name)
    return int(found[1]) if found else None


def family(name: str) -> str:
    """The name of a config without its number of GPUs: what configs for one training share."""
    return _gpus_named.sub("", name)


@fact
def chosen_dataset(target: Target) -> str:
    """The name of the dataset config: the last composed one of that group, since it may extend others."""
    folder = entry_point(target).config_dir / "dataset"
    return ([path.stem for path, _ in config(target).files if path.parent == folder] or [""])[-1]


@fact
def variants(target: Target) -> Mapping[str, Length | None]:
    """The length that each config of the chosen one's family would give this launch."""
    chosen, folder = chosen_dataset(target), entry_point(target).config_dir / "dataset"
    names = [path.stem for path in sorted(folder.glob("*.yaml")) if family(path.stem) == family(chosen)]
    others = [word for word in target.launch_overrides if not word.lstrip("+").startswith("dataset=")]
    found = train_sets(target, tuple((*others, f"dataset={name}") for name in names))
    return {name: length_in(entry, target.gpus) for name, entry in zip(names, found, strict=True)}


def length_in(found: TrainSet | None, gpus: int) -> Length | None:
    """The length of a train set's epoch; None where it did not compose or only the data can tell."""
    try:
        return length_of(found.expression, found.images, gpus) if found else None
    except Blocked:
        return None


@fact
def train_sets(target: Target, launches: tuple[tuple[str, ...], ...]) -> tuple[TrainSet | None, ...]:
    """The train set of each list of overrides, None where it does not compose."""
    if not launches:
        return ()
    found = dict(zip(dict.fromkeys(launches), composing_sets(target, launches)(), strict=True))
    return tuple(found[overrides] for overrides in launches)


@fact
def composing_sets(
    target: Target, launches: tuple[tuple[str, ...], ...]
) -> Callable[[], tuple[TrainSet | None, ...]]:
    """The question of `train_sets`, under way."""
    main = entry_point(target)
    return questions.train_sets.ahead(
        target,
        config_dir=str(main.config_dir),
        config_name=main.config_name,
        launches=[list(overrides) for overrides in dict.fromkeys(launches)],
    )
