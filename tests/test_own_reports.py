"""Only what is ours is replaced: every format that we write is known again, nothing of the user's is lost."""

from __future__ import annotations

import json
import os
import pickle
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from typer.testing import CliRunner

from opv2v_doctor.atomic import whole
from opv2v_doctor.cli.audit import AuditFormat
from opv2v_doctor.cli.log import LogFormat
from opv2v_doctor.cli.program import app
from opv2v_doctor.languages import LANGUAGES
from opv2v_doctor.own_reports import is_stream, stranger, verify_folder
from opv2v_doctor.reporters import Format
from opv2v_doctor.user_error import UsageError

from .forked import doctors

MISSION = Path(__file__).parents[1] / "examples" / "mission" / "train.log"
DOCTOR = f"{sys.executable} -m opv2v_doctor"
CHECKPOINT = b"PK\x03\x04" + bytes(26) + b"archive/data.pkl" + bytes(99)


def shell(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120, check=False)


def torch_like(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("best/data.pkl", pickle.dumps({}))


def numpy_like(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def parquet_like(path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"a": [1]}), path)


def of(content: str | bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content.encode() if isinstance(content, str) else content)


STRANGERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a checkpoint": (torch_like, "checkpoint of torch.save"),
    "an old checkpoint": (of(pickle.dumps({"model": 1})), "pickle"),
    "safetensors": (of((2).to_bytes(8, "little") + b'{"__metadata__":{}}'), "safetensors"),
    "an array": (numpy_like, "array of NumPy"),
    "a table": (parquet_like, "Parquet table of another"),
    "a list": (of("path,split,label\na,b,c\n"), "text that begins 'path,split,label'"),
    "notes": (of("opv2v-doctor is a program\n"), "text that begins 'opv2v-doctor is a program'"),
    "a config": (of("\n\nlr: 0.01\n"), "text that begins 'lr: 0.01'"),
    "json": (of('{"reports": [{"tool": {"name": "opv2v-doctor"}}]}'), "text"),
    "another tool's sarif": (
        of('{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "ruff"}}}]}'),
        "",
    ),
    "another tool's junit": (of('<testsuites name="pytest tests"><testsuite/></testsuites>'), "text"),
    "a page": (of('<!doctype html><head><title>opv2v-doctor</title></head><meta name="generator">'), "page"),
    "another tool's annotations": (of("::error file=a.py,title=Ruff (F401)::unused\n"), "text"),
    "markdown": (of("# opv2v-doctor\n"), "text"),
    "bytes": (of(bytes(range(256))), "binary data"),
    "latin": (of("gr\xfc\xdfe".encode("latin-1")), "binary data"),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_what_is_not_ours_is_told_apart_and_stays(name: str, tmp_path: Path) -> None:
    make, looks = STRANGERS[name]
    path = tmp_path / "file"
    make(path)
    before = path.read_bytes()
    assert looks in stranger(path)
    assert stranger(path)
    with pytest.raises(UsageError, match="not replaced"), whole(path) as partial:
        partial.write_text("new")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def twice(output: Path, *words: object) -> None:
    """Write a report, and write it again over the first."""
    for _ in range(2):
        ran = CliRunner().invoke(app, [*map(str, words), "--output", str(output)])
        assert ran.exit_code in (0, 1), (ran.output, ran.exception)
        assert output.stat().st_size
        assert stranger(output) == ""


@pytest.mark.parametrize("format", Format)
@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_report_of_any_format_is_replaced(format: Format, lang: str, healthy: Path, tmp_path: Path) -> None:
    output = tmp_path / "report"
    twice(output, "check", "CFG001", "--repo", healthy, "--format", format, "--lang", lang)


@pytest.mark.parametrize("format", Format)
def test_a_report_with_findings_is_replaced(format: Format, healthy: Path, tmp_path: Path) -> None:
    output = tmp_path / "report"
    twice(output, "check", "CFG001", "CFG002", "--repo", healthy, "--format", format, "model=???")


@pytest.mark.parametrize("format", get_args(LogFormat))
def test_what_log_writes_is_replaced(format: str, tmp_path: Path) -> None:
    twice(tmp_path / "log", "log", MISSION, "--format", format)


@pytest.mark.parametrize("format", AuditFormat)
def test_what_audit_writes_is_replaced(
    format: AuditFormat, healthy: Path, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    cache = tmp_path_factory.getbasetemp() / "audit-cache"
    words = [healthy / "data" / "OPV2V", "--cache", cache, "--workers", 1, "--format", format]
    twice(tmp_path / "audit", "audit", *words)


COMMANDS = {
    "run-all": "run-all --repo '{repo}' --output '{file}'",
    "check": "check CFG001 --repo '{repo}' --output '{file}'",
    "smoke": "smoke --repo '{repo}' --output '{file}'",
    "log": f"log '{MISSION}' --output '{{file}}'",
    "log csv": f"log '{MISSION}' --format csv --output '{{file}}'",
    "log html": f"log '{MISSION}' --format html --output '{{file}}'",
    "log parquet": f"log '{MISSION}' --format parquet --output '{{file}}'",
    "audit": "audit '{repo}/data/OPV2V' --output '{file}'",
    "init": "init '{repo}' --output '{file}'",
    "preview": "preview --repo '{repo}' --output '{file}'",
    "pointcloud": "pointcloud --repo '{repo}' --output '{file}'",
    "diagnose": "diagnose --repo '{repo}' --output '{file}'",
}


def test_every_command_refuses_before_the_work(healthy: Path, tmp_path: Path) -> None:
    file, link = tmp_path / "best.pth", tmp_path / "link.pth"
    file.write_bytes(CHECKPOINT)
    link.symlink_to(file)
    asked = [
        (path, shlex.split(words.format(repo=healthy, file=path)))
        for words in COMMANDS.values()
        for path in (file, link)
    ]
    for (path, words), ended in zip(asked, doctors([words for _, words in asked]), strict=True):
        assert (ended.returncode, ended.stdout) == (2, ""), (words, ended.stderr)
        assert str(path) in ended.stderr, words
        assert ended.stderr.count("\n") == 1, words
    assert file.read_bytes() == CHECKPOINT
    assert link.is_symlink()


def test_what_holds_nothing_is_replaced(tmp_path: Path) -> None:
    empty, dangling = tmp_path / "empty", tmp_path / "dangling"
    empty.touch()
    dangling.symlink_to(tmp_path / "new")
    for path in (empty, dangling, tmp_path / "other"):
        assert stranger(path) == ""
        with whole(path) as partial:
            partial.write_text("opv2v-doctor 1.0 examines /a\n")
    assert dangling.is_symlink()
    assert (tmp_path / "new").read_text().startswith("opv2v-doctor")


def test_a_file_that_came_during_the_work_stays(tmp_path: Path) -> None:
    path = tmp_path / "report"
    with pytest.raises(UsageError, match="not replaced"), whole(path) as partial:
        partial.write_text("new")
        path.write_bytes(CHECKPOINT)
    assert path.read_bytes() == CHECKPOINT


def test_a_stream_is_written_where_it_stands(healthy: Path, tmp_path: Path) -> None:
    script = f"{DOCTOR} check CFG001 --repo '{healthy}' --format json --output"
    kept = tmp_path / "kept.log"
    kept.write_text("of yesterday\n")
    assert shell(f"{script} /dev/stdout >> '{kept}'").returncode == 0
    assert kept.read_text().startswith("of yesterday\nopv2v-doctor ")
    assert '"tool": {' in kept.read_text()
    assert shell(f"{script} /dev/null").returncode == 0
    assert '"tool": {' in shell(f"{script} /dev/fd/3 3>&1 >&2").stdout
    assert '"tool": {' in shell(f"{script} >(cat) >&2; sleep 0.3").stdout


def test_what_is_read_or_lies_in_dev_is_no_stream(tmp_path: Path) -> None:
    given = tmp_path / "given.log"
    given.write_bytes(MISSION.read_bytes())
    ended = shell(f"{DOCTOR} log - --output /dev/stdin < '{given}'")
    assert (ended.returncode, "not replaced" in ended.stderr) == (2, True)
    assert given.read_bytes() == MISSION.read_bytes()
    shared = Path("/dev/shm") / f"{tmp_path.name}-{os.getpid()}.pth"
    shared.write_bytes(CHECKPOINT)
    try:
        assert not is_stream(shared)
        assert "checkpoint" in stranger(shared)
    finally:
        shared.unlink()


def test_no_neighbour_is_lost_to_a_partial_file(tmp_path: Path) -> None:
    neighbour = tmp_path / ".report.partial"
    neighbour.write_text("mine")
    with whole(tmp_path / "report") as partial:
        partial.write_text("new")
    assert neighbour.read_text() == "mine"


def test_a_folder_is_filled_again_but_what_was_put_into_it_stays(healthy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "page"
    script = f"{DOCTOR} preview --repo '{healthy}' --output '{folder}'"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    for _ in range(2):
        ended = shell(script)
        assert ended.returncode == 0, ended.stderr
    assert (folder / "notes.txt").read_text() == "mine"
    depth = next(folder.glob("*_depth.npy"))
    before = depth.read_bytes()
    for path in (depth, folder / "preview.html", folder / "summary.json"):
        saved = path.read_bytes()
        path.write_bytes(CHECKPOINT)
        ended = shell(script)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert path.name in ended.stderr or path.name == "summary.json"
        assert path.read_bytes() == CHECKPOINT
        path.write_bytes(saved)
    assert depth.read_bytes() == before
    assert not list(folder.glob(".*"))


def test_a_record_of_somebody_else_speaks_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text(json.dumps({"files": {}, "tool": {"name": "other"}}))
    with pytest.raises(UsageError, match=r"summary\.json would be replaced"):
        verify_folder(tmp_path, r".*", "summary.json")
