"""The commands by name: a command's module is imported when it runs, so that help stays quick."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, MutableMapping
from typing import Any

import typer
from typer.core import TyperGroup

from opv2v_doctor.cli.process import HOMELESS, exit_code_of, is_homeless

PLACES = {  # in the order of the help: command -> module, name in it, what it does in one line
    "run-all": ("examine", "run_all", "Run the whole checklist on a training repository."),
    "check": ("examine", "check", "Run some checks, and what they need."),
    "train": ("train", "train", "Train behind the gate, stamped and watched."),
    "infer": ("train", "infer", "Run the repository's inference on a checkpoint, stamped."),
    "runs": ("runs", "app", "List, compare and verify runs."),
    "smoke": ("smoke", "smoke", "Train a few steps for real, kill, resume and compare."),
    "log": ("log", "log", "Say what went wrong in a training, from its log alone."),
    "checkpoint": ("checkpoint", "app", "Say what checkpoints hold, without running what is in them."),
    "preview": ("preview", "preview", "Show a sample as training sees it, on one offline page."),
    "pointcloud": ("pointcloud", "pointcloud", "Run a checkpoint's model on a sample: its point cloud."),
    "serve": ("serve", "serve", "Show results in a browser, read-only."),
    "list": ("catalogue", "list_checks", "List the checks in the order of the checklist."),
    "explain": ("catalogue", "explain", "Print the page of a check."),
    "init": ("set_up", "init", "Write commented settings for a training repository."),
    "trust": ("trust", "trust", "Trust the plugins of a repository's settings, as they are now."),
    "audit": ("audit", "audit", "Read every file of an OPV2V dataset, and say what is wrong."),
    "demo": ("set_up", "demo", "Write a small training repository with an OPV2V scene."),
    "schema": ("catalogue", "schema", "Print the JSON Schema of the report."),
}


class Commands(TyperGroup):
    """A group that knows the names of its commands, and imports one when it is asked for."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = _Imported()

    def invoke(self, ctx: Any) -> Any:
        """Run the command; who stops it, or reads no further, is answered by us, not by typer."""
        if is_homeless():
            from opv2v_doctor.usage import UsageError

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
            formatter.write_dl([(name, summary) for name, (_, _, summary) in PLACES.items()])


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


def _command(name: str) -> Any:
    module, attribute, _ = PLACES[name]
    found = getattr(importlib.import_module(f"opv2v_doctor.cli.{module}"), attribute)
    if isinstance(found, typer.Typer):
        made = typer.main.get_command(found)
        made.name = name
        return made
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name)(found)
    return typer.main.get_command(alone)
