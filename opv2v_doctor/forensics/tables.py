"""Tables: exhibits as rows for people and programs, and in what their configs differ."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from opv2v_doctor.check import Finding, Severity
from opv2v_doctor.facts.past.checkpoints.arguments import changes, launched_with
from opv2v_doctor.facts.past.checkpoints.counters import implied_steps_per_epoch
from opv2v_doctor.facts.past.checkpoints.scans import Scan, by_module
from opv2v_doctor.facts.past.pickles.machine import ascii_excerpt
from opv2v_doctor.forensics.exhibit import Exhibit
from opv2v_doctor.neutral import aligned
from opv2v_doctor.text import Text

if TYPE_CHECKING:
    from opv2v_doctor.reporters import Say

# What a training writes into its own config; it differs in every file and means nothing.
OWN = ("train_params.resume", "train_params.resume_ckpt", "train_params.start_epoch")
RANKS = "distributed."  # what each launch finds out for itself
LONGEST = 60  # characters of a value that are shown
SHOWN = 20

Changes = Mapping[str, tuple[Any, Any]]


def row(exhibit: Exhibit, against: Exhibit | None) -> dict[str, Any]:
    """All that is known of one exhibit, for programs."""
    found = exhibit.checkpoint
    return {
        "file": str(exhibit.path),
        "form": exhibit.form,
        "epoch": found.epoch if found else None,
        "optimizer_steps": found.steps if found and found.optimizer_steps else None,
        "steps_per_epoch": _implied_steps(exhibit),
        "learning_rates": list(found.learning_rates) if found else [],
        "best_so_far": found.best_so_far if found else None,
        "parameters": exhibit.parameters,
        "tensors": exhibit.tensors,
        "bytes": exhibit.size,
        "written": _time(exhibit.written),
        "config_differences": len(config_changes(exhibit, against)),
        "launch_differences": len(changes_since_launch(exhibit)),
    }


def _implied_steps(exhibit: Exhibit) -> float | None:
    found = exhibit.checkpoint
    return (
        implied_steps_per_epoch(found)
        if found and found.optimizer_steps and found.epoch is not None
        else None
    )


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    try:
        return datetime.datetime.fromtimestamp(seconds).isoformat(" ", "seconds")
    except (OverflowError, ValueError, OSError):
        return None


def with_config(exhibits: Sequence[Exhibit]) -> Exhibit | None:
    """The exhibit that the others' configs are compared with: the first that has one."""
    return next((each for each in exhibits if each.checkpoint and each.checkpoint.args), None)


def config_changes(exhibit: Exhibit, against: Exhibit | None) -> Changes:
    """In what the config of one file differs from that of another."""
    ours = exhibit.checkpoint.args if exhibit.checkpoint else None
    theirs = against.checkpoint.args if against and against.checkpoint else None
    if not ours or not theirs or exhibit is against:
        return {}
    return {key: values for key, values in changes(theirs, ours).items() if key not in OWN}


def changes_since_launch(exhibit: Exhibit) -> Changes:
    """In what the stored config differs from the one that Hydra wrote beside the file."""
    ours = exhibit.checkpoint.args if exhibit.checkpoint else None
    written = launched_with(exhibit.path) if ours else None
    if not ours or not written:
        return {}
    found = changes(written, {key: ours[key] for key in written if key in ours})
    return {key: values for key, values in found.items() if key not in OWN and not key.startswith(RANKS)}


def lines(exhibits: Sequence[Exhibit], say: Say, *, deep: bool, in_full: bool) -> Iterator[str]:
    """The table, the sub-modules where they were read, and the configs' differences, in full or the first."""
    against = with_config(exhibits)
    columns = (
        *(say("file"), say("form"), say("epoch"), say("steps"), say("steps/epoch"), say("lr"), say("best")),
        *(say("parameters"), "MB", say("written"), say("config")),
    )
    yield from aligned([columns, *(_cells(exhibit, against, say) for exhibit in exhibits)])
    for exhibit in exhibits:
        if deep and (exhibit.scans or exhibit.states):
            yield from ("", say(Text("weights of {file}", file=ascii_excerpt(str(exhibit.path)))))
            heads = (
                say("sub-module"),
                say("tensors"),
                say("parameters"),
                say("norm"),
                "NaN/Inf",
                say("all zero"),
            )
            yield from aligned([heads, *_modules(exhibit, say)])
    name = ascii_excerpt(str(against.path)) if against else ""
    most = None if in_full else SHOWN
    yield from _differences(name, {each: config_changes(each, against) for each in exhibits}, say, most)
    launched = {each: changes_since_launch(each) for each in exhibits}
    yield from _differences(".hydra/config.yaml", launched, say, most)


def _cells(exhibit: Exhibit, against: Exhibit | None, say: Say) -> tuple[str, ...]:
    cells = row(exhibit, against)
    implied = cells["steps_per_epoch"]
    rates = [f"{rate:.4g}" for rate in cells["learning_rates"]]
    alike = len({*rates}) == 1 and len(rates) > 1
    differing = [cells["config_differences"], cells["launch_differences"]]
    unlike = Text("{n} differ", n=sum(differing)) if any(differing) else Text("same")
    return (
        ascii_excerpt(str(exhibit.path)),
        exhibit.form,
        _word(cells["epoch"]),
        _word(cells["optimizer_steps"]),
        "-" if implied is None else f"{implied:g}",
        (f"{len(rates)} x {rates[0]}" if alike else " ".join(rates[:8])) or "-",
        "-" if cells["best_so_far"] is None else f"{cells['best_so_far']:.5g}",
        f"{exhibit.parameters}" if exhibit.parameters else "-",
        f"{exhibit.size / 1e6:.1f}",
        _word(cells["written"]),
        say(unlike) if exhibit.checkpoint and exhibit.checkpoint.args else "-",
    )


def _modules(exhibit: Exhibit, say: Say) -> Iterator[tuple[str, ...]]:
    for scan in (*by_module(exhibit.scans), *by_module(exhibit.states)):
        yield (
            scan.name,
            str(scan.tensors),
            str(scan.elements),
            f"{scan.norm:.5g}" if scan.unread < scan.tensors else say("not read"),
            str(scan.bad) if scan.bad else "-",
            say("yes") if scan.is_zero else "-",
        )


def _differences(against: str, found: Mapping[Exhibit, Changes], say: Say, most: int | None) -> Iterator[str]:
    """Each set of differences once, with the files that have it."""
    groups: dict[str, list[Exhibit]] = {}
    for exhibit, changed_values in found.items():
        groups.setdefault(repr(changed_values), []).append(exhibit)
    for group in groups.values():
        values = found[group[0]]
        if values:
            names = [ascii_excerpt(each.path.name) for each in group]
            title = Text(
                "config against {file}: {n} differ in {names}", file=against, n=len(values), names=names
            )
            yield from ("", say(title))
            yield from (
                f"  {short_value(key)}: {short_value(was)} -> {short_value(now)}"
                for key, (was, now) in islice(values.items(), most)
            )
        if most is not None and len(values) > most:
            yield say(Text("  and {n} more: -v lists all", n=len(values) - most))


def short_value(value: Any) -> str:
    """A value from a file, short and with nothing in it that a terminal would obey."""
    text = ascii_excerpt(f"{value:.9g}" if isinstance(value, float) else str(value))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _word(value: Any) -> str:
    return "-" if value is None else str(value)


def finding_lines(findings: Sequence[Finding], say: Say) -> Iterator[str]:
    """Findings as they are written everywhere: where, how bad, what, and what to do."""
    for finding in sorted(findings, key=lambda each: -each.severity):
        where = f"{ascii_excerpt(str(finding.at))}: " if finding.at else ""
        yield f"{where}{say(finding.severity.name.lower())}: {say(finding.text)}"
        if finding.hint and finding.severity > Severity.NOTE:
            yield f"  {say('fix: ')}{say(finding.hint)}"


def module_record(scan: Scan) -> dict[str, Any]:
    """A sub-module's numbers; JSON has no infinity."""
    return {
        "module": scan.name,
        "tensors": scan.tensors,
        "parameters": scan.elements,
        "norm": scan.norm if math.isfinite(scan.norm) else None,
        "bad": scan.bad,
        "unread": scan.unread,
        "all_zero": scan.is_zero,
    }
