"""The options that several commands share, with one wording each."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opv2v_doctor.check import Tier
from opv2v_doctor.cli import completion
from opv2v_doctor.languages import Language
from opv2v_doctor.reporters import BY_SUFFIX, Detail, Format

if TYPE_CHECKING:
    from opv2v_doctor.target import Target


SPLITS = completion.SPLITS

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        help="Hydra overrides, such as dataset=NAME.",
        show_default=False,
        autocompletion=completion.overrides,
    ),
]
Repo = Annotated[
    Path | None,
    typer.Option(
        "--repo", "-C", help="The training repository.  [default: the working directory]", show_default=False
    ),
]
Python = Annotated[
    str | None,
    typer.Option(
        help="The training interpreter.  [default: the one that runs the doctor]", show_default=False
    ),
]
SettingsFile = Annotated[
    Path | None,
    typer.Option("--settings", help="Settings file.  [default: REPO/opv2v-doctor.toml]", show_default=False),
]
Gpus = Annotated[
    int | None,
    typer.Option(
        "--gpus",
        "-g",
        min=1,
        help="World size of the launch.  [default: settings, else 1]",
        show_default=False,
    ),
]
Split = Annotated[
    list[str] | None,
    typer.Option(
        "--split",
        "-s",
        help="Examine this split only: train, val or test; repeatable.",
        show_default=False,
        autocompletion=completion.splits,
    ),
]
Run = Annotated[
    Path | None,
    typer.Option(
        "--run",
        help="Directory of the run to examine.  [default: the last one]",
        show_default=False,
        autocompletion=completion.runs,
    ),
]
NumSamples = Annotated[
    int | None, typer.Option(min=1, help="Samples to draw of each split.  [default: 4]", show_default=False)
]
Timeout = Annotated[
    float | None,
    typer.Option(
        min=0.1, max=1e6, help="Seconds that one question may take.  [default: 300]", show_default=False
    ),
]
UpTo = Annotated[
    Tier, typer.Option("--tier", help="Examine up to: config and source, samples of the data, or runs.")
]
Select = Annotated[
    list[str] | None,
    typer.Option(
        help="Run these checks (code, family or name) and what they need.",
        show_default=False,
        autocompletion=completion.checks,
    ),
]
Ignore = Annotated[
    list[str] | None,
    typer.Option(
        help="Do not run this check: 'CODE: reason'; repeatable.",
        show_default=False,
        autocompletion=completion.ignores,
    ),
]
ReportFormat = Annotated[
    Format | None, typer.Option("--format", help="Format of the report.  [default: text]", show_default=False)
]
Lang = Annotated[
    Language,
    typer.Option(
        "--lang",
        envvar="OPV2V_DOCTOR_LANG",
        help="Language of text, markdown and html; LANG is not asked, since reports are passed on.",
    ),
]


Recording = Annotated[
    Path | None,
    typer.Option(
        "--rrd",
        help="Write a recording for rerun's viewer, too: a new file (extra `rerun`).",
        show_default=False,
    ),
]


def verify_splits(target: Target) -> None:
    """Raise UsageError for a `--split` that no dataset has."""
    from opv2v_doctor.user_error import unknown

    for split in target.splits:
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)


def reachable(output: Path | None) -> Path | None:
    """The file of `--output`. Raises UsageError where it cannot be written: before the work, not after it."""
    if output is not None:
        verify_reachable(output, "--output")
    return output


def verify_reachable(file: Path, word: str) -> None:
    """Raises UsageError where the file that an option names cannot be written."""
    import os

    from opv2v_doctor.own_reports import is_stream
    from opv2v_doctor.user_error import UsageError

    try:
        if is_stream(file):
            return
        if file.is_dir():
            raise UsageError(f"{word} {file}: cannot be written: it is a directory")
        file.exists()
        folder = Path(os.path.realpath(file)).parent  # behind a link
        known = folder.is_dir()
    except OSError as problem:  # a name that is too long, a folder that we may not enter
        raise UsageError(f"{word} {file}: cannot be written: {problem.strerror}") from None
    if not known:
        raise UsageError(f"{word} {file}: cannot be written: no such directory")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{word} {file}: cannot be written: Permission denied")


def writable(output: Path | None) -> Path | None:
    """The file of `--output` for a report: one that can be written, and replaces nothing but one of ours."""
    from opv2v_doctor.own_reports import verify_replaceable

    if reachable(output) is not None and output is not None:
        verify_replaceable(output)
    return output


def writable_each(outputs: list[Path] | None) -> list[Path]:
    """The files of `--output`, each of them writable, and a different one."""
    from opv2v_doctor.user_error import UsageError

    found = [path for output in outputs or () if (path := writable(output)) is not None]
    if twice := next((path for path in found if found.count(path) > 1), None):
        raise UsageError(f"--output {twice}: given twice")
    return found


def written_as(output: Path, format: str | None, known: Mapping[str, str] = BY_SUFFIX) -> str:
    """The format of a report file: the one that is asked for, else that of its suffix.

    Raises UsageError for a suffix that no format has: who wanted HTML must not find text.
    """
    from opv2v_doctor.own_reports import is_stream
    from opv2v_doctor.user_error import UsageError

    if format is not None:
        return format
    if found := known.get(output.suffix):
        return found
    if not output.suffix and is_stream(output):
        return Format.TEXT
    told = f"the suffix {output.suffix}" if output.suffix else "no suffix"
    raise UsageError(f"--output {output}: no format has {told}: use one of {', '.join(known)}, or --format")


def output_option(known: Mapping[str, str]) -> Any:
    """The option `--output` of a command that writes what has these suffixes."""
    return typer.Option(
        "--output",
        "-o",
        help=f"Write a report here, too, in the format of its suffix: {', '.join(known)}; repeatable.",
        show_default=False,
        callback=writable_each,
    )


def report_files(
    outputs: list[Path] | None, format: str | None, known: Mapping[str, str] = BY_SUFFIX
) -> tuple[tuple[Path, str], ...]:
    """The files of `--output` with the format of each. Raises UsageError for a suffix that no format has."""
    from opv2v_doctor.user_error import UsageError

    files = outputs or []
    if len(files) > 1 and format is not None:
        raise UsageError("--format and several --output: leave --format out, the suffix of each file says it")
    return tuple((file, written_as(file, format, known)) for file in files)


Outputs = Annotated[list[Path] | None, output_option(BY_SUFFIX)]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Tell each check that passed, and its notes.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Tell failures only.")]
Plugins = Annotated[
    bool | None,
    typer.Option(
        "--plugins/--no-plugins",
        help="Run the plugins of the settings, or leave them out.  [default: those that you `trust`]",
        show_default=False,
    ),
]
BaselineFile = Annotated[
    Path | None,
    typer.Option("--baseline", help="Findings that are known: only new ones fail.", show_default=False),
]
WriteBaseline = Annotated[
    bool, typer.Option("--write-baseline", help="Make what is found now the --baseline file.")
]
Strict = Annotated[bool, typer.Option("--strict", help="A warning fails, too.")]


@dataclass(frozen=True, kw_only=True)
class Presentation:
    """How results are told: on the terminal, and into which files in which formats."""

    format: str | None = None
    files: tuple[tuple[Path, str], ...] = ()
    language: Language = "en"
    strict: bool = False
    detail: Detail = Detail.FAMILIES
    baseline: Path | None = None
    writes_baseline: bool = False
    announces: bool = True  # the files that were written


def detail_of(verbose: bool, quiet: bool) -> Detail:
    """How much is told. Raises UsageError for both at once."""
    from opv2v_doctor.user_error import UsageError

    if verbose and quiet:
        raise UsageError("--verbose and --quiet: choose one")
    return Detail.EVERYTHING if verbose else Detail.FAILURES if quiet else Detail.FAMILIES


def presentation_of(
    format: ReportFormat = None,
    output: Outputs = None,
    lang: Lang = "en",
    strict: Strict = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
    baseline: BaselineFile = None,
    write_baseline: WriteBaseline = False,
) -> Presentation:
    """What these options say of how results are told. Raises UsageError for what does not go together."""
    from opv2v_doctor.user_error import UsageError

    if write_baseline and baseline is None:
        raise UsageError("--write-baseline: into which file? Give --baseline FILE, too")
    return Presentation(
        format=format,
        files=report_files(output, format),
        language=lang,
        strict=strict,
        detail=detail_of(verbose, quiet),
        baseline=baseline,
        writes_baseline=write_baseline,
    )


def target_of(
    repo: Repo = None,
    python: Python = None,
    settings: SettingsFile = None,
    gpus: Gpus = None,
    split: Split = None,
    run: Run = None,
    num_samples: NumSamples = None,
    timeout: Timeout = None,
) -> Target:
    """The target that these options and the settings describe, whether its script is there or not."""
    from opv2v_doctor.target import make_target

    return make_target(
        repo=repo,
        python=python,
        settings_file=settings,
        gpus=gpus,
        splits=tuple(split or ()),
        run=run,
        num_samples=num_samples,
        timeout=timeout,
        needs_script=False,
    )


def verify_script(target: Target) -> None:
    """Raise UsageError where the target has no training script."""
    from opv2v_doctor.target import verify_script

    verify_script(target.repo, target.settings)


def taking(
    make: Callable[..., Any], name: str, verify: Callable[[Any], None] | None = None, unless: str = ""
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options of what makes its argument of this name, and that one verified.

    Where its own option `unless` is given, the argument is what was said to those options instead.
    """

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        shared = _parameters(make)
        own = _parameters(command, leave_out=name)

        @functools.wraps(command)
        def with_it(**given: Any) -> Any:
            words = {name: given.pop(name) for name in shared}
            made = words if given.get(unless) is not None else make(**words)
            if verify is not None and made is not words:
                verify(made)
            return command(**{name: made}, **given)

        parameters = [*own.values(), *shared.values()]
        vars(with_it)["__signature__"] = inspect.Signature(parameters)
        with_it.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return with_it

    return decorated


takes_target = taking(target_of, "target", verify_script)
takes_presentation = taking(presentation_of, "presentation")


def _parameters(function: Callable[..., Any], leave_out: str = "") -> dict[str, inspect.Parameter]:
    """A function's parameters, annotations evaluated, but for those whose types would cost an import."""
    costly = {str(function.__annotations__.get(name)): None for name in (leave_out, "target", "return")}
    found = inspect.signature(function, locals=costly, eval_str=True).parameters
    return {name: parameter for name, parameter in found.items() if name != leave_out}
