"""The command serve: what it prints, and what it refuses."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="no starlette and uvicorn: make test")
COMMAND = "from opv2v_doctor.cli import main; main()"


def serve(*words: str, hide: str = "", **env: str) -> subprocess.Popen[str]:
    hidden = f"import sys; sys.modules['{hide}'] = None; " if hide else ""
    return subprocess.Popen(
        [sys.executable, "-uc", hidden + COMMAND, "serve", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **env},
    )


def test_it_serves_until_interrupted_and_says_how_to_look_from_afar(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("here")
    with serve(str(tmp_path), "--port", "0", SSH_CONNECTION="192.0.2.9 5000 192.0.2.1 2222") as process:
        assert process.stdout is not None
        head = [process.stdout.readline() for _ in range(5)]
        (port,) = re.findall(r"here:\s+http://127\.0\.0\.1:(\d+)/", "".join(head))
        assert re.search(rf"ssh -N -L {port}:127\.0\.0\.1:{port} -p 2222 \S+@192\.0\.2\.1\n", "".join(head))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/files/a.html", timeout=60) as answer:
            assert answer.read() == b"here"
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
    assert rest == ""


@pytest.mark.parametrize(
    ("words", "hide", "said"),
    [
        (["--host", "0.0.0.0"], "", "can be reached by others: give --token"),
        (["no/such/directory"], "", "no such directory"),
        ([], "uvicorn", "pip install 'opv2v-doctor[serve]'"),
    ],
)
def test_what_cannot_be_is_a_usage_error(words: list[str], hide: str, said: str) -> None:
    process = serve(*words, hide=hide)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert said in errors
