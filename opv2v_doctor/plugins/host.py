"""The program of a plugin's process: it loads one plugin, runs its checks when asked, says what they find.

Requests come as pickles of ours; answers go as lines of JSON (`crossing.py`). A mapped cell holds the line of
the plugin that runs now: whatever ends this process, ours knows where it was.
"""

from __future__ import annotations

import json
import mmap
import os
import pickle
import queue
import sys
import threading
import traceback
import types
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

try:
    from opv2v_doctor.check import Blocked, Check, Skip
except ModuleNotFoundError:  # of a package that only PYTHONPATH led to
    sys.path.append(__file__.rpartition("/opv2v_doctor/")[0])
    from opv2v_doctor.check import Blocked, Check, Skip
from opv2v_doctor.plugins import Plugin
from opv2v_doctor.plugins.crossing import encode

if TYPE_CHECKING:
    from opv2v_doctor.target import Target

Say = Callable[..., None]


def main() -> None:
    """Load the plugin, then run its checks until nobody asks any more."""
    requests, answers, cell = map(int, sys.argv[1:])
    for descriptor in (requests, answers, cell):
        os.set_inheritable(descriptor, False)
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(requests, inbox), daemon=True).start()
    sys.stdout = sys.stderr  # what a plugin prints is no part of a report, and is not lost with us
    plugin: Plugin = inbox.get()
    sys.argv = [plugin.name]

    stream = open(answers, "wb")  # noqa: PTH123, SIM115 (as long as we live)

    def say(**answer: object) -> None:
        stream.write(json.dumps(answer).encode() + b"\n")
        stream.flush()

    files = {plugin.name}
    watch(files, memoryview(mmap.mmap(cell, 8)).cast("Q"))
    checks: dict[str, Check] = {}
    try:
        checks = {check.code: check for check in _load(plugin)}
        files |= {check.function.__code__.co_filename for check in checks.values()}
        say(checks=[_description(check) for check in checks.values()])
    except BaseException as problem:  # SystemExit, KeyboardInterrupt: no plugin ends us
        say(crashed=_crash(problem, files))
    while True:
        code, target = inbox.get()
        _run(checks[code], target, say, files)


def _receive(requests: int, inbox: queue.SimpleQueue[Any]) -> None:
    """Put the requests into the inbox; where they end, the doctor has ended."""
    with open(requests, "rb") as stream:
        while True:
            try:
                inbox.put(pickle.load(stream))
            except EOFError:
                os._exit(0)


def watch(files: set[str], cell: memoryview) -> None:
    """Keep the line of these files that runs now in the cell."""

    def trace(frame: types.FrameType, event: str, _: object) -> Any:
        now: types.FrameType | None = frame.f_back if event == "return" else frame
        if now is not None and now.f_code.co_filename in files:
            cell[0] = now.f_lineno or 0
        return trace if frame.f_code.co_filename in files else None

    sys.settrace(trace)


def _load(plugin: Plugin) -> Iterable[Check]:
    """The checks that a plugin defines, in its order."""
    if plugin.point is not None:
        loaded: Iterable[Check] = plugin.point.load()
        return loaded
    assert plugin.path is not None
    module = types.ModuleType(plugin.path.stem)
    module.__file__ = plugin.name
    sys.modules.setdefault(module.__name__, module)
    exec(compile(plugin.source, plugin.name, "exec", dont_inherit=True), vars(module))
    return [entry for entry in vars(module).values() if isinstance(entry, Check)]


def _description(check: Check) -> dict[str, object]:
    function = check.function
    return {
        "code": check.code,
        "name": check.name,
        "module": function.__module__,
        "doc": function.__doc__,
        "tier": str(check.tier),
        "requires": list(check.requires),
        "file": function.__code__.co_filename,
        "line": function.__code__.co_firstlineno,
    }


def _run(check: Check, target: Target, say: Say, files: set[str]) -> None:
    """Say what the check finds, one at a time, and how it ended."""
    try:
        for finding in _findings(check, target):
            say(finding=encode(finding))
        say(ended="")
    except (Skip, Blocked) as ending:
        fields = {name: encode(getattr(ending, name)) for name in ("reason", "at", "hint")}
        say(ended="Skip" if isinstance(ending, Skip) else "Blocked", fields=fields)
    except BaseException as problem:
        say(crashed=_crash(problem, files))


def _findings(check: Check, target: Target) -> Iterator[object]:
    yield from check.function(target)


def _crash(problem: BaseException, files: set[str]) -> str:
    """What happened, and where in the plugin, in one line."""
    if isinstance(problem, SyntaxError) and problem.filename in files:
        return f"{type(problem).__name__}: {problem.msg} ({problem.filename}:{problem.lineno})"
    frames = traceback.extract_tb(problem.__traceback__)
    place = ([frame for frame in frames if frame.filename in files] or frames)[-1]
    return f"{type(problem).__name__}: {problem} ({place.filename}:{place.lineno})"


if __name__ == "__main__":
    main()
