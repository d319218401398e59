"""A full disk: a clear word, the earlier checkpoint intact, and a record that is true."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from opv2v_doctor.runs.record import RunStatus, read_run

from .conftest import DOCTOR

if TYPE_CHECKING:
    from .conftest import Stub

# a small disk that only this script sees; it fills up after the first checkpoint
SCRIPT = """
mount -t tmpfs -o size=300k none "$DISK" || exit 99
(while [ ! -e "$DISK/one/checkpoint-last.pth" ]; do sleep 0.02; done; cat /dev/zero > "$DISK/filler") &
"$PYTHON" "$DOCTOR" "$DISK/one" 2 100000 0.005 none > "$KEPT/said" 2>&1
echo $? > "$KEPT/code"
wait
cp -r "$DISK/one" "$KEPT/one"
"$PYTHON" "$DOCTOR" "$DISK/one" 2 100000 0.005 none resume > "$KEPT/said-again" 2>&1
cmp "$DISK/one/run.json" "$KEPT/one/run.json" && cp -r "$DISK/one" "$KEPT/again"
rm "$DISK/filler"
"$PYTHON" "$DOCTOR" "$DISK/one" 2 3 0.005 none resume > "$KEPT/said-at-last" 2>&1
cp "$DISK/one/run.json" "$KEPT/last.json"
"""


def test_a_save_without_room_ends_the_run_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    kept.mkdir()
    env = {"DISK": str(disk), "KEPT": str(kept), "PYTHON": sys.executable, "DOCTOR": str(DOCTOR)}
    words = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", SCRIPT]
    subprocess.run(words, env={**env, "PATH": "/usr/bin:/bin"}, capture_output=True, timeout=60, check=False)
    if not (kept / "code").exists():
        pytest.skip("no small disk can be mounted: sysctl kernel.unprivileged_userns_clone=1")
    run = read_run(kept / "one")
    assert run.state is RunStatus.FAILED  # there was room left for this
    assert "the disk of the run directory is full" in (kept / "said").read_text()
    assert json.loads((kept / "one/checkpoint-last.pth").read_text())["step"] >= 5
    assert "no room" in (kept / "said-again").read_text()
    assert (kept / "again").exists()  # the record of before is as it was
    assert not (kept / "again/stamps/2/config.yaml").exists()
    assert json.loads((kept / "last.json").read_text())["status"] == "finished"


def test_a_stamp_without_room_leaves_nothing(stub: Stub) -> None:
    limited = f"ulimit -f 4; exec {sys.executable} {DOCTOR} '{stub.run}' 2 1 0.01 none"  # in blocks of 512
    done = subprocess.run(["sh", "-c", limited], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "cannot be written: no room" in done.stderr + done.stdout
    assert not stub.run.exists()
