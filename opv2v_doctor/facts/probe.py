"""The probe: questions to the training interpreter, which imports the training package in our place."""

from __future__ import annotations

import atexit
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.interpreter import Interpreter, Unanswered
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place

__all__ = ["Frame", "Raised", "Unanswered", "ask", "ask_ahead", "has_second", "start_second"]


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One line of a traceback."""

    file: Path
    line: int
    function: str


class Raised(Blocked):
    """The examined code raised an exception while answering."""

    def __init__(self, kind: str, message: str, frames: tuple[Frame, ...], repo: Path) -> None:
        self.kind, self.message, self.frames, self.repo = kind, message, frames, repo
        said = " ".join(message.split())  # a reason is one line
        super().__init__("{kind}: {message}", kind=kind, message=said, at=self.place)

    @property
    def place(self) -> Place | None:
        """The innermost line inside the repository, the one that its owner can change."""
        inner = [frame for frame in self.frames if frame.file.is_relative_to(self.repo)]
        return Place(inner[-1].file, inner[-1].line) if inner else None


def ask(target: Target, module: str, question: str, **arguments: Any) -> Any:
    """Ask the target's interpreter; `arguments` and the answer are JSON.

    Raises Unanswered where no answer came within the target's time limit, Raised where the examined code did.
    """
    return ask_ahead(target, module, question, **arguments)()


def ask_ahead(
    target: Target, module: str, question: str, *, second: bool = False, **arguments: Any
) -> Callable[[], Any]:
    """Ask the target's interpreter, or its second one, and go on; what is returned waits for the answer."""
    probe = _probe(target, second)
    request: dict[str, object] = {"module": module, "question": question, "arguments": arguments}
    number = probe.send(request)

    def answer() -> Any:
        asked = number if probe.will_answer(number) else probe.send(request)  # it died over another question
        return _unwrapped(probe.answer(asked, question, target.timeout), target.repo)

    return answer


def start_second(target: Target) -> None:
    """Start the target's second interpreter, so that two questions that take long can be asked at once."""
    with contextlib.suppress(Unanswered):  # whoever asks it will be told
        _probe(target, True).start()


def has_second(target: Target) -> bool:
    """Whether the target's second interpreter was started."""
    return _probe(target, True).is_running


def _unwrapped(message: dict[str, Any], repo: Path) -> Any:
    """The answer in a message, or the exception of the examined code."""
    if "raised" in message:
        raise _raised(message["raised"], repo)
    return message["answer"]


def _raised(answer: dict[str, Any], repo: Path) -> Raised:
    frames = [Frame(file=Path(f["file"]), line=f["line"], function=f["function"]) for f in answer["frames"]]
    if answer["file"]:  # a syntax error stands outside the traceback
        frames.append(Frame(file=Path(answer["file"]), line=answer["line"] or 1, function=""))
    return Raised(answer["type"], answer["message"], tuple(frames), repo)


_Launch = tuple[Path, Path, Path, tuple[tuple[str, str], ...], float | None]


def _launch(target: Target) -> _Launch:
    """What of a target tells one interpreter from another."""
    env = tuple(sorted(target.launch_env.items()))
    return (target.repo, target.python, target.script, env, target.settings.memory)


def _probe(target: Target, second: bool) -> Interpreter:
    """One interpreter of a launch for a state: it has imported what the files said then."""
    launch = _launch(target)

    def begin() -> Interpreter:
        probe = Interpreter(*launch)
        atexit.register(probe.close)
        target.state.at_end(probe.close)
        return probe

    return target.state.remember((Interpreter, launch, second), begin)
