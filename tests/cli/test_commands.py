"""The commands as a user types them: real processes, their output and their exit codes."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
from typer.testing import CliRunner

from opv2v_doctor.cli.commands import PLACES
from opv2v_doctor.cli.program import app

Broken = Callable[..., Path]


def doctor(*words: object, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "opv2v_doctor", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **env},
        timeout=300,
        check=False,
    )


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder, git's own and byte code included, with the hash of its content."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def test_a_healthy_repository_passes_without_a_warning_and_stays_as_it_was(healthy: Path) -> None:
    before = contents(healthy)
    examined = doctor("run-all", "--repo", healthy, "--format", "json", "--strict")
    report = json.loads(examined.stdout)
    bad = [r for r in report["results"] if r["status"] not in ("passed", "skipped")]
    assert (bad, examined.returncode, examined.stderr) == ([], 0, "")
    assert contents(healthy) == before
    jsonschema.validate(report, json.loads(doctor("schema").stdout))
    passed = [result for result in report["results"] if result["status"] == "passed"]
    assert all(sum(one["count"] for one in result["examined"]) > 0 for result in passed)


def test_a_healthy_repository_passes_before_its_first_training(broken: Broken) -> None:
    repo = broken()
    shutil.rmtree(repo / "experiments")
    examined = doctor("run-all", "--repo", repo, "--format", "json", "--strict")
    skipped = {r["code"] for r in json.loads(examined.stdout)["results"] if r["status"] == "skipped"}
    assert (examined.returncode, examined.stderr) == (0, "")
    assert {"CKP001", "INF001", "INF006", "LOG001"} <= skipped
    assert not {"DAT009", "MSK002", "GEO008", "SCH001"} & skipped
    asked = doctor("check", "inference", "--repo", repo, "-v")
    assert (asked.returncode, "no checkpoint yet" in asked.stdout) == (0, True)
    assert "✓ INF007" in asked.stdout


def test_it_works_from_inside_the_repository(healthy: Path) -> None:
    examined = doctor("check", "config", cwd=healthy)
    assert (examined.returncode, examined.stderr) == (0, "")
    assert "✓ config  " in examined.stdout


def test_a_failure_ends_with_1_and_says_what_to_fix_first(broken: Broken) -> None:
    examined = doctor("check", "CFG006", "--repo", broken("eval_sets_share_a_key"))
    assert examined.returncode == 1
    assert "First to fix: CFG006" in examined.stdout
    assert "training.py:" in examined.stdout


def test_a_report_goes_into_a_file_while_text_goes_to_the_terminal(healthy: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    examined = doctor("check", "CFG001", "--repo", healthy, "--output", path)
    assert "CFG001" in examined.stdout
    assert json.loads(path.read_text())["exit_code"] == examined.returncode == 0


def test_trailing_words_are_overrides(healthy: Path) -> None:
    examined = doctor("check", "LDR001", "--repo", healthy, "--gpus", 5, "--format", "json")
    assert json.loads(examined.stdout)["target"]["gpus"] == 5
    refused = doctor("run-all", "--repo", healthy, "--tier", "static", "dataset=nothing_like_this")
    assert refused.returncode == 1
    assert "nothing_like_this" in refused.stdout


def test_rates_that_cannot_be_printed_are_said_in_a_line(healthy: Path) -> None:
    examined = doctor("check", "SCH001", "--repo", healthy, "--print-lr", "dataset=nothing_like_this")
    assert examined.returncode == 1
    assert examined.stderr.startswith("opv2v-doctor: --print-lr: ")
    assert "Traceback" not in examined.stderr


def test_rates_stand_beside_a_report_for_programs(healthy: Path) -> None:
    examined = doctor("check", "SCH001", "--repo", healthy, "--print-lr", "--format", "json")
    assert json.loads(examined.stdout)["exit_code"] == 0
    assert "lr 0" in examined.stderr


def test_an_interpreter_without_a_name_is_none(healthy: Path) -> None:
    refused = doctor("check", "CFG001", "--repo", healthy, "--python", "")
    assert (refused.returncode, "--python ''" in refused.stderr) == (2, True)


def test_print_lr_prints_the_start_of_each_epoch(healthy: Path) -> None:
    examined = doctor("check", "schedule", "--repo", healthy, "--print-lr")
    assert examined.stdout.count("lr 0") >= 1
    assert "epoch    2  default" in examined.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run-all", "--repo", "absent"], "no such directory"),
        (["run-all", "--repo", "."], "has no scripts/train.py"),
        (["check", "nonsense"], "unknown check 'nonsense'"),
        (["check"], "Missing argument"),
        (["check", "CFG001", "--python", "/absent/python"], "no such interpreter"),
        (["check", "CFG001", "--split", "validate"], "unknown split 'validate'"),
        (["check", "CFG001", "--ignore", "CFG001"], "give the reason"),
        (["check", "CFG001", "--ignore", "CFG999: x"], "CFG999"),
        (["check", "CFG001", "--settings", "absent.toml"], "cannot be read"),
        (["check", "CFG001", "--run", "absent"], "no such directory"),
        (["check", "CFG001", "--output", "absent/report.json"], "cannot be written"),
        (["explain", "XYZ123"], "unknown check"),
        (["demo", "--fault", "nothing"], "unknown fault"),
        (["run-all", "--tier", "deep"], "deep"),
        (["run-all", "--tier", "static", "--select", "masks"], "masks is of tier data"),
        (["check", "CFG001", "--timeout", "0"], "0.1"),
        (["init", "--output", "absent/settings.toml"], "no such directory"),
    ],
)
def test_a_wrong_word_ends_with_2_and_no_traceback(
    healthy: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    place = tmp_path if "--repo" in words else healthy
    before = contents(place)
    refused = doctor(*words, cwd=place)
    assert refused.returncode == 2, refused.stdout
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr
    assert contents(place) == before


def test_an_interpreter_that_dies_gives_no_answer(healthy: Path, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 9\n")
    python.chmod(0o755)
    examined = doctor("run-all", "--repo", healthy, "--tier", "static", "--python", python)
    assert examined.returncode in (1, 3)
    assert "exited with code 9" in examined.stdout
    assert "Traceback" not in examined.stdout + examined.stderr


def test_an_ignored_check_is_said_with_its_reason(healthy: Path) -> None:
    examined = doctor("check", "CFG001", "CFG002", "--repo", healthy, "--ignore", "CFG002: known")
    assert "ignored: known" in examined.stdout


def test_every_check_can_be_listed_and_explained() -> None:
    listed = [line.split()[0] for line in doctor("list").stdout.splitlines() if line.startswith("  ")]
    pages = doctor("explain", "--all").stdout
    assert listed
    assert all(f"# {code} " in pages for code in listed)
    assert doctor("explain", listed[0].lower()).stdout.startswith(f"# {listed[0]} ")


def test_the_published_pages_are_todays() -> None:
    published = Path(__file__).parents[2] / "docs" / "checks.md"
    assert published.read_text() == doctor("explain", "--all").stdout


def test_every_threshold_is_listed_where_it_is_defined() -> None:
    root = Path(__file__).parents[2]
    defined = {
        f"{'.'.join(path.relative_to(root).with_suffix('').parts).removeprefix('opv2v_doctor.')}.{name}"
        for package in ("opv2v_doctor", "checks")
        for path in (root / package).rglob("*.py")
        for name in re.findall(r"^([A-Z_]+) = Threshold\(", path.read_text(), re.MULTILINE)
    }
    page = doctor("explain", "--thresholds").stdout
    assert set(re.findall(r"^\| `([\w.]+)`", page, re.MULTILINE)) == defined
    assert page == (root / "docs" / "thresholds.md").read_text()


def test_the_schema_is_json() -> None:
    assert json.loads(doctor("schema").stdout)["$schema"].startswith("https://json-schema.org/")


def test_faults_are_listed_one_a_line_name_first() -> None:
    lines = doctor("demo", "--list-faults").stdout.splitlines()
    assert len(lines) >= 20
    assert all(line.split()[0].isidentifier() for line in lines)


def test_demo_does_not_overwrite(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep")
    refused = doctor("demo", tmp_path)
    assert refused.returncode == 2
    assert "not empty" in refused.stderr


def test_demo_names_the_fault_that_does_not_go_with_another(tmp_path: Path) -> None:
    faults = ("--fault", "flat_poses", "--fault", "vehicle_pose_for_lidar")
    refused = doctor("demo", "--no-train", tmp_path / "demo", *faults)
    assert refused.returncode == 2
    assert "--fault vehicle_pose_for_lidar cannot be put in beside the others" in refused.stderr


@pytest.mark.parametrize("name", ["it's", "a: b", "${x}"])
def test_demo_refuses_a_folder_that_its_configs_cannot_name(tmp_path: Path, name: str) -> None:
    refused = doctor("demo", tmp_path / name)
    assert refused.returncode == 2
    assert "no training finds its data" in refused.stderr
    assert not (tmp_path / name).exists()


def test_init_writes_settings_that_the_doctor_reads(broken: Broken) -> None:
    repo = broken()
    (repo / "opv2v-doctor.toml").unlink()
    made = doctor("init", repo)
    assert made.returncode == 0
    assert "dataset=opv2v_coop_ft" in made.stderr and "the first is drafted" in made.stderr
    text = (repo / "opv2v-doctor.toml").read_text()
    assert "[launch.5]" in text
    assert "[launch.4]" in text
    assert '"machine=demo", "model=mapanything", "loss=opv2v_pose_loss"' in text
    assert doctor("check", "CFG001", "--repo", repo).returncode == 0
    again = doctor("init", repo)
    assert again.returncode == 2
    assert "exists" in again.stderr


@pytest.mark.parametrize("name", PLACES)
def test_every_command_that_the_help_names_is_there(name: str) -> None:
    told = CliRunner().invoke(app, [name, "--help"])
    assert told.exit_code == 0
    assert f"{name} [OPTIONS]" in told.stdout


def test_a_command_with_a_typo_is_told_its_neighbour() -> None:
    told = CliRunner().invoke(app, ["chekc"])
    assert told.exit_code == 2
    assert "'check'" in told.output


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from opv2v_doctor.cli.program import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'cv2', 'yaml', 'git', 'pydantic', 'pandas', 'plotly', 'rich'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_the_static_tier_imports_nothing_heavy(healthy: Path) -> None:
    code = (
        "import sys; from opv2v_doctor.cli.program import app\n"
        f"try: app(['run-all', '--tier', 'static', '--repo', {str(healthy)!r}])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'cv2', 'pandas', 'plotly', 'tensorboard'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_colours_stay_away_from_pipes_and_from_who_wants_none(healthy: Path) -> None:
    assert "\x1b" not in doctor("check", "CFG001", "--repo", healthy).stdout
    script = [
        "script",
        "-qec",
        f"{sys.executable} -m opv2v_doctor check CFG001 --repo '{healthy}'",
        "/dev/null",
    ]
    drawn = subprocess.run(
        script, capture_output=True, text=True, check=False, env={**os.environ, "TERM": "xterm"}
    )
    assert "\x1b[" in drawn.stdout
    assert "CFG001" in drawn.stdout
