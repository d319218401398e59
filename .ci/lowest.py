"""Installs the lowest versions that pyproject.toml admits, and puts the doctor to work on them."""

import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOT_FOR_USERS = {"fuzz", "test"}
# What the commands below leave untried: the server, jobs, the cluster.
TESTS = (
    "tests/serving",
    "tests/cli/test_serve.py",
    "tests/runs/test_slurm.py",
    "tests/audit/test_cluster.py::test_a_cluster_finds_what_one_process_finds",
)
TIME_LIMIT = 600  # seconds, of any one command: nothing waits here for ever
COMMANDS = (
    ("--help",),
    ("run-all", "--help"),
    ("list",),
    ("explain", "CFG006"),
    ("demo", "demo"),
    ("run-all", "--repo", "demo", "--output", "report.html"),
    ("log", "demo", "--format", "html", "--output", "log.html"),
    ("log", "demo", "--format", "parquet", "--output", "log.parquet"),
)


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {k: v for k, v in project["optional-dependencies"].items() if k not in NOT_FOR_USERS}
    wanted = [*project["dependencies"], *(bound for listed in extras.values() for bound in listed)]
    # Torch stays at the version of constraints.txt: older ones have no CPU build on PyPI, only GBs of CUDA.
    lowest = [bound.replace(">=", "==") for bound in wanted if not bound.startswith("torch>")]
    with tempfile.TemporaryDirectory() as scratch:
        folder, bin = Path(scratch), Path(scratch) / "venv/bin"
        constraints = folder / "lowest.txt"
        constraints.write_text("\n".join([*lowest, (ROOT / "constraints.txt").read_text()]))
        run(sys.executable, "-m", "venv", folder / "venv")
        users = f"{ROOT}[{','.join(extras)}]"
        run(bin / "pip", "install", "--quiet", "--constraint", constraints, users, "pytest", "hypothesis")
        run(bin / "pip", "check")
        for command in COMMANDS:
            run(bin / "opv2v-doctor", *command, cwd=folder, env={"PYTHONWARNINGS": "error"})
        # not `python -m pytest`: the installed package is tested, and warnings are errors
        run(bin / "pytest", "-q", "-p", "no:cacheprovider", *TESTS)


def run(*words: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None) -> None:
    print("lowest:", *words, flush=True)
    ran = subprocess.run(
        words, cwd=cwd, env=os.environ | (env or {}), stdout=subprocess.PIPE, text=True, timeout=TIME_LIMIT
    )
    if ran.returncode != 0:
        sys.exit(f"{ran.stdout[-3000:]}\nfailed with the lowest versions of pyproject.toml: {ran.returncode}")


if __name__ == "__main__":
    main()
