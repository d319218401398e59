"""Benchmarks run: each in its smallest form, to its last ratio. What they measure is for `make bench`."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMES = sorted(path.stem for path in (ROOT / "benchmarks").glob("[a-z]*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_runs_to_its_end(name: str) -> None:
    command = [sys.executable, "-m", "benchmarks", "--smallest", name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    rows = done.stdout.splitlines()
    assert rows
    assert all(re.search(r" -?\d+\.\d\d [<>]= [\d.]+ +not measured", row) for row in rows), done.stdout
