"""The process: its streams, which may be closed, full or of another encoding, and the signals that end it."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import sys
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from types import FrameType

import typer

from opv2v_doctor.foreign_files import want_of
from opv2v_doctor.neutral import Plain

ENOUGH = 141  # the exit code of a process whose reader had enough, as `| head` has
INTERRUPTED = 128  # and the number of the signal
HOMELESS = "the working directory was removed, or may not be entered: `cd` to one that is there"
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
FEWEST = 64  # files that must be open at once: an examination needs 20
LEAST = 512 << 20  # bytes of addresses: less ends in the midst of a library


class Ended(KeyboardInterrupt):
    """A signal asks us to end: what has to be cleaned up is, as at Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = INTERRUPTED + number


def prepare() -> None:
    """Open what is closed of the standard streams, let them say text, no commands; end tidily at signals."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # else the next file of ours would become a standard stream of our children
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (as long as we live)
        elif type(stream) is TextIOWrapper:
            errors = "backslashreplace" if stream.errors == "strict" else stream.errors
            how = {each: getattr(stream, each) for each in ("encoding", "line_buffering", "write_through")}
            setattr(sys, name, Plain(stream.detach(), errors=errors, **how))
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup means it
            signal.signal(number, _end)


def verify_room() -> None:
    """End where the limits of this process would let something fail in the midst, and look like a fault."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    space, _ = resource.getrlimit(resource.RLIMIT_AS)
    lacking = ""
    if files != resource.RLIM_INFINITY and files < FEWEST:
        lacking = f"{files} open files are too few: `ulimit -n {4 * FEWEST}`"
    elif space != resource.RLIM_INFINITY and space < LEAST:
        lacking = f"{space >> 20} MiB of memory are too few: `ulimit -v unlimited`"
    if lacking:
        typer.echo(f"opv2v-doctor: {lacking}", err=True)
        sys.exit(3)


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """What libraries in C write to the standard error, as libpng does, is dropped; what we write is not.

    Children would be as quiet: start none in here that has something to say.
    """
    ours = sys.stderr
    if not isinstance(ours, Plain):  # the stream of somebody who calls us, as a test does
        yield
        return
    ours.flush()
    kept = os.dup(ours.fileno())
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), ours.fileno())
    sys.stderr = Plain(os.fdopen(kept, "wb", 0), ours.encoding, ours.errors, write_through=True)
    try:
        yield
    finally:
        os.dup2(kept, ours.fileno())
        sys.stderr.close()
        sys.stderr = ours


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
    """End tidily, once: `timeout` sends its signal twice, to us and to our group."""
    for each in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(each) is _end:
            signal.signal(each, lambda *_: None)  # children would inherit SIG_IGN
    raise Ended(number)


def forget_output() -> None:
    """Let nothing more be written where nobody reads, or there is no room."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def exit_code_of(problem: KeyboardInterrupt | OSError | MemoryError) -> int:
    """What we end with where somebody stops us, or this machine lacks something. Raises other problems."""
    if isinstance(problem, BrokenPipeError):
        forget_output()
        return ENOUGH
    if isinstance(problem, KeyboardInterrupt):
        if isinstance(problem, Ended):  # Python's last steps forget our handlers
            for each in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(each, signal.SIG_IGN)
        typer.echo("opv2v-doctor: interrupted", err=True)
        return getattr(problem, "exit_code", INTERRUPTED + signal.SIGINT)
    if isinstance(problem, MemoryError) or (problem.errno not in (*UNWRITABLE, None) and want_of(problem)):
        typer.echo(f"opv2v-doctor: this machine has no more {want_of(problem)}", err=True)
        return 3
    if problem.errno in UNWRITABLE:
        forget_output()
        what = os.fsdecode(problem.filename) if problem.filename is not None else "the report"
        typer.echo(f"opv2v-doctor: {what} cannot be written: {problem.strerror}", err=True)
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
