"""Training interpreters for the price of a fork: a process that has imported torch becomes each of them.

Importing torch takes longer than most questions, and hundreds of tests ask an interpreter of their own. Where
a Python is started to serve questions, warm_client.py hands what it got to the warm process, which forks.
"""

from __future__ import annotations

import array
import contextlib
import gc
import importlib
import json
import os
import random
import resource
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
INSIDE = str(HERE.parent / "opv2v_doctor" / "inside" / "__main__.py")
IMPORTED = ("torch", "torch._dynamo", "torch.distributed", "cv2", "hydra.main", "yaml")
READ_AT_START = ("PYTHON", "LD_PRELOAD", "OMP_")  # variables that a fork cannot take up any more
TAKEN_UP = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")  # except these
ASKS = """#!{python} -ISE
import sys
sys.path.insert(0, {here!r})
from warm_client import main
main({address!r}, {python!r}, *sys.argv[1:])
"""
MOST = 250  # descriptors that a message can hold
ASIDE = 500  # where a fork lays the descriptors that it got, before each gets its own number


def start(folder: Path) -> tuple[subprocess.Popen[bytes], Path]:
    """Start a warm process, which ends with its standard input, and write the Python that asks it.

    Until it is ready, and for all else than questions, that is the Python that we are; the programs beside
    that one stand beside this one, too.
    """
    python, address = folder / "bin" / "python", folder / "warm"
    python.parent.mkdir()
    for program in Path(sys.executable).parent.iterdir():
        is_python = program.name.startswith("python")
        (python.parent / program.name).symlink_to(python if is_python else program)
    python.unlink(missing_ok=True)
    python.write_text(ASKS.format(here=str(HERE), python=sys.executable, address=str(address)))
    python.chmod(0o755)
    process = subprocess.Popen([sys.executable, "-B", __file__, str(address)], stdin=subprocess.PIPE)
    return process, python


def read_at_start(variables: dict[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in variables.items()
        if name.startswith(READ_AT_START) and name not in TAKEN_UP
    }


class WarmProcess:
    """Forks itself for whoever asks; a fork's group ends with it, and with who asked."""

    def __init__(self, address: str) -> None:
        self.clients: dict[int, socket.socket] = {}  # by the fork's process
        self.environment = read_at_start(dict(os.environ))
        self.wake, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: who started us ends us
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(address)
        self.listening.listen(64)

    def serve(self) -> None:
        """Until who started us is gone."""
        ready: list[int] = []
        while sys.stdin.fileno() not in ready:
            who = {client.fileno(): pid for pid, client in self.clients.items()}
            watched = [sys.stdin.fileno(), self.wake, self.listening.fileno(), *who]
            ready, _, _ = select.select(watched, [], [])
            if self.wake in ready:
                os.read(self.wake, 4096)
            for descriptor in who.keys() & ready:  # it says nothing more: it has ended
                os.kill(who[descriptor], signal.SIGKILL)
            self.reap()
            if self.listening.fileno() in ready:
                with contextlib.suppress(OSError, ValueError, struct.error):  # it ended while it asked
                    self.accept()
        for pid in self.clients:
            kill_group(pid)

    def accept(self) -> None:
        """Fork for the next who asks, unless what it wants needs a Python of its own."""
        client, _ = self.listening.accept()
        head, ancillary, _, _ = client.recvmsg(8, socket.CMSG_SPACE(4 * MOST))
        got = array.array("i")
        for _, _, numbers in ancillary:
            got.frombytes(numbers)
        words, folder, variables, numbers, limits = json.loads(
            client.makefile("rb").read(struct.unpack("q", head)[0])
        )
        wanted = words[:2] == ["-B", INSIDE] and read_at_start(variables) == self.environment
        pid = os.fork() if wanted else 0
        if wanted and not pid:
            take_place(numbers, list(got), limits)
            become(words[1:], folder, variables)
        for descriptor in got:
            os.close(descriptor)
        say(client, pid)
        if pid:
            self.clients[pid] = client

    def reap(self) -> None:
        """Tell who asked for what has ended."""
        for pid in list(self.clients):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                kill_group(pid)
                say(self.clients.pop(pid), os.waitstatus_to_exitcode(status))


def say(client: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):
        client.sendall(struct.pack("q", number))


def kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def take_place(numbers: list[int], got: list[int], limits: dict[str, tuple[int, int]]) -> None:
    """In the fork: have a group, the descriptors by their numbers, and the limits of who asked."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for place, descriptor in enumerate(got):
        os.dup2(descriptor, ASIDE + place)
    os.closerange(0, ASIDE)
    for place, number in enumerate(numbers):
        os.dup2(ASIDE + place, number)
    os.closerange(ASIDE, ASIDE + len(got))
    for name, limit in limits.items():
        resource.setrlimit(getattr(resource, name), limit)


def become(words: list[str], folder: str, variables: dict[str, str]) -> None:
    """In the fork: be the Python that was asked for, to its end."""
    import numpy as np

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    sys.argv = words
    own = [path for path in variables.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:1] = [str(Path(words[0]).parent), *own]
    random.seed()  # what a new process draws by chance it draws anew
    np.random.seed()
    code: Any = 0
    try:
        runpy.run_path(words[0], run_name="__main__")
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


def main() -> None:
    for name in IMPORTED:
        importlib.import_module(name)
    address = Path(sys.argv[1])
    being_made = f"{address}.new"
    process = WarmProcess(being_made)
    gc.collect()
    gc.freeze()  # so that no fork copies what a collection would touch
    Path(being_made).rename(address)
    process.serve()


if __name__ == "__main__":
    main()
