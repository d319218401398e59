"""The Hydra config of the launch, composed by the training interpreter; file and line of each value."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.interpreter import questions
from opv2v_doctor.facts.source.syntax import HydraMain, hydra_main
from opv2v_doctor.foreign_files import text_of
from opv2v_doctor.state import fact, of_file
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place


@dataclass(frozen=True, kw_only=True)
class Config:
    """The config of the launch: values resolved leaf by leaf, and what could not be."""

    values: Mapping[str, Any]
    missing: tuple[str, ...]
    unresolved: Mapping[str, str]
    files: tuple[tuple[Path, str], ...]  # (file, package that its keys go to), in the order of composition

    def get(self, key: str, default: Any = None) -> Any:
        """The value at a dotted key, the default where there is none."""
        node: Any = self.values
        for part in key.split("."):
            if not isinstance(node, Mapping) or part not in node:
                return default
            node = node[part]
        return default if node is None else node

    def number(self, key: str, default: float | None = None) -> float | None:
        """The number at a dotted key, the default where there is none. Raises Blocked for anything else."""
        value = self.get(key, default)
        try:
            number = None if value is None else float(value)
        except (TypeError, ValueError):
            raise Blocked("{key} is {value!r}, expected a number", key=key, value=str(value)) from None
        if number is not None and not math.isfinite(number):
            raise Blocked("{key} is {value!r}, expected a finite number", key=key, value=str(value))
        return number

    def has(self, key: str) -> bool:
        """Whether the key is there, be it with a value of null."""
        *parents, last = key.split(".")
        node = self.get(".".join(parents), {}) if parents else self.values
        return isinstance(node, Mapping) and last in node


def entry_point(target: Target) -> HydraMain:
    """The script's Hydra entry point. Raises Blocked where it has none."""
    found = hydra_main(target)
    if found is None:
        raise Blocked(
            "no @hydra.main in the script: its config cannot be composed",
            hint="name the script that has it in [launch] script; what works without one: "
            "opv2v-doctor audit DIR, preview --data DIR, log FILE, checkpoint FILE",
            at=target.script,
        )
    return found


@fact
def config(target: Target) -> Config:
    """The config that the launch would get. Raises Raised with Hydra's words where it does not compose."""
    main, answer = entry_point(target), composing(target)()
    return Config(
        values=answer.values,
        missing=answer.missing,
        unresolved=answer.unresolved,
        files=tuple((main.config_dir / f"{name}.yaml", package) for name, package in answer.files),
    )


@fact
def composing(target: Target) -> Callable[[], questions.Composed]:
    """The question of `config`, under way."""
    main = entry_point(target)
    return questions.compose.ahead(
        target,
        config_dir=str(main.config_dir),
        config_name=main.config_name,
        overrides=list(target.launch_overrides),
    )


def replay(target: Target, lines: questions.Lines) -> questions.Replayed:
    """Lines of the training code, run by the training interpreter, but building no loader."""
    main = entry_point(target)
    return questions.replay(
        target,
        config_dir=str(main.config_dir),
        config_name=main.config_name,
        overrides=list(target.launch_overrides),
        lines=lines,
    )


@fact
def run_directory(target: Target) -> str:
    """`hydra.run.dir` of the launch, with `<now:%Y%m%d>` where it is named for the time of the launch."""
    return str(config(target).get("hydra.run.dir", "."))


@fact
def place(target: Target, key: str) -> Place | None:
    """The file and line that give a key its value; None where an override does.

    The last file in the order of composition that sets the key wins, as in Hydra.
    """
    if any(override.lstrip("+~").partition("=")[0] == key for override in target.launch_overrides):
        return None
    for path, package in reversed(config(target).files):
        inner = key.removeprefix(f"{package}.") if package else key
        if (not package or inner != key) and (line := line_of(path, tuple(inner.split(".")))):
            return Place(path, line)
    return None


@of_file()
def line_of(path: Path, parts: tuple[str, ...]) -> int | None:
    """The line of a nested key in a yaml file, None where the file does not set it."""
    import yaml

    try:
        node = yaml.compose(text_of(path), Loader=yaml.CSafeLoader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return None
    line = None
    for part in parts:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        found = next((pair for pair in pairs if pair[0].value == part), None)
        if found is None:
            return None
        line, node = found[0].start_mark.line + 1, found[1]
    return line
