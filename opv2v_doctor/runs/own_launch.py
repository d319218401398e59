"""A launch by the user's own command: what it starts, read from its words and scripts before it runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from opv2v_doctor.facts.launch.interpreters import named_in
from opv2v_doctor.facts.launch.launch_commands import PYTHON, LaunchCommand, launch_command
from opv2v_doctor.facts.launch.shell import ASSIGNMENT, UNKNOWN, Shell
from opv2v_doctor.foreign_files import text_of
from opv2v_doctor.runs.launcher import ENTERING
from opv2v_doctor.settings import LaunchSettings
from opv2v_doctor.target import Target
from opv2v_doctor.user_error import UsageError

# what bash starts with the folder of the watch in front, whatever a script made of PYTHONPATH: shell.sh
BROUGHT_BACK = ("python", "python3", "torchrun", "accelerate", "deepspeed", "srun", "nohup", "numactl")
NO_VARIABLES = re.compile(r".*(/activate|conda\.sh|\.bashrc|/profile|modules?\.sh|/init/\w+)")
SEARCH_PATH = "hydra.searchpath"


@dataclass(frozen=True, kw_only=True)
class OwnLaunch:
    """The command, where it starts, and what of it could be read."""

    command: tuple[str, ...]  # as it runs
    env: Mapping[str, str]  # what stood before it: NAME=VALUE
    cwd: Path
    launch: LaunchCommand
    python: Path | None  # the interpreter of its ranks, where that can be told
    files: tuple[Path, ...]  # scripts that decide what it does
    remarks: tuple[str, ...]  # what cannot be derived, and what cannot be watched

    def target(self, target: Target, *, keeps_python: bool) -> Target:
        """The target with this launch in the place of the settings'. Raises UsageError for another's."""
        launch, script = self.launch, self.launch.script
        if not script.is_relative_to(target.repo):
            raise UsageError(f"{script} is not in {target.repo}: give its repository with --repo")
        changed = {name: value for name, value in launch.env.items() if os.environ.get(name) != value}
        searched = launch.config.get("config-dir")
        more = (f"{SEARCH_PATH}=[file://{launch.folder / searched}]",) if searched else ()
        own = LaunchSettings(
            script=str(script.relative_to(target.repo)),
            module=launch.module is not None,
            cwd=str(launch.folder),
            config_name=launch.config.get("config-name"),
            config_path=launch.config.get("config-path"),
            env=tuple(sorted(self._environment(changed).items())),
            patience=target.settings.launch.patience,
            silence=target.settings.launch.silence,
            end_stalled=target.settings.launch.end_stalled,
        )
        return replace(
            target,
            settings=target.settings.model_copy(update={"launch": own}),
            python=target.python if keeps_python else self.python or target.python,
            gpus=launch.gpus or target.gpus,
            overrides=(*more, *launch.overrides),
        )

    def _environment(self, changed: Mapping[str, str]) -> dict[str, str]:
        """What the launch adds, PYTHONPATH as it is found from its own folder and without ours."""
        env = {name: value for name, value in changed.items() if UNKNOWN not in value and name != "PWD"}
        parts = [
            part for part in env.pop("PYTHONPATH", "").split(os.pathsep) if part and part != str(ENTERING)
        ]
        inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        own = [str(self.launch.folder / part) for part in parts if part not in inherited]
        return {**env, **({"PYTHONPATH": os.pathsep.join(own)} if own else {})}


def own_launch(words: Sequence[str], cwd: Path, repo: Path) -> OwnLaunch:
    """What a command starts in a folder. Raises UsageError where that is not one training, here and now."""
    env, command = _assignments(words)
    shell = Shell(cwd, env={**os.environ, **env, "PYTHONPATH": _with_ours(env)})
    shell.run(shlex.join(command))
    if any(Path(started.words[0]).name == "sbatch" for started in shell.started if started.words):
        raise UsageError(
            "sbatch only hands the job in, and ends: write `opv2v-doctor train -- COMMAND` into the job's "
            "script, or let `opv2v-doctor train --slurm` submit it"
        )
    found = [launch for started in shell.started if (launch := launch_command(started))]
    trainings = [launch for launch in found if _is_hydras(launch.script)]
    if not trainings:
        unread = f" ({', '.join(shell.unread)} cannot be read)" if shell.unread else ""
        raise UsageError(
            f"no Hydra training script is seen in `{shlex.join(command)}`{unread}: give the command that "
            "starts it, torchrun, python or the like"
        )
    if len(trainings) > 1:
        lines = ", ".join(_place(launch, repo) for launch in trainings[:3])
        raise UsageError(f"it starts {len(trainings)} trainings ({lines}): give each a `train --` of its own")
    launch = trainings[0]
    python, remarks = _interpreter(launch, shell), list(_remarks(launch, shell, command, repo))
    if python is None:
        remarks.append(
            f"which interpreter {launch.interpreter} is in {_place(launch, repo)} cannot be told: the one of "
            "--python or the settings is asked"
        )
    return OwnLaunch(
        command=tuple(command), env=env, cwd=cwd, launch=launch, python=python,
        files=tuple(shell.read), remarks=tuple(remarks),
    )  # fmt: skip


def _assignments(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The variables in front of a command, and the command."""
    env, command = dict[str, str](), list(words)
    while command and (found := ASSIGNMENT.fullmatch(command[0])):
        env[found[1]] = found[2]
        command.pop(0)
    if not command:
        raise UsageError("train -- COMMAND: the command is missing")
    return env, command


def _with_ours(env: Mapping[str, str]) -> str:
    inherited = env.get("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    return os.pathsep.join([str(ENTERING), *filter(None, [inherited])])


def _is_hydras(script: Path) -> bool:
    """Whether a script is there, and Hydra's."""
    return UNKNOWN not in str(script) and script.is_file() and "hydra.main" in text_of(script, "replace")


def _place(launch: LaunchCommand, repo: Path) -> str:
    path = launch.started.path
    if path is None:
        return "the command"
    return f"{path.relative_to(repo) if path.is_relative_to(repo) else path}:{launch.started.line}"


def _interpreter(launch: LaunchCommand, shell: Shell) -> Path | None:
    """The interpreter that a launch runs on: by its path, by what is activated before it, or by PATH."""
    base = launch.folder
    texts = [*(text_of(path, "replace") for path in shell.read), shlex.join(launch.started.wrappers)]
    lines = [line for text in texts for line in text.splitlines() if not line.lstrip().startswith("#")]
    if "/" in launch.interpreter:
        program = base / launch.interpreter
    else:
        named = [path for line in lines for path in named_in(base, line) if path.is_file()]
        if named:
            return named[-1]
        found = shutil.which(launch.interpreter, path=launch.env.get("PATH"))
        if found is None or UNKNOWN in launch.env.get("PATH", ""):
            return None
        program = Path(found)
    if PYTHON.fullmatch(program.name):
        return program if program.is_file() else None
    try:
        first = text_of(program, "replace").partition("\n")[0]  # torchrun and the like name theirs
    except OSError:
        return None
    path = Path(first.removeprefix("#!").strip())
    return path if first.startswith("#!/") and path.is_file() else None


def _remarks(launch: LaunchCommand, shell: Shell, command: Sequence[str], repo: Path) -> Iterator[str]:
    """What is not known of the launch, and why its ranks would not be watched."""
    unread = [name for name in dict.fromkeys(shell.unread) if not NO_VARIABLES.fullmatch(name)]
    if unread:
        yield f"not read, and what they set not known: {', '.join(unread)}"
    if launch.untold:
        keys = ", ".join(dict.fromkeys(launch.untold))
        yield f"{_place(launch, repo)}: only the run can tell {keys}: judged is what the config says of it"
    words = [word for word in (*launch.started.wrappers, *launch.started.words) if word != "time"]
    paths = launch.env.get("PYTHONPATH", "").split(os.pathsep)
    flag = next(
        (word for word in launch.started.words[1:4] if re.fullmatch(r"-[bBdOqsuv]*[EIS]\w*", word)), None
    )
    if flag is not None:
        yield f"not watched: {flag} keeps the watch out of the interpreter: leave it away"
    elif str(ENTERING) not in paths and not (words[0] in BROUGHT_BACK and _is_bash(command, shell)):
        yield (
            f"not watched: {_place(launch, repo)} has PYTHONPATH set anew, without what it was: write "
            "PYTHONPATH=...:$PYTHONPATH there"
        )


def _is_bash(command: Sequence[str], shell: Shell) -> bool:
    """Whether bash runs the script, and so reads ours before it."""
    if Path(command[0]).name == "bash":
        return True
    first = text_of(shell.read[0], "replace").partition("\n")[0] if shell.read else ""
    return Path(command[0]).suffix == ".sh" and first.rstrip().endswith(("/bash", "env bash"))
