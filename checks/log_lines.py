"""Log: the lines of metrics that can be read, and those that cannot."""

from collections.abc import Sequence

from opv2v_doctor import (
    Findings,
    Place,
    Skip,
    Target,
    Text,
    check,
    counted,
    examined,
    note,
    sentence,
    warning,
)
from opv2v_doctor.facts.past.logs import each_log, judged_logs
from opv2v_doctor.facts.past.logs.log_files import Log
from opv2v_doctor.facts.past.logs.segments import Segment

SHOWN = 5  # launches


@check("LOG003", tier="run")
def every_metric_line_can_be_read(target: Target) -> Findings:
    """Every line that looks like metrics can be read.

    ## Why it matters
    What cannot be read is not guessed at: it is missing from the table and from every verdict. Lines of
    several ranks that run into one another are the usual reason.

    ## How to fix
    Let one rank write the log, or write one file for each.
    """
    yield from each_log(judged_logs(target), _lines)


def _lines(log: Log) -> Findings:
    if log.source == "events":
        raise Skip("{log} holds events, not lines", log=log.path)
    if log.unparsed_count:
        line, text = log.unparsed[0]
        yield warning(
            "{n:line looks|lines look} like metrics and cannot be read, first: {said}",
            hint="write a log for each rank, if lines of several ranks run into one another here",
            at=Place(log.path, line),
            n=log.unparsed_count,
            said=text[:160],
        )
    if log.cut:
        line, text = log.cut
        yield note(
            "the last line lacks its end: {said}", at=Place(log.path, line), event=line, said=text[:80]
        )
    yield note(_summary(log.lines, log.trained), at=log.path)
    yield examined(log.unparsed_count + sum(part.count for part in log.parts), "metric line")


def _summary(lines: int, launches: Sequence[Segment]) -> Text:
    """What was read."""
    read = Text(
        "{lines}, {launches} that trained",
        lines=counted(lines, "line"),
        launches=counted(len(launches), "launch"),
    )
    return sentence([read, *map(_launch, launches[:SHOWN])])


def _launch(launch: Segment) -> Text:
    return Text(
        "line {line}: {cause}, epoch {first} to {last}, {steps} steps per epoch"
        if launch.steps
        else "line {line}: {cause}, epoch {first} to {last}",
        line=launch.place,
        cause=launch.cause,
        first=launch.first[0],
        last=launch.last[0],
        steps=launch.steps,
    )
