"""Opening: the checkpoint that inference would take, with its own config, as it reads on this machine."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.interpreter import questions
from opv2v_doctor.facts.launch.config import config
from opv2v_doctor.facts.launch.leaves import Difference, leaves
from opv2v_doctor.facts.past.checkpoints import CheckpointUnreadable, read_checkpoint, strangers
from opv2v_doctor.facts.past.runs import BEST, LAST, number_of, saved_checkpoints
from opv2v_doctor.facts.samples.draws import arrays_folder
from opv2v_doctor.foreign_files import bytes_of, from_yaml
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target

STAMPED = ("config.yaml", ".hydra/config.yaml")  # ours, resolved; and what Hydra leaves behind
SECTIONS = ("model", "dataset")  # that decide what a model predicts
SHORTEST_PATH = 4  # of a machine's value that is looked for in others


@dataclass(frozen=True, kw_only=True)
class CheckpointOpening:
    """A checkpoint, and what its model is built of."""

    checkpoint: Path
    stored: Mapping[str, Any] | None  # the config in the checkpoint, interpolations unresolved
    stamped: Path | None  # the config beside it

    @property
    def config(self) -> Mapping[str, Any] | str:
        """What builds the model: the checkpoint's own config, else the file beside it."""
        if self.stored is not None:
            return self.stored
        if self.stamped is None:
            raise Skip("the checkpoint stores no config, and none is beside it", at=self.checkpoint)
        return str(self.stamped)

    @property
    def source(self) -> Path:
        """The file that the config comes from."""
        return self.checkpoint if self.stored is not None else self.stamped or self.checkpoint


@fact
def opening(target: Target) -> CheckpointOpening:
    """The run's best checkpoint, else its last one, else the newest that is numbered.

    Raises Skip where there is none yet, Blocked where it cannot be read.
    """
    checkpoint = min(saved_checkpoints(target), key=_preference)
    try:
        found = read_checkpoint(checkpoint)
    except CheckpointUnreadable as problem:
        raise Blocked(
            "the checkpoint is unreadable: {problem}", at=checkpoint, problem=problem.reason
        ) from None
    if foreign := strangers(target, found):
        raise Blocked(
            "the checkpoint is not opened: loading it would import {foreign}",
            at=checkpoint,
            foreign=foreign[0],
        )
    stored = found.args if found.args and "model" in found.args else None
    values = stored and {key: value for key, value in stored.items() if key != "hydra"}
    return CheckpointOpening(checkpoint=checkpoint, stored=values, stamped=_stamped_config(checkpoint.parent))


def _preference(checkpoint: Path) -> tuple[int, int]:
    ranks = {BEST: 0, LAST: 1}
    return ranks.get(checkpoint.name, 2), -(number_of(checkpoint) or -1)


def _stamped_config(run: Path) -> Path | None:
    return next((run / name for name in STAMPED if (run / name).is_file()), None)


@fact
def trained_values(target: Target) -> Mapping[str, Any]:
    """The config that the checkpoint was trained with, resolved."""
    return dict(_resolving(target, beside=False)()[0])


@fact
def stamped_values(target: Target) -> Mapping[str, Any] | None:
    """The config that lies beside the checkpoint, resolved; None where there is none but the checkpoint's."""
    return dict(_resolving(target, beside=True)()[0]) if _has_both(target) else None


def begin_resolving(target: Target) -> None:
    """Get the questions of both under way."""
    _resolving(target, beside=False)
    if _has_both(target):
        _resolving(target, beside=True)


@fact
def _resolving(target: Target, *, beside: bool) -> Callable[[], tuple[Mapping[str, Any], ...]]:
    found = opening(target)
    config = str(found.stamped) if beside else found.config
    return questions.config_values.ahead(target, configs=[config])


def _has_both(target: Target) -> bool:
    found = opening(target)
    return bool(found.stamped and found.stored)


def config_differences(trained: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Both values of what decides a prediction, where both configs have it; data may lie anywhere."""
    return tuple(
        pair
        for section in SECTIONS
        if section in trained and section in other
        for pair in _section(section, _anywhere(trained), _anywhere(other))
    )


def differences(pairs: Iterable[Difference]) -> tuple[Difference, ...]:
    """Those of which the values differ."""
    return tuple(pair for pair in pairs if not _same(pair.before, pair.after))


def _section(name: str, trained: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[Difference]:
    """Keys that both give a value; what one of them does not have decides nothing."""
    before, after = dict(leaves(trained[name], name)), dict(leaves(other[name], name))
    for key in before:
        if key in after and not _is_whole(key):
            yield Difference(key=key, before=before[key], after=after[key])


def _is_whole(key: str) -> bool:
    """Whether a value only joins others, or is not for predicting: the datasets' expressions, the workers."""
    last = key.rpartition(".")[2]
    return last in ("dataset_str", "train_dataset", "test_dataset", "num_workers") or "pretrained" in last


def _same(one: Any, other: Any) -> bool:
    """YAML readers do not agree whether 1e-06 is a number."""
    try:
        return bool(one == other) or float(one) == float(other)
    except (TypeError, ValueError):
        return False


def _anywhere(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The values with what the machine's config says by its name there."""
    machine = {
        value: f"<machine.{key}>"
        for key, value in leaves(values.get("machine"))
        if isinstance(value, str) and len(value) >= SHORTEST_PATH
    }
    return {key: _by_machine_key(value, machine) for key, value in values.items()}


def _by_machine_key(value: Any, machine: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _by_machine_key(entry, machine) for key, entry in value.items()}
    if isinstance(value, list):
        return [_by_machine_key(entry, machine) for entry in value]
    if isinstance(value, str):
        for path in sorted(machine, key=len, reverse=True):
            value = value.replace(path, machine[path])
    return value


@fact
def moved_paths(target: Target) -> Mapping[str, str]:
    """The paths of the run's `machine` config that are gone, each with what the same key says today.

    A run that was trained on another machine, or before its data was moved, is opened all the same: what
    the files are is not decided by where they lie.
    """
    today = dict(leaves(config(target).get("machine")))
    return {
        value: today[key]
        for key, value in leaves(_machine(target))
        if _is_place(value) and _is_place(today.get(key)) and value != today[key]
        if not _is_there(value) and _is_there(today[key])
    }


def _machine(target: Target) -> Any:
    """The `machine` section of the run's config as it is written, None where there is none."""

    found = opening(target)
    if found.stored is not None:
        return found.stored.get("machine")
    try:
        values = from_yaml(bytes_of(found.stamped)) if found.stamped else None
    except (OSError, ValueError):
        return None
    return values.get("machine") if isinstance(values, Mapping) else None


def _is_place(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("/") and "$" not in value


def _is_there(place: str) -> bool:
    try:
        return Path(place).exists()
    except OSError:  # a folder that we may not enter
        return False


def config_today(target: Target) -> Mapping[str, Any] | str:
    """What builds the run's model, with the paths of today. Raises Skip where no config is stored."""
    values = opening(target).config
    if isinstance(values, str):
        return str(stamped_today(target))
    return {key: _relocate(value, moved_paths(target)) for key, value in values.items()}


@fact
def stamped_today(target: Target) -> Path | None:
    """The config beside the checkpoint, or a copy of it with the paths of today; None where there is none."""
    found = opening(target).stamped
    if found is None or not moved_paths(target):
        return found
    copy = arrays_folder(target) / found.name
    text = bytes_of(found).decode(errors="surrogateescape")
    copy.write_bytes(_relocate(text, moved_paths(target)).encode(errors="surrogateescape"))
    return copy


def _relocate(node: Any, places: Mapping[str, str]) -> Any:
    """Nested values with every path under a place that was moved put under the new one."""
    if isinstance(node, Mapping):
        return {key: _relocate(value, places) for key, value in node.items()}
    if isinstance(node, list):
        return [_relocate(value, places) for value in node]
    if not isinstance(node, str) or not places:
        return node
    longest_first = "|".join(map(re.escape, sorted(places, key=len, reverse=True)))
    return re.sub(rf"(?<![\w./-])(?:{longest_first})(?![\w.-])", lambda found: places[found[0]], node)
