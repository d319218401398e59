"""A Python that asks a warm process for a fork, and ends as that ends; else it is the Python that it names.

Run as `python -ISE warm_client.py ADDRESS PYTHON WORDS...`. The fork gets our descriptors, limits, folder and
environment, and the signals that we get. Standard library only: it starts for each question.
"""

import array
import json
import os
import resource
import signal
import socket
import struct
import sys
from pathlib import Path

LIMITS = ("RLIMIT_AS", "RLIMIT_DATA", "RLIMIT_CORE", "RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_NPROC")
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
REFUSED = 0


def descriptors() -> list[int]:
    """Those that we inherited."""
    listed = list(map(int, os.listdir("/proc/self/fd")))  # noqa: PTH208
    found = []
    for number in listed:
        try:
            if os.get_inheritable(number):
                found.append(number)
        except OSError:
            pass  # that of the listing itself
    return found


def ask(server: socket.socket, words: list[str]) -> int:
    """The process of the fork, or REFUSED."""
    passed = descriptors()
    limits = {name: resource.getrlimit(getattr(resource, name)) for name in LIMITS}
    asked = json.dumps([words, str(Path.cwd()), dict(os.environ), passed, limits]).encode()
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", passed))]
    server.sendmsg([struct.pack("q", len(asked))], rights)
    server.sendall(asked)
    return number_from(server, REFUSED)


def number_from(server: socket.socket, otherwise: int) -> int:
    """The next number that the warm process says."""
    said = server.recv(8)
    return int(struct.unpack("q", said)[0]) if said else otherwise


def main(address: str, python: str, *words: str) -> None:
    server = socket.socket(socket.AF_UNIX)
    try:
        server.connect(address)
        pid = ask(server, list(words))
    except OSError:  # it is not ready yet, or gone
        pid = REFUSED
    if pid == REFUSED:
        os.execv(python, [python, *words])
    for number in PASSED_ON:
        signal.signal(number, lambda number, _: os.kill(pid, number))
    for descriptor in descriptors():
        os.close(descriptor)
    code = number_from(server, -signal.SIGKILL)
    if code < 0:
        if code != -signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:])
