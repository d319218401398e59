"""Log: what went wrong in the launches of the last training, and how each of them ended.

What happened once is told once, by the first check of the family whose claim it breaks: others refer to it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from opv2v_doctor import (
    Blocked,
    Finding,
    Findings,
    Place,
    Skip,
    Target,
    Text,
    Threshold,
    check,
    error,
    examined,
    note,
    sentence,
    warning,
)
from opv2v_doctor.facts.past.logs import each_log, launches_with_steps, text_logs
from opv2v_doctor.facts.past.logs.incidents import Incident
from opv2v_doctor.facts.past.logs.log_files import Fate, Log
from opv2v_doctor.facts.past.logs.segments import Segment
from opv2v_doctor.facts.past.logs.stops import (
    AFTERMATH,
    KINDS,
    LaunchStop,
    LoggedException,
    causes,
    exception_and_place,
    first_failures,
    kind_of,
    logged_exceptions,
    outside,
    remedy_against,
    stops,
    way_on,
)
from opv2v_doctor.facts.past.logs.summaries import planned_epochs
from opv2v_doctor.facts.past.logs.tracebacks import Traceback
from opv2v_doctor.facts.past.logs.writers import writing

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
    absent = logged_exceptions(log, [one for one in log.raised if one.missing and one.led_to != "handling"])
    for one in absent:
        yield _absent(log, one)
    if all(one.fate == "overcome" for one in absent):
        yield examined(launches_with_steps(log), "launch")


def _absent(log: Log, exception: LoggedException) -> Finding:
    first, name = exception.first, exception.first.missing
    frame = first.own_frame
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
    if not any(one.fate == "stopped" and not one.first.is_by_hand for one in found):
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
    kind = kind_of(log, first)
    kinds = [KINDS[kind][0]] if kind == "disk_full" else []  # torch's writer does not say so
    judged = note if first.is_by_hand else JUDGED[exception.fate]
    return judged(
        sentence([exception_and_place(first, first.own_frame), *kinds, *exception.consequences]),
        hint="" if first.is_by_hand else _remedy(log, exception) or "",
        at=Place(log.path, first.line),
        event=first.exception_line,
        exception_line=first.exception_line,
        tracebacks=len(log.tracebacks),
    )


def _remedy(log: Log, exception: LoggedException) -> Text | None:
    """What to do about an exception; about memory, disk and the like what helps against those."""
    if exception.fate == "overcome":
        return None
    if exception.fate == "survived":
        return Text("see whether what failed there is missing from the training")
    kind = kind_of(log, exception.first)
    if kind is not None:
        return remedy_against(log, kind)
    return Text("correct what it says, then {then}", then=way_on(log, exception.first.line))


HUNG = Threshold(7200, "s since the last line", "longer than a step, a save or an evaluation takes")


@check("LOG004", tier="run")
def training_ended_normally(target: Target) -> Findings:
    """The last launch came to its own end, after all epochs that it announced.

    ## Why it matters
    Out of memory, a rank that waits for another, a full disk, a kill or a power cut all look the same from
    outside: a log that stops. A training that ends some epochs early looks finished, but its learning rate
    has not come down.

    ## How to fix
    See the finding; then resume from the last checkpoint that can be read.
    """
    yield from each_log(text_logs(target), _ending)


def _ending(log: Log) -> Findings:
    last = log.launch_of(log.lines)
    stopped = stops(log)
    groups: dict[tuple[Fate, str], list[Incident]] = {}
    for one in outside(log):
        fate, causes = log.fate(one.line, one.line), stopped.get(log.launch_of(one.line), [])
        if fate == "survived" or (causes[0].incident and causes[0].incident.kind == one.kind):
            groups.setdefault((fate, one.kind), []).append(one)
    for (fate, kind), incidents in groups.items():
        yield _outside(log, fate, kind, incidents)
    cause = stopped[last][0] if last in stopped else None
    if cause and log.fate(cause.line, cause.line) == "overcome":  # then that was not the end
        cause = None
    if cause and (cause.incident is None or cause.incident.kind not in KINDS):
        yield _stop_reference(log, cause)
    yield from _nulls(log)
    if cause is None and not (log.nulls and log.nulls[2]):
        ends = [one for one in log.of("end") if log.launch_of(one.line) == last]
        yield from _normal_end(log, ends[-1]) if ends else _silent(log)


def _outside(log: Log, fate: Fate, kind: str, incidents: Sequence[Incident]) -> Finding:
    """What came from outside and stopped a launch, or did not."""
    what, hint = KINDS[kind][0], remedy_against(log, kind)
    first = incidents[0]
    said = Text(
        "{what}: {line} ({n:line|lines})", what=what, line=first.text[:200], n=len(incidents), kind=kind
    )
    return JUDGED[fate](
        sentence([said, AFTERMATH[fate]]) if fate in AFTERMATH else said,
        hint="" if fate == "overcome" else hint,
        at=Place(log.path, first.line),
        event=first.line,
    )


def _stop_reference(log: Log, stop: LaunchStop) -> Finding:
    """The last launch stopped for a reason that another check tells."""
    code, line = "LOG014", stop.line
    if stop.exception is not None:
        code = "LOG001" if stop.exception.missing else "LOG002"
        line = stop.exception.exception_line if stop.exception.missing else stop.exception.line
    if stop.exception is not None and stop.exception.is_by_hand:
        return warning(
            "the last launch was stopped by hand {place}",
            hint=way_on(log, line),
            at=Place(log.path, line),
            event=stop.line,
            place=_progress(log),
        )
    said = Text(
        "the last launch stopped {place} ({code}, line {line})",
        place=_progress(log),
        code=code,
        line=line,
    )
    launch = log.launch_of(stop.line)
    roots = [one.said for one in first_failures(log) if log.launch_of(one.line) == launch]
    return error(
        sentence([said, *roots[:1]]),
        hint=Text("fix {code} first", code=code),
        at=Place(log.path, line),
        event=stop.line,
    )


def _progress(log: Log) -> Text:
    """How far the last launch came."""
    launch = _last(log)
    if launch is None:
        return Text("before its first step")
    epoch, step = launch.last
    if not launch.steps:
        return Text("in epoch {epoch}", epoch=epoch)
    return Text("in epoch {epoch}, step {step} of {steps}", epoch=epoch, step=step, steps=launch.steps)


def _last(log: Log) -> Segment | None:
    """The last launch, if it made a step."""
    found = log.trained[-1] if log.trained else None
    return found if found and log.launch_of(found.place) == log.launch_of(log.lines) else None


def _nulls(log: Log) -> Findings:
    if log.nulls is None:
        return
    line, count, at_the_end = log.nulls
    if at_the_end:
        yield error(
            "{n:NUL byte ends|NUL bytes end} the log: the machine lost power, or the disk its last blocks",
            hint="look at the last checkpoint before you resume: opv2v-doctor checkpoint RUN",
            at=Place(log.path, line),
            event=line,
            n=count,
        )
    else:
        yield note(
            "{n:NUL byte|NUL bytes}: the file was cut off while it was written",
            at=Place(log.path, line),
            event=line,
            n=count,
        )


def _normal_end(log: Log, end: Incident) -> Findings:
    """The verdict on a launch that came to its own end."""
    if not log.trained:
        raise Skip("no step of a training in {log}", log=log.path)
    last = _last(log) or log.trained[-1]  # a launch with nothing left to do made no step
    epochs = planned_epochs(log)
    yield examined(1, "launch")
    if epochs is not None and last.last[0] + 1 < epochs:
        yield warning(
            "ended after {done:epoch|epochs} of {epochs:g}: the last one is epoch {epoch}",
            hint=Text("if it was not meant to stop early, {resume}", resume=way_on(log)),
            at=Place(log.path, end.line),
            event=end.line,
            done=last.last[0] + 1,
            epochs=epochs,
            epoch=last.last[0],
        )
        return
    said = Text("ended after epoch {epoch} and {time}", epoch=last.last[0], time=end.value)
    if epochs is None:
        said = Text("{said}; how many epochs were planned is not in the log", said=said)
    yield note(said, at=Place(log.path, end.line), event=end.line)


def _silent(log: Log) -> Findings:
    """The verdict on a launch whose log just stops."""
    yield from ()
    now = writing(log.path)
    if now is not None and now.age <= HUNG:
        raise Skip(
            "still written, by process {process}, {place}" if now.process else "still written, {place}",
            process=now.process or 0,
            place=_progress(log),
        )
    launch = _last(log)
    at = Place(log.path, launch.last_line if launch else log.starts[-1] if log.starts else log.lines)
    if now is not None:
        yield warning(
            "nothing was written for {hours:.0f} h, and process {process} still holds the log, {place}",
            hint=Text("see where it hangs: py-spy dump --pid {process}", process=now.process or 0),
            at=at,
            event=at.line,
            hours=now.age / 3600,
            process=now.process or 0,
            place=_progress(log),
        )
    elif launch is None:
        yield from _stepless(log, at)
    else:
        yield warning(
            "the log stops {place}, and no line that is known here says why",
            hint=way_on(log),
            at=at,
            event=at.line,
            place=_progress(log),
        )


def _stepless(log: Log, at: Place) -> Findings:
    """A launch that never made a step. One that evaluates only makes none, and statistics show no launch."""
    if any(part.first_line >= (at.line or 0) for part in log.phase("test")):
        raise Skip("an evaluation only: no step of a training in {log}", log=log.path)
    if not log.launches:
        raise Blocked(
            "no launch and no step of a training in {log}",
            hint="name a log that a training printed",
            log=log.path,
        )
    yield error(
        "the last launch never made a step: it died, hung or was killed before, and the log does not say why",
        hint="look for its error in what the launcher printed (stderr, the scheduler's file)",
        at=at,
        event=at.line,
    )
