"""The draft of `opv2v-doctor.toml` that `init` writes: the launch that a repository shows, commented."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from opv2v_doctor import git
from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.launch.documented_commands import documents, family, gpus_in
from opv2v_doctor.facts.launch.interpreters import named_in
from opv2v_doctor.facts.launch.launch_commands import LaunchCommand, option_of
from opv2v_doctor.facts.launch.shell import UNKNOWN
from opv2v_doctor.facts.source.names import otherwise_named
from opv2v_doctor.facts.source.syntax import hydra_main
from opv2v_doctor.foreign_files import from_yaml, text_of
from opv2v_doctor.recognition import refusal
from opv2v_doctor.settings import LaunchSettings, Settings
from opv2v_doctor.target import Target
from opv2v_doctor.user_error import UsageError

HEAD = """\
# Settings of opv2v-doctor for this training repository. `opv2v-doctor run-all` reads them.
# A line with `#` in front shows a default or an example.

{gpus}
# splits = ["train", "val", "test"]
# steps_per_epoch = 5000        # what every launch shall have, whatever the number of GPUs
# dataset_class = "OPV2VCoopCylindricalDataset"
# fine_tuning = true            # default: whether a chosen config is named for it
# num_samples = 4               # samples to draw of each split
# timeout = 300                 # seconds that one question to the training interpreter may take
# memory = 48                   # GiB that each process of it may take; default: 3/4 of the machine
{python}
# run = "experiments/RUN"       # the run to examine; default: the last one
# plugins = ["tools/my_checks.py"]  # they run where you said so: opv2v-doctor trust

[launch]{origin}
script = {script}
{form}env = {{ {env} }}      # relative to this repository; it makes this checkout win the import
overrides = [{overrides}]
"""
TORCH = "lib/python*/site-packages/torch"  # in an environment
VARIANT = """
[launch.{gpus}]                 # with {gpus} GPUs
overrides = [{overrides}]
"""
INFER = """
[infer]                         # from {origin}
script = {script}
arguments = [{arguments}]
"""
NAMES = """
[names]                         # what this repository calls otherwise than others: found by its shape
{names}
"""
TAIL = """
# [masks]
# floor = 0.05                  # least mean of a mask
# tolerance = 0.05              # measured against predicted coverage

# [[ignore]]                    # a check that shall not run
# code = "ENV005"
# reason = "the GPUs are shared on purpose"
# until = 2030-01-31
"""
TRAINS = re.compile(r"train|fine_?tun|distil")
OTHERWISE = re.compile(r"(^|_)(eval|evaluate|test|infer|inference|profile|benchmark|demo|preview|debug)(_|$)")
PAST = re.compile(r"(^|/)(old|archive[ds]?|deprecated|legacy|upstream)/")
INFERS = re.compile(r"infer|predict|render|eval|demo")
# of the environment, what is this machine's, this launch's, or nobody's to write down
NO_SETTING = re.compile(
    r"CUDA_VISIBLE_DEVICES|PATH|LD_LIBRARY_PATH|HOME|PWD|MASTER_.*|SLURM_.*|TORCHELASTIC_.*|.*RANK|WORLD_SIZE"
    r"|.*(KEY|TOKEN|SECRET|PASSWORD).*"
)
# options of an inference script -> what of ours goes there
PLACES = {
    "checkpoint": "checkpoint", "checkpoint-path": "checkpoint",
    "ckpt": "checkpoint", "ckpt-path": "checkpoint",
    "weights": "checkpoint", "model-path": "checkpoint", "split": "split", "index": "index",
    "idx": "index", "sample-index": "index", "val-index": "index", "output": "output",
    "output-dir": "output", "out": "output", "out-dir": "output", "save-dir": "output", "o": "output",
}  # fmt: skip
_ADDED = re.compile(r"add_argument\(\s*[\"'](--?[\w-]+)[\"']")
SHOWN = 12  # launches that a list shows


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One launch that the repository shows, as this checkout would start it."""

    origin: str  # where it stands
    script: Path  # from the repository
    module: bool
    cwd: str
    config: Mapping[str, str]
    overrides: tuple[str, ...]
    untold: tuple[str, ...]  # keys whose values only a run could tell
    gpus: int | None
    env: Mapping[str, str]
    refused: bool  # it cannot start, as far as its words and the configs' names show

    @property
    def dataset(self) -> str:
        found = [word.partition("=")[2] for word in self.overrides if re.match(r"\+?dataset=", word)]
        return found[-1] if found else ""

    @property
    def kind(self) -> tuple[object, ...]:
        """What tells one training from another, be it run or documented."""
        return self.script, self.config.get("config-name"), family(self.dataset)

    @property
    def training(self) -> tuple[object, ...]:
        """What launches of one training share, whatever the number of GPUs, and wherever they write."""
        rest = (word for word in self.overrides if not re.match(r"\+?(dataset=|hydra\.)", word))
        return *self.kind, *sorted(rest)

    @property
    def file(self) -> str:
        """The document that shows it, from the repository."""
        return re.sub(r":\d+$", "", self.origin)

    @property
    def text(self) -> str:
        """The launch in one line."""
        gpus = "an unknown number of GPUs" if self.gpus is None else f"{self.gpus} GPU{'s' * (self.gpus > 1)}"
        words = [word for word in self.overrides if re.match(r"\+?[a-z_]+=", word)]
        name = self.config.get("config-name")
        chosen = " ".join([*([f"--config-name {name}"] if name else []), *words])
        return f"{self.origin}: {self.script} on {gpus}: {chosen}"


def candidates(repo: Path, shown: Sequence[LaunchCommand]) -> list[Candidate]:
    """The launches of a Hydra training among those that the repository shows, the likeliest first.

    Those of OPV2V come first, then those that were run here, then what was committed last.
    """
    times, records = _times(repo), list(_records(repo))
    documented = (candidate for launch in shown if (candidate := _candidate(repo, launch)))
    ran = {record.kind for record in records}

    def rank(candidate: Candidate) -> tuple[object, ...]:
        words = " ".join([candidate.origin, *candidate.overrides, *candidate.config.values()]).lower()
        is_one = TRAINS.search(candidate.script.stem) and not OTHERWISE.search(candidate.script.stem)
        is_past, time = bool(PAST.search(candidate.origin)), times.get(candidate.file, 0.0)
        first = (not is_one, candidate.refused, is_past, "opv2v" not in words, candidate.kind not in ran)
        return *first, candidate.gpus is None, -time

    found: dict[object, Candidate] = {}
    for candidate in sorted((*documented, *records), key=rank):  # stable: in the order of the files
        found.setdefault((candidate.training, candidate.dataset, candidate.gpus), candidate)
    return list(found.values())


def trainings(found: Sequence[Candidate]) -> list[Candidate]:
    """One launch of each training: those that differ by the number of GPUs make one draft."""
    first: dict[object, Candidate] = {}
    for candidate in found:
        first.setdefault(candidate.training, candidate)
    return list(first.values())


def _candidate(repo: Path, launch: LaunchCommand) -> Candidate | None:
    """A documented launch, if it starts a Hydra script of this checkout."""
    tail = _tail(repo, launch.script)
    if tail is None or "hydra.main" not in text_of(repo / tail, "replace"):
        return None
    root = Path(*launch.script.parts[: -len(tail.parts)])
    cwd = launch.folder.relative_to(root) if launch.folder.is_relative_to(root) else Path()
    path = launch.started.path
    where = f"{path.relative_to(repo) if path else repo}:{launch.started.line}"
    config = dict(launch.config)
    more = [f"hydra.searchpath=[file://{config.pop('config-dir')}]"] if "config-dir" in config else []
    # one place for all ranks, though only a run could tell its name: it is not what Hydra would choose
    home = (word.replace(UNKNOWN, "RUN") for word in launch.arguments if word.startswith("hydra.run.dir="))
    known = (word for word in launch.overrides if not word.startswith("hydra.run.dir="))
    overrides = tuple(word for word in (*more, *known, *home) if word.isprintable())
    return Candidate(
        origin=where, script=tail, module=launch.module is not None, cwd=str(cwd), config=config,
        overrides=overrides, untold=launch.untold, gpus=launch.gpus, env=_env(launch.env, root),
        refused=launch.launcher == "torch.distributed.launch" or _lacks_config(repo, tail, overrides),
    )  # fmt: skip


def _tail(repo: Path, script: Path) -> Path | None:
    """The file of this checkout that a path, perhaps of another one, means."""
    for first in range(1, len(script.parts)):
        tail = Path(*script.parts[first:])
        if UNKNOWN not in str(tail) and (repo / tail).is_file():
            return tail
    return None


def _env(env: Mapping[str, str], root: Path) -> dict[str, str]:
    """What the launch adds to the environment, without what belongs to one machine or moment."""
    kept = {}
    for name, value in env.items():
        if UNKNOWN not in value and value.isprintable() and not NO_SETTING.fullmatch(name):
            parts = [part for part in value.split(os.pathsep) if part] if name == "PYTHONPATH" else []
            own = [
                str(Path(part).relative_to(root)) if Path(part).is_relative_to(root) else part
                for part in parts
            ]
            kept[name] = os.pathsep.join(own) if parts else value
    return {"PYTHONPATH": ".", **dict(sorted(kept.items()))}


def _lacks_config(repo: Path, script: Path, overrides: Sequence[str]) -> bool:
    """Whether a launch chooses a config that is not there."""
    folder = _config_folder(repo, script)
    pairs = [word.lstrip("+").partition("=") for word in overrides]
    groups = [(key, value) for key, _, value in pairs if re.fullmatch(r"[\w-]+", value) and "." not in key]
    return any(
        (folder / key).is_dir() and not (folder / key / f"{value}.yaml").is_file()
        for key, value in groups
        if value != "null"
    )


def _names(repo: Path, script: Path) -> str:
    """The table of names, as far as they are not the usual ones."""
    found = otherwise_named(_target(repo, script))
    lines = "\n".join(f'{part} = "{name}"' for part, name in found.items())
    return NAMES.format(names=lines) if found else ""


def _times(repo: Path) -> dict[str, float]:
    """When each file was last changed in a commit; nothing where git does not tell."""
    found: dict[str, float] = {}
    with contextlib.suppress(git.GitRefused, OSError):
        if git.executable() is None:
            return {}
        with git.view(git.locate(repo)) as seen:
            said = os.fsdecode(seen.git("log", "--max-count=1000", "--format=@%ct", "--name-only", "-z"))
        time = 0.0
        for word in re.split(r"[\0\n]+", said):
            if re.fullmatch(r"@\d+", word):
                time = float(word[1:])
            elif word:
                found.setdefault(word, time)
    return found


def _records(repo: Path) -> Iterator[Candidate]:
    """The launches that Hydra has recorded in the runs below the repository."""
    for folder, inner, _ in os.walk(repo):
        place = Path(folder, ".hydra")
        inner[:] = sorted(name for name in inner if not name.startswith(".") and name not in ("venv", "env"))
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            if ".hydra" not in os.listdir(folder):  # noqa: PTH208 (names only)
                continue
            said = from_yaml(text_of(place / "hydra.yaml"))["hydra"]
            overrides = tuple(map(str, from_yaml(text_of(place / "overrides.yaml"))))
            job, home = said["job"], Path(said["runtime"]["cwd"])
            names = (f"{job['name']}.py", f"scripts/{job['name']}.py", f"tools/{job['name']}.py")
            script = next((Path(name) for name in names if (repo / name).is_file()), None)
            if script is None:
                continue
            chosen = str(job["config_name"])
            is_default = f'"{chosen}"' in text_of(repo / script).replace("'", '"')
            if is_default and not overrides:
                continue
            cwd = "scripts" if home.name == "scripts" and (repo / "scripts").is_dir() else "."
            yield Candidate(
                origin=str(place.relative_to(repo)), script=script, module=False, cwd=cwd,
                config={} if is_default else {"config-name": chosen}, overrides=overrides, untold=(),
                gpus=None, env={"PYTHONPATH": "."}, refused=_lacks_config(repo, script, overrides),
            )  # fmt: skip


def draft(
    repo: Path,
    chosen: Candidate | None = None,
    others: Sequence[Candidate] = (),
    shown: Sequence[LaunchCommand] = (),
) -> str:
    """The settings for a repository: the chosen launch, and what others of the same training differ in.

    Raises UsageError without a Hydra script.
    """
    script = chosen.script if chosen else _script(repo).relative_to(repo)
    machine = _machine(repo, repo / script)
    variants = _variants(repo, script, chosen, others)
    words = list(chosen.overrides) if chosen and not variants else _alike(variants)
    if machine:
        words = [f"machine={machine}", *(word for word in words if not word.startswith("machine="))]
    gpus = min(variants, default=chosen.gpus if chosen else None)
    if chosen and chosen.gpus in variants:
        gpus = chosen.gpus
    text = HEAD.format(
        python=_python(repo, repo / script, chosen),
        origin=f"                        # from {chosen.origin}" if chosen else "",
        script=_quoted(str(script)),
        form=_form(chosen),
        env=", ".join(f"{name} = {_quoted(value)}" for name, value in _environment(chosen).items()),
        overrides=", ".join(map(_quoted, words)),
        gpus=f"gpus = {gpus}" if gpus else "# gpus = 4",
    )
    own = {
        number: [word for word in given if word not in words and not word.startswith("machine=")]
        for number, given in variants.items()
    }
    tables = (VARIANT.format(gpus=n, overrides=", ".join(map(_quoted, own[n]))) for n in sorted(own))
    return text + "".join(tables) + _infer(repo, shown) + _names(repo, script) + TAIL


def _quoted(word: str) -> str:
    """A string of TOML."""
    return json.dumps(word, ensure_ascii=False)


def _environment(chosen: Candidate | None) -> Mapping[str, str]:
    return chosen.env if chosen else {"PYTHONPATH": "."}


def _form(chosen: Candidate | None) -> str:
    """The settings of how the script is started, and what could not be told."""
    if chosen is None:
        return ""
    lines = []
    if chosen.module:
        lines.append("module = true                   # python -m")
    if chosen.cwd != ".":
        lines.append(f"cwd = {_quoted(chosen.cwd)}")
    for option in ("config-name", "config-path"):
        if option in chosen.config:
            lines.append(f"{option.replace('-', '_')} = {_quoted(chosen.config[option])}")
    if chosen.untold:
        keys = ", ".join(key for key in dict.fromkeys(chosen.untold) if key.isprintable())
        lines.append(f"# only a run could tell the value of {keys}: write it into the overrides")
    return "".join(f"{line}\n" for line in lines)


def _alike(variants: Mapping[int, tuple[str, ...]]) -> list[str]:
    """The overrides that all numbers of GPUs share, but for the dataset, in their order."""
    first, *rest = variants.values() or [()]
    return [
        word for word in first if all(word in other for other in rest) and not re.match(r"\+?dataset=", word)
    ]


def _variants(
    repo: Path, script: Path, chosen: Candidate | None, others: Sequence[Candidate]
) -> dict[int, tuple[str, ...]]:
    """The overrides by number of GPUs: of launches of one training, else of configs that are named for it."""
    named: dict[int, tuple[str, ...]] = {
        int(found[1]): (f"dataset={path.stem}",)
        for path in _configs(repo, script, "dataset")
        if (found := re.fullmatch(r".+_(\d+)gpus?", path.stem))
        and (chosen is None or not chosen.dataset or family(path.stem) == family(chosen.dataset))
    }
    if chosen is None:
        return named
    kin = [one for one in (chosen, *others) if one.training == chosen.training and one.gpus and one.dataset]
    shown: dict[int, tuple[str, ...]] = {}
    for one in kin:
        if gpus_in(one.dataset) in (None, one.gpus):
            shown.setdefault(one.gpus or 0, one.overrides)
    for gpus, words in named.items() if shown or chosen.dataset else ():
        rest = [word for word in chosen.overrides if not re.match(r"\+?dataset=", word)]
        shown.setdefault(gpus, (*rest, *words))
    return shown if len(shown) > 1 else {}


def _python(repo: Path, script: Path, chosen: Candidate | None) -> str:
    """The line that names the training interpreter: the first found that has torch, else the first found."""
    found = [
        (path, source)
        for path, source in (*_active(), *_inner(repo), *_named_interpreters(repo, script, chosen))
        if shutil.which(path) and path.parents[1].resolve() != Path(sys.prefix).resolve()
        if str(path).isprintable()
    ]
    if not found:
        return '# python = "/path/to/env/bin/python"  # default: the interpreter that the doctor runs on'
    path, source = min(found, key=lambda one: not any(one[0].parents[1].glob(TORCH)))
    origin = "".join(filter(str.isprintable, source))
    return f"python = {_quoted(str(path))}  # from {origin}"


def _active() -> Iterator[tuple[Path, str]]:
    """The interpreter of the environment that is active in the user's shell."""
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        if folder := os.environ.get(variable):
            yield Path(folder).absolute() / "bin/python", f"{variable}, the active environment"


def _inner(repo: Path) -> Iterator[tuple[Path, str]]:
    """The interpreters of environments that lie in the repository."""
    for name in (".venv", "venv", "env"):
        if (repo / name / "pyvenv.cfg").is_file():
            yield repo / name / "bin/python", f"the folder {name} of this repository"


def _named_interpreters(repo: Path, script: Path, chosen: Candidate | None) -> Iterator[tuple[Path, str]]:
    """The interpreters that the script, the chosen launch, and other documents name, in this order."""
    home = repo / chosen.file if chosen else script
    others = sorted(documents(repo), key=lambda one: (one != home, one.suffix != ".sh"))
    for path in [script, *others]:
        for number, line in enumerate(text_of(path, "replace").splitlines(), 1):
            if line.startswith("#!") if path == script else not re.match(r"\s*#(?!!)", line):
                for found in named_in(repo, line):
                    yield found, f"{path.relative_to(repo)}:{number}: {line.strip()}"


def _infer(repo: Path, shown: Sequence[LaunchCommand]) -> str:
    """The table of the repository's inference, from a shown command that is given a checkpoint."""
    best: tuple[int, str] = (0, "")
    for launch in shown:
        tail = _tail(repo, launch.script)
        if (
            tail is None
            or not INFERS.search(tail.stem)
            or option_of(launch.arguments, *_options("checkpoint")) is None
        ):
            continue
        words, fitted = _arguments(launch.arguments)
        where = (
            f"{launch.started.path.relative_to(repo) if launch.started.path else repo}:{launch.started.line}"
        )
        arguments = ", ".join(map(_quoted, words))
        table = INFER.format(origin=where, script=_quoted(str(tail)), arguments=arguments)
        best = max(best, (fitted, table), key=lambda one: one[0])
    return best[1] or _unshown_inference(repo)


def _unshown_inference(repo: Path) -> str:
    """The table of a script that no command shows, by the options that it reads: one takes a checkpoint."""
    for path in sorted({*repo.glob("scripts/*.py"), *repo.glob("*.py"), *repo.glob("tools/*.py")}):
        options = _ADDED.findall(text_of(path, "replace")) if re.search("infer|predict", path.stem) else []
        places: dict[str, str] = {}
        for name in options:
            if name.lstrip("-") in PLACES:
                places.setdefault(PLACES[name.lstrip("-")], name)
        if "checkpoint" in places:
            words = [word for place, name in places.items() for word in (name, f"{{{place}}}")]
            script = str(path.relative_to(repo))
            arguments = ", ".join(map(_quoted, words))
            origin = f"the options of {script}, which no document shows: it may need more"
            return INFER.format(origin=origin, script=_quoted(script), arguments=arguments)
    return ""


def _options(place: str) -> list[str]:
    return [option for option, found in PLACES.items() if found == place]


def _arguments(arguments: Sequence[str]) -> tuple[list[str], int]:
    """The arguments with our places in them, and how many of these there are."""
    words, fitted, place = [], 0, ""
    for word in arguments:
        name, equals, _ = word.partition("=")
        option = name.lstrip("-").replace("_", "-") if word.startswith("-") else ""
        found = PLACES.get(option, "")
        if option == "config":
            found = option
        if place:
            words.append(f"{{{place}}}")
            place = ""
        elif found:
            fitted += 1
            words.append(f"{name}={{{found}}}" if equals else name)
            place = "" if equals else found
        else:
            words.append(word.replace("{", "{{").replace("}", "}}").replace(UNKNOWN, ""))
    return words, fitted


def _script(repo: Path) -> Path:
    """The training script: the Hydra entry point whose name speaks of training."""
    found = [
        path
        for pattern in ("scripts/*.py", "*.py", "tools/*.py", "*/*.py")
        for path in sorted(repo.glob(pattern))
        if TRAINS.search(path.stem) and "hydra.main" in text_of(path, "replace")
    ]
    if not found:
        raise UsageError(refusal(repo, "no train*.py with @hydra.main found", "give --repo"))
    return found[0]


def _config_folder(repo: Path, script: Path) -> Path:
    with contextlib.suppress(Blocked):  # the examination will ask for it
        if main := hydra_main(_target(repo, script)):
            return main.config_dir
    return (repo / script.parent / "../configs").resolve()


def _target(repo: Path, script: Path) -> Target:
    """The launch of a script, of which nothing else is known."""
    settings = Settings(launch=LaunchSettings(script=str(script)))
    return Target(repo=repo, python=Path(sys.executable), settings=settings)


def _configs(repo: Path, script: Path, group: str) -> list[Path]:
    """The options of a config group."""
    folder = _config_folder(repo, script)
    return sorted((folder / group).glob("*.yaml")) if folder.is_relative_to(repo) else []


def _machine(repo: Path, script: Path) -> str | None:
    """The machine config most of whose paths exist here."""
    best = (0, "")
    for path in _configs(repo, script.relative_to(repo), "machine"):
        paths = re.findall(r":\s*[\"']?(/[^\s\"']+)", text_of(path, "replace"))
        best = max(best, (sum(Path(p).exists() for p in paths), path.stem))
    return best[1] if best[0] else None
