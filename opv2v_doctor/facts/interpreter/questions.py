"""The questions: what the training interpreter can be asked, and the form of each answer.

Each is the declaration of a function in `opv2v_doctor/inside/`, which answers there; it is asked by
calling it with a target (or `.ahead`, `.ahead_in`). A test holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from opv2v_doctor.facts.interpreter.probe import TracebackLine, innermost, question
from opv2v_doctor.facts.interpreter.views import DrawFailure, Identity, Sample, View
from opv2v_doctor.text import Place

if TYPE_CHECKING:
    from opv2v_doctor.geometry.colours import Normalisation

LONGEST_NAME = 255  # bytes at most, on every file system

# --- the interpreter


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """What an interpreter says of itself."""

    version: str
    executable: str
    path: tuple[str, ...]
    markers: Mapping[str, str]  # what requirements are compared with (PEP 508)
    cuda: str | None  # the version that torch was built for; None: a CPU build


@question("hello")
def interpreter() -> Interpreter:
    """Version and search path, as the launch has them."""
    raise NotImplementedError


@question("hello")
def importable(*, modules: list[str]) -> Mapping[str, str | None]:
    """The file of each top-level module, None where there is none."""
    raise NotImplementedError


@question("hello")
def versions(*, packages: list[str]) -> Mapping[str, str | None]:
    """The installed version of each distribution, None where it is not installed."""
    raise NotImplementedError


@question("packages")
def installed() -> tuple[tuple[str, str, str], ...]:
    """Name, version and origin of every distribution."""
    raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Copy:
    """One copy of a module that an interpreter could import."""

    file: Path | None  # None: folders without __init__.py
    portions: tuple[Path, ...]
    entry: Path | None  # of sys.path; None where an import hook answers
    through: str  # script folder, PYTHONPATH, sys.path edit, site-packages, path file, import hook, sys.path
    source: str  # the .pth file or the import hook's file
    distribution: str | None

    def __post_init__(self) -> None:
        paths = [path for path in (self.file, self.entry, *self.portions) if path]
        if any(not path.is_absolute() or max(map(len, path.parts)) > LONGEST_NAME for path in paths):
            raise ValueError("not an absolute path")
        if self.file is None and not self.portions:
            raise ValueError("neither a file nor folders")


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """All copies by name, the one that wins first; why the script's edits cannot be replayed, or nothing."""

    copies: Mapping[str, tuple[Copy, ...]]
    refusal: str


@question("imports", each="pythonpaths")
def resolved(
    *, names: list[str], edits: str, folder: str, pythonpaths: list[str | None]
) -> tuple[Resolved, ...]:
    """What names resolve to under each PYTHONPATH; None: the launch's own."""
    raise NotImplementedError


# --- the config


@dataclass(frozen=True, kw_only=True)
class Composed:
    """A config: its values, and what of it stays open."""

    values: Mapping[str, Any]
    missing: tuple[str, ...]
    unresolved: Mapping[str, str]
    files: tuple[tuple[str, str], ...]  # (name, package), in the order of composition


@question("config")
def compose(*, config_dir: str, config_name: str, overrides: list[str]) -> Composed:
    """The config with all interpolations resolved."""
    raise NotImplementedError


class Lines(TypedDict):
    """Lines of a module that build loaders: the name of the config in them, and the home of each builder."""

    source: str
    module: str
    parameter: str
    builders: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class BuilderCall:
    """A call of a builder: the dataset, and what else it is given."""

    builder: str
    dataset: str
    words: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """The datasets that replayed lines kept by key, and all calls of builders in their order."""

    kept: Mapping[str, str]
    calls: tuple[BuilderCall, ...]


@question("config")
def replay(*, config_dir: str, config_name: str, overrides: list[str], lines: Lines) -> Replayed:
    """Run lines of a module, with builders that only note what they are asked for."""
    raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class TrainSet:
    """What a config says of its training, as far as it tells, and what its loader is called with."""

    expression: str | None  # the train set's
    words: Mapping[str, Any]  # of the loader's call, beside the train set
    views: int | None  # of a sample
    epochs: float | None
    warmup: float | None  # epochs
    loss: str | None  # the loss config that is chosen
    problem: str  # Hydra's words; empty where it composes


@question("commands", each="launches")
def train_sets(*, config_dir: str, launches: list[list[str]], lines: Lines) -> tuple[TrainSet, ...]:
    """The train set of each launch: a list of the config's name and its overrides."""
    raise NotImplementedError


class Progress(TypedDict):
    """The training loop's own expression for the fraction of epochs, and its names."""

    expression: str
    counter: str
    sized: list[str]
    module: str


@dataclass(frozen=True, kw_only=True)
class Curves:
    """The rate of each group at the same points; why not by the loop's own expression, or nothing."""

    epochs: tuple[float, ...]
    rates: tuple[tuple[float, ...], ...]
    problem: str
    resumed: tuple[float, ...]  # an epoch, what is asked there, and what by a training that was resumed there

    def __post_init__(self) -> None:
        if any(len(rates) != len(self.epochs) for rates in self.rates):
            raise ValueError("not a rate of every group at each point")


@question("schedule", each="groups", within="rates")
def curves(
    *,
    config_dir: str,
    config_name: str,
    overrides: list[str],
    schedule: str,
    steps: int,
    samples: int,
    accumulated: int,
    groups: list[str],
    progress: Progress | None,
    world_size: int,
) -> Curves:
    """The learning rate of each group, by the repository's own function."""
    raise NotImplementedError


class SchedulerStep(TypedDict):
    """A call that steps a scheduler: by which name, after each "step" or "epoch", and if what holds."""

    name: str
    each: str
    conditions: list[str]


@dataclass(frozen=True, kw_only=True)
class Scheduled(Curves):
    """The rates by a scheduler of torch: its class, none where the config makes none, and what steps it."""

    made: str
    stepped: tuple[str, ...]  # "step", "epoch"


@question("torch_schedule")
def scheduled(
    *,
    config_dir: str,
    config_name: str,
    overrides: list[str],
    lines: Lines,
    variable: str,
    optimizer: str,
    sized: list[str],
    calls: list[SchedulerStep],
    rates: list[float],
    epochs: int,
    steps: int,
    samples: int,
    accumulated: int,
) -> Scheduled:
    """The learning rate of each group, as the launch's scheduler of torch sets it."""
    raise NotImplementedError


# --- loaders and samples


@dataclass(frozen=True, kw_only=True)
class Rank:
    """What one rank would be given in an epoch."""

    rank: int
    length: int  # what its loader says
    batches: int  # what its sampler yields
    samples: int
    views: Mapping[str, int]  # number of views -> batches


@dataclass(frozen=True, kw_only=True)
class EvalLoader:
    """The length of one evaluation loader, or why it cannot be built, and where."""

    key: str
    length: int | None
    problem: str
    frames: tuple[TracebackLine, ...]


@dataclass(frozen=True, kw_only=True)
class Loaders:
    """The loaders as the repository builds them."""

    ranks: tuple[Rank, ...]
    mixed: float  # share of the steps in which ranks hold different numbers of views
    distinct: int  # samples that are drawn by at least one rank
    sampler: Place | None  # what deals out the batches
    counted: Place | None  # and says how many they are
    evals: tuple[EvalLoader, ...]


@question("loaders")
def loaders(
    *,
    config_dir: str,
    config_name: str,
    overrides: list[str],
    module_name: str,
    train: Lines,
    expression: str,
    evals: Lines | None,
    seeding: Lines | None,
    world_size: int,
    measured: list[int],
) -> Loaders:
    """The train loader of each measured rank, gone through once; the length of each evaluation loader."""
    raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Exported:
    """The file of a module, and the files that its names come from."""

    file: Path | None
    names: Mapping[str, Path]


@question("samples")
def exported(*, module_name: str, names: list[str]) -> Exported:
    """Which of the names a module has, and where they come from."""
    raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class DrawingFailure:
    """What drawing a sample raised, and the file that was opened last."""

    kind: str
    message: str
    opened: Path | None
    frames: tuple[TracebackLine, ...]


@dataclass(frozen=True, kw_only=True)
class DrawnSample:
    """One drawn sample, or its failure."""

    key: tuple[int, ...]
    requested: int | None
    views: tuple[View, ...]
    failure: DrawingFailure | None

    def within(self, repo: Path) -> Sample:
        """The sample, its failure with the place in a repository."""
        failed = self.failure
        return Sample(
            key=self.key,
            requested=self.requested,
            views=self.views,
            failure=DrawFailure(
                kind=failed.kind,
                message=failed.message,
                place=innermost(failed.frames, repo),
                opened=failed.opened,
            )
            if failed
            else None,
        )


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """Samples of a dataset of some length."""

    length: int
    classes: tuple[str, ...]
    views: tuple[int, ...]  # the numbers of views that it draws
    samples: tuple[DrawnSample, ...]


@question("samples")
def draw(*, expression: str, module_name: str, count: int, split: str, folder: str) -> Drawing:
    """Samples spread over the dataset; the arrays of a few of them are written into the folder."""
    raise NotImplementedError


@question("samples", each="expressions")
def again(*, expressions: list[str], module_name: str, count: int) -> tuple[tuple[DrawnSample, ...], ...]:
    """The planned samples of each dataset from the last, drawn under another random state."""
    raise NotImplementedError


@question("samples")
def in_next_epoch(*, expression: str, module_name: str, count: int, place: int) -> DrawnSample:
    """The sample at one place of the plan, in epoch 1."""
    raise NotImplementedError


class EpochLines(TypedDict):
    """What the training does at the start of an epoch, and the names of loaders and of the epoch in it."""

    source: str
    module: str
    loaders: list[str]
    epoch: str
    configs: list[str]


@dataclass(frozen=True, kw_only=True)
class KeyChange:
    """What became of a key between samples and batch."""

    key: str
    kind: str
    number: float | None  # the factor, the offset or the bound where there is one
    given: str  # dtype and shape
    made: str


@dataclass(frozen=True, kw_only=True)
class RandomUse:
    """A generator that samples of a batch were drawn with, and a digest of its state before."""

    generator: str
    worker: int  # -1: the training's own process
    epoch: int
    state: str


@dataclass(frozen=True, kw_only=True)
class DrawnBatch:
    """One batch as a loader gave it."""

    epoch: int
    place: int  # in the order of the epoch's batches
    keys: tuple[tuple[int, ...], ...]
    samples: tuple[Mapping[str, str], ...]  # key of a view -> digest of what the dataset gave
    worker: int
    overwritten: tuple[str, ...]  # keys that changed between drawing and collation
    arrived: bool  # whether what arrived is what the collation made


@dataclass(frozen=True, kw_only=True)
class DrawnLoader:
    """The first batches of a loader in two epochs."""

    key: str
    workers: int
    persistent: bool
    batches: tuple[DrawnBatch, ...]
    changes: tuple[KeyChange, ...]
    random: tuple[RandomUse, ...]
    collate: Place | None
    worker_init: Place | None
    sampler: Place | None
    alike: bool | None  # both epochs have the same samples in the same order; None: too few to tell
    changed: tuple[str, ...]  # keys in which samples of one index differ between the epochs
    stale: bool  # the second epoch has samples of the first
    unreached: Place | None  # a dataset that does not pass the epoch on to what it wraps
    settled: bool  # one index is one sample within an epoch
    told: bool | None  # where both epochs begin alike: whether set_epoch of all parts would change that
    untold: str  # why the training's own lines could not begin the epochs
    failure: DrawingFailure | None


@question("batches")
def batches(
    *,
    config_dir: str,
    config_name: str,
    overrides: list[str],
    module_name: str,
    lines: Lines,
    expression: str,
    epochs: EpochLines | None,
    numbers: list[int],
    seeding: Lines | None,
    world_size: int,
) -> tuple[DrawnLoader, ...]:
    """The first batches that rank 0 is given; with an expression by the loader of that training set."""
    raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Share:
    """How an evaluation set is shared by the ranks, in indices."""

    key: str
    size: int
    ranks: tuple[int, ...]  # indices that each evaluates
    missing: int  # that no rank evaluates
    unsampled: int  # of these, those that the sampler gives nobody; batches leave out the others
    repeated: int
    whole_on_each: bool
    epochs_alike: bool
    sampler: Place | None


@dataclass(frozen=True, kw_only=True)
class Shares:
    """What of the training set is drawn in the first epochs by all ranks, and of the evaluation sets."""

    epochs: int
    drawn: int
    size: int
    never: int  # indices
    first_never: int | None
    frames: int  # samples of the data behind the indices, 0 where they cannot be traced
    frames_never: int
    frames_drawn: int
    repeated: int  # drawn by two ranks, or twice, in one epoch
    sampler: Place | None
    dataset: Place | None
    evals: tuple[Share, ...]
    problem: str  # why indices cannot be traced


@question("batches")
def shares(
    *,
    config_dir: str,
    config_name: str,
    overrides: list[str],
    module_name: str,
    train: Lines,
    expression: str,
    evals: Lines | None,
    train_epochs: EpochLines | None,
    eval_epochs: EpochLines | None,
    seeding: Lines | None,
    world_size: int,
) -> Shares:
    """The indices that all ranks are given, for as many epochs as it takes to see them all."""
    raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How an image was normalised: channel = value * deviation + mean, 0 to 1."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    source: str

    @property
    def normalisation(self) -> Normalisation:
        """Its numbers alone."""
        from opv2v_doctor.geometry.colours import Normalisation

        return Normalisation(self.mean, self.deviation)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What `data_norm_type` says, what the transform did, and what the name stands for; None: unknown."""

    name: str
    done: Rule | None
    named: Rule | None


@dataclass(frozen=True, kw_only=True)
class PreviewSample(DrawnSample):
    """A drawn sample, and how the images of its views were normalised."""

    rules: tuple[Rules, ...]

    def __post_init__(self) -> None:
        if len(self.rules) != len(self.views):
            raise ValueError("not a rule for each view")


@dataclass(frozen=True, kw_only=True)
class Preview:
    """Samples of a dataset of some length."""

    length: int
    samples: tuple[PreviewSample, ...]


@question("preview")
def draw_at(
    *,
    expression: str,
    module_name: str,
    split: str,
    folder: str,
    indices: list[int],
    count: int,
    seed: int,
) -> Preview:
    """Samples at these indices, or at so many random ones; their arrays are written into the folder."""
    raise NotImplementedError


@question("preview")
def named_rule(*, expression: str, module_name: str, name: str) -> Rules:
    """How images are normalised that say so of themselves."""
    raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class CropCall:
    """A call that took an image and its intrinsics and gave both: the matrix (3, 3) before and after."""

    function: str
    file: Path
    line: int
    before: tuple[tuple[float, ...], ...]
    after: tuple[tuple[float, ...], ...]


@question("crops")
def seen(
    *, expression: str, module_name: str, key: list[int], folder: str, root: str
) -> tuple[CropCall, ...]:
    """The calls of crop functions while one sample is drawn; images as FOLDER/NUMBER_before.npy, _after."""
    raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """A value that a line gave to a name, or returned: a small one whole, of a large one some pixels."""

    file: Path
    line: int
    function: str
    name: str
    given: bool  # to the function, by its caller
    callers: tuple[tuple[Path, int], ...]  # lines of the repository, nearest first
    shape: tuple[int, ...]
    numbers: tuple[float, ...]
    grid: int | None  # FOLDER/NUMBER.npy


@dataclass(frozen=True, kw_only=True)
class Trail:
    """One sample: its views, and the values on the way there."""

    views: tuple[View, ...]
    sightings: tuple[Sighting, ...]


@question("tracing")
def followed(
    *, expression: str, module_name: str, key: list[int], folder: str, root: str, grid: int
) -> Trail:
    """Poses, vectors and large arrays in the repository's variables, while one sample is drawn."""
    raise NotImplementedError


# --- the model


@dataclass(frozen=True, kw_only=True)
class WeightPart:
    """A sub-module: its parameters, those that were found, and the names of those that were not."""

    elements: int
    loaded: int
    missing: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Account:
    """What of a model the weights of a checkpoint fill, and what is left over."""

    parts: Mapping[str, WeightPart]
    unexpected: tuple[str, ...]
    reshaped: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]  # name, in the file, in the model


class Given(TypedDict):
    """What geometry the model gets besides the images, and how far noise moves and turns a pose."""

    poses: str  # none, truth, noisy
    depth: str  # none, sparse, dense
    metres: float
    degrees: float


@dataclass(frozen=True, kw_only=True)
class ShownView:
    """What a view shows, by which kind of camera."""

    identity: Identity
    camera_model: str | None


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What was predicted of, and how."""

    weights: Account
    views: tuple[ShownView, ...]
    inputs: tuple[str, ...]
    effect: float | None
    precision: str


@question("pointcloud")
def predict(
    *,
    config: dict[str, Any],
    checkpoint: str,
    models: str,
    expression: str,
    datasets: str,
    test_loader: str,
    index: int,
    given: Given,
    folder: str,
) -> Prediction:
    """The model's inference on one sample; all arrays are written as FOLDER/VIEW_PREFIX_NAME.npy."""
    raise NotImplementedError


@question("model", each="configs")
def config_values(*, configs: list[Any]) -> tuple[Mapping[str, Any], ...]:
    """The values of configs, given as values or as files, resolved as far as Hydra is not needed."""
    raise NotImplementedError
