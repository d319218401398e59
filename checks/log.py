"""Log: what went wrong in the launches of the last training: names that were not there, and exceptions.

What happened once is told once, by the first check of the family whose claim it breaks: others refer to it.
"""

import re

from opv2v_doctor import (
    Finding,
    Findings,
    Place,
    Target,
    Text,
    check,
    error,
    examined,
    note,
    sentence,
    warning,
)
from opv2v_doctor.facts.past.logs import each_log, launches_with_steps, text_logs
from opv2v_doctor.facts.past.logs.log_files import Log
from opv2v_doctor.facts.past.logs.stops import (
    KINDS,
    LaunchStop,
    LoggedException,
    causes,
    exception_and_place,
    kind_of,
    logged_exceptions,
    stops,
    way_on,
)
from opv2v_doctor.facts.past.logs.tracebacks import Traceback

JUDGED = {"survived": warning, "overcome": note, "stopped": error}


@check("LOG001", tier="run")
def every_name_was_found(target: Target) -> Findings:
    """Every class and module that the last launch asked for was there.

    ## Why it matters
    A launch from another checkout, or with another copy of the package installed, finds an older code: the
    class that the config names does not exist there. The traceback says which copy it was.

    ## How to fix
    Launch from the root of the repository with `PYTHONPATH` set to it, and remove the other copy.
    """
    yield from each_log(text_logs(target), _names)


def _names(log: Log) -> Findings:
    absent = logged_exceptions(log, [one for one in log.raised if one.missing and not one.follows])
    for one in absent:
        yield _absent(log, one)
    if all(one.fate == "overcome" for one in absent):
        yield examined(launches_with_steps(log), "launch")


def _absent(log: Log, exception: LoggedException) -> Finding:
    first, name = exception.first, exception.first.missing
    frame = next((frame for frame in reversed(first.frames) if not frame.path.startswith("<")), None)
    copy = _copy(frame.path) if frame else ""
    others = sorted({_copy(job.value) for job in log.of("job")} - {copy, ""}) if copy else []
    elsewhere = [Text("other launches of this log ran {others}", others=others)] if others else []
    hint = Text("launch from the checkout that defines {name}, with PYTHONPATH=.", name=name)
    if others:
        hint = Text("launch from {root}, with PYTHONPATH=.", root=others[0])
    return JUDGED[exception.fate](
        sentence([exception_and_place(first, frame), *elsewhere, *exception.consequences]),
        hint=hint if exception.fate != "overcome" else "",
        at=Place(log.path, first.exception_line),
        event=first.exception_line,
        name=name,
        copy=copy,
        frames=[f"{frame.path}:{frame.line}" for frame in first.frames],
    )


def _copy(path: str) -> str:
    """The root of the checkout that a source file lies in, empty where it does not show."""
    root, *rest = re.split(r"/(?:mapanything|scripts)(?:/|$)", path, maxsplit=1)
    return root if rest else ""


@check("LOG002", tier="run")
def no_exception_stopped_the_training(target: Target) -> Findings:
    """No exception stopped the last launch.

    ## Why it matters
    Ranks write their tracebacks at once, and the exception that stopped the training stands between those
    that only followed from it. They are told apart here, the first cause first. One after which the same
    launch trained on is a warning, one that a later launch overcame a note.

    ## How to fix
    Follow the first one; those that follow from it go with it.
    """
    yield from each_log(text_logs(target), _exceptions)


def _exceptions(log: Log) -> Findings:
    found, stopped = logged_exceptions(log, causes(log)), stops(log)
    for one in found:
        first = one.first
        cause = next(iter(stopped.get(log.launch_of(first.exception_line), [])), None)
        if first.missing or (first.is_consequence and cause and cause.incident):
            if one.fate == "stopped":
                yield _reference(log, first, cause)
        else:
            yield _exception(log, one)
    for typed in [one for one in log.tracebacks if one.is_typed][:1]:
        yield note(
            "typed into a debugger, not raised by the training: {exception}",
            at=Place(log.path, typed.exception_line),
            event=typed.exception_line,
            exception=typed.told,
        )
    if not any(one.fate == "stopped" for one in found):
        yield examined(launches_with_steps(log), "launch")


def _reference(log: Log, found: Traceback, cause: LaunchStop | None) -> Finding:
    """An exception that another check tells of, or whose cause it tells."""
    code, line = "LOG001", found.exception_line
    if not found.missing and cause and cause.incident:
        code, line = "LOG014" if cause.incident.kind == "unstable" else "LOG004", cause.line
    return error(
        "{exception} stopped the launch, as {code} says"
        if line == found.exception_line
        else "{exception} followed from line {cause}: see {code}",
        hint="fix {code} first",
        at=Place(log.path, found.exception_line),
        event=found.exception_line,
        exception=found.name,
        code=code,
        cause=line,
    )


def _exception(log: Log, exception: LoggedException) -> Finding:
    first = exception.first
    by_hand = first.name == "KeyboardInterrupt" and exception.fate == "stopped"
    return (warning if by_hand else JUDGED[exception.fate])(
        sentence(
            [exception_and_place(first, first.frames[-1] if first.frames else None), *exception.consequences]
        ),
        hint=_remedy(log, exception, by_hand=by_hand) or "",
        at=Place(log.path, first.line),
        event=first.exception_line,
        exception_line=first.exception_line,
        tracebacks=len(log.tracebacks),
    )


def _remedy(log: Log, exception: LoggedException, *, by_hand: bool) -> Text | None:
    """What to do about an exception; about memory, disk and the like what helps against those."""
    if exception.fate == "overcome":
        return None
    if exception.fate == "survived":
        return Text("see whether what failed there is missing from the training")
    kind = kind_of(log, exception.first)
    if kind is not None:
        return KINDS[kind][1]
    then = way_on(log, exception.first.line)
    return then if by_hand else Text("correct what it says, then {then}", then=then)
