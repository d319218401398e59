"""Many commands of the doctor for the price of one start: each is forked from a process that imported it."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

IMPORTED = ("program", "catalogue", "checkpoint", "log", "runs", "train")  # of opv2v_doctor.cli
FORK = """
import importlib, json, os, resource, signal, sys

commands, folder, memory, seconds, imported, sys.executable = json.loads(sys.stdin.read())
if memory:
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
for name in imported:
    importlib.import_module(f"opv2v_doctor.cli.{name}")
import opv2v_doctor.checks
from opv2v_doctor.cli import main

for number, words in enumerate(commands):
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for descriptor in (1, 2):
            os.dup2(os.open(f"{folder}/{number}.{descriptor}", os.O_WRONLY | os.O_CREAT), descriptor)
        signal.alarm(seconds)
        sys.argv = ["opv2v-doctor", *words]
        main()
        sys.exit()
    with open(f"{folder}/{number}.0", "w") as code:
        code.write(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
"""


def doctors(
    commands: Sequence[Sequence[object]], *, memory: int = 0, seconds: int = 120, **options: object
) -> list[subprocess.CompletedProcess[str]]:
    """What each command says, one after the other; `memory` bounds the addresses of each, in bytes.

    One that takes longer than these seconds is killed, and so has a negative exit code.
    """
    listed = [[str(word) for word in words] for words in commands]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-c", FORK],
            input=json.dumps([listed, folder, memory, seconds, IMPORTED, sys.executable]),
            text=True,
            timeout=60 + seconds * len(listed),
            check=True,
            **options,  # type: ignore[call-overload]
        )
        parts = [
            [Path(folder, f"{number}.{part}").read_text() for part in range(3)]
            for number in range(len(listed))
        ]
    return [
        subprocess.CompletedProcess(words, int(code), said, errors)
        for words, (code, said, errors) in zip(listed, parts, strict=True)
    ]
