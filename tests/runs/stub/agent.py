"""An agent like torchrun's, without torch: ranks in sessions of their own, a file for each, and a table."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

TABLE = """\
Root Cause (first observed failure):
[0]:
  time      : now
  host      : here
  rank      : {rank} (local_rank: {rank})
  exitcode  : {code} (pid: {pid})
  error_file: <N/A>
"""


def main(output: Path, ranks: int, command: list[str]) -> int:
    """Start the ranks; when one fails, name it and end the others."""
    started = [
        start(output / "attempts" / "attempt_0" / str(rank), rank, ranks, command) for rank in range(ranks)
    ]

    def pass_on(number: int, frame: FrameType | None) -> None:
        for process in started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        for process in started:  # as torchrun does: who left at once would have them ended less gently
            process.wait()
        sys.exit(1)

    signal.signal(signal.SIGINT, pass_on)
    signal.signal(signal.SIGTERM, pass_on)
    while True:
        living = [process for process in started if process.poll() is None]
        failed = [(rank, process) for rank, process in enumerate(started) if process.returncode]
        if failed:
            for process in living:
                process.send_signal(signal.SIGTERM)
            rank, process = failed[0]
            sys.stdout.write(TABLE.format(rank=rank, code=process.returncode, pid=process.pid))
            return 1
        if not living:
            return 0
        time.sleep(0.02)


def start(folder: Path, rank: int, ranks: int, command: list[str]) -> "subprocess.Popen[bytes]":
    """One rank, its output in its own files."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "stdout.log").open("ab") as out, (folder / "stderr.log").open("ab") as problems:
        return subprocess.Popen(
            command,
            env={**os.environ, "RANK": str(rank), "WORLD_SIZE": str(ranks)},
            stdout=out,
            stderr=problems,
            start_new_session=True,
        )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
