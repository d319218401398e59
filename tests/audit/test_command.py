"""Tests of the audit command: formats, exit codes, and what a user may get wrong."""

import csv
import json
from importlib.resources import files
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
import typer
from typer.testing import CliRunner

from opv2v_doctor.audit.file_record import COLUMNS
from opv2v_doctor.cli.audit import audit
from opv2v_doctor.user_error import UsageError

app = typer.Typer()
app.command()(audit)


@pytest.fixture
def command(dataset: Path, tmp_path: Path) -> list[str]:
    """The words of an audit of the healthy copy."""
    words = [dataset / "data", "--depth", dataset / "depth", "--cache", tmp_path / "cache", "--workers", 1]
    return [str(word) for word in words]


def test_a_healthy_dataset_ends_with_0(command: list[str]) -> None:
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert sum(line.startswith("train ") for line in lines) == 1
    assert lines[-1].startswith("fingerprint ")
    assert "launch" not in result.stdout
    assert "\x1b" not in result.output


def test_a_broken_dataset_ends_with_1_and_names_the_file(command: list[str], first_frame: Path) -> None:
    first_frame.write_text("nonsense")
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert first_frame.name in result.stdout


def test_a_hazard_ends_with_1_only_when_strict(command: list[str], first_frame: Path) -> None:
    first_frame.with_suffix(".pcd").unlink()
    assert CliRunner().invoke(app, command).exit_code == 0
    assert CliRunner().invoke(app, [*command, "--strict"]).exit_code == 1


def test_a_folder_that_holds_no_dataset_ends_with_3(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    words = [str(tmp_path / "empty"), "--cache", str(tmp_path / "cache")]
    assert CliRunner().invoke(app, words).exit_code == 3


def test_json_follows_the_schema_of_all_reports(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--format", "json"])
    schema = json.loads((files("opv2v_doctor") / "report.schema.json").read_text())
    document = json.loads(result.stdout)
    jsonschema.validate(document, schema)
    assert document["target"]["gpus"] is None
    assert [entry["code"] for entry in document["results"]] == [f"AUD{n:03d}" for n in range(1, 14)]


@pytest.mark.parametrize("format", ["junit", "sarif", "github", "markdown"])
def test_every_format_of_reports_is_written(command: list[str], format: str) -> None:
    assert CliRunner().invoke(app, [*command, "--format", format]).exit_code == 0


def test_csv_holds_every_record(command: list[str]) -> None:
    lines = CliRunner().invoke(app, [*command, "--format", "csv"]).stdout.splitlines()
    header, *records = csv.reader(lines)
    assert tuple(header) == COLUMNS
    assert len(records) == 180


def test_one_audit_writes_several_files(command: list[str], tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("records.csv", "audit.json", "audit.md")]
    result = CliRunner().invoke(app, [*command, *(word for path in paths for word in ("-o", str(path)))])
    assert result.exit_code == 0
    assert result.stderr.count("opv2v-doctor: wrote ") == len(paths)
    assert len(paths[0].read_text().splitlines()) == 181
    assert json.loads(paths[1].read_text())["exit_code"] == 0
    assert paths[2].read_text().startswith("#")
    assert "13 checks passed" in result.stdout


def test_parquet_holds_every_record(command: list[str], tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="no pyarrow: make test")
    output = tmp_path / "records.parquet"
    result = CliRunner().invoke(app, [*command, "--output", str(output)])
    assert "13 checks passed" in result.stdout
    table = parquet.read_table(output)
    assert tuple(table.column_names) == COLUMNS
    assert table.num_rows == 180
    assert set(table.column("kind").to_pylist()) == {"frame", "image", "cloud", "depth"}


@pytest.mark.parametrize(
    "words",
    [
        ["gone"],
        ["data", "--depth", "gone"],
        ["data", "--format", "parquet"],
        ["nosuch://bucket/OPV2V"],
        ["data", "--cache", "data/cache"],
        ["data", "--output", "gone/report.json"],
        ["data", "--output", "report.docx"],
    ],
)
def test_a_wrong_word_is_a_usage_error(
    dataset: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(dataset)
    monkeypatch.setenv("XDG_CACHE_HOME", str(dataset.parent / "cache"))
    result = CliRunner().invoke(app, [*words, "--workers", "1"])
    assert isinstance(result.exception, UsageError), result.output


def test_the_training_here_says_which_dataset(
    healthy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(healthy)
    result = CliRunner().invoke(app, ["--cache", str(tmp_path), "--workers", "1", "-v"])
    assert result.exit_code == 0, result.output
    assert "depth maps" in result.stdout


def test_a_real_frame_passes(real_frame: Path, tmp_path: Path) -> None:
    words = [str(real_frame), "--cache", str(tmp_path), "--workers", "1", "--format", "json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0
    found = json.loads(result.stdout)["results"]
    # The folder holds one moment, one split and no depth: what needs more of them says so.
    skipped = {entry["code"] for entry in found if entry["status"] == "skipped"}
    assert skipped == {"AUD005", "AUD008", "AUD010", "AUD011", "AUD012"}
    assert {entry["status"] for entry in found} == {"passed", "skipped"}
