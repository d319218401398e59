"""The config of a run: what Hydra left beside its log, else what the training printed into it."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opv2v_doctor.facts.past.logs.blocks import STDIN
from opv2v_doctor.facts.past.logs.log_files import Log
from opv2v_doctor.facts.source.syntax import parsed_expression
from opv2v_doctor.foreign_files import bytes_of, from_yaml
from opv2v_doctor.state import of_file

LONGEST = 1 << 20  # characters


class PrintedConfig:
    """Told every line that is not a line of metrics, it finds the config that was printed last.

    The training prints `str(config).replace(", ", ",\\n")`: joining the lines with a space undoes it.
    """

    def __init__(self) -> None:
        self.values: Mapping[str, Any] = {}
        self._lines: list[str] = []
        self._depth = self._length = 0

    def read(self, text: str) -> None:
        """Take in a line."""
        if not self._lines and not text.startswith("{'"):
            return
        self._lines.append(text)
        self._length += len(text)
        self._depth += text.count("{") - text.count("}")
        if self._depth <= 0:
            self._finish()
        elif self._length > LONGEST:
            self._forget()

    def _finish(self) -> None:
        try:
            found = ast.literal_eval(parsed_expression(" ".join(self._lines)))
        except (ValueError, SyntaxError, RecursionError, TypeError):
            found = None
        if isinstance(found, dict) and "train_params" in found:
            self.values = found
        self._forget()

    def _forget(self) -> None:
        self._lines, self._depth, self._length = [], 0, 0


LARGEST = 1 << 22  # bytes
MOST_GPUS = 64
MOST_BY_CHANCE = 16  # GPUs: without a config, ratios of larger numbers explain anything
SCHEDULE = "linear_warmup_half_cycle_cosine_decay"
_reference = re.compile(r"\$\{([\w.]+)\}")


@dataclass(frozen=True, kw_only=True, eq=False)
class RunConfig:
    """A run's config, and where it was found: a file, or the log."""

    values: Mapping[str, Any]
    place: Path

    def get(self, key: str, default: Any = None, depth: int = 5) -> Any:
        """The value at a dotted key; a reference to another key is followed, other interpolations are not."""
        node: Any = self.values
        for part in key.split("."):
            if not isinstance(node, Mapping) or part not in node:
                return default
            node = node[part]
        reference = _reference.fullmatch(node) if isinstance(node, str) else None
        if reference is not None and depth:
            return self.get(reference[1], default, depth - 1)
        return default if node is None else node

    def number(self, key: str) -> float | None:
        """The value at a key if it is a finite number."""
        value = self.get(key)
        try:
            number = float(value) if not isinstance(value, bool) else math.nan
        except (TypeError, ValueError):
            return None
        return number if math.isfinite(number) else None

    def text(self, key: str) -> str:
        """The value at a key as text, references in it followed once."""
        value = self.get(key, "")
        return _reference.sub(lambda found: str(self.get(found[1], found[0])), str(value))

    @property
    def groups(self) -> tuple[str, ...]:
        """The sub-modules that have a learning rate of their own."""
        return tuple(self.get("train_params.submodule_configs", {}) or {})

    def names_schedule(self, group: str) -> bool:
        """Whether it says by which schedule a group's rate changes."""
        own = self.get(f"train_params.submodule_configs.{group}.schedule_type") if group else None
        return bool(own or self.get("train_params.schedule_type"))

    def rate(self, group: str, epoch: float) -> float | None:
        """The learning rate of a group at a (fractional) epoch; None where the config does not say."""
        own = self.get(f"train_params.submodule_configs.{group}", {}) if group else {}
        own = own if isinstance(own, Mapping) else {}
        named = {
            name: own.get(name, self.get(f"train_params.{name}"))
            for name in ("lr", "min_lr", "warmup_epochs")
        }
        kind = own.get("schedule_type", self.get("train_params.schedule_type", SCHEDULE))
        epochs = self.number("train_params.epochs")
        try:
            peak, least, warmup = (float(value) for value in named.values())
        except (TypeError, ValueError):
            return None
        if epochs is None or kind != SCHEDULE:
            return None
        if epoch < warmup:
            return peak * epoch / warmup
        if epochs <= warmup:
            return None
        return least + (peak - least) * 0.5 * (1 + math.cos(math.pi * (epoch - warmup) / (epochs - warmup)))

    def samples(self) -> int | None:
        """The samples of an epoch, as the sum of `N @ ...`; None where a set has no number."""
        parts = [part for part in self.text("dataset.train_dataset").split("+") if part.strip()]
        found = [re.match(r"\s*([\d_]+)\s*@", part) for part in parts]
        if not found or None in found:
            return None
        return sum(int(number[1].replace("_", "")) for number in found if number is not None)


def run_config(log: Log) -> RunConfig | None:
    """The config of a log's last launch; None where neither Hydra nor the log kept it."""
    path = log.path.parent / ".hydra" / "config.yaml"
    if log.path != STDIN and path.is_file() and path.stat().st_size <= LARGEST:
        values = _config_in(path)
        if values:
            return RunConfig(values=values, place=path)
    return RunConfig(values=log.config, place=log.path) if log.config else None


@of_file(most=16)
def _config_in(path: Path) -> Mapping[str, Any]:
    try:
        found = from_yaml(bytes_of(path))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def explaining_gpus(before: int, after: int, config: RunConfig | None) -> tuple[tuple[int, ...], int | None]:
    """Two numbers of GPUs, and the batch: by the config, else the smallest numbers, and no batch."""
    samples = (config.samples() if config else None) or 0
    images = (config.number("train_params.max_num_of_imgs_per_gpu") if config else None) or 0
    for batch in range(min(int(images), MOST_GPUS), 0, -1) if samples else ():
        counts = [
            [count for count in range(1, MOST_GPUS + 1) if samples // batch // count == steps]
            for steps in (before, after)
        ]
        if all(counts):
            return (counts[0][0], counts[1][0]), batch
    numbers = range(1, MOST_BY_CHANCE + 1)
    pairs = [(a, b) for a in numbers for b in numbers if a != b and before * a == after * b]
    return min(pairs, key=sum, default=()), None
