"""A plugin's process as we see it: asked for its checks and their findings, and its end survived."""

from __future__ import annotations

import atexit
import mmap
import os
import pickle
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from opv2v_doctor.channel import Channel, Closed, NoLine, Silent
from opv2v_doctor.check import Blocked, Check, Crashed, Findings, NoAnswer, Skip, Tier
from opv2v_doctor.foreign_files import from_json
from opv2v_doctor.isolation import isolated_command
from opv2v_doctor.plugins import Plugin
from opv2v_doctor.plugins.crossing import decode

if TYPE_CHECKING:
    from opv2v_doctor.target import Target

HOST = Path(__file__).with_name("host.py")
MOST_FINDINGS = 10_000  # of one check
ENDINGS: dict[str, type[NoAnswer]] = {"Skip": Skip, "Blocked": Blocked}


class PluginProcess:
    """The process of one plugin; after an unexpected end it is started anew for the next check."""

    _open: ClassVar[list[PluginProcess]] = []

    def __init__(self, plugin: Plugin, timeout: float) -> None:
        """Loading the plugin, and each check, may take so many seconds."""
        self._plugin, self._timeout = plugin, timeout
        self._channel: Channel | None = None

    def checks(self) -> list[Check]:
        """The plugin's checks. Raises Crashed where it cannot be loaded."""
        described = self._start()
        try:
            return [self._check(**description) for description in described]
        except (TypeError, ValueError, AttributeError):
            raise self._garbage(described) from None

    def _check(
        self,
        *,
        code: str,
        name: str,
        module: str,
        doc: str,
        tier: str,
        requires: list[str],
        file: str,
        line: int,
    ) -> Check:
        """A check that is run over there: its function has the name, place and page of the plugin's."""

        def function(target: Target) -> Findings:
            yield from self._findings(code, target)

        function.__name__, function.__module__, function.__doc__ = name, module, doc
        function.__code__ = function.__code__.replace(co_filename=file, co_firstlineno=line)
        return Check(code=code, function=function, tier=Tier(tier), requires=tuple(requires))

    def _findings(self, code: str, target: Target) -> Findings:
        if self._channel is None:
            self._start()
        deadline = self._ask((code, target))
        for _ in range(MOST_FINDINGS):
            answer = self._answer(deadline)
            if "finding" in answer:
                yield self._rebuilt(answer["finding"])
                continue
            if ending := ENDINGS.get(str(answer.get("ended"))):
                told = {name: self._rebuilt(value) for name, value in answer["fields"].items()}
                raise ending(told["reason"], at=told["at"], hint=told["hint"] or "")
            if "ended" not in answer:
                raise self._garbage(answer)
            return
        raise self._crashed(f"says more than {MOST_FINDINGS} things of one check")

    def _rebuilt(self, value: object) -> Any:
        try:
            return decode(value)
        except ValueError:
            raise self._garbage(value) from None

    def _start(self) -> list[dict[str, Any]]:
        """Start the process and load the plugin; returns what it says of its checks."""
        memory = os.memfd_create("line")
        try:
            os.ftruncate(memory, 8)
            self._cell = memoryview(mmap.mmap(memory, 8)).cast("Q")
            # what a plugin prints is no part of a report
            self._channel = Channel(isolated_command(str(HOST)), str(memory), passed=[memory], output=2)
        finally:
            os.close(memory)
        self._open.append(self)
        try:
            answer = self._answer(self._ask(self._plugin))
        except Crashed:
            self.close()
            raise
        if "checks" not in answer:
            raise self._garbage(answer)
        described: list[dict[str, Any]] = answer["checks"]
        return described

    def _ask(self, request: object) -> float:
        """Send a request; returns when its answers must be there. Raises Crashed."""
        assert self._channel is not None
        deadline = time.monotonic() + self._timeout
        try:
            self._channel.send(pickle.dumps(request), self._timeout)
        except Silent as problem:
            raise self._ended(problem) from None
        return deadline

    def _answer(self, deadline: float) -> dict[str, Any]:
        """The next answer. Raises Crashed where the plugin crashed, or its process ended, hung or raved."""
        assert self._channel is not None
        try:
            line = self._channel.line(deadline)
        except NoLine as problem:
            raise self._ended(problem) from None
        try:
            answer = from_json(line)
        except ValueError:
            raise self._garbage(line) from None
        if not isinstance(answer, dict):
            raise self._garbage(line)
        if "crashed" in answer:
            raise Crashed(str(answer["crashed"]))
        return answer

    def _place(self) -> str:
        """The line of the plugin that ran last."""
        return f"{self._plugin.name}:{self._cell[0]}" if self._cell[0] else self._plugin.name

    def _ended(self, problem: NoLine) -> Crashed:
        """How it came that nothing more is said."""
        assert self._channel is not None
        if isinstance(problem, Silent):
            return self._crashed(f"did not end within {self._timeout:g} s (--timeout)")
        if not isinstance(problem, Closed):
            return self._crashed("says more than any answer needs")
        code, number = self._channel.ending()
        if code is None:
            return self._crashed("closed its answers")
        return self._crashed(f"was killed by {number}" if number else f"ended itself with exit code {code}")

    def _garbage(self, said: object) -> Crashed:
        return self._crashed(f"said what is no answer: {said!r:.80}")

    def _crashed(self, how: str) -> Crashed:
        self.close()
        return Crashed(f"the plugin's process {how} ({self._place()})")

    def close(self) -> None:
        """End the process and all that it started."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
            self._open.remove(self)

    @classmethod
    def close_all(cls) -> None:
        for process in list(cls._open):
            process.close()


atexit.register(PluginProcess.close_all)
