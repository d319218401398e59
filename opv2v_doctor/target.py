"""The target: the training repository that is examined, its interpreter, and the launch that is planned."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from opv2v_doctor.recognition import is_foreign, refusal
from opv2v_doctor.settings import FILE_NAME, Settings, read_settings
from opv2v_doctor.state import State
from opv2v_doctor.user_error import UsageError


@dataclass(frozen=True, kw_only=True)
class Target:
    """One planned launch of one training repository. Hashable: facts about it are remembered by its state."""

    repo: Path
    python: Path
    overrides: tuple[str, ...] = ()
    gpus: int = 1
    splits: tuple[str, ...] = ("train", "val", "test")
    splits_asked: bool = False  # by name, so that they are examined whether the launch uses them or not
    run: Path | None = None
    logs: tuple[Path, ...] = ()
    num_samples: int = 4
    timeout: float = 300.0
    settings: Settings = field(default_factory=Settings)
    settings_file: Path | None = None  # that they are read from; None: the repository's
    state: State = field(default_factory=State.found, compare=False, repr=False)

    @property
    def script(self) -> Path:
        """The training script, absolute."""
        return self.repo / self.settings.launch.script

    @property
    def module(self) -> str | None:
        """The module of `python -m`, None where the script is started by its path."""
        launch = self.settings.launch
        return ".".join(Path(launch.script).with_suffix("").parts) if launch.module else None

    @property
    def watched(self) -> dict[str, object]:
        """What tells the process that runs the script from all others."""
        return {"script": os.path.realpath(self.script), "module": self.module}

    @property
    def cwd(self) -> Path:
        """Where the launch is started: what relative paths of its config and its runs begin at."""
        return Path(os.path.normpath(self.repo / self.settings.launch.cwd))

    @property
    def import_folder(self) -> Path:
        """`sys.path[0]` of the launch: the script's folder, or where `python -m` is started."""
        return self.cwd if self.settings.launch.module else self.script.parent

    @property
    def settings_path(self) -> Path:
        """The file of the settings, there or not."""
        return self.settings_file or self.repo / FILE_NAME

    @property
    def launch_overrides(self) -> tuple[str, ...]:
        """All Hydra overrides of the launch: the settings', the world size's, then the user's, which win."""
        variants = dict(self.settings.launch.variants)
        chosen = variants[self.gpus].overrides if self.gpus in variants else ()
        return (*self.settings.launch.overrides, *chosen, *self.overrides)

    @property
    def alone(self) -> Target:
        """The same launch in one process: fewer ranks do not choose another dataset."""
        variants = dict(self.settings.launch.variants)
        chosen = variants[self.gpus].overrides if self.gpus in variants else ()
        launch = self.settings.launch.model_copy(update={"variants": ()})
        settings = self.settings.model_copy(update={"launch": launch})
        return replace(self, gpus=1, settings=settings, overrides=(*chosen, *self.overrides))

    @property
    def launch_env(self) -> dict[str, str]:
        """What the launch adds to the environment, with relative PYTHONPATH entries made absolute."""
        env = dict(self.settings.launch.env)
        if "PYTHONPATH" in env:
            ours = [str((self.repo / part).resolve()) for part in env["PYTHONPATH"].split(os.pathsep) if part]
            inherited = os.environ.get("PYTHONPATH", "")
            env["PYTHONPATH"] = os.pathsep.join([*ours, *([inherited] if inherited else [])])
        if self.gpus > 1 and "OMP_NUM_THREADS" not in os.environ:
            env.setdefault("OMP_NUM_THREADS", "1")  # as torchrun sets it for several processes
        return env


def find_settings(repo: Path | None, file: Path | None) -> Settings:
    """The settings: an explicit file, else that of the repository or working directory, else defaults."""
    path = file or (repo or Path.cwd()) / FILE_NAME
    return read_settings(path) if file or os.path.lexists(path) else Settings()


def repository(repo: Path | None, settings: Settings) -> Path:
    """The training repository: an explicit one, else that of the settings, else the working directory."""
    return (repo or Path(settings.repo or ".")).resolve()


def make_target(
    *,
    repo: Path | None = None,
    python: str | None = None,
    settings_file: Path | None = None,
    gpus: int | None = None,
    splits: tuple[str, ...] = (),
    run: Path | None = None,
    num_samples: int | None = None,
    timeout: float | None = None,
    overrides: tuple[str, ...] = (),
    needs_script: bool = True,
) -> Target:
    """Join what the command line says with the settings; the command line wins.

    Raises UsageError where the repository, its script or the interpreter is not there.
    """
    settings = find_settings(repo, settings_file)
    here = Path.cwd() / FILE_NAME
    place = repository(repo, settings)
    if not place.is_dir():
        raise UsageError(f"--repo {place}: no such directory")
    if needs_script:
        verify_script(place, settings)
    chosen_run = run or (Path(settings.run) if settings.run else None)
    if chosen_run is not None and not chosen_run.is_dir():
        raise UsageError(f"run directory {chosen_run}: no such directory")
    return Target(
        repo=place,
        python=interpreter_named(settings.python if python is None else python),
        overrides=overrides,
        gpus=gpus or settings.gpus or 1,
        splits=splits or settings.splits,
        splits_asked=bool(splits),
        run=chosen_run.resolve() if chosen_run else None,
        num_samples=num_samples or settings.num_samples,
        timeout=timeout or settings.timeout,
        settings=settings,
        settings_file=settings_file.absolute()
        if settings_file
        else here
        if repo is None and os.path.lexists(here)
        else None,
    )


def verify_script(repo: Path, settings: Settings) -> None:
    """Raises UsageError where a repository has no training script."""
    script = repo / settings.launch.script
    if not script.is_file() or is_foreign(repo, script):
        lacking = f"it has no {settings.launch.script}"
        raise UsageError(refusal(repo, lacking, f"give --repo, or launch.script in {FILE_NAME}"))


def interpreter_named(name: str | None) -> Path:
    """The training interpreter; a bare command is looked up on PATH, symlinks are kept (they mark a venv)."""
    if name is None:
        return Path(sys.executable)
    found = shutil.which(name) if os.sep not in name else None
    path = Path(found) if found else Path.cwd() / Path(name).expanduser()
    if not path.is_file():
        raise UsageError(f"--python {name or repr(name)}: no such interpreter")
    return path
