"""The config of a launch, resolved, as a file and as a hash; and how two configs differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from opv2v_doctor.facts.launch.config import config
from opv2v_doctor.facts.launch.leaves import Difference, leaves
from opv2v_doctor.foreign_files import from_yaml, text_of
from opv2v_doctor.runs import digests
from opv2v_doctor.runs.secrets import without_secrets
from opv2v_doctor.target import Target
from opv2v_doctor.user_error import UsageError

FILE = "config.yaml"
OUR_RUN = "${hydra:run.dir}"  # what stands for the run's own directory: that is new each time
NOT_THERE = "(not there)"


def values_of(target: Target, run: Path) -> dict[str, Any]:
    """The values that the training will get, without Hydra's own and without secrets."""
    values = {key: value for key, value in config(target).values.items() if key != "hydra"}
    for key in config(target).missing:
        _set(values, key.split("."), "???")
    return dict(without_secrets(_anywhere(values, str(run))))


def _set(node: Any, parts: list[str], value: str) -> None:
    """Set a value where its parents are."""
    for part in parts[:-1]:
        node = node.get(part) if isinstance(node, dict) else None
    if isinstance(node, dict) and parts[-1] in node:
        node[parts[-1]] = value


def _anywhere(value: Any, run: str) -> Any:
    """The values with the run directory by its name in the config: where it is does not matter."""
    if isinstance(value, Mapping):
        return {key: _anywhere(entry, run) for key, entry in value.items()}
    if isinstance(value, list):
        return [_anywhere(entry, run) for entry in value]
    return value.replace(run, OUR_RUN) if isinstance(value, str) else value


def text(values: Mapping[str, Any]) -> bytes:
    """The values as YAML."""
    import yaml

    return yaml.dump(
        dict(values), Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, encoding="utf-8"
    )


def read_config(path: Path) -> dict[str, Any]:
    """A config file's values. Raises UsageError where it cannot be read."""
    try:
        found = from_yaml(text_of(path))
    except (OSError, ValueError) as problem:
        raise UsageError(f"{path} cannot be read: {str(problem).splitlines()[0]}") from None
    return found if isinstance(found, dict) else {}


def digest(values: Mapping[str, Any]) -> str:
    """The hash of a config: the same for two launches that get the same values."""
    return digests.of_values(values)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """The keys whose values differ, in the order of the first config.

    A text that still holds an interpolation is not compared: what it gives is not known.
    """
    one, other = (dict(leaves(values, empty=True)) for values in (before, after))
    return [
        Difference(key=key, before=one.get(key, NOT_THERE), after=other.get(key, NOT_THERE))
        for key in dict.fromkeys([*one, *other])
        if not _same(one.get(key, NOT_THERE), other.get(key, NOT_THERE))
    ]


def _same(one: Any, other: Any) -> bool:
    open_ended = any(isinstance(value, str) and "${" in value for value in (one, other))
    return one == other or (open_ended and NOT_THERE not in (one, other))
