"""What is shipped works: a wheel built from the sdist, installed by the shipped workflow, on the demo."""

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from opv2v_doctor.sandbox.launch import OVERRIDES

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


def run(*words: object, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    ran = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | (env or {}),
        timeout=900,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    return ran.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`python -m build` makes the sdist first and the wheel from it."""
    folder = tmp_path_factory.mktemp("dist")
    source = folder / "source"
    run("git", "-c", "core.autocrlf=false", "clone", "--quiet", ROOT, source)
    run("git", "-C", ROOT, "diff", "HEAD", "--output", folder / "changes.patch")
    if (folder / "changes.patch").read_text():
        run("git", "-C", source, "apply", folder / "changes.patch")
    run(sys.executable, "-m", "build", "--outdir", folder / "dist", source)
    (built,) = (folder / "dist").glob("*.whl")
    return built


def test_the_sdist_and_the_wheel_hold_the_template_and_no_litter(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "opv2v_doctor/sandbox/repository/.gitignore" in names
    assert "opv2v_doctor/sandbox/repository/scripts/train.py" in names
    assert "opv2v_doctor/checks/masks.py" in names
    assert "opv2v_doctor/report.schema.json" in names
    (sdist,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names += archive.getnames()
    assert not [name for name in names if "__pycache__" in name or ".ruff_cache" in name]


@dataclass(frozen=True)
class Runner:
    """A machine on which the shipped workflow has installed what it installs; the wheel is the doctor."""

    folder: Path

    @property
    def training(self) -> Path:
        """The programs of the training's environment."""
        return self.folder / "training/bin"

    @property
    def doctor(self) -> Path:
        """The programs of the doctor's environment."""
        return self.folder / "doctor/bin"

    def step(self, words: str, cwd: Path, **env: str) -> str:
        """A step of the workflow, as it is written."""
        own = {
            "RUNNER_TEMP": str(self.folder),
            "PATH": f"{self.training}:{os.environ['PATH']}",
            "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
            "PIP_NO_COMPILE": "1",  # what is imported is compiled then
        }
        return run("bash", "-ec", words, cwd=cwd, env=own | env)


@pytest.fixture(scope="module")
def runner(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """The requirements are those of the training repository that `demo` writes."""
    runner = Runner(tmp_path_factory.mktemp("runner"))
    run(sys.executable, "-m", "venv", runner.training.parent)
    here = next(Path(entry) for entry in sys.path if entry.endswith("site-packages"))
    (there,) = runner.training.parent.glob("lib/*/site-packages")
    others = runner.folder / "others"  # pip finds torch and the rest there, and unpacks no gigabyte
    others.mkdir()
    for path in here.iterdir():
        if not path.name.startswith(("opv2v_doctor", "__editable__", "pip", "setuptools")):
            (others / path.name).symlink_to(path)
    (there / "others.pth").write_text(f"{others}\n")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    brought = [need for need in project["dependencies"] if need.startswith(("numpy", "opencv", "pyyaml"))]
    needs = [*project["optional-dependencies"]["demo"], *brought]
    (runner.folder / "requirements.txt").write_text("\n".join(needs))
    *installs, _ = workflow_steps()
    for words in installs:
        runner.step(words, runner.folder, DOCTOR=str(wheel))
    return runner


def workflow_steps() -> list[str]:
    """What the shipped workflow runs, in order."""
    workflow = yaml.safe_load((ROOT / "examples/github/doctor.yml").read_text())
    return [step["run"] for step in workflow["jobs"]["static"]["steps"] if "run" in step]


def test_what_was_installed_is_whole_and_apart(runner: Runner) -> None:
    for bin in (runner.doctor, runner.training):
        assert run(bin / "pip", "check") == "No broken requirements found.\n"
    assert not [*runner.doctor.parent.glob("lib/*/site-packages/torch")]
    assert not [*runner.training.parent.glob("lib/*/site-packages/opv2v_doctor*")]


def test_a_wheel_in_a_clean_venv_writes_the_demo_and_examines_it(runner: Runner, tmp_path: Path) -> None:
    python = ["--python", runner.training / "python"]
    run(runner.doctor / "opv2v-doctor", "demo", tmp_path / "demo", "--no-train", *python, cwd=tmp_path)
    pretrained = [runner.training / "python", "scripts/make_pretrained.py", *OVERRIDES]
    run(*pretrained, cwd=tmp_path / "demo", env={"PYTHONPATH": str(tmp_path / "demo")})
    examine = [runner.doctor / "opv2v-doctor", "run-all", "--repo", tmp_path / "demo", "--format", "json"]
    report = json.loads(run(*examine, *python, cwd=tmp_path))
    assert report["exit_code"] == 0
    (apart,) = [result for result in report["results"] if result["code"] == "ENV008"]
    assert (apart["status"], apart["findings"]) == ("passed", [])
    where = [runner.doctor / "python", "-c", "import opv2v_doctor; print(opv2v_doctor.__file__)"]
    assert str(runner.doctor.parent) in run(*where, cwd=tmp_path)  # not the checkout that the tests run in
    *_, judge = workflow_steps()
    env = {"GPUS": "2", "OVERRIDES": "", "GITHUB_STEP_SUMMARY": "summary.md"}
    runner.step(judge, tmp_path / "demo", **env)
    assert "passed" in (tmp_path / "demo" / "summary.md").read_text()


@pytest.mark.nightly
def test_pre_commit_installs_the_hook_and_stops_a_broken_commit(
    runner: Runner, broken: Callable[..., Path], tmp_path: Path
) -> None:
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    run(tmp_path / "venv/bin/pip", "install", "--quiet", "pre-commit")
    command = [tmp_path / "venv/bin/pre-commit", "try-repo", ROOT, "opv2v-doctor", "--all-files"]
    for names, code in (([], 0), (["warmup_longer_than_training"], 1)):
        repo = broken(*names)
        settings = repo / "opv2v-doctor.toml"
        settings.write_text(f'python = "{runner.training}/python"\n{settings.read_text()}')
        ran = subprocess.run(
            [str(word) for word in command],
            cwd=repo,
            env={**os.environ, "PRE_COMMIT_HOME": str(tmp_path / "kept")},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert ran.returncode == code, ran.stdout + ran.stderr
        assert ("SCH001" in ran.stdout) == bool(names)


def test_nobody_is_told_to_install_what_is_not_published() -> None:
    """The name alone is not served by any index; with an extra, it names what is already installed."""
    shipped = [
        *ROOT.glob("*.md"),
        *ROOT.glob(".pre-commit*"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("examples/**/*.y*ml"),
    ]
    told = [
        path.name
        for path in shipped
        if re.search(r"install[^\n]* ['\"]?opv2v-doctor(?!\[| @|\w)", path.read_text())
    ]
    assert told == []


@pytest.mark.parametrize("place", ["environment", "target", "user"])
def test_a_wheel_imports_nothing_of_the_repository_wherever_it_is_installed(
    place: str, wheel: Path, tmp_path: Path
) -> None:
    here = next(entry for entry in sys.path if entry.endswith("site-packages"))
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    system = ["--system-site-packages"] if place == "user" else []  # else there is no user site
    run(sys.executable, "-m", "venv", "--without-pip", *system, tmp_path / "venv")
    site = tmp_path / "venv" / "lib" / version / "site-packages"
    (site / "others.pth").write_text(f"{here}\n")  # what the doctor needs; no path file there is read
    env = {**os.environ, "PYTHONPATH": "", "PYTHONUSERBASE": str(tmp_path / "user")}
    python, script = tmp_path / "venv" / "bin" / "python", tmp_path / "venv" / "bin" / "opv2v-doctor"
    target = str(tmp_path / "target")
    options = {"environment": [], "target": ["--target", target], "user": ["--user"]}[place]
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
    ]
    subprocess.run([*command, "--ignore-installed", *options, wheel], env=env, check=True)
    # Path files of the system's Python import what they like, before any line of ours.
    late = "sys.flags.ignore_environment" if place == "user" else "True"
    evil = tmp_path / "evil"
    evil.mkdir()
    for name in ("typing", "inspect", "dataclasses", "json", "rich", "typer", "yaml", "git", "pydantic"):
        (evil / f"{name}.py").write_text(f"import sys\nif {late}: open({str(tmp_path / 'canary')!r}, 'w')\n")
    env["PYTHONPATH"] = os.pathsep.join([str(evil), *([target] if place == "target" else [])])
    starts: list[list[str | Path]] = [
        [python, "-m", "opv2v_doctor"],
        [python, "-I", "-m", "opv2v_doctor"],
        [script],
    ]
    for words in starts if place == "environment" else starts[:1]:
        listed = subprocess.run(
            [*words, "list"], env=env, cwd=evil, capture_output=True, text=True, check=False
        )
        assert (listed.returncode, "ENV001" in listed.stdout) == (0, True), listed.stderr
        assert not (tmp_path / "canary").exists()
