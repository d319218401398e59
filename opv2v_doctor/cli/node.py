"""What a node of a SLURM job runs: `train`, the whole request given on standard input."""

from __future__ import annotations

import sys


def main() -> None:
    """Start the training that was asked for; ends with its exit code."""
    from opv2v_doctor.cli.train import start
    from opv2v_doctor.runs.request import read_request

    sys.exit(start(read_request(sys.stdin.read())))


if __name__ == "__main__":
    from opv2v_doctor.cli.program import run_guarded

    run_guarded(main)
