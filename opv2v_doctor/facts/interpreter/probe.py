"""The probe: questions to the training interpreter, which imports the training package in our place."""

from __future__ import annotations

import atexit
import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar, get_type_hints

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.interpreter.process import InterpreterProcess, Start, Unanswered
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place

__all__ = ["Question", "Raised", "TracebackLine", "Unanswered", "has_second", "question", "start_second"]

P = ParamSpec("P")
A = TypeVar("A")


@dataclass(frozen=True, kw_only=True)
class TracebackLine:
    """One line of a traceback."""

    file: Path
    line: int
    function: str

    @property
    def place(self) -> Place:
        """File and line."""
        return Place(self.file, self.line)


def innermost(frames: tuple[TracebackLine, ...], repo: Path) -> Place | None:
    """The innermost line inside the repository, the one that its owner can change."""
    return next((frame.place for frame in reversed(frames) if frame.file.is_relative_to(repo)), None)


class Raised(Blocked):
    """The examined code raised an exception while answering."""

    def __init__(self, kind: str, message: str, frames: tuple[TracebackLine, ...], repo: Path) -> None:
        self.kind, self.message, self.frames, self.repo = kind, message, frames, repo
        said = " ".join(message.split())  # a reason is one line
        super().__init__("{kind}: {message}", kind=kind, message=said, at=self.place)

    @property
    def place(self) -> Place | None:
        """The innermost line inside the repository."""
        return innermost(self.frames, self.repo)


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """An exception as the interpreter tells it; a syntax error stands outside the traceback."""

    type: str
    message: str
    file: Path | None
    line: int | None
    frames: tuple[TracebackLine, ...]


class Question(Generic[P, A]):
    """A function of `inside/`, declared here: called with a target, it is asked of that target's interpreter.

    Its arguments are JSON, by name. All ways to ask raise Unanswered where no answer came within the target's
    time limit, or one that is not as declared, and Raised where the examined code raised.
    """

    def __init__(self, module: str, declared: Callable[P, A], each: str, within: str) -> None:
        self.module, self.name, self.declared = module, declared.__name__, declared
        self._each, self._within = each, within
        self.__doc__ = declared.__doc__

    def __call__(self, target: Target, /, *args: P.args, **arguments: P.kwargs) -> A:
        """Ask, and wait for the answer."""
        return self.ahead_in(target, False, *args, **arguments)()

    def ahead(self, target: Target, /, *args: P.args, **arguments: P.kwargs) -> Callable[[], A]:
        """Ask, and go on; what is returned waits for the answer."""
        return self.ahead_in(target, False, *args, **arguments)

    def ahead_in(self, target: Target, second: bool, /, *_: P.args, **arguments: P.kwargs) -> Callable[[], A]:
        """Ask the target's second interpreter, or its first, and go on."""
        probe = _probe(target, second)
        request: dict[str, object] = {"module": self.module, "question": self.name, "arguments": arguments}
        number = probe.send(request)

        def answer() -> A:
            # a process that died over another question is asked again
            asked = number if probe.will_answer(number) else probe.send(request)
            message = probe.answer(asked, self.name, target.timeout)
            if "raised" in message:
                raise _exception_in(self._as(_Problem, message["raised"]), target.repo)
            found: A = self._as(get_type_hints(self.declared)["return"], message["answer"])
            self._verify_count(found, arguments)
            return found

        return answer

    def _verify_count(self, found: Any, arguments: Mapping[str, Any]) -> None:
        """Raises Unanswered where there is not one answer for each item of the argument."""
        if not self._each:
            return
        given, wanted = len(getattr(found, self._within, found)), len(arguments[self._each])
        if given != wanted:
            raise Unanswered(
                "training interpreter answered {question!r} with {given} items, expected {wanted}",
                question=self.name,
                given=given,
                wanted=wanted,
            )

    def _as(self, kind: Any, told: object) -> Any:
        """What was told as an object of a type. Raises Unanswered where it is none."""
        from pydantic import ValidationError

        try:
            return _adapter(kind).validate_python(told)
        except ValidationError as problem:
            first = problem.errors(include_url=False, include_input=False, include_context=False)[0]
            raise Unanswered(
                "training interpreter answered {question!r} with something else: {field}: {problem}",
                question=self.name,
                field=".".join(map(str, first["loc"])) or "the answer",
                problem=first["msg"],
            ) from None


def question(module: str, *, each: str = "", within: str = "") -> Callable[[Callable[P, A]], Question[P, A]]:
    """Declare a question: a function of that name, with these arguments, in a module of `inside/`.

    The answer, or what of it is `within`, has an item for each one of the argument `each`.
    """
    return lambda declared: Question(module, declared, each, within)


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def start_second(target: Target) -> None:
    """Start the target's second interpreter, so that two questions that take long can be asked at once."""
    with contextlib.suppress(Unanswered):  # whoever asks it will be told
        _probe(target, True).start()


def has_second(target: Target) -> bool:
    """Whether the target's second interpreter was started."""
    return _probe(target, True).is_running


def _exception_in(problem: _Problem, repo: Path) -> Raised:
    frames = problem.frames
    if problem.file:
        frames = (*frames, TracebackLine(file=problem.file, line=problem.line or 1, function=""))
    return Raised(problem.type, problem.message, frames, repo)


VIEWS = "OPV2V_DOCTOR_VIEWS"  # {key of a view: the name that the repository gives it}


def _start(target: Target) -> Start:
    """What of a target tells one interpreter from another."""
    env = dict(target.launch_env)
    if views := target.settings.names.views:
        env[VIEWS] = json.dumps(dict(views))
    return Start(
        repo=target.repo,
        cwd=target.cwd,
        python=target.python,
        script=target.script,
        imports=target.import_folder,
        env=tuple(sorted(env.items())),
        memory=target.settings.memory,
    )


def _probe(target: Target, second: bool) -> InterpreterProcess:
    """One interpreter of a launch for a state: it has imported what the files said then."""
    start = _start(target)

    def begin() -> InterpreterProcess:
        probe = InterpreterProcess(start)
        atexit.register(probe.close)
        target.state.at_end(probe.close)
        return probe

    return target.state.remember((InterpreterProcess, start, second), begin)
