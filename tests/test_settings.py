"""Settings and target: what may be said, what wins, and what is said about a wrong word."""

import os
import sys
from pathlib import Path

import pytest

from opv2v_doctor.facts.source.syntax import hydra_main
from opv2v_doctor.settings import Infer, SettingsError, read_settings
from opv2v_doctor.target import make_target
from opv2v_doctor.user_error import UsageError

SETTINGS = """
gpus = 4
steps_per_epoch = 5000

[launch]
env = { PYTHONPATH = ".:/elsewhere" }
overrides = ["machine=mine"]
[launch.4]
overrides = ["dataset=four"]
[launch.5]
overrides = ["dataset=five"]
"""


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/train.py").write_text("")
    (tmp_path / "opv2v-doctor.toml").write_text(SETTINGS)
    return tmp_path


def problem(tmp_path: Path, text: str) -> str:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as raised:
        read_settings(path)
    return str(raised.value)


def test_the_world_size_chooses_the_overrides(repo: Path) -> None:
    assert make_target(repo=repo).launch_overrides == ("machine=mine", "dataset=four")
    assert make_target(repo=repo, gpus=5).launch_overrides == ("machine=mine", "dataset=five")
    assert make_target(repo=repo, gpus=6).launch_overrides == ("machine=mine",)


def test_the_users_overrides_come_last_and_win(repo: Path) -> None:
    assert make_target(repo=repo, overrides=("dataset=other",)).launch_overrides[-1] == "dataset=other"


def test_relative_import_paths_are_the_repositorys(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/inherited")
    paths = make_target(repo=repo).launch_env["PYTHONPATH"].split(os.pathsep)
    assert paths == [str(repo), "/elsewhere", "/inherited"]


def test_several_processes_get_the_threads_that_torchrun_gives_them(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert make_target(repo=repo, gpus=2).launch_env["OMP_NUM_THREADS"] == "1"
    assert "OMP_NUM_THREADS" not in make_target(repo=repo, gpus=1).launch_env
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert "OMP_NUM_THREADS" not in make_target(repo=repo, gpus=2).launch_env


def test_a_target_can_key_a_cache(repo: Path) -> None:
    assert hash(make_target(repo=repo)) == hash(make_target(repo=repo))
    assert make_target(repo=repo) != make_target(repo=repo, gpus=5)


def test_an_unknown_key_names_file_line_word_and_the_known_ones(tmp_path: Path) -> None:
    message = problem(tmp_path, "gpus = 4\nselct = ['x']\n")
    assert "settings.toml:2: unknown setting 'selct'; did you mean 'select'?" in message
    assert "steps_per_epoch" in message


def test_an_unknown_key_in_a_table_names_that_tables_keys(tmp_path: Path) -> None:
    assert "unknown setting 'flor'; did you mean 'floor'?" in problem(tmp_path, "[masks]\nflor = 0.1\n")
    assert "did you mean 'overrides'?" in problem(tmp_path, "[launch.4]\noverride = []\n")
    assert "did you mean 'script'?" in problem(tmp_path, "[launch]\nscrpt = 'x'\n")
    assert "did you mean 'code'?" in problem(tmp_path, "[[ignore]]\ncod = 'x'\nreason = 'y'\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gpus = 0", "settings.toml:1: gpus: Input should be greater than or equal to 1"),
        ("\n[masks]\nfloor = 2", "settings.toml:3: masks.floor: Input should be less than or equal to 1"),
        ("[[ignore]]\ncode = 'CFG001'", "ignore.0.reason: Field required"),
        ("gpus = ", "not TOML"),
        ("gpus = '2'", "settings.toml:1: gpus: Input should be a valid integer"),
        ("gpus = true", "settings.toml:1: gpus: Input should be a valid integer"),
        ("strict = 'no'", "settings.toml:1: strict: Input should be a valid boolean"),
        ("timeout = '60'", "settings.toml:1: timeout: Input should be a valid number"),
        (
            "[[ignore]]\ncode = 'CFG001'\nreason = 'r'\nuntil = 20270101",
            ":4: ignore.0.until: Input should be",
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    assert words in problem(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("gpus = 2\n[masks]\nfloor = 0.1\ngpus = 3\n", ":4: unknown setting 'gpus'"),
        (
            "gpus = 2\n[[ignore]]\ncode = 'ENV005'\nreason = 'busy'\n[[ignore]]\ncode = 'ENV004'\n",
            ":5: ignore",
        ),
        ("[launch]\n2 = 'x'\n", ":2: launch.2"),
        ("[launch.4]\noverrides = []\n[launch.5]\noverride = []\n", ":4: unknown setting 'override'"),
        ("masks = {gpus = 3}\n", ":1: unknown setting 'gpus'"),
        ("splits = []\n", ":1: splits"),
        ("timeout = inf\n", ":1: timeout"),
    ],
)
def test_a_problem_is_placed_in_its_own_table(tmp_path: Path, text: str, place: str) -> None:
    path = tmp_path / "opv2v-doctor.toml"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())  # as some editors begin a file
    with pytest.raises(SettingsError) as raised:
        read_settings(path)
    assert str(raised.value).startswith(f"{path}{place}")


def test_settings_that_are_no_file_are_not_passed_over(repo: Path) -> None:
    path = repo / "opv2v-doctor.toml"
    path.unlink()
    path.symlink_to(repo / "nowhere")
    with pytest.raises(SettingsError, match="cannot be read"):
        make_target(repo=repo)


def test_an_explicit_settings_file_must_be_there(repo: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.toml: cannot be read"):
        make_target(repo=repo, settings_file=repo / "absent.toml")


def test_a_folder_without_a_training_script_is_no_target(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no scripts/train\.py"):
        make_target(repo=tmp_path)
    with pytest.raises(UsageError, match="no such directory"):
        make_target(repo=tmp_path / "absent")


def test_an_interpreter_is_a_path_or_a_command(repo: Path) -> None:
    assert make_target(repo=repo).python == Path(sys.executable)
    assert make_target(repo=repo, python="sh").python.name == "sh"
    with pytest.raises(UsageError, match="no such interpreter"):
        make_target(repo=repo, python="/absent/python")


def test_relative_paths_of_a_settings_file_start_at_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('repo = "here"\nrun = "runs/1"\npython = "env/bin/python"\nplugins = ["mine.py"]\n')
    settings = read_settings(path)
    assert (settings.repo, settings.run) == (str(tmp_path / "here"), str(tmp_path / "runs/1"))
    assert (settings.python, settings.plugins) == (
        str(tmp_path / "env/bin/python"),
        (str(tmp_path / "mine.py"),),
    )


@pytest.mark.parametrize(
    "word",
    ["{checkpoint.__class__}", "{checkpoint[0]}", "{checkpoint:>999999999}", "{run!r}", "{}", "{0}", "{"],
)
def test_arguments_of_the_inference_name_places_and_nothing_else(word: str) -> None:
    with pytest.raises(ValueError):
        Infer(arguments=(word,)).filled({"checkpoint": "c", "run": "r"}, ())


def test_what_a_place_is_called_is_not_filled_in_again() -> None:
    words = Infer(arguments=("--c={checkpoint}", "{{x}}", "{overrides}"))
    filled = words.filled({"checkpoint": "/a {run}", "run": "r"}, ["o={run}", "p"])
    assert filled == ["--c=/a {run}", "{x}", "o={run}", "p"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[launch]\noverrides = ["a\\u0000b"]', "NUL"),
        ("[launch.4]\n[launch.04]", "several tables for one number of GPUs: 4, 04"),
    ],
)
def test_what_no_launch_could_use_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "opv2v-doctor.toml").write_text(text)
    with pytest.raises(SettingsError, match=said):
        read_settings(tmp_path / "opv2v-doctor.toml")


def test_a_key_that_no_view_has_is_named(tmp_path: Path) -> None:
    said = problem(tmp_path, '[names]\nviews = { depthmp = "z" }\n')
    assert ":2: names.views: " in said
    assert "depthmap" in said


@pytest.mark.parametrize(
    ("said", "cwd", "imports", "module", "config"),
    [
        ("", ".", "scripts", None, ("configs", "train")),
        ('cwd = "scripts"\nconfig_name = "other.yaml"', "scripts", "scripts", None, ("configs", "other")),
        ('module = true\nconfig_path = "../conf"', ".", ".", "scripts.train", ("conf", "train")),
        (
            'module = true\ncwd = "/elsewhere"',
            "/elsewhere",
            "/elsewhere",
            "scripts.train",
            ("configs", "train"),
        ),
    ],
)
def test_how_the_script_is_started(
    said: str, cwd: str, imports: str, module: str | None, config: tuple[str, str], repo: Path
) -> None:
    main = "import hydra\n@hydra.main(config_path='../configs', config_name='train')\ndef main(cfg): ...\n"
    (repo / "scripts/train.py").write_text(main)
    (repo / "opv2v-doctor.toml").write_text(f"[launch]\n{said}\n")
    target = make_target(repo=repo)
    found = hydra_main(target)
    assert found is not None
    assert (target.cwd, target.import_folder, target.module) == (repo / cwd, repo / imports, module)
    assert (found.config_dir, found.config_name) == ((repo / config[0]).resolve(), config[1])


def test_runs_is_a_folder_or_a_table(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('runs = "here"\n')
    assert read_settings(path).runs.folder == str(tmp_path / "here")
    path.write_text('[runs]\nlanguage = "zh"\nfolder = "there"\n')
    runs = read_settings(path).runs
    assert (runs.folder, runs.language) == (str(tmp_path / "there"), "zh")
    path.write_text('[runs]\nlanguge = "zh"\n')
    with pytest.raises(SettingsError, match=r"settings.toml:2: unknown setting 'languge'.*language"):
        read_settings(path)
