"""The process: its streams, which may be closed, full or of another encoding, and the signals that end it."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from pathlib import Path
from types import FrameType

import typer

ENOUGH = 141  # the exit code of a process whose reader had enough, as `| head` has
INTERRUPTED = 128  # and the number of the signal
HOMELESS = "the working directory was removed, or may not be entered: `cd` to one that is there"
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


class Ended(KeyboardInterrupt):
    """A signal asks us to end: what has to be cleaned up is, as at Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = INTERRUPTED + number


def prepare() -> None:
    """Open what is closed of the standard streams, let them say anything, and end tidily at a signal."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # else the next file of ours would become a standard stream of our children
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (as long as we live)
        elif getattr(stream, "errors", "") == "strict":
            with contextlib.suppress(AttributeError):
                stream.reconfigure(errors="backslashreplace")
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup means it
            signal.signal(number, _end)


def is_homeless() -> bool:
    """Whether our working directory is gone: no relative path means anything then."""
    try:
        return not os.getcwd()  # noqa: PTH109
    except OSError:
        return True


def _interrupt(number: int, _: FrameType | None) -> None:
    """End tidily at the first Ctrl-C, at once at the next one: who presses it again has waited enough.

    Processes of ours end when their pipe to us closes; the next command sweeps the folders.
    """
    signal.signal(number, _end_at_once)
    raise KeyboardInterrupt


def _end_at_once(number: int, _: FrameType | None) -> None:
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            if os.isatty(descriptor):  # a live line has hidden the cursor
                os.write(descriptor, b"\x1b[?25h")
    os._exit(INTERRUPTED + number)


def _end(number: int, _: FrameType | None) -> None:
    raise Ended(number)


def forget_output() -> None:
    """Let nothing more be written where nobody reads, or there is no room."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def exit_code_of(problem: KeyboardInterrupt | OSError) -> int:
    """What we end with where somebody stops us, or nothing can be written. Raises other problems."""
    if isinstance(problem, BrokenPipeError):
        forget_output()
        return ENOUGH
    if isinstance(problem, KeyboardInterrupt):
        typer.echo("opv2v-doctor: interrupted", err=True)
        return getattr(problem, "exit_code", INTERRUPTED + signal.SIGINT)
    if problem.errno in UNWRITABLE:
        forget_output()
        typer.echo(f"opv2v-doctor: the report cannot be written: {problem.strerror}", err=True)
        return 3
    if problem.filename is None and is_homeless():
        typer.echo(f"opv2v-doctor: {HOMELESS}", err=True)
        return 2
    if problem.filename is not None:  # what the user named, or a folder that is not the user's
        typer.echo(f"opv2v-doctor: {os.fsdecode(problem.filename)}: {problem.strerror}", err=True)
        return 2
    raise problem


def user() -> str:
    """Who we are; a number where this machine has no name for it, as in a container."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
