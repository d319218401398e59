"""How a command tells its results: details, several files, languages, and options that do something."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from opv2v_doctor.cli.program import app
from opv2v_doctor.sandbox import write_repository
from opv2v_doctor.user_error import UsageError

MISSION = Path(__file__).parents[2] / "examples/mission/train.log"


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("untrained") / "repository"
    write_repository(folder)
    return folder


def ran(*words: object, **env: str) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words], env=env, catch_exceptions=False)


def test_a_run_writes_each_file_in_the_format_of_its_suffix_and_says_so(repo: Path, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.sarif", "b.md", "c.json", "d.txt")]
    done = ran("check", "CFG001", "-C", repo, *(word for file in files for word in ("-o", file)))
    assert done.exit_code == 0
    assert [f"wrote {file} (" in done.stderr for file in files] == [True] * 4
    assert json.loads(files[0].read_text())["version"] == "2.1.0"
    assert files[1].read_text().startswith("## ✅ opv2v-doctor")
    assert json.loads(files[2].read_text())["counts"]["passed"] == 1
    assert "  ✓ CFG001" in files[3].read_text() and "  ✓ CFG001" not in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "report.doc"], "no format has the suffix .doc: use one of .json, .xml"),
        (["-o", "report"], "no format has no suffix"),
        (["-o", "a.md", "-o", "a.md"], "given twice"),
        (["-o", "a.md", "-o", "b.md", "--format", "json"], "--format and several --output"),
        (["-v", "-q"], "choose one"),
        (["--write-baseline"], "Give --baseline FILE"),
    ],
)
def test_what_does_not_go_together_is_refused_before_the_work(
    words: list[str], said: str, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=said.replace(".", r"\.")):
        ran("check", "CFG001", "--repo", repo, *words)
    assert list(tmp_path.iterdir()) == []


def test_details_are_chosen(repo: Path) -> None:
    usual, all_of_it, failures = (ran("log", MISSION, *words).stdout for words in ([], ["-v"], ["-q"]))
    assert "LOG001" not in usual and "22 passed" in usual
    assert "✓ LOG001" in all_of_it and "note: NameError" in all_of_it
    assert "LOG005" in failures and "LOG015" not in failures and "examines" not in failures
    assert len(usual.splitlines()) < 25 < len(all_of_it.splitlines())


def test_the_language_is_that_of_the_variable() -> None:
    assert "训练" in ran("list", OPV2V_DOCTOR_LANG="zh").stdout
    assert "训练" not in ran("list", "--lang", "en", OPV2V_DOCTOR_LANG="zh").stdout


def test_init_takes_the_repository_as_other_commands_do(repo: Path, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    assert ran("init", "--repo", repo, "--output", file).exit_code == 0
    assert "[infer]" in file.read_text()
    with pytest.raises(UsageError, match="once"):
        ran("init", repo, "--repo", repo, "--output", tmp_path / "other.toml")


@pytest.mark.parametrize("name", ["check", "log", "runs", "demo"])
def test_h_is_help(name: str) -> None:
    assert ran(name, "-h").stdout == ran(name, "--help").stdout


def test_smoke_shows_no_option_that_changes_nothing() -> None:
    commands: Any = typer.main.get_command(app)
    names = {param.name for param in commands.commands["smoke"].params}
    assert not names & {"split", "run", "num_samples"}


def test_runs_are_listed_and_shown_in_a_language(tmp_path: Path) -> None:
    launch = {
        "stamp": {
            "gate": {"exit_code": 0, "forced": "a trial"},
            "commit": "0123456789abcdef",
            "world_size": 2,
        },
        "digest": "",
        "started": "2026-01-02T03:04:05Z",
        "status": "failed",
    }
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "run.json").write_text(json.dumps({"schema": 1, "launches": [launch]}))
    (head, *_), (_, row) = (
        ran("runs", "list", tmp_path, "--lang", lang).stdout.splitlines()[1:] for lang in ("zh", "en")
    )
    assert "提交" in head and "GPU" in head
    assert "failed" in row and "passed, forced: a trial" in row and "0 of unknown" in row
    shown = ran("runs", "show", tmp_path / "one", "--lang", "zh").stdout
    assert "通过" in shown and "2 个进程" in shown
    told = ran("runs", "show", tmp_path / "one").stdout
    assert "2 processes, steps per epoch unknown" in told
    assert "commit 0123456789abcdef on a detached head" in told
