"""Plugins: checks that are not ours. Each plugin runs in a process of its own, and says data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING

from opv2v_doctor.check import Check, Crashed, Findings, check, examined, note
from opv2v_doctor.foreign_files import bytes_of
from opv2v_doctor.user_error import UsageError

if TYPE_CHECKING:
    from opv2v_doctor.check import Blocked, Skip
    from opv2v_doctor.target import Target


LOADING = "PLG001"


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """A file of the settings, read once, so that what runs is what was trusted; or a package's checks."""

    name: str  # as people call it
    path: Path | None = None
    source: bytes = b""
    point: EntryPoint | None = None


def read_plugins(paths: Iterable[str]) -> tuple[Plugin, ...]:
    """The plugin files of the settings. Raises UsageError for one that is no readable file."""
    return tuple(_plugin(Path(path)) for path in paths)


def _plugin(path: Path) -> Plugin:
    if not path.is_file():
        raise UsageError(f"plugin {path}: not a Python file")
    try:
        return Plugin(name=str(path), path=path, source=bytes_of(path))
    except OSError as problem:
        raise UsageError(f"plugin {path}: cannot be read: {problem.strerror}") from None


def package_plugin(point: EntryPoint) -> Plugin:
    """The checks of another package, which the user has installed."""
    return Plugin(name=point.value, point=EntryPoint(point.name, point.value, point.group))


def plugin_checks(plugins: Sequence[Plugin], without: Blocked | Skip | None, timeout: float) -> list[Check]:
    """The checks of the plugins, behind the one that says whether all of them were loaded, or why not."""
    from opv2v_doctor.plugins.plugin_process import PluginProcess

    checks: list[Check] = []
    outcomes: list[int | Exception] = []
    for plugin in plugins:
        try:
            found = PluginProcess(plugin, timeout).checks()
        except Crashed as problem:
            outcomes.append(problem)
        else:
            outcomes.append(len(found))
            checks += found
    outcomes += [without] if without else []
    return [loading_check(plugins, outcomes), *checks] if outcomes else []


def loading_check(plugins: Sequence[Plugin] = (), outcomes: Sequence[int | Exception] = ()) -> Check:
    """The check of how loading the plugins went: the number of checks of each, or why there are none."""

    @check(LOADING, tier="static")
    def plugins_are_loaded(_: Target) -> Findings:
        """The plugins that the settings name, and those of other packages, are loaded.

        ## Why it matters
        A check that is not there finds nothing. The repository's own plugins are code of the repository: they
        run where the user said so, and without them its checklist has no answer.

        ## How to fix
        Read the plugins, then say once that you trust them as they are: `opv2v-doctor trust`. After a change
        you are asked again. `--plugins` runs them once, as in CI, and `--no-plugins` leaves them out. Where a
        plugin failed, the line that did it is named: mend it.
        """
        for plugin, outcome in zip(plugins, outcomes, strict=False):
            if isinstance(outcome, int):
                yield examined(1, "plugin")
                yield note("{n:check|checks} of {plugin}", at=plugin.path, n=outcome, plugin=plugin.name)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    return plugins_are_loaded
