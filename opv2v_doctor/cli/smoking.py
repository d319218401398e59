"""One smoke test: launch, compare, and write the report as an examination does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from opv2v_doctor.cli.examination import FORMATS_BY_SUFFIX, head_of
from opv2v_doctor.cli.live import Display
from opv2v_doctor.cli.reporting import write_report
from opv2v_doctor.reporters import REPORTERS
from opv2v_doctor.result import Result, exit_code
from opv2v_doctor.runner import run
from opv2v_doctor.smoke import CHECKS
from opv2v_doctor.target import Target


def smoked(
    target: Target, ranks: int, *, format: str | None = None, output: Path | None = None, strict: bool = False
) -> int:
    """Run the smoke test, write the report, and return the exit code.

    Raises UsageError for a report file that cannot be written.
    """
    planned = with_ranks(target, ranks)
    strict = strict or target.settings.strict
    head = head_of(planned, strict)
    with Display(total=len(CHECKS)) as display:
        shown = REPORTERS["text" if output else format or "text"]
        for line in shown(_kept(planned, display), head):
            display.write(line)
    if output is not None:
        chosen = format or FORMATS_BY_SUFFIX.get(output.suffix, "text")
        write_report(output, REPORTERS[chosen](display.results, head))
    return exit_code(display.results, strict=strict)


def _kept(target: Target, display: Display) -> Iterator[Result]:
    for result in run(CHECKS, target, starting=display.start):
        display.finish(result)
        yield result


def with_ranks(target: Target, ranks: int) -> Target:
    """The launch of so many ranks; where the settings have none of that size, the planned one with fewer."""
    variants = dict(target.settings.launch.variants)
    if ranks in variants or target.gpus not in variants:
        return replace(target, gpus=ranks)
    return replace(target, gpus=ranks, overrides=(*variants[target.gpus].overrides, *target.overrides))
