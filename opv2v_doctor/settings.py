"""Settings: what `opv2v-doctor.toml` may say; an unknown key is an error that names the known ones."""

from __future__ import annotations

import datetime
import re
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    StrictBool,
    StrictFloat,
    StrictInt,
    ValidationError,
    field_validator,
    model_validator,
)

from opv2v_doctor.foreign_files import from_toml, text_of
from opv2v_doctor.layout import Layout
from opv2v_doctor.user_error import UsageError, unknown

FILE_NAME = "opv2v-doctor.toml"
LARGEST = 1 << 20  # bytes of a settings file
LONGEST = 1e6  # seconds: what a time limit may be
VIEW_KEYS = (  # what a view holds, as the public repositories call it
    *("img", "depthmap", "camera_pose", "camera_intrinsics", "camera_model", "data_norm_type"),
    *("non_ambiguous_mask", "valid_mask", "pts3d", "ray_directions_cam", "label", "instance", "agent_id"),
)
MOST = 1_000_000_000  # what may be counted: steps, samples, GPUs


class SettingsError(UsageError):
    """The settings file cannot be followed; the message names file, line and word."""


def _pairs(value: object) -> object:
    """A table as sorted pairs, so that settings stay hashable and a fact about them can be cached."""
    return tuple(sorted((str(k), v) for k, v in value.items())) if isinstance(value, dict) else value


def _is_count(key: str) -> bool:
    """Whether a key is a number of GPUs."""
    return key.isascii() and key.isdigit() and len(key) < len(str(MOST))


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Variant(_Table):
    """What changes for one number of GPUs: `[launch.4]`."""

    overrides: tuple[str, ...] = ()


class LaunchSettings(_Table):
    """How the training is started: script, environment, config, overrides, what changes per world size."""

    script: str = "scripts/train.py"
    module: StrictBool = False  # started as `python -m package.module`
    cwd: str = "."  # where it is started
    config_name: str | None = None  # Hydra's options of these names; None: what the script says
    config_path: str | None = None  # absolute, or from the script's folder
    env: Annotated[tuple[tuple[str, str], ...], BeforeValidator(_pairs)] = (("PYTHONPATH", "."),)
    overrides: tuple[str, ...] = ()
    patience: StrictFloat = Field(default=15.0, gt=0)  # seconds from an interrupt to a harder one
    silence: StrictFloat = Field(default=300.0, gt=0)  # seconds without a sign of a rank: a stall
    end_stalled: StrictBool = False
    variants: tuple[tuple[int, Variant], ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _numbered_tables_are_variants(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "variants" in value:
            return value
        numbered = {key: table for key, table in value.items() if _is_count(key)}
        if len({int(key) for key in numbered}) < len(numbered):
            raise ValueError(f"several tables for one number of GPUs: {', '.join(numbered)}")
        rest = {key: entry for key, entry in value.items() if key not in numbered}
        return {**rest, "variants": tuple((int(key), numbered[key]) for key in sorted(numbered, key=int))}


class Watch(_Table):
    """How closely a training is watched, on how many steps an epoch its schedule runs, and who is told."""

    every: StrictInt = Field(default=50, ge=1, le=MOST)
    steps_per_epoch: StrictInt | None = Field(default=None, ge=1, le=MOST)
    notify: str | None = Field(default=None, min_length=1)  # of the shell: gets each alarm as a line of JSON
    render: Literal["best"] | None = None  # which checkpoints are shown as point clouds while it trains


class RunsSettings(_Table):
    """Where new run directories go, and the language of their record.md. A text alone is the folder."""

    folder: str | None = None  # default: beside hydra.run.dir
    language: Literal["en", "zh"] = "en"


def _folder(value: object) -> object:
    """A text alone as the table that it stands for."""
    return {"folder": value} if isinstance(value, str) else value


OUTPUT = re.compile(  # what an array that an inference writes is: a quantity, the order of its axes, a factor
    r"(?P<kind>points|sampled points|camera points|depth|z depth|pose|world to camera|scale|mask|other)"
    r"( (?P<axes>[+-]?[xyz],[+-]?[xyz],[+-]?[xyz]))?( \* (?P<factor>\d+(\.\d+)?(e-?\d+)?))?"
)


class Infer(_Table):
    """The repository's inference entry; its arguments may name {checkpoint}, {output}, {run} and the like."""

    script: str | None = None
    arguments: tuple[str, ...] = ()
    outputs: Annotated[tuple[tuple[str, str], ...], BeforeValidator(_pairs)] = ()  # FILES:KEY -> what it is

    @field_validator("outputs")
    @classmethod
    def _outputs_are_known_kinds(cls, pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        for pattern, words in pairs:
            found = OUTPUT.fullmatch(words)
            if found is None or (found["axes"] and len(set(re.findall("[xyz]", found["axes"]))) < 3):
                raise ValueError(
                    f"{pattern!r} is {words!r}; known are points, sampled points, camera points, depth, "
                    "z depth, pose, world to camera, scale, mask and other, with axes (points z,-x,-y) and a "
                    "factor (depth * 1000)"
                )
        return pairs

    def filled(self, places: Mapping[str, str], overrides: Sequence[str]) -> list[str]:
        """The arguments, each {name} replaced by what it names; {overrides} stands for several words.

        Raises ValueError for a name that is not known, and for whatever else a format could ask for.
        """
        words: list[str] = []
        for word in self.arguments:
            if word == "{overrides}":
                words += overrides
                continue
            filled = ""
            for text, name, form, conversion in string.Formatter().parse(word):
                if name is not None and (name not in places or form or conversion):
                    raise ValueError(f"{word!r} holds a placeholder that is not known")
                filled += text + places.get(name or "", "")
            words.append(filled)
        return words


class Slurm(_Table):
    """What a SLURM job asks for."""

    partition: str | None = None
    minutes: StrictInt = Field(default=24 * 60, ge=1, le=MOST)
    port: StrictInt = Field(default=29500, ge=1, le=65535)
    parameters: Annotated[tuple[tuple[str, str | StrictInt], ...], BeforeValidator(_pairs)] = ()


class MaskSettings(_Table):
    """Bounds of the mask checks, as fractions of the panorama."""

    floor: StrictFloat = Field(default=0.05, ge=0, le=1)
    tolerance: StrictFloat = Field(default=0.05, gt=0, le=1)
    band: tuple[StrictFloat, StrictFloat] = (0.25, 0.5)  # where the means that a log reports are expected


class Names(_Table):
    """What this repository calls the functions that every such training has; None: what is detected."""

    datasets: str | None = None  # the module among whose names dataset expressions are evaluated
    train_loader: str | None = None
    test_loader: str | None = None
    schedule: str | None = None
    loss: str | None = None  # of a batch: calls the model, then the criterion
    metric_logger: str | None = None
    model: str | None = None  # what makes it of its config
    train: str | None = None
    train_epoch: str | None = None
    test_epoch: str | None = None
    save: str | None = None
    save_model: str | None = None
    load_model: str | None = None
    views: Annotated[tuple[tuple[str, str], ...], BeforeValidator(_pairs)] = ()  # a key of views -> its name

    @field_validator("views")
    @classmethod
    def _views_have_known_keys(cls, pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        for key, _ in pairs:
            if key not in VIEW_KEYS:
                raise ValueError(str(unknown("key of a view", key, VIEW_KEYS)))
        return pairs


class Poses(_Table):
    """Bounds of the pose checks, in metres, and the axes of single cameras; None: as their rays say."""

    farthest: StrictFloat = Field(default=100.0, gt=0)
    error: StrictFloat = Field(default=10.0, gt=0)  # RMSE of predicted poses
    axes: Literal["opencv", "opengl", "carla"] | None = None


def _several(value: object) -> object:
    """One pattern as a list of one."""
    return (value,) if isinstance(value, str) else value


Patterns = Annotated[tuple[str, ...], BeforeValidator(_several), Field(min_length=1)]


class Files(_Table):
    """What the dataset calls the files of a frame: patterns of {frame} and {camera} or {number}."""

    image: Patterns = Layout.image
    depth: Patterns = Layout.depth
    cloud: Patterns = Layout.cloud
    depth_scale: StrictFloat | None = Field(default=None, gt=0)  # metres of a step of whole numbers

    @model_validator(mode="after")
    def _patterns_are_of_frames(self) -> Files:
        for pattern in (*self.image, *self.depth, *self.cloud):
            gaps = sorted(name or "" for _, name, *_ in string.Formatter().parse(pattern) if name is not None)
            wanted = [["frame"]] if pattern in self.cloud else [["camera", "frame"], ["frame", "number"]]
            if gaps not in wanted or not pattern.startswith("{frame}") or "." not in pattern:
                holds = "nothing else" if pattern in self.cloud else "{camera} or {number}"
                raise ValueError(f"{pattern!r} is to begin with {{frame}}, hold {holds}, and end in a suffix")
        return self


class Keys(_Table):
    """What the frame files call what is read of them; the cameras' files are called so, too."""

    cameras: Annotated[tuple[str, ...], Field(min_length=1, max_length=10)] = Layout.cameras
    lidar_pose: str = Layout.lidar_pose
    cords: str = Layout.cords
    intrinsic: str = Layout.intrinsic


class Ignore(_Table):
    """A check that shall not run: why, and until when."""

    code: str
    reason: str = Field(min_length=1)
    until: Annotated[datetime.date, Strict()] | None = None


class Settings(_Table):
    """All settings, with their defaults."""

    repo: str | None = None
    python: str | None = None
    run: str | None = None
    runs: Annotated[RunsSettings, BeforeValidator(_folder)] = RunsSettings()
    gpus: StrictInt | None = Field(default=None, ge=1, le=MOST)
    splits: tuple[str, ...] = Field(default=("train", "val", "test"), min_length=1)
    steps_per_epoch: StrictInt | None = Field(default=None, ge=1, le=MOST)
    dataset_class: str | None = None
    fine_tuning: StrictBool | None = None
    num_samples: StrictInt = Field(default=4, ge=1, le=MOST)
    timeout: StrictFloat = Field(default=300.0, gt=0, le=LONGEST)
    memory: StrictFloat | None = Field(default=None, gt=0, le=LONGEST)  # GiB of each process that is asked
    strict: StrictBool = False
    select: tuple[str, ...] = ()
    ignore: tuple[Ignore, ...] = ()
    plugins: tuple[str, ...] = ()
    launch: LaunchSettings = LaunchSettings()
    watch: Watch = Watch()
    infer: Infer = Infer()
    slurm: Slurm = Slurm()
    masks: MaskSettings = MaskSettings()
    poses: Poses = Poses()
    files: Files = Files()
    keys: Keys = Keys()
    names: Names = Names()

    @property
    def layout(self) -> Layout:
        """How the dataset names its files, and the words of its frame files."""
        return Layout(**dict(self.files), **dict(self.keys))


def read_settings(path: Path) -> Settings:
    """Read and check one settings file; its relative paths become absolute, from the file's folder.

    Raises SettingsError for a file that is not there, is not TOML, or holds a key or value that is not known.
    """
    try:
        text = text_of(path, largest=LARGEST)
        content = from_toml(text)
        if _holds_nul(content):
            raise SettingsError(f"{path}: a text holds a NUL character, which no path and no argument can")
        return _absolute(Settings.model_validate(content), path.resolve().parent)
    except OSError as problem:
        raise SettingsError(f"{path}: cannot be read: {problem.strerror}") from None
    except UnicodeDecodeError as problem:
        raise SettingsError(f"{path}: cannot be read: {problem}") from None
    except ValidationError as problem:
        raise SettingsError(_explanation(path, text, problem)) from None
    except ValueError as problem:
        raise SettingsError(f"{path}: not TOML: {problem}") from None


def _holds_nul(content: object) -> bool:
    if isinstance(content, dict):
        return any(map(_holds_nul, (*content, *content.values())))
    return any(map(_holds_nul, content)) if isinstance(content, list) else "\0" in str(content)


def _absolute(settings: Settings, folder: Path) -> Settings:
    """The settings with every path absolute; an interpreter without a slash stays a command."""
    places = {name: getattr(settings, name) for name in ("repo", "run", "python")}
    update: dict[str, object] = {
        name: str(folder / Path(value).expanduser())
        for name, value in places.items()
        if value and (name != "python" or "/" in value)
    }
    if settings.runs.folder:
        place = str(folder / Path(settings.runs.folder).expanduser())
        update["runs"] = settings.runs.model_copy(update={"folder": place})
    update["plugins"] = tuple(str(folder / plugin) for plugin in settings.plugins)
    return settings.model_copy(update=update)


def _explanation(path: Path, text: str, problem: ValidationError) -> str:
    """The first problem in the user's terms: file, line, word, and what would be right."""
    first = min(
        problem.errors(), key=lambda error: error["type"] != "extra_forbidden"
    )  # a typo explains more
    words = _words(first["loc"], from_toml(text))
    *table, word = words
    place = f"{path}:{_line_of(text, table, word)}"
    if first["type"] == "extra_forbidden":
        return f"{place}: {unknown('setting', word, _known(table))}"
    return f"{place}: {'.'.join(words)}: {first['msg'].removeprefix('Value error, ')}"


def _words(loc: tuple[int | str, ...], content: dict[str, Any]) -> list[str]:
    """Where a problem is, as the file says it: `[launch.4]`, not the place of that table in our tuple."""
    words = [str(part) for part in loc]
    if words[:2] == ["launch", "variants"] and "variants" not in content["launch"]:
        numbers = sorted((key for key in content["launch"] if _is_count(key)), key=int)
        words[1:4] = [numbers[int(words[2])]]
    return words


def _known(table: list[str]) -> list[str]:
    """The keys of the table that an unknown key was found in."""
    models: dict[str, type[_Table]] = {
        "launch": LaunchSettings,
        "watch": Watch,
        "runs": RunsSettings,
        "infer": Infer,
        "slurm": Slurm,
        "masks": MaskSettings,
        "poses": Poses,
        "files": Files,
        "keys": Keys,
        "names": Names,
        "ignore": Ignore,
    }
    if not table:
        return list(Settings.model_fields)
    if table[0] == "launch" and len(table) > 1:
        return list(Variant.model_fields)
    return [name for name in models[table[0]].model_fields if name != "variants"]


def _line_of(text: str, table: list[str], word: str) -> int:
    """The line that sets a key of a table, else that of the table's header or key, else 1."""
    here: list[str] = []
    counts: dict[str, int] = {}
    home = 1
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*(\[\[?)([^\[\]]+)\]", line):
            here = [part.strip(" \"'") for part in header[2].split(".")]
            if header[1] == "[[":  # the entries of an array have numbers
                name = header[2].strip()
                here, counts[name] = [*here, str(counts.get(name, 0))], counts.get(name, 0) + 1
            home = number if here in (table, [*table, word]) else home
        elif key := re.match(r"\s*([\w.\"'-]+)\s*=", line):
            path = [*here, *(part.strip("\"'") for part in key[1].split("."))]
            if path == [*table, word]:
                return number
            home = number if path == table else home
    return home
