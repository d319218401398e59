"""Opening: the checkpoint that inference would take, and the config that it was trained with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.interpreter import questions
from opv2v_doctor.facts.launch.leaves import Difference, leaves
from opv2v_doctor.facts.past.checkpoints import CheckpointUnreadable, read_checkpoint, strangers
from opv2v_doctor.facts.past.runs import BEST, LAST, number_of, saved
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target

STAMPED = ("config.yaml", ".hydra/config.yaml")  # ours, resolved; and what Hydra leaves behind
SECTIONS = ("model", "dataset")  # that decide what a model predicts
SHORTEST_PATH = 4  # of a machine's value that is looked for in others


@dataclass(frozen=True, kw_only=True)
class Opening:
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
def opening(target: Target) -> Opening:
    """The run's best checkpoint, else its last one, else the newest that is numbered.

    Raises Skip where there is none yet, Blocked where it cannot be read.
    """
    checkpoint = min(saved(target), key=_preference)
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
    return Opening(checkpoint=checkpoint, stored=values, stamped=_stamped(checkpoint.parent))


def _preference(checkpoint: Path) -> tuple[int, int]:
    ranks = {BEST: 0, LAST: 1}
    return ranks.get(checkpoint.name, 2), -(number_of(checkpoint) or -1)


def _stamped(run: Path) -> Path | None:
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


def compared(trained: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[Difference, ...]:
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
    return {key: _named(value, machine) for key, value in values.items()}


def _named(value: Any, machine: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _named(entry, machine) for key, entry in value.items()}
    if isinstance(value, list):
        return [_named(entry, machine) for entry in value]
    if isinstance(value, str):
        for path in sorted(machine, key=len, reverse=True):
            value = value.replace(path, machine[path])
    return value
