"""The command `checkpoint`: what checkpoint files say, and what changed from one to another."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from opv2v_doctor.check import Severity
from opv2v_doctor.cli import options
from opv2v_doctor.languages import say as said_in
from opv2v_doctor.reporters import Detail

if TYPE_CHECKING:
    from opv2v_doctor.check import Examined, Finding
    from opv2v_doctor.forensics.exhibit import Exhibit
    from opv2v_doctor.reporters import Say


SCHEMA = 2  # of the JSON documents


class ShowOrDiff(TyperGroup):
    """A group whose first command need not be named: `checkpoint PATH` is `checkpoint show PATH`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["show", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=ShowOrDiff,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def checkpoint() -> None:
    """Say what checkpoints hold, without running what is in them.

    `checkpoint PATH...`, `checkpoint diff A B`.
    """


Form = Literal["text", "json", "csv"]  # for people, or for programs
DiffForm = Literal["text", "json"]  # for people, or for programs
Paths = Annotated[list[Path], typer.Argument(help="Checkpoints, or folders of them.", show_default=False)]
Deep = Annotated[
    bool,
    typer.Option("--deep", help="Read all values and checksums: NaN, infinity, all zero, norm of each part."),
]
Model = Annotated[
    Path | None,
    typer.Option(
        help="A checkpoint of the model that shall be loaded: how much of it would be.", show_default=False
    ),
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="List every difference of the configs, not the first 20.")
]
Format = Annotated[Form, typer.Option("--format", help="The table: for people, or for programs.")]
DiffFormat = Annotated[DiffForm, typer.Option("--format", help="For people, or for programs.")]
One = Annotated[Path, typer.Argument(metavar="A", help="The earlier checkpoint.")]
Other = Annotated[Path, typer.Argument(metavar="B", help="The later checkpoint.")]


@app.command("show")
def show(
    paths: Paths,
    deep: Deep = False,
    model: Model = None,
    format: Format = "text",
    strict: options.Strict = False,
    lang: options.Lang = "en",
    verbose: Verbose = False,
    quiet: options.Quiet = False,
) -> None:
    """Show each file's counters, learning rates, size and config, and what is wrong with it.

    Reads what torch.save wrote (zip), safetensors, and the shards of either.
    """
    from opv2v_doctor.forensics.exhibit import exhibits
    from opv2v_doctor.forensics.verdicts import among, code_of, judge
    from opv2v_doctor.user_error import UsageError

    if model is not None and not model.exists():
        raise UsageError(f"--model {model}: no such file")
    detail = options.detail_of(verbose, quiet)
    found = list(exhibits(paths))
    for exhibit in found:
        judge(exhibit, deep=deep, model=model)
    findings = [finding for exhibit in found for finding in exhibit.findings] + list(among(found))
    code = code_of(found, findings, strict=strict)
    if format == "text":
        _write(_told(found, findings, partial(said_in, language=lang), detail, deep))
    else:
        _write(_show(found, findings, format, code))
    raise typer.Exit(code)


def _told(
    found: list[Exhibit], findings: list[Finding], say: Say, detail: Detail, deep: bool
) -> Iterable[str]:
    """What was found, for people: at the least what is wrong, at the most every difference of the configs."""
    from opv2v_doctor.forensics import tables

    if detail is not Detail.FAILURES:
        yield from tables.lines(found, say, deep=deep, in_full=detail is Detail.EVERYTHING)
        yield ""
    yield from _ending(findings, [one for exhibit in found for one in exhibit.examined], say, detail)


def _show(found: list[Exhibit], findings: list[Finding], form: Form, code: int) -> Iterable[str]:
    from opv2v_doctor.facts.past.checkpoints.scans import by_module
    from opv2v_doctor.forensics import tables

    seen = [one for exhibit in found for one in exhibit.examined]
    against = tables.with_config(found)
    rows = [tables.row(exhibit, against) for exhibit in found]
    if form == "csv":
        yield from _csv(rows)
        return
    for row, exhibit in zip(rows, found, strict=True):
        row["config"] = {key: list(pair) for key, pair in tables.config_changes(exhibit, against).items()}
        row["launch"] = {key: list(pair) for key, pair in tables.changes_since_launch(exhibit).items()}
        row["modules"] = [tables.module_record(scan) for scan in by_module(exhibit.scans)]
        row["states"] = [tables.module_record(scan) for scan in by_module(exhibit.states)]
    yield _json({"schema": SCHEMA, "files": rows, **_as_json(findings, seen), "exit_code": code})


@app.command("diff")
def diff(
    one: One,
    other: Other,
    format: DiffFormat = "text",
    strict: options.Strict = False,
    lang: options.Lang = "en",
    quiet: options.Quiet = False,
) -> None:
    """Show what changed from A to B, and what did not move at all."""
    from opv2v_doctor.forensics import difference
    from opv2v_doctor.forensics.exhibit import exhibits
    from opv2v_doctor.forensics.verdicts import code_of, judge
    from opv2v_doctor.user_error import UsageError

    found = [each for path in (one, other) for each in exhibits([path])]
    if len(found) != 2:
        raise UsageError("diff compares two checkpoints: name two files")
    for exhibit in found:
        judge(exhibit, deep=False, model=None, checksums=True)
    before, after = found
    refused = any(exhibit.refused for exhibit in found)
    both = None if refused else difference.movements_between(before, after)
    movement, states = both or (None, None)
    if movement and states:
        after.add(*difference.findings_between(before, after, movement, states))
    findings = [finding for exhibit in found for finding in exhibit.findings]
    seen = [one for exhibit in found for one in exhibit.examined]
    code = code_of(found, findings, strict=strict)
    if format == "json":
        document = {"schema": SCHEMA, **difference.record(before, after, movement, states)}
        _write([_json({**document, **_as_json(findings, seen), "exit_code": code})])
    else:
        say, detail = partial(said_in, language=lang), options.detail_of(False, quiet)
        told = [] if quiet else [*difference.lines(before, after, movement, states, say), ""]
        _write([*told, *_ending(findings, seen, say, detail)])
    raise typer.Exit(code)


def _ending(findings: list[Finding], seen: list[Examined], say: Say, detail: Detail) -> Iterable[str]:
    from opv2v_doctor.forensics.tables import finding_lines
    from opv2v_doctor.forensics.verdicts import verdict

    least = Severity.WARNING if detail is Detail.FAILURES else Severity.NOTE
    yield from finding_lines([finding for finding in findings if finding.severity >= least], say)
    yield say(verdict(findings, seen))


def _as_json(findings: list[Finding], seen: list[Examined]) -> dict[str, Any]:
    """Findings and evidence as in the JSON report."""
    return {
        "examined": [{"count": one.count, "unit": one.unit} for one in seen],
        "findings": [_record(finding) for finding in findings],
    }


def _record(finding: Finding) -> dict[str, Any]:
    from opv2v_doctor.reporters.json import plain

    return {
        "severity": finding.severity.name.lower(),
        "message": finding.message,
        "template": finding.text.template,
        "values": {name: plain(value) for name, value in finding.text.values.items()},
        "path": str(finding.path) if finding.path else None,
        "line": finding.line,
        "hint": plain(finding.hint),
    }


def _json(document: Any) -> str:
    """JSON that every reader takes: no NaN, and what is no JSON as its text."""
    import json

    from opv2v_doctor.facts.past.checkpoints.arguments import finite

    return json.dumps(finite(document), indent=1, default=str, allow_nan=False)


def _csv(rows: list[dict[str, Any]]) -> Iterable[str]:
    import csv
    import io

    from opv2v_doctor.neutral import cell

    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    rates = ({**row, "learning_rates": " ".join(map(str, row["learning_rates"]))} for row in rows)
    writer.writerows({name: cell(value) for name, value in row.items()} for row in rates)
    yield from text.getvalue().splitlines()


def _write(lines: Iterable[str]) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    for line in lines:
        typer.echo(line.encode(encoding, "backslashreplace").decode(encoding))
