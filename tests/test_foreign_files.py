"""Files of somebody else: whatever lies in the place of a file, and whatever is in it, there is an answer."""

import json
import os
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from opv2v_doctor.foreign_files import (
    MOST_DOTS,
    bytes_of,
    from_json,
    from_toml,
    from_yaml,
    open_file,
    text_of,
)

from .forked import doctors

pytestmark = pytest.mark.slow
SECONDS = 20  # for an answer, on a busy machine
MEMORY = 2 << 30  # bytes: /dev/zero would fill it at once


def pipe(path: Path) -> None:
    os.mkfifo(path)


def link_to_a_pipe(path: Path) -> None:
    pipe(path.with_name("a pipe"))
    path.symlink_to("a pipe")


def link_to_zero(path: Path) -> None:
    path.symlink_to("/dev/zero")


def its_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made, tempfile.TemporaryDirectory(dir="/tmp") as short:
        made.bind(f"{short}/s")
        Path(f"{short}/s").rename(path)


Make = Callable[[Path], None]
KINDS: list[tuple[Make, str]] = [
    (pipe, "a named pipe"),
    (link_to_a_pipe, "a named pipe"),
    (link_to_zero, "a device"),
    (its_socket, "a socket"),
    (Path.mkdir, "a directory"),
]
each_kind = pytest.mark.parametrize(("make", "kind"), KINDS)


def answers(*commands: Sequence[object]) -> Iterator[subprocess.CompletedProcess[str]]:
    """What the program says, with little time and memory."""
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    return iter(doctors(commands, memory=MEMORY, seconds=SECONDS, env=env))


def made(folder: Path, name: str) -> Iterator[tuple[Path, str]]:
    """A file of this name of each kind, in a folder of its own, and what it is."""
    for number, (make, kind) in enumerate(KINDS):
        path = folder / str(number) / name
        path.parent.mkdir()
        make(path)
        yield path, kind


def refused(done: subprocess.CompletedProcess[str], path: Path, kind: str) -> None:
    """It ended with one line that names the file and what it is."""
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, ""), done
    assert str(path) in line and kind in line, done


def test_no_file_is_no_settings(tmp_path: Path) -> None:
    files = list(made(tmp_path, "opv2v-doctor.toml"))
    words = [("list", *way) for path, _ in files for way in (("--repo", path.parent), ("--settings", path))]
    said = answers(*words)
    for path, kind in files:
        refused(next(said), path, kind)
        refused(next(said), path, kind)


def test_no_file_is_no_record(tmp_path: Path) -> None:
    files = list(made(tmp_path, "run.json"))
    said = answers(*(("runs", command, path.parent) for path, _ in files for command in ("show", "verify")))
    for path, kind in files:
        refused(next(said), path, kind)
        refused(next(said), path, kind)


def test_no_file_is_no_log(tmp_path: Path) -> None:
    files = list(made(tmp_path, "train.log"))
    said = answers(*(("log", path, *how) for path, _ in files for how in ((), ("--follow",))))
    for path, kind in files:
        refused(next(said), path, "no log below it" if kind == "a directory" else kind)
        refused(next(said), path, kind)


def test_no_file_is_no_checkpoint(tmp_path: Path) -> None:
    for done in answers(*(("checkpoint", path) for path, _ in made(tmp_path, "checkpoint-last.pth"))):
        assert done.returncode in (1, 2), done
        assert "Traceback" not in done.stderr, done
        assert "checkpoint-last.pth" in done.stdout + done.stderr, done
        assert "not a file" in done.stdout or "no checkpoint" in done.stdout + done.stderr, done


def test_a_run_of_what_are_no_files_is_listed(tmp_path: Path) -> None:
    names = ("run.json", "train.log", "log.txt", "events.jsonl", "checkpoints.jsonl", "checkpoint-1.pth")
    for number, (make, _) in enumerate(KINDS):
        for name in names:
            folder = tmp_path / str(number) / "run" / name.partition(".")[0]
            folder.mkdir(parents=True)
            make(folder / name)
    commands = [("runs", "list", tmp_path / str(number)) for number in range(len(KINDS))]
    for done, (_, kind) in zip(answers(*commands), KINDS, strict=True):
        assert done.returncode == 0, done
        assert kind in done.stderr, done
        assert "Traceback" not in done.stderr, done


DEEP, DIGITS = 100_000, "9" * 4000
HOSTILE_TOML = {
    "arrays": f"gpus = {'[' * DEEP}{']' * DEEP}",
    "tables": f"launch = {'{a=' * DEEP}",
    "key": f"{'.'.join('a' * DEEP)} = 1",
    "header": f"[{'.'.join('a' * DEEP)}]\nx = 1",
    "number": f"gpus = {DIGITS}",
    "longer number": f"gpus = {DIGITS * 2}",
    "seconds": f"timeout = {DIGITS}",
    "real": f"timeout = 1e{DIGITS}",
    "exponent": "timeout = 1e4000",
    "launch": f"[launch.{DIGITS}]\noverrides = []",
    "digit": '[launch."²"]\noverrides = []',
    "nul": "gpus = 1\0",
    "large": f"# {'x' * (2 << 20)}",
}


def test_hostile_settings_are_a_usage_error(tmp_path: Path) -> None:
    paths = [tmp_path / name / "opv2v-doctor.toml" for name in HOSTILE_TOML]
    for path in paths:
        path.parent.mkdir()
        path.write_text(HOSTILE_TOML[path.parent.name], encoding="utf-8")
    for path, done in zip(paths, answers(*(("list", "--repo", path.parent) for path in paths)), strict=True):
        refused(done, path, "")


STAMP = {"stamp": {}, "digest": "", "started": "2026-01-01T00:00:00+00:00"}
HOSTILE_JSON = {
    "arrays": "[" * DEEP + "]" * DEEP,
    "objects": '{"a":' * DEEP,
    "schema": f'{{"schema": {DIGITS}}}',
    "longer schema": f'{{"schema": {DIGITS * 2}}}',
    "number": f'{{"schema": 1, "launches": [{{"number": {DIGITS}}}]}}',
    "null": "null",
    "list": "[]",
    "surrogate": '{"schema": "\\ud800"}',
    "no launches": '{"schema": 1, "launches": []}',
    "no zone": json.dumps({"schema": 1, "launches": [{**STAMP, "started": "2026-01-01T00:00:00"}]}),
    "bytes": "\0\0\0",
    "nothing": "",
}


def test_a_hostile_record_costs_its_row_and_not_the_list(tmp_path: Path) -> None:
    for name, text in HOSTILE_JSON.items():
        for run, content in (("good", json.dumps({"schema": 1, "launches": [STAMP]})), ("bad", text)):
            (tmp_path / name / run).mkdir(parents=True)
            (tmp_path / name / run / "run.json").write_text(content, encoding="utf-8")
    folders = [tmp_path / name for name in HOSTILE_JSON]
    said = answers(
        *(words for at in folders for words in (("runs", "show", at / "bad"), ("runs", "list", at)))
    )
    for folder in folders:
        bad = folder / "bad" / "run.json"
        refused(next(said), bad, "")
        done = next(said)
        rows = {line.split()[-1]: line for line in done.stdout.splitlines()[2:]}
        assert done.returncode == 0, done
        assert set(rows) == {"good", "bad"}, done
        assert "unreadable" in rows["bad"] and "interrupted" in rows["good"], done
        (line,) = done.stderr.splitlines()
        assert str(bad) in line, done


def test_a_number_that_no_float_holds_is_infinite() -> None:
    found = from_json(f'{{"one": {DIGITS * 2}, "two": -{DIGITS}, "three": 3}}')
    assert found == {"one": float("inf"), "two": float("-inf"), "three": 3}
    assert from_json(f'{{"one": {DIGITS}}}'.encode()) == {"one": float("inf")}
    assert from_json("9" * 300) == int("9" * 300)


@pytest.mark.parametrize("parse", [from_json, from_toml, from_yaml])
def test_what_does_not_parse_is_a_value_error(parse: Callable[[str], object]) -> None:
    for text in ("{" * DEEP, "[" * DEEP, chr(34), "\ud800 ="):
        with pytest.raises(ValueError):
            parse(text)


def test_a_key_of_many_parts_is_refused_and_one_of_fewer_is_read() -> None:
    assert from_toml(f"{'.'.join('a' * MOST_DOTS)} = 1")
    with pytest.raises(ValueError, match=f"more than {MOST_DOTS} dots in a line \\(at line 2\\)"):
        from_toml(f"b = 1\n{'.'.join('a' * (MOST_DOTS + 2))} = 1")


def test_a_file_is_read_whole_up_to_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\n")
    assert text_of(path) == "one\ntwo\nthree\n"
    assert bytes_of(path, largest=path.stat().st_size) == path.read_bytes()
    with pytest.raises(OSError, match="larger than"):
        bytes_of(path, largest=path.stat().st_size - 1)
    with pytest.raises(OSError, match="larger than"):  # its size is said to be nothing
        bytes_of(Path("/proc/self/maps"), largest=10)


@each_kind
def test_what_is_no_file_is_not_opened(make: Make, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "it"
    make(path)
    with pytest.raises(OSError, match=f"{kind}, not a file"):
        open_file(path)
