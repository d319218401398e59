"""The settings that `init` drafts name the training interpreter, and where that was found."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from typing import Any

import pytest

from opv2v_doctor.facts.launch.documented_commands import launches
from opv2v_doctor.settings import read_settings
from opv2v_doctor.settings_draft import candidates, draft

SCRIPT = 'import hydra\n\n\n@hydra.main(config_path="../configs")\ndef train(config):\n    pass\n'


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A training repository, in a shell in which no environment is active."""
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_EXE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    repo = tmp_path / "my repository"
    write(repo / "scripts/train.py", SCRIPT)
    return repo


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def environment(folder: Path, *, torch: bool = False) -> Path:
    """The interpreter of a new environment."""
    venv.create(folder, symlinks=True, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    if torch:
        write(packages / "torch/__init__.py", "")
    return folder / "bin/python"


def named(repo: Path) -> tuple[str | None, str]:
    """The interpreter in the draft, and the line that names it."""
    text = draft(repo)
    (line,) = [line for line in text.splitlines() if line.lstrip("# ").startswith("python = ")]
    return tomllib.loads(text).get("python"), line


def test_nothing_is_named_where_nothing_tells(repo: Path) -> None:
    python, line = named(repo)
    assert python is None
    assert "the interpreter that the doctor runs on" in line


@pytest.mark.parametrize("variable", ["VIRTUAL_ENV", "CONDA_PREFIX"])
def test_the_active_environment(
    variable: str, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = environment(tmp_path / "active")
    monkeypatch.setenv(variable, str(tmp_path / "active"))
    python, line = named(repo)
    assert python == str(expected)
    assert line.endswith(f"# from {variable}, the active environment")


def test_the_doctors_own_environment_is_not_the_trainings(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    write(repo / "train.sh", f"{sys.prefix}/bin/python scripts/train.py\n")
    assert named(repo)[0] is None


@pytest.mark.parametrize("name", [".venv", "venv", "env"])
def test_an_environment_in_the_repository(name: str, repo: Path) -> None:
    expected = environment(repo / name)
    assert named(repo)[0] == str(expected)


@pytest.mark.parametrize(
    "line",
    [
        "source {env}/bin/activate",
        "cd /tmp && . '{env}/bin/activate'",
        "source $HOME/../envs/one/bin/activate",
        "source ~/../bin/activate one",
        "conda activate one",
        "conda activate {env}",
        'mamba activate "one"; nvidia-smi',
        "conda run -n one torchrun scripts/train.py",
        "{env}/bin/python scripts/train.py",
        "CUDA_VISIBLE_DEVICES=0 {env}/bin/torchrun --nproc_per_node=1 scripts/train.py",
        "../envs/one/bin/python3 -m torch.distributed.run scripts/train.py",
    ],
)
def test_a_line_of_a_launch_script(line: str, repo: Path, tmp_path: Path) -> None:
    environment(tmp_path / "envs/one")
    write(tmp_path / "home/.conda/environments.txt", f"/opt/conda\n{tmp_path / 'envs/one'}\n")
    said = line.format(env=tmp_path / "envs/one")
    write(repo / "bash scripts/launch.sh", f"#!/bin/bash\n# conda activate other\n{said}\n")
    python, told = named(repo)
    assert python is not None
    assert Path(python).parent.samefile(tmp_path / "envs/one/bin")
    assert told.endswith(f"# from bash scripts/launch.sh:3: {said}")


def test_an_environment_that_conda_made_beside_itself(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = environment(tmp_path / "conda/envs/one")
    monkeypatch.setenv("CONDA_EXE", str(tmp_path / "conda/bin/conda"))
    write(repo / "README.md", "First `conda activate one`.\n")
    assert named(repo)[0] == str(expected)


def test_the_first_line_of_the_training_script(repo: Path, tmp_path: Path) -> None:
    expected = environment(tmp_path / "one")
    write(repo / "scripts/train.py", f"#!{expected}\n{SCRIPT}")
    assert named(repo)[0] == str(expected)


def test_an_environment_with_torch_goes_before_one_without(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONDA_PREFIX", str(environment(tmp_path / "base").parents[1]))
    expected = environment(tmp_path / "one", torch=True)
    write(repo / "train.sh", f"source {shlex.quote(str(tmp_path / 'one'))}/bin/activate\n")
    assert named(repo)[0] == str(expected)


@pytest.mark.parametrize(
    "line", ["conda activate $NAME", "source nowhere/bin/activate", "conda activate a\0b"]
)
def test_what_is_not_there_is_not_named(line: str, repo: Path) -> None:
    write(repo / "train.sh", line)
    assert named(repo)[0] is None


def test_no_name_of_a_file_or_folder_writes_settings(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = environment(repo / "one")
    write(repo / "a\nstrict = true\n.sh", "./one/bin/python\n")
    settings = tomllib.loads(draft(repo))
    assert (settings["python"], "strict" in settings) == (str(expected), False)
    monkeypatch.setenv("VIRTUAL_ENV", str(environment(tmp_path / 'a" \\ b').parents[1]))
    assert tomllib.loads(draft(repo))["python"] == str(tmp_path / 'a" \\ b/bin/python')


def test_no_interpreter_that_is_found_is_started(repo: Path, tmp_path: Path) -> None:
    program = repo / "bin/python"
    write(program, f"#!/bin/sh\ntouch '{tmp_path}/canary'\n")
    program.chmod(0o755)
    write(repo / "train.sh", "./bin/python scripts/train.py\n")
    assert named(repo)[0] == str(program)
    assert not (tmp_path / "canary").exists()


def test_init_says_which_interpreter_will_be_asked(repo: Path, tmp_path: Path) -> None:
    expected = environment(tmp_path / "one", torch=True)
    env = {**os.environ, "VIRTUAL_ENV": str(tmp_path / "one")}
    made = subprocess.run(
        [sys.executable, "-m", "opv2v_doctor", "init", repo],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (made.returncode, made.stderr) == (0, "")
    assert f"the training interpreter: {expected}\n" in made.stdout


def test_usual_names_are_not_repeated(repo: Path) -> None:
    assert "names" not in tomllib.loads(draft(repo))


def test_what_is_called_otherwise_is_named(repo: Path) -> None:
    rate = 'def rate(optimizer, epoch):\n    for group in optimizer.param_groups:\n        group["lr"] = 1\n'
    write(repo / "scripts/train.py", f"{SCRIPT}\n\n{rate}\n\nrate(None, 0)\n")
    assert tomllib.loads(draft(repo))["names"] == {"schedule": "rate"}


CONFIGS = {"dataset": ("one", "one_5gpu", "opv2v"), "loss": ("pose",), "machine": ("aws",)}


def drafted(repo: Path, **documents: str) -> dict[str, Any]:
    """The settings for the likeliest launch of the documents, `a__b_sh` being a/b.sh."""
    for name, text in documents.items():
        write(repo / name.replace("__", "/").replace("_", "."), text)
    for group, names in CONFIGS.items():
        for name in names:
            write(repo / f"configs/{group}/{name}.yaml", "")
    shown = tuple(launches(repo))
    found = candidates(repo, shown)
    text = draft(repo, found[0] if found else None, found, shown)
    write(repo / "drafted.toml", text)
    read_settings(repo / "drafted.toml")  # what we write must be what we read
    return tomllib.loads(text)


def test_the_launch_of_a_script_with_defaults_is_drafted(repo: Path) -> None:
    script = """NUM_GPUS=${NUM_GPUS:-${1:-2}}
export HYDRA_FULL_ERROR=1 WANDB_API_KEY=secret CUDA_VISIBLE_DEVICES=0,1
ARGS=(loss=pose "dataset.views=[1,2]")
PYTHONPATH=.:src torchrun --nproc_per_node "$NUM_GPUS" scripts/train.py \\
    machine=aws dataset=opv2v "${ARGS[@]}" train_params.epochs=${EPOCHS:-50} \\
    seed=$(date +%s) hydra.run.dir='${root}/${now:%Y}'
"""
    found = drafted(repo, run_sh=script)
    assert (found["gpus"], found["launch"]["script"]) == (2, "scripts/train.py")
    assert found["launch"]["overrides"] == [
        "machine=aws", "dataset=opv2v", "loss=pose", "dataset.views=[1,2]", "train_params.epochs=50",
        "hydra.run.dir=${root}/${now:%Y}",
    ]  # fmt: skip
    assert found["launch"]["env"] == {"PYTHONPATH": ".:src", "HYDRA_FULL_ERROR": "1"}
    assert "only a run could tell the value of seed" in (repo / "drafted.toml").read_text()


@pytest.mark.parametrize(
    ("line", "launch"),
    [
        (
            "cd /cluster/me/my/scripts; python distill.py loss=pose",
            {"script": "scripts/distill.py", "cwd": "scripts"},
        ),
        ("python -m tools.train loss=pose", {"script": "tools/train.py", "module": True}),
        (
            "accelerate launch --num_processes 1 scripts/train.py -cn other loss=pose",
            {"config_name": "other"},
        ),
        ("torchrun scripts/train.py --config-path ../conf loss=pose", {"config_path": "../conf"}),
    ],
)
def test_how_a_launch_is_started(line: str, launch: dict[str, object], repo: Path) -> None:
    write(repo / "scripts/distill.py", SCRIPT)
    write(repo / "tools/train.py", SCRIPT)
    found = drafted(repo, job_slurm=f"#!/bin/bash\n{line}\n")["launch"]
    assert {"script": "scripts/train.py", **launch} == {
        key: value for key, value in found.items() if key not in ("env", "overrides")
    }
    assert found["overrides"] == ["loss=pose"]


def test_launches_of_one_training_differ_by_the_number_of_gpus(repo: Path) -> None:
    line = "torchrun --nproc_per_node {} scripts/train.py machine=aws loss=pose dataset={}\n"
    found = drafted(
        repo, a_sh=line.format(4, "one"), b_sh=line.format(5, "one_5gpu"), c_sh=line.format(8, "opv2v")
    )
    assert found["launch"]["overrides"] == ["machine=aws", "loss=pose", "dataset=opv2v"]
    (repo / "c.sh").unlink()
    found = drafted(repo)
    assert (found["gpus"], found["launch"]["overrides"]) == (4, ["machine=aws", "loss=pose"])
    assert [found["launch"][n]["overrides"] for n in "45"] == [["dataset=one"], ["dataset=one_5gpu"]]


def test_what_was_run_goes_before_what_is_only_shown(repo: Path) -> None:
    write(repo / "outputs/1/2/.hydra/overrides.yaml", "- dataset=opv2v\n- loss=pose\n")
    hydra = f"hydra:\n  job: {{name: train, config_name: conf}}\n  runtime: {{cwd: {repo}}}\n"
    write(repo / "outputs/1/2/.hydra/hydra.yaml", hydra)
    write(repo / "scripts/train.py", SCRIPT.replace('configs")', 'configs", config_name="conf")'))
    found = drafted(repo, a_sh="torchrun --nproc_per_node 8 scripts/train.py dataset=one loss=pose\n")
    assert (found["launch"]["overrides"], "gpus" in found) == (["dataset=opv2v", "loss=pose"], False)
    found = drafted(repo, b_sh="torchrun --nproc_per_node 4 scripts/train.py dataset=opv2v\n")
    assert (found["launch"]["overrides"], found["gpus"]) == (["dataset=opv2v"], 4)


def test_a_run_that_chose_nothing_but_a_config(repo: Path) -> None:
    write(repo / "outputs/1/2/.hydra/overrides.yaml", "[]\n")
    hydra = f"hydra:\n  job: {{name: train, config_name: other}}\n  runtime: {{cwd: {repo}}}\n"
    write(repo / "outputs/1/2/.hydra/hydra.yaml", hydra)
    assert drafted(repo)["launch"]["config_name"] == "other"


def test_a_run_directory_that_only_a_run_could_tell_is_one_for_all_ranks(repo: Path) -> None:
    shown = "D=out/a_$(date +%s)\ntorchrun --nproc_per_node 2 scripts/train.py loss=pose hydra.run.dir=$D\n"
    assert drafted(repo, a_sh=shown)["launch"]["overrides"] == ["loss=pose", "hydra.run.dir=out/a_RUN"]


def test_an_inference_that_no_document_shows_is_drafted_by_its_options(repo: Path) -> None:
    options = "--ckpt", "--checkpoint", "--split", "--verbose", "-o"
    added = "".join(f'parser.add_argument("{option}")\n' for option in options)
    write(repo / "scripts/infer_scene.py", added)
    write(repo / "scripts/inferior.py", 'parser.add_argument("--split")\n')
    found = drafted(repo, README_md="")["infer"]
    assert found["script"] == "scripts/infer_scene.py"
    assert found["arguments"] == ["--ckpt", "{checkpoint}", "--split", "{split}", "-o", "{output}"]


def test_the_inference_that_a_document_shows(repo: Path) -> None:
    text = "```bash\npython scripts/infer.py --ckpt a.pth --split=val --config c.yaml -o out --mode {full}"
    write(repo / "scripts/infer.py", "")
    found = drafted(repo, README_md=f"{text}\n```\n")["infer"]
    assert found["script"] == "scripts/infer.py"
    words = ["--ckpt", "{checkpoint}", "--split={split}", "--config", "{config}", "-o", "{output}"]
    assert found["arguments"] == [*words, "--mode", "{{full}}"]


def test_init_lists_what_fits_and_without_a_terminal_takes_the_first(repo: Path) -> None:
    line = "torchrun --nproc_per_node {} scripts/train.py dataset={}\n"
    write(repo / "run.sh", line.format(4, "opv2v") + line.format(2, "one"))

    def init(*words: str) -> tuple[int, str, dict[str, Any]]:
        (repo / "opv2v-doctor.toml").unlink(missing_ok=True)
        command = [sys.executable, "-m", "opv2v_doctor", "init", str(repo), *words]
        made = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        path = repo / "opv2v-doctor.toml"
        return made.returncode, made.stderr, tomllib.loads(path.read_text()) if path.exists() else {}

    code, said, found = init()
    assert (code, found["gpus"]) == (0, 4)
    assert "  2  run.sh:2: scripts/train.py on 2 GPUs: dataset=one\n" in said
    assert "the first is drafted" in said
    assert init("--launch", "2")[2]["gpus"] == 2
    assert init("--launch", "3")[0] == 2
