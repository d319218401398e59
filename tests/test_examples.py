"""The gate's examples hold what they promise, as far as they can run here."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def hook() -> str:
    """What the hook runs that the example names."""
    (shipped,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    example = yaml.safe_load((ROOT / "examples/pre-commit-config.yaml").read_text())
    assert example["repos"][0]["hooks"] == [{"id": shipped["id"]}]
    return str(shipped["entry"])


def shell(command: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"  # where the program is installed
    own = {"PATH": path, "PYTHONDONTWRITEBYTECODE": "1", "OVERRIDES": "", "GPUS": "2"}
    return subprocess.run(
        ["bash", "-c", command],
        cwd=cwd,
        env=os.environ | own | env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def selecting(repo: Path, *codes: str) -> Path:
    """The repository, whose settings examine these only: the checks are tested elsewhere."""
    settings = repo / "opv2v-doctor.toml"
    settings.write_text(f"select = {[*codes]}\n{settings.read_text()}")
    return repo


def test_the_hook_lets_a_healthy_commit_through_and_stops_a_broken_one(broken: Callable[..., Path]) -> None:
    assert shell(hook(), selecting(broken(), "SCH001")).returncode == 0
    stopped = shell(hook(), selecting(broken("warmup_longer_than_training"), "SCH001"))
    assert stopped.returncode == 1
    assert "SCH001" in stopped.stdout


def test_the_workflow_annotates_and_ends_with_the_verdict(
    tmp_path: Path, broken: Callable[..., Path]
) -> None:
    workflow = yaml.safe_load((ROOT / "examples/github/doctor.yml").read_text())
    (examine,) = [step for step in workflow["jobs"]["static"]["steps"] if step.get("name") == "Examine"]
    repo = selecting(broken("steps_follow_gpus"), "LDR001")
    summary = tmp_path / "summary.md"
    (tmp_path / "doctor").symlink_to(sys.prefix)  # where the step before would have installed it
    ran = shell(examine["run"], repo, GITHUB_STEP_SUMMARY=str(summary), RUNNER_TEMP=str(tmp_path))
    assert ran.returncode == 1
    assert "::error file=configs/dataset/opv2v_cyl_coop_ft_2gpu.yaml,line=" in ran.stdout
    assert "LDR001" in summary.read_text()
    assert (repo / "doctor.sarif").is_file()


def test_the_plugin_of_the_docs_says_what_they_show(broken: Callable[..., Path]) -> None:
    page = (ROOT / "docs/plugin.md").read_text(encoding="utf-8")
    plugin = ROOT / "examples/plugin/our_checks.py"
    (printed,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert printed == plugin.read_text(encoding="utf-8")
    (named,) = re.findall(r"^plugins = .*$", page, re.MULTILINE)
    (command, shown) = re.findall(r"^\$ (.*?)\n(.*?)\n```", page, re.DOTALL | re.MULTILINE)[0]
    repo = broken()
    (repo / "tools").mkdir()
    (repo / "tools/our_checks.py").write_bytes(plugin.read_bytes())
    settings = repo / "opv2v-doctor.toml"
    settings.write_text(f"{named}\n{settings.read_text()}")
    assert shell(command, repo).returncode == 0
    params = repo / "configs/train_params/opv2v_cyl_coop.yaml"
    params.write_text(params.read_text().replace("keep_freq: 1", "keep_freq: 2"))
    ran = shell(command, repo)
    assert ran.returncode == 1
    said = re.sub(r" \(\d+\.\d s\)$", "", ran.stdout, flags=re.MULTILINE)
    assert f"\n{shown.partition('...')[2].strip()}\n" in said


def test_the_readme_shows_what_the_log_of_the_mission_really_says() -> None:
    """A selection of its lines, in their order; where the repository lies and how long it took may differ."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"\$ (opv2v-doctor log \S+)\n(.*?)\n```", readme, re.DOTALL)
    command, text = shown
    ran = subprocess.run(
        [sys.executable, "-m", *command.replace("opv2v-doctor", "opv2v_doctor", 1).split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 1
    said = iter(plain(ran.stdout.replace(str(ROOT), "/home/ada/opv2v-doctor")).splitlines())
    lines = plain(text).splitlines()
    assert [line for line in lines if line not in said] == []  # `in` goes on where it was
    assert sum(line.startswith("First to fix: LOG005") for line in lines) == 1


def plain(text: str) -> str:
    text = re.sub(r"no commit|commit \w+", "a commit", text)  # the folder may be in a git repository or not
    return re.sub(r"in \d+\.\d s", "in 0.0 s", text)
