"""Moving: a run's config with the paths of today's machine, where its own are no longer there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from opv2v_doctor.facts.launch.config import config
from opv2v_doctor.facts.launch.leaves import leaves
from opv2v_doctor.facts.predictions.opening import opening
from opv2v_doctor.facts.samples.draws import arrays_folder
from opv2v_doctor.foreign_files import bytes_of, from_yaml
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target


@fact
def moved(target: Target) -> Mapping[str, str]:
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
    return {key: _placed(value, moved(target)) for key, value in values.items()}


@fact
def stamped_today(target: Target) -> Path | None:
    """The config beside the checkpoint, or a copy of it with the paths of today; None where there is none."""
    found = opening(target).stamped
    if found is None or not moved(target):
        return found
    copy = arrays_folder(target) / found.name
    text = bytes_of(found).decode(errors="surrogateescape")
    copy.write_bytes(_placed(text, moved(target)).encode(errors="surrogateescape"))
    return copy


def _placed(node: Any, places: Mapping[str, str]) -> Any:
    """Nested values with every path under a place that was moved put under the new one."""
    if isinstance(node, Mapping):
        return {key: _placed(value, places) for key, value in node.items()}
    if isinstance(node, list):
        return [_placed(value, places) for value in node]
    if not isinstance(node, str) or not places:
        return node
    longest_first = "|".join(map(re.escape, sorted(places, key=len, reverse=True)))
    return re.sub(rf"(?<![\w./-])(?:{longest_first})(?![\w.-])", lambda found: places[found[0]], node)
