"""The training's arguments in a checkpoint: an omegaconf DictConfig as plain values, without omegaconf."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import islice, takewhile
from pathlib import Path, PurePosixPath
from typing import Any

from opv2v_doctor.facts.launch.leaves import ABSENT, Difference, leaves
from opv2v_doctor.facts.past.pickles.machine import Name, RecordedCall
from opv2v_doctor.foreign_files import bytes_of, from_yaml

MOST_VALUES, MOST_REFERENCES, DEEPEST = 100_000, 20_000, 32
LONGEST_TEXT = 20_000  # characters; a dataset string of the real repository has 1400
LARGEST_CONFIG = 4 << 20  # bytes
UNKNOWN = object()
LEFT_OUT = "..."
_reference = re.compile(r"\$\{([\w.]+)\}")


def plain(value: Any) -> Any:
    """A walked config or namespace as nested dictionaries, lists and values; what is deeper is left out."""
    return _plain(value, DEEPEST, [MOST_VALUES])


def _plain(value: Any, depth: int, left: list[int]) -> Any:
    left[0] -= 1
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if depth == 0 or left[0] <= 0:
        return LEFT_OUT
    if isinstance(value, RecordedCall):
        return _plain_call(value, depth, left)
    if isinstance(value, dict):
        kept = takewhile(lambda _: left[0] > 0, value.items())
        return {str(key): _plain(entry, depth - 1, left) for key, entry in kept if isinstance(key, str | int)}
    if isinstance(value, list | tuple):
        return [_plain(entry, depth - 1, left) for entry in takewhile(lambda _: left[0] > 0, value)]
    return value.dotted if isinstance(value, Name) else LEFT_OUT


def _plain_call(call: RecordedCall, depth: int, left: list[int]) -> Any:
    state = call.state if isinstance(call.state, dict) else {}
    if call.name.startswith("omegaconf."):
        return _plain(state.get("_content", state.get("_val")), depth - 1, left)
    if call.name == "argparse.Namespace":
        return _plain(state, depth - 1, left)
    if call.name.startswith("pathlib.") and isinstance(call.arguments, tuple):
        return str(PurePosixPath(*(part for part in call.arguments if isinstance(part, str))))
    return _plain(call.entries or call.items, depth - 1, left) if call.name else LEFT_OUT


def argument_differences(
    stored: Mapping[str, Any], today: Mapping[str, Any], section: str
) -> list[Difference]:
    """Each value of a section then and now, as far as the stored ones can be resolved without Hydra.

    Where the machine's paths stand in a value, today's are taken: another machine is no other training.
    """
    sources = ({"machine": today.get("machine", {})}, stored)
    then, now = dict(leaves(stored.get(section), section)), dict(leaves(today.get(section), section))
    left, found = [MOST_REFERENCES], []
    for key in dict.fromkeys((*then, *now)):
        old, new = _value(then.get(key, ABSENT), sources, left), now.get(key, ABSENT)
        if old is not UNKNOWN:
            found.append(Difference(key=key, before=old, after=new))
    return found


def _value(value: Any, sources: Sequence[Mapping[str, Any]], left: list[int], depth: int = DEEPEST) -> Any:
    """The value with each `${a.b}` replaced from the first source that has it, else UNKNOWN."""
    if isinstance(value, list):
        entries = [_value(entry, sources, left, depth) for entry in value]
        return UNKNOWN if UNKNOWN in entries else entries
    if not isinstance(value, str) or ("${" not in value and value != "???"):
        return value
    parts: list[Any] = _reference.split(value) if len(value) < LONGEST_TEXT else ["${"]
    for n in range(1, len(parts), 2):
        left[0] -= 1
        known = _first(sources, parts[n]) if left[0] > 0 and depth > 0 else UNKNOWN
        parts[n] = _value(known, sources, left, depth - 1)
    if UNKNOWN in parts or value == "???" or "${" in "".join(parts[::2]):
        return UNKNOWN
    text = "".join(map(str, parts))
    return parts[1] if parts[::2] == ["", ""] else text if len(text) < LONGEST_TEXT else UNKNOWN


def _first(sources: Sequence[Mapping[str, Any]], key: str) -> Any:
    """The value at a dotted key in the first source that has it, UNKNOWN where none does."""
    for source in sources:
        node: Any = source
        for part in key.split("."):
            node = node.get(part, UNKNOWN) if isinstance(node, Mapping) else UNKNOWN
        if node is not UNKNOWN:
            return node
    return UNKNOWN


def launch_config(checkpoint: Path) -> Path:
    """The config that Hydra wrote beside a checkpoint: what its training was launched with."""
    return checkpoint.parent / ".hydra" / "config.yaml"


def launched_with(checkpoint: Path) -> dict[str, Any] | None:
    """The values of that config; None where there is none that can be read."""

    config = launch_config(checkpoint)
    try:
        if not config.is_file() or config.stat().st_size > LARGEST_CONFIG:
            return None
        found = from_yaml(bytes_of(config))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The values that are not the same in both, as they are written: nothing is resolved."""
    old = dict(islice(leaves(before), MOST_VALUES))
    new = dict(islice(leaves(after), MOST_VALUES))
    keys = dict.fromkeys((*old, *new))
    found = {key: (old.get(key, ABSENT), new.get(key, ABSENT)) for key in keys}
    return {key: values for key, values in found.items() if not _same(*values)}


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) or (one != one and other != other)  # NaN is no other value than NaN


def finite(value: Any) -> Any:
    """The value with every number that JSON does not have as a text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): finite(entry) for key, entry in value.items()}
    return [finite(entry) for entry in value] if isinstance(value, list | tuple) else value
