"""Log: what happened to the last training, as its log tells it: launches, exceptions, and how it ended."""

import re
import time
from collections.abc import Callable, Iterator, Sequence

from opv2v_doctor import Finding, Findings, Target, check, error, note, warning
from opv2v_doctor.facts.logs import judged_logs
from opv2v_doctor.facts.logs.log_files import Log
from opv2v_doctor.facts.logs.tracebacks import Traceback

MISSING = re.compile(
    r"name '(\w+)' is not defined|cannot import name '(\w+)'|No module named '([\w.]+)'|"
    r"has no attribute '(\w+)'"
)
STILL_WRITTEN = 600  # seconds since the last line
ENDS = {
    "out_of_memory": (
        "out of memory",
        "train_params.max_num_of_imgs_per_gpu=LESS, or fewer workers: dataset.num_workers=LESS",
    ),
    "nccl_timeout": (
        "a collective timed out: one rank was missing",
        "look for the first rank that stopped: its traceback comes first",
    ),
    "disk_full": ("the disk was full", "make room, and resume: train_params.resume=true"),
    "killed": ("it was killed", "ask the queue or dmesg why, and resume: train_params.resume=true"),
}


@check("LOG001", tier="run")
def every_name_was_found(target: Target) -> Findings:
    """Every class and module that the launches asked for was there.

    ## Why it matters
    A launch from another checkout, or with another copy of the package installed, finds an older code: the
    class that the config names does not exist there. The traceback says which copy it was.

    ## How to fix
    Launch from the root of the repository with `PYTHONPATH` set to it, and remove the other copy.
    """
    for log in judged_logs(target):
        absent = [found for found in log.raised if _missing(found) and not found.follows]
        for alike in _grouped(absent):
            yield _absent(target, log, alike)


def _missing(found: Traceback) -> str:
    """The name that an exception says is not there, empty where it says something else."""
    if not found.name.endswith(("NameError", "ImportError", "ModuleNotFoundError", "AttributeError")):
        return ""
    match = MISSING.search(found.message)
    of_an_object = found.name == "AttributeError" and not found.message.startswith(("module", "partially"))
    if match is None or of_an_object:
        return ""
    return next(group for group in match.groups() if group)


def _absent(target: Target, log: Log, alike: Sequence[Traceback]) -> Finding:
    found, name = alike[0], _missing(alike[0])
    at = next((frame for frame in reversed(found.frames) if not frame.path.startswith("<")), None)
    copy = _copy(at.path) if at else ""
    others = sorted({_copy(job.value) for job in log.of("job")} - {copy, ""}) if copy else []
    where = f", raised in {at.path}:{at.line}" if at else ""
    ranks = f" (by {len(alike)} ranks)" if len(alike) > 1 else ""
    other = f"; other launches of this log ran {', '.join(others)}" if others else ""
    judged, then = _judged(target, log, alike)
    return judged(
        f"{found.summary}{where}{ranks}{other}{then}",
        path=log.path,
        line=found.exception_line,
        hint=f"launch from the copy that defines {name}: cd {others[0] if others else 'REPO'}, PYTHONPATH=.",
        name=name,
        copy=copy,
        frames=[f"{frame.path}:{frame.line}" for frame in found.frames],
    )


def _copy(path: str) -> str:
    """The root of the checkout that a source file lies in, empty where it does not show."""
    root, *rest = re.split(r"/(?:mapanything|scripts)(?:/|$)", path, maxsplit=1)
    return root if rest else ""


def _grouped(found: Sequence[Traceback]) -> list[list[Traceback]]:
    """The tracebacks, those that say the same together."""
    groups: dict[str, list[Traceback]] = {}
    for one in found:
        groups.setdefault(one.summary[:300], []).append(one)
    return list(groups.values())


@check("LOG002", tier="run")
def no_launch_raised(target: Target) -> Findings:
    """No launch ended in an exception.

    ## Why it matters
    Ranks write their tracebacks at once, and the exception that stopped the training stands between those
    that only followed from it. They are told apart here, the first cause first. One after which the same
    launch trained on is a warning, one that a later launch overcame a note.

    ## How to fix
    Follow the first one; those that follow from it go with it.
    """
    for log in judged_logs(target):
        named = [found for found in log.raised if found.kind]
        causes = [found for found in named if not found.is_consequence]
        for alike in _grouped(causes or named):
            if not _missing(alike[0]):
                yield _raised(target, log, alike)
        for typed in [found for found in log.tracebacks if found.is_typed][:1]:
            said = f"somebody typed it into a debugger: {typed.summary[:200]}"
            yield note(said, path=log.path, line=typed.exception_line)


def _judged(target: Target, log: Log, alike: Sequence[Traceback]) -> tuple[Callable[..., Finding], str]:
    """How bad exceptions are, and what came of them: history only for who does not ask about a log."""
    if all(map(log.survived, alike)):
        return warning, "; the training went on"
    if not target.logs and all(log.overcome(one.exception_line) for one in alike):
        return note, "; a later launch went on"
    return error, ""


def _raised(target: Target, log: Log, alike: Sequence[Traceback]) -> Finding:
    first = alike[0]
    place = f", in {first.frames[-1].path}:{first.frames[-1].line}" if first.frames else ""
    ranks = f" (by {len(alike)} ranks)" if len(alike) > 1 else ""
    by_hand = first.name == "KeyboardInterrupt"
    judged, then = _judged(target, log, alike)
    return (warning if by_hand and judged is error else judged)(
        f"{first.summary}{place}{ranks}{then}",
        path=log.path,
        line=first.line,
        hint="resume: train_params.resume=true" if by_hand else "correct what it says, then resume",
        exception_line=first.exception_line,
        tracebacks=len(log.tracebacks),
    )


@check("LOG003", tier="run")
def every_metric_line_can_be_read(target: Target) -> Findings:
    """Every line that looks like metrics can be read.

    ## Why it matters
    What cannot be read is not guessed at: it is missing from the table and from every verdict. Lines of
    several ranks that run into one another are the usual reason.

    ## How to fix
    Let one rank write the log, or write one file for each.
    """
    for log in judged_logs(target):
        if log.unparsed_count:
            line, text = log.unparsed[0]
            yield warning(
                f"{log.unparsed_count} lines look like metrics and cannot be read, first: {text[:160]}",
                path=log.path,
                line=line,
                hint="let rank 0 alone write this file",
                count=log.unparsed_count,
            )
        if log.cut:
            yield note(f"the last line lacks its end: {log.cut[1][:80]}", path=log.path, line=log.cut[0])
        yield note(_summary(log), path=log.path)


def _summary(log: Log) -> str:
    """What was read."""
    launches = [
        f"line {segment.place}: {segment.cause}, epoch {segment.first[0]} to {segment.last[0]}"
        + (f", {segment.steps} steps an epoch" if segment.steps else "")
        for segment in log.segments
        if segment.trained
    ]
    counted = "1 launch" if len(launches) == 1 else f"{len(launches)} launches"
    return "; ".join([f"{log.lines} lines, {counted} that trained", *launches[:5]])


@check("LOG004", tier="run")
def training_ended_normally(target: Target) -> Findings:
    """The last launch reached its last epoch.

    ## Why it matters
    Out of memory, a rank that waits for another, a full disk, a kill or a power cut all look the same from
    outside: a log that stops.

    ## How to fix
    See the finding; then resume from the last checkpoint that can be read.
    """
    for log in judged_logs(target):
        if log.source != "text":
            continue
        yield from _reasons(target, log)
        yield from _nulls(log)
        start = log.segments[-1].place if log.segments else 0  # of the last launch
        end = [one for one in log.of("end") if one.line >= start]
        raised = [one for one in log.raised if one.line >= start]
        told = [one for one in log.of(*ENDS, "unstable") if one.line >= start]
        if end:
            yield note(f"ended normally after {end[-1].value}", path=log.path, line=end[-1].line)
        elif raised:
            last = max(raised, key=lambda one: one.exception_line)
            yield note(f"the last exception is {last.summary[:200]}", path=log.path, line=last.exception_line)
        elif log.segments and not told and log.nulls is None:
            yield _unfinished(log)


def _reasons(target: Target, log: Log) -> Iterator[Finding]:
    for kind, (what, hint) in ENDS.items():
        incidents = log.of(kind)
        if incidents:
            history = not target.logs and log.overcome(incidents[-1].line)
            yield (note if history else error)(
                f"{what}: {incidents[0].text[:200]} ({log.counts[kind]} lines)",
                path=log.path,
                line=incidents[0].line,
                hint=hint,
                count=log.counts[kind],
            )


def _nulls(log: Log) -> Iterator[Finding]:
    if log.nulls is None:
        return
    line, count, at_the_end = log.nulls
    if at_the_end:
        yield error(
            f"{count} NUL bytes end the log: the machine lost its power, or the disk its last blocks",
            path=log.path,
            line=line,
            hint="look at the last checkpoint before resuming: opv2v-doctor checkpoint RUN",
        )
    else:
        yield note(f"{count} NUL bytes: the file was cut off while it was written", path=log.path, line=line)


def _unfinished(log: Log) -> Finding:
    last = log.segments[-1]
    place = (
        f"in epoch {last.last[0]}, step {last.last[1]} of {last.steps}" if last.trained else "before a step"
    )
    if log.path.is_file() and time.time() - log.path.stat().st_mtime < STILL_WRITTEN:
        return note(f"still written, {place}", path=log.path, line=last.last_line)
    return warning(
        f"stops {place}, without a word",
        path=log.path,
        line=last.last_line or log.lines,
        hint="resume: train_params.resume=true, hydra.run.dir=RUN",
    )
