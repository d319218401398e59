"""The commands by name: a command's module is imported when it runs, so that help stays quick."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from opv2v_doctor.cli.streams import HOMELESS, exit_code_of, is_homeless

PLACES = {  # in the order of the help: command -> module, function in it
    "run-all": ("check", "run_all"),
    "check": ("check", "check"),
    "train": ("train", "train"),
    "infer": ("train", "infer"),
    "runs": ("runs", "runs"),
    "smoke": ("smoke", "smoke"),
    "log": ("log", "log"),
    "checkpoint": ("checkpoint", "checkpoint"),
    "preview": ("preview", "preview"),
    "pointcloud": ("pointcloud", "pointcloud"),
    "diagnose": ("diagnose", "diagnose"),
    "serve": ("serve", "serve"),
    "list": ("catalogue", "list_checks"),
    "explain": ("catalogue", "explain"),
    "init": ("set_up", "init"),
    "trust": ("trust", "trust"),
    "audit": ("audit", "audit"),
    "demo": ("set_up", "demo"),
    "schema": ("catalogue", "schema"),
}


class Commands(TyperGroup):
    """A group that knows the names of its commands, and imports one when it is asked for."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = _Imported()

    def invoke(self, ctx: Any) -> Any:
        """Run the command; who stops it, or reads no further, is answered by us, not by typer."""
        if is_homeless():
            from opv2v_doctor.user_error import UsageError

            raise UsageError(HOMELESS)
        from opv2v_doctor.scratch import sweep

        sweep()
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, BrokenPipeError) as problem:
            raise typer.Exit(exit_code_of(problem)) from None

    def list_commands(self, _: Any) -> list[str]:
        return list(PLACES)

    def format_commands(self, _: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _summary(*place)) for name, place in PLACES.items()])


class _Imported(MutableMapping[str, Any]):
    """Click commands by name, made when they are read."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _command(name)
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(PLACES)

    def __len__(self) -> int:
        return len(PLACES)


def _summary(module: str, function: str) -> str:
    """The first line of a command's docstring, read from its source: to import them all would take longer."""
    source = Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
    docstring = source[source.index(f"\ndef {function}(") :].split('"""', 2)[1]
    return docstring.partition("\n")[0]


def _command(name: str) -> Any:
    module, function = PLACES[name]
    found = vars(importlib.import_module(f"opv2v_doctor.cli.{module}"))
    if "app" in found:  # a group of commands
        made = typer.main.get_command(found["app"])
        made.name = name
        return made
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name, cls=found.get("CLASSES", {}).get(name))(found[function])
    return typer.main.get_command(alone)
