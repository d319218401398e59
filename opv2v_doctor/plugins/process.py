"""A plugin's process as we see it: asked for its checks and their findings, and its end survived."""

from __future__ import annotations

import atexit
import contextlib
import mmap
import os
import pickle
import select
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from opv2v_doctor.check import Blocked, Check, Crashed, Findings, NoAnswer, Skip, Tier
from opv2v_doctor.files import from_json
from opv2v_doctor.isolation import isolated
from opv2v_doctor.plugins import Plugin
from opv2v_doctor.plugins.crossing import decoded

if TYPE_CHECKING:
    from opv2v_doctor.target import Target

HOST = Path(__file__).with_name("host.py")
MOMENT = 0.05  # seconds between two looks at whether it lives: a child of its own may hold its pipe open
ENDINGS: dict[str, type[NoAnswer]] = {"Skip": Skip, "Blocked": Blocked}


class PluginProcess:
    """The process of one plugin; after an unexpected end it is started anew for the next check."""

    _open: ClassVar[list[PluginProcess]] = []

    def __init__(self, plugin: Plugin) -> None:
        self._plugin = plugin
        self._process: subprocess.Popen[bytes] | None = None
        self._received = bytearray()

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
        if self._process is None:
            self._start()
        self._send((code, target))
        while True:
            answer = self._answer()
            if "finding" in answer:
                yield self._rebuilt(answer["finding"])
                continue
            if ending := ENDINGS.get(str(answer.get("ended"))):
                told = {name: self._rebuilt(value) for name, value in answer["fields"].items()}
                raise ending(told["reason"], at=told["at"], hint=told["hint"] or "")
            if "ended" not in answer:
                raise self._garbage(answer)
            return

    def _rebuilt(self, value: object) -> Any:
        try:
            return decoded(value)
        except ValueError:
            raise self._garbage(value) from None

    def _start(self) -> list[dict[str, Any]]:
        """Start the process and load the plugin; returns what it says of its checks."""
        their_requests, self._requests = os.pipe()
        self._answers, their_answers = os.pipe()
        memory = os.memfd_create("line")
        os.ftruncate(memory, 8)
        self._cell = memoryview(mmap.mmap(memory, 8)).cast("Q")
        self._received.clear()
        theirs = (their_requests, their_answers, memory)
        try:
            self._process = subprocess.Popen(
                [*isolated(str(HOST)), *map(str, theirs)],
                pass_fds=theirs,
                stdin=subprocess.DEVNULL,
                stdout=2,  # what a plugin prints is no part of a report
                start_new_session=True,
            )
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        self._open.append(self)
        self._send(self._plugin)
        try:
            answer = self._answer()
        except Crashed:
            self.close()
            raise
        if "checks" not in answer:
            raise self._garbage(answer)
        described: list[dict[str, Any]] = answer["checks"]
        return described

    def _send(self, request: object) -> None:
        with contextlib.suppress(BrokenPipeError), open(self._requests, "wb", closefd=False) as stream:
            pickle.dump(request, stream)  # where it has ended, the answer will say so

    def _answer(self) -> dict[str, Any]:
        """The next answer. Raises Crashed where the plugin crashed, or its process ended or raved."""
        while (end := self._received.find(b"\n")) < 0:
            chunk = self._chunk()
            if not chunk:
                raise self._ended()
            self._received += chunk
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        try:
            answer = from_json(line)
        except ValueError:
            raise self._garbage(line) from None
        if not isinstance(answer, dict):
            raise self._garbage(line)
        if "crashed" in answer:
            raise Crashed(str(answer["crashed"]))
        return answer

    def _chunk(self) -> bytes:
        """What it says next; nothing once it has ended, also where a child of its own lives on."""
        assert self._process is not None
        while True:
            has_ended = self._process.poll() is not None
            if select.select([self._answers], [], [], 0 if has_ended else MOMENT)[0]:
                return os.read(self._answers, 1 << 16)
            if has_ended:
                return b""

    def _place(self) -> str:
        """The line of the plugin that ran last."""
        return f"{self._plugin.name}:{self._cell[0]}" if self._cell[0] else self._plugin.name

    def _ended(self) -> Crashed:
        assert self._process is not None
        try:
            code: int | None = self._process.wait(MOMENT)  # its pipe closes a moment before it is gone
        except subprocess.TimeoutExpired:
            code = None
        if code is None:
            how = "closed its answers"
        elif code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
        else:
            how = f"ended itself with exit code {code}"
        self.close()
        return Crashed(f"the plugin's process {how} ({self._place()})")

    def _garbage(self, said: object) -> Crashed:
        self.close()
        return Crashed(f"the plugin's process said what is no answer: {said!r:.80} ({self._place()})")

    def close(self) -> None:
        """End the process and its children."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
        self._open.remove(self)
        os.close(self._requests)
        os.close(self._answers)

    @classmethod
    def close_all(cls) -> None:
        for process in list(cls._open):
            process.close()


atexit.register(PluginProcess.close_all)
