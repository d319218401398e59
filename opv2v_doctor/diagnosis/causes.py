"""Causes: what, of all that was measured, makes a validation loss high, and how much of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import combinations
from pathlib import PurePath
from statistics import fmean, median

from opv2v_doctor.check import Severity
from opv2v_doctor.diagnosis.measurements import BothSets
from opv2v_doctor.diagnosis.questions import Disagreement, Drawn, Opened, Overfitted, Part, Paths, ViewNumbers
from opv2v_doctor.facts.launch.splits import FOLDERS
from opv2v_doctor.facts.past.mask_bounds import FEWEST_UPDATES
from opv2v_doctor.text import Place, Text, sentence
from opv2v_doctor.threshold import Threshold

YARDSTICK = Threshold(
    0.05, "of the validation loss", "by less, two criteria tell the same story", healthy=0.008, faulty=0.087
)
UNLIKE_INPUT = Threshold(
    1e-3, "of its size", "what both paths give the model is the same tensor; less is its precision"
)
TIMES = Threshold(0.01, "of the loss", "one loss, averaged alike: rounding is less", healthy=1e-6, faulty=1.0)
MODE = Threshold(
    0.1, "of the loss", "what running averages of a healthy model change is less", healthy=1e-6, faulty=0.5
)
CHANCE = Threshold(
    1e-3, "of the loss", "a model in evaluation mode draws nothing: rounding is less", healthy=0, faulty=0.01
)
BLACK = Threshold(
    0.25, "deviations of a channel", "black is the same number in both sets, whatever they show", healthy=0.05
)
JITTER = Threshold(0.01, "deviations of the image", "a validation image is the same in each epoch", healthy=0)
APART = Threshold(0.95, "of all pairs", "of 8 and 8 samples of one kind so few overlap once in 3000 times")
TWICE = Threshold(1.25, "times", "less, though beyond chance, changes no loss that one would look for")
FRAME = Threshold(0.01, "m", "one view is the frame of all others: rounding is less", healthy=1e-6)
TURNED = Threshold(1, "degrees", "one view is the frame of all others: rounding is less", healthy=0.03)
HELD = Threshold(0.5, "of a file's weights", "a file that is loaded is held; a head may be left out")
FITS = Threshold(0.999, "of the model's weights", "a checkpoint of the same model fills all of them")
STILL = Threshold(
    1e-3,
    "of the weights' norm",
    "what a training of a few hundred useful steps moves",
    healthy=0.1,
    faulty=1e-5,
)
CONSTANT = Threshold(
    0.95, "of the constant predictor's loss", "a model that looks at its images is better", healthy=0.89
)
FEW = Threshold(20, "updates", "what a warm-up alone takes", healthy=30, faulty=2)
FALLS = Threshold(0.05, "of the loss in the last epoch", "a training that is done falls by less", faulty=0.2)
OVERFITS = Threshold(
    0.1, "of the loss of one batch", "thirty steps of a useful learning rate take away more", healthy=0.45
)
FRAMES = Threshold(10, "frames of training", "so few are learned by heart; a fifth of the gap tells it")
WORSE = Threshold(
    0.25, "of the training loss", "new scenes cost a little; more is learned by heart", healthy=0.05
)


ORDER = "order"  # what is told as another input where the views are exchanged


class Certainty(IntEnum):
    """What outweighs what: a fault that was seen, weights that did not learn, a likeness that is missing."""

    NOT_EVALUATED = 0  # what is evaluated is not what was trained
    NOT_TRAINED = 1
    SEEN = 2
    NOT_LEARNED = 3
    UNLIKE = 4
    LEFT = 5  # what remains where nothing else was found


@dataclass(frozen=True, kw_only=True)
class Cause:
    """One contribution to a high validation: what it is, where, what to do, and how much of the loss."""

    code: str  # of the check that says it
    certainty: Certainty
    said: Text
    hint: Text
    at: Place | None = None
    effect: float | None = None  # in the unit of the validation loss
    severity: Severity = Severity.ERROR


def ranked(causes: Sequence[Cause], left: float | None = None) -> list[Cause]:
    """The causes, largest contribution first; one without a measured effect may be all of what is left."""
    return sorted(
        causes,
        key=lambda cause: (cause.certainty, -(cause.effect if cause.effect is not None else left or 0.0)),
    )


def gap(both: BothSets) -> float | None:
    """Validation's loss less training's, by one criterion on one path."""
    test, train = both.mean("test", "loss"), both.mean("train", "loss")
    return None if test is None or train is None else test - train


# --- one yardstick


def unlike_parts(one: Sequence[Part], other: Sequence[Part]) -> list[Text]:
    """What of two criteria differs: classes, weights, exclusions, norms."""
    ours, theirs = {part.path: part for part in one}, {part.path: part for part in other}
    found = []
    for path in [*ours, *(path for path in theirs if path not in ours)]:
        a, b = ours.get(path), theirs.get(path)
        if a is None or b is None:
            only = a or b
            assert only is not None
            found.append(
                Text(
                    "{kind} in {which}'s alone",
                    kind=only.kind,
                    which=Text("training") if a else Text("validation"),
                )
            )
            continue
        if a.kind != b.kind:
            found.append(Text("{one} in training, {other} in validation", one=a.kind, other=b.kind))
        found += _unlike_values(a, b)
    return found


def _unlike_values(one: Part, other: Part) -> Iterator[Text]:
    ours, theirs = _flat(one.values), _flat(other.values)
    for name in dict.fromkeys([*ours, *theirs]):
        if ours.get(name) != theirs.get(name) and name in ours and name in theirs:
            yield Text(
                "{kind} {name} {ours} in training, {theirs} in validation",
                kind=other.kind,
                name=name.lstrip("_"),
                ours=ours[name],
                theirs=theirs[name],
            )


def _flat(values: Mapping[str, object]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found.update({f"{name}.{key}": str(one) for key, one in value.items()})
        else:
            found[name] = str(value)
    return found


Places = Mapping[str, Place | None]  # of keys of the config


def criterion_causes(launch: Opened, both: BothSets | None, places: Places) -> Iterator[Cause]:
    """How much of the validation loss is its criterion alone."""
    unlike = unlike_parts(launch.train_criterion, launch.test_criterion)
    if both is None:
        return
    test, by_train = both.mean("test", "loss"), both.mean("test", "by_train")
    if test is None or by_train is None or test - by_train <= YARDSTICK * abs(test):
        return
    yield Cause(
        code="DGN003",
        certainty=Certainty.SEEN,
        said=Text(
            "two yardsticks: of the same predictions validation's criterion says {test:.4g}, training's "
            "{by_train:.4g}; {unlike}",
            test=test,
            by_train=by_train,
            unlike=sentence(unlike[:4]) or Text("what differs lies deeper than their parts tell"),
        ),
        hint=Text("compare terms, not sums; or give loss.test_criterion the weights of loss.train_criterion"),
        at=places.get("loss.test_criterion") or launch.test_criterion[0].place,
        effect=test - by_train,
    )


# --- the same kind of data


def data_causes(
    launch: Opened, data: Drawn, both: BothSets | None, split: str, places: Places
) -> Iterator[Cause]:
    """What of validation's samples is made otherwise than training's: images, trees, the poses' frame."""
    yield from _other_normalisation(data, both, places.get(f"dataset.opv2v.{split}.data_norm_type"))
    if data.jitter is not None and data.jitter > JITTER:
        yield Cause(
            code="DGN004",
            certainty=Certainty.SEEN,
            said=Text(
                "validation is augmented: the same view is another image in the next epoch (by {jitter:.2g} "
                "deviations)",
                jitter=data.jitter,
            ),
            hint=Text("dataset.opv2v.{split}.transform=imgnorm", split=split),
            at=places.get(f"dataset.opv2v.{split}.transform"),
        )
    yield from _other_roots(launch, places.get(f"dataset.opv2v.{split}.dataset_str"))
    yield from _other_frame(data)


def _other_normalisation(data: Drawn, both: BothSets | None, at: Place | None) -> Iterator[Cause]:
    if not is_normalised_otherwise(data):
        return
    train, test = _views(data.train), _views(data.test)
    ours, theirs = ({view.norm_type for view in views} for views in (train, test))
    effect = None
    if both is not None:
        loss, matched = both.mean("test", "loss"), both.mean("test", "matched")
        effect = max(loss - matched, 0.0) if loss is not None and matched is not None else None
    (mean, deviation), (other, spread) = _channels(train), _channels(test)
    black, least = _least(train), _least(test)
    yield Cause(
        code="DGN004",
        certainty=Certainty.SEEN,
        said=Text(
            "validation's images are normalised otherwise: channel deviations {theirs} where training has "
            "{ours}, means {means} and {others}, black {least} and {black}; {kinds}",
            theirs=[f"{one:.2f}" for one in spread],
            ours=[f"{one:.2f}" for one in deviation],
            means=[f"{one:.2f}" for one in other],
            others=[f"{one:.2f}" for one in mean],
            least=[f"{one:.2f}" for one in least],
            black=[f"{one:.2f}" for one in black],
            kinds=Text(
                "data_norm_type {theirs}, training's {ours}", theirs=_words(theirs), ours=_words(ours)
            ),
        ),
        hint=Text("give validation's dataset the data_norm_type of training's: ${{model.data_norm_type}}"),
        at=at,
        effect=effect,
    )


def is_normalised_otherwise(data: Drawn) -> bool:
    """Whether black is another number in validation, or its views say so."""
    train, test = _views(data.train), _views(data.test)
    if {view.norm_type for view in train} != {view.norm_type for view in test}:
        return True
    deviation, black, least = _channels(train)[1], _least(train), _least(test)
    return any(abs(a - b) > BLACK * d for a, b, d in zip(black, least, deviation, strict=False))


def _least(views: Sequence[ViewNumbers]) -> list[float]:
    """The darkest value of each channel: black, where the views hold any."""
    return [min(values) for values in zip(*(view.least for view in views), strict=False)]


def _words(values: set[str | None]) -> list[str]:
    return sorted(str(value) for value in values)


def _views(samples: Sequence[Sequence[ViewNumbers]]) -> list[ViewNumbers]:
    return [view for sample in samples for view in sample]


def _channels(views: Sequence[ViewNumbers]) -> tuple[list[float], list[float]]:
    """Mean and deviation of each channel over all pixels."""
    if not views:
        return [], []
    means = [fmean(values) for values in zip(*(view.mean for view in views), strict=False)]
    squares = [
        fmean(m * m + d * d for m, d in pairs)
        for pairs in (
            [(view.mean[c], view.deviation[c]) for view in views if c < len(view.mean)]
            for c in range(len(means))
        )
    ]
    return means, [math.sqrt(max(s - m * m, 0.0)) for s, m in zip(squares, means, strict=True)]


def other_roots(launch: Opened) -> dict[str, tuple[str, ...]]:
    """The paths that both datasets have, and that are another's tree: but for the name of the split."""
    names = {folder for folders in FOLDERS.values() for folder in folders}
    return {
        name: pair
        for name, pair in launch.attributes.items()
        if all(value.startswith("/") for value in pair)
        if len({tuple(p for p in PurePath(value).parts if p not in names) for value in pair}) > 1
    }


def _other_roots(launch: Opened, at: Place | None) -> Iterator[Cause]:
    roots = other_roots(launch)
    if roots:
        yield Cause(
            code="DGN004",
            certainty=Certainty.SEEN,
            said=Text(
                "validation reads another tree than training: {roots}",
                roots=[f"{name} {theirs}, training's {ours}" for name, (ours, theirs) in roots.items()],
            ),
            hint=Text("see that both trees were made alike, or give both datasets the same root"),
            at=at,
            severity=Severity.WARNING,
        )


def _other_frame(data: Drawn) -> Iterator[Cause]:
    """One view of each sample of training, whichever, is the frame of the others; in validation none is."""
    ours, theirs = ([*map(max, zip(*_frames(part), strict=True))] for part in (data.train, data.test))
    if not any(a <= most < b for a, most, b in zip(ours, (FRAME, TURNED), theirs, strict=False)):
        return
    yield Cause(
        code="DGN004",
        certainty=Certainty.SEEN,
        said=Text(
            "validation's poses are in another frame: its view nearest to the origin is {far:.3g} m off and "
            "turned by {turned:.3g} degrees, in training one view of each sample is the frame of the others",
            far=theirs[0],
            turned=theirs[1],
        ),
        hint=Text("make validation's poses relative to one of its views, as training's are"),
    )


def _frames(samples: Sequence[Sequence[ViewNumbers]]) -> list[tuple[float, float]]:
    """How far the view that is nearest to the origin is from it, and turned against it: metres, degrees."""
    return [
        min((math.hypot(*view.position), view.turned or 0.0) for view in sample if view.position)
        for sample in samples
        if any(view.position for view in sample)
    ]


FEATURES: Mapping[str, tuple[Text, Callable[[Sequence[ViewNumbers]], float | None]]] = {
    "views": (Text("views of a sample"), len),
    "baseline": (Text("distance between agents, metres"), lambda views: _baseline(views)),
    "depth": (Text("median depth, metres"), lambda views: _of(views, "depth")),
    "known": (Text("share of pixels with depth"), lambda views: _of(views, "known")),
    "mask": (Text("mean of the mask"), lambda views: _of(views, "mask")),
    "light": (
        Text("contrast of the image"),
        lambda views: fmean(fmean(view.deviation) for view in views),
    ),
}


def _of(views: Sequence[ViewNumbers], name: str) -> float | None:
    known = [getattr(view, name) for view in views if getattr(view, name) is not None]
    return median(known) if known else None


def _baseline(views: Sequence[ViewNumbers]) -> float | None:
    places = [view.position for view in views if view.position]
    return median(math.dist(*pair) for pair in combinations(places, 2)) if len(places) > 1 else None


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """One number of the samples of both sets: the means, and in how many pairs validation's is more."""

    name: str
    said: Text
    train: float
    test: float
    more: float

    @property
    def is_apart(self) -> bool:
        """Whether chance does not explain it, and it is large."""
        ratio = max(abs(self.train), abs(self.test)) / max(min(abs(self.train), abs(self.test)), 1e-9)
        return max(self.more, 1 - self.more) > APART and ratio > TWICE


def likenesses(data: Drawn) -> list[Likeness]:
    """All numbers that both sets have."""
    found = []
    for name, (said, measure) in FEATURES.items():
        ours, theirs = (
            [value for sample in samples if (value := measure(sample)) is not None]
            for samples in (data.train, data.test)
        )
        if ours and theirs:
            pairs = [(1.0 if b > a else 0.5 if b == a else 0.0) for a in ours for b in theirs]
            found.append(
                Likeness(name=name, said=said, train=fmean(ours), test=fmean(theirs), more=fmean(pairs))
            )
    return found


def scene_causes(data: Drawn, both: BothSets | None) -> Iterator[Cause]:
    """Validation shows other scenes than training does."""
    kept = {"views", "light"} if is_normalised_otherwise(data) else {"views"}
    apart = [one for one in likenesses(data) if one.is_apart and one.name not in kept]
    if apart and min(len(data.train), data.distinct) >= 4 and len(data.test) >= 4:
        yield Cause(
            code="DGN004",
            certainty=Certainty.UNLIKE,
            said=Text(
                "validation's scenes are unlike training's: {numbers}",
                numbers=sentence(
                    [
                        Text(
                            "{what} {test:.3g}, training's {train:.3g}",
                            what=o.said,
                            test=o.test,
                            train=o.train,
                        )
                        for o in apart
                    ],
                    ", ",
                ),
            ),
            hint=Text("train on scenes like these, or validate on scenes like training's"),
            effect=gap(both) if both else None,
            severity=Severity.WARNING,
        )


# --- one batch on both paths


def path_causes(found: Paths, launch: Opened) -> Iterator[Cause]:
    """Where training and validation do different things with the very same batch."""
    seen: set[str] = set()
    for batch in found.batches:
        for name, cause in _of_batch(batch, launch):
            if name not in seen:
                seen.add(name)
                yield cause


def _of_batch(batch: Disagreement, launch: Opened) -> Iterator[tuple[str, Cause]]:
    train, test = batch.train, batch.test
    times = test.factor / train.factor
    alike = test.loss / times if test.loss is not None else None  # as training's reduction would tell it
    both = alike is not None and batch.by_test_of_train is not None
    effect = max(alike - batch.by_test_of_train, 0.0) if both else None  # type: ignore[operator]
    if test.loss is not None and times > 1 + TIMES:
        yield (
            "factor",
            Cause(
                code="DGN006",
                certainty=Certainty.SEEN,
                said=Text(
                    "another reduction: of one batch, given twice, validation tells {times:.3g} times the "
                    "loss that training's average would",
                    times=times,
                ),
                hint=Text("average over samples, views and batches in validation as in training"),
                at=launch.test_place,
            ),
        )
    if launch.fresh or test.weights_differ:
        yield (
            "weights",
            Cause(
                code="DGN006",
                certainty=Certainty.NOT_EVALUATED,
                said=Text(
                    "validation runs another model than the one that is trained: {n} of its weights "
                    "are not the "
                    "trained ones",
                    n=test.weights_differ,
                )
                if test.weights_differ
                else Text("validation is given another model, which no step of training changes"),
                hint=Text("evaluate the model that the optimizer steps, or update its copy"),
                at=test.line or launch.test_place,
                effect=effect if test.weights_differ else None,  # both were given the checkpoint
            ),
        )
    if test.modules:
        yield (
            "mode",
            Cause(
                code="DGN006",
                certainty=Certainty.SEEN,
                said=Text(
                    "validation runs in training mode: {n:module|modules} of the model, such as {names}",
                    n=test.modules,
                    names=test.in_training[:3],
                ),
                hint=Text("call model.eval() at the start of the evaluation"),
                at=launch.test_place,
            ),
        )
    if train.precision != test.precision:
        yield (
            "precision",
            Cause(
                code="DGN006",
                certainty=Certainty.SEEN,
                said=Text(
                    "the precision differs: training computes in {train}, validation in {test}",
                    train=train.precision or "fp32",
                    test=test.precision or "fp32",
                ),
                hint=Text("give both the same use_amp and amp_dtype"),
                at=test.line if test.precision is None else train.line,
                effect=effect,
            ),
        )
    inputs = {key: apart for key, apart in batch.inputs.items() if apart > UNLIKE_INPUT}
    if inputs:
        key = max(inputs, key=lambda name: inputs[name])
        line = test.line if batch.changed_by.get(key) == "test" else train.line
        yield (
            "inputs",
            Cause(
                code="DGN006",
                certainty=Certainty.SEEN,
                said=Text(
                    "the model is given the views of the same batch in another order, changed on the path "
                    "of {path}"
                    if key == ORDER
                    else "the model is given another {keys} of the same batch: {apart:.2g} of its size "
                    "apart, changed on the path of {path}",
                    keys=sorted(inputs, key=lambda name: -inputs[name])[:3],
                    apart=inputs[key],
                    path=Text("validation") if batch.changed_by.get(key) == "test" else Text("training"),
                ),
                hint=Text("prepare batches in one place, for both"),
                at=line,
                effect=effect,
            ),
        )
    again = test.again / times if test.again is not None and not test.modules else alike
    if again is not None and alike is not None and abs(again - alike) > CHANCE * abs(alike):
        yield (
            "chance",
            Cause(
                code="DGN006",
                certainty=Certainty.SEEN,
                said=Text(
                    "evaluation is random: the same batch is {loss:.4g}, then {again:.4g}, in evaluation "
                    "mode, and {train:.4g} on training's path",
                    loss=alike,
                    again=again,
                    train=batch.by_test_of_train,
                ),
                hint=Text("look for dropout that ignores self.training, and for what the forward draws"),
                at=launch.test_place,
                effect=effect,
                severity=Severity.WARNING,
            ),
        )
    clean = not (launch.fresh or test.weights_differ or test.modules or inputs)
    if clean and both and train.precision == test.precision and effect is not None:
        base = abs(batch.by_test_of_train or 0.0)
        if effect > MODE * base:
            yield (
                "eval",
                Cause(
                    code="DGN006",
                    certainty=Certainty.SEEN,
                    said=Text(
                        "evaluation mode alone makes the same batch worse: {test:.4g}, in training "
                        "mode {train:.4g} "
                        "by the same criterion",
                        test=alike,
                        train=batch.by_test_of_train,
                    ),
                    hint=Text(
                        "look at running averages (BatchNorm) and at what the model does if not self.training"
                    ),
                    at=launch.test_place,
                    effect=effect,
                ),
            )


# --- what was learned


def fit_causes(launch: Opened, checkpoint: Place) -> Iterator[Cause]:
    """A checkpoint that is not of this model."""
    parts = launch.account.parts.values()
    elements, loaded = sum(part.elements for part in parts), sum(part.loaded for part in parts)
    share = loaded / max(elements, 1)
    if elements and share < FITS:
        lacking = [name for name, part in launch.account.parts.items() if part.loaded < part.elements]
        yield Cause(
            code="DGN001",
            certainty=Certainty.NOT_EVALUATED,
            said=Text(
                "the checkpoint fills {share:.1%} of the model that the launch builds: not {parts}",
                share=share,
                parts=lacking,
            ),
            hint=Text("give the overrides of the run that wrote it, or another checkpoint"),
            at=checkpoint,
        )


def start_causes(launch: Opened) -> Iterator[Cause]:
    """A file of weights that the launch reads, and does not begin with."""
    if not launch.read:
        return
    last = launch.read[-1]
    if last.elements and last.held < HELD * last.elements:
        yield Cause(
            code="DGN002",
            certainty=Certainty.NOT_LEARNED,
            said=Text(
                "the launch reads {file}, and begins with {held} of its {n} weights; {named} have a "
                "name and a "
                "shape that the model has",
                file=last.file,
                held=last.held,
                n=last.elements,
                named=last.named,
            ),
            hint=Text("strip or add the prefix of the names, and load with strict=True"),
            at=launch.load_place,
        )


def learning_causes(launch: Opened, steps: Overfitted | None, updates: int | None) -> Iterator[Cause]:
    """Parts that did not move, or cannot; none of a training that is too short to move any."""
    trained = {name: part for name, part in launch.moved.items() if part.frozen < part.elements}
    if trained and all(part.relative < STILL for part in trained.values()):
        if not is_hardly_trained(updates):
            yield Cause(
                code="DGN009",
                certainty=Certainty.NOT_LEARNED,
                said=Text(
                    "nothing was learned: the checkpoint is {most:.2g} of the weights' norm from what "
                    "the launch begins with, at most",
                    most=max(part.relative for part in trained.values()),
                ),
                hint=Text("raise train_params.lr, and look at its warm-up"),
            )
        return
    still = {name for name, part in trained.items() if part.still and part.relative < STILL}
    no_gradient = {name.partition(".")[0] for name in (steps.without_gradient if steps else ())}
    dead = [name for name in trained if name in still or _is_dead(name, steps)]
    unused = [name for name in dead if steps and name in steps.unused]
    dead = [name for name in dead if name not in unused]
    frozen = [name for name, part in launch.moved.items() if part.frozen == part.elements]
    if dead:
        yield Cause(
            code="DGN009",
            certainty=Certainty.NOT_LEARNED,
            said=Text(
                "{parts} did not move: no gradient reaches what is trained there"
                if set(dead) & no_gradient
                else "{parts} did not move from what the launch begins with",
                parts=dead,
            ),
            hint=Text("look for detach(), no_grad() and requires_grad on the way from the loss to it")
            if steps
            else Text("--overfit-steps 6, where that runs, tells whether they take part at all"),
            severity=Severity.ERROR if steps else Severity.WARNING,
        )
    notes = (
        (
            unused,
            Text(
                "{parts} are not used by this task: none of their weights changes a prediction of a batch",
                parts=unused,
            ),
            Text("see that no input is lacking that the launch means to give them"),
        ),
        (
            frozen,
            Text("{parts} are frozen: the launch does not train them", parts=frozen),
            Text("see that train_params.submodule_configs freezes what it should"),
        ),
    )
    for parts, said, hint in notes:
        if parts:
            yield Cause(code="DGN009", certainty=Certainty.LEFT, said=said, hint=hint, severity=Severity.NOTE)


def _is_dead(name: str, steps: Overfitted | None) -> bool:
    """Whether no tensor of a sub-module got a gradient."""
    if steps is None or name not in steps.moved:
        return False
    part = steps.moved[name]
    lacking = [one for one in steps.without_gradient if one.partition(".")[0] == name]
    return bool(lacking) and set(lacking) == set(part.still) and part.relative == 0.0


def overfit_causes(steps: Overfitted) -> Iterator[Cause]:
    """One batch that cannot be learned by heart."""
    fallen = batch_fall(steps)
    if fallen is None or fallen > OVERFITS * min(1.0, steps.steps / 30):
        return
    yield Cause(
        code="DGN010",
        certainty=Certainty.NOT_LEARNED,
        said=Text(
            "one batch cannot be learned: after {n:step|steps} its loss is {last:.4g}, before "
            "{first:.4g} (learning "
            "rate up to {rate:.2g})",
            n=steps.steps,
            last=steps.losses[-1],
            first=steps.losses[0],
            rate=max(steps.rates, default=0.0),
        ),
        hint=Text("raise train_params.lr; look at clipping, accumulation and the loss scale"),
    )


def batch_fall(steps: Overfitted) -> float | None:
    """By which share the loss of one batch fell: the mean of the last fifth against the first value."""
    if steps.steps < 5:
        return None
    last = fmean(steps.losses[-max(1, steps.steps // 5) :])
    first = steps.losses[0]
    return (first - last) / abs(first) if first and math.isfinite(last) else None


def is_hardly_trained(updates: int | None) -> bool:
    """Whether there was no training to speak of."""
    return updates is not None and updates < FEW


def few_causes(updates: int | None, epochs: Sequence[float]) -> Iterator[Cause]:
    """A checkpoint that hardly had a training."""
    if updates is None or not is_hardly_trained(updates):
        return
    yield Cause(
        code="DGN008",
        certainty=Certainty.NOT_TRAINED,
        said=Text(
            "hardly trained: the checkpoint has made {n:update|updates}; what follows says little before "
            "hundreds of them",
            n=updates,
        ),
        hint=Text(
            "train longer: train_params.epochs={more}",
            more=math.ceil(FEWEST_UPDATES * max(1, len(epochs)) / max(1, updates)),
        ),
        severity=Severity.WARNING,
    )


def left_causes(
    both: BothSets, data: Drawn | None, epochs: Sequence[float], updates: int | None
) -> Iterator[Cause]:
    """What remains: too short a training, or one that was learned by heart."""
    test, train, constant = (
        both.mean("test", "loss"),
        both.mean("train", "loss"),
        both.mean("test", "constant"),
    )
    if test is None or train is None or is_hardly_trained(updates):
        return
    alike = mean_with_views(both)
    base = alike if alike is not None else train
    few = data is not None and data.distinct < FRAMES
    if test - base > WORSE * abs(base) * (0.2 if few else 1.0) and _beyond_chance(both):
        yield Cause(
            code="DGN007",
            certainty=Certainty.LEFT,
            said=Text(
                "training was learned by heart: by the same criterion validation is {test:.4g}, training "
                "{train:.4g}{frames}",
                test=test,
                train=base,
                frames=Text(", on {n} different frames of training", n=data.distinct) if data else "",
            ),
            hint=Text("train on more scenes and with augmentation, and stop where validation was best"),
            effect=test - base,
            severity=Severity.WARNING,
        )
        return  # a longer training would learn more of it by heart
    falling = last_fall(epochs)
    if falling is not None and falling > FALLS:
        yield Cause(
            code="DGN008",
            certainty=Certainty.LEFT,
            said=Text(
                "the training is too short: its loss still fell by {share:.0%} in the last {n:epoch|epochs} "
                "of {all}",
                share=falling,
                n=max(1, len(epochs) // 5),
                all=len(epochs),
            ),
            hint=Text("train longer: train_params.epochs={more}", more=4 * len(epochs)),
            effect=falling * abs(train),
            severity=Severity.WARNING,
        )
    elif constant is not None and test > CONSTANT * constant and train > CONSTANT * constant:
        yield Cause(
            code="DGN008",
            certainty=Certainty.LEFT,
            said=Text(
                "nothing was learned that a constant does not know: validation is at {share:.0%} of "
                "the constant "
                "predictor, training at {other:.0%}",
                share=test / constant,
                other=train / constant,
            ),
            hint=Text("train longer, or at a higher learning rate"),
            severity=Severity.WARNING,
        )


def last_fall(epochs: Sequence[float]) -> float | None:
    """By which share the training loss fell in the last fifth of its epochs; None of fewer than two."""
    length = max(1, len(epochs) // 5)
    before, last = epochs[-2 * length : -length], epochs[-length:]
    return (fmean(before) - fmean(last)) / abs(fmean(before)) if before and fmean(before) else None


def mean_with_views(both: BothSets) -> float | None:
    """Training's loss over samples of as many views as validation has; None where it has none."""
    counts = {sample.count for sample in both.test}
    losses = [sample.evaluated.loss for sample in both.train if sample.count in counts]
    return fmean(losses) if len(losses) >= 2 else None


def _beyond_chance(both: BothSets) -> bool:
    """Whether almost every validation sample is worse than almost every training sample."""
    counts = {sample.count for sample in both.test}
    ours = [s.evaluated.loss for s in both.train if s.count in counts] or [
        s.evaluated.loss for s in both.train
    ]
    theirs = [sample.evaluated.loss for sample in both.test]
    pairs = [b > a for a in ours for b in theirs]
    return bool(pairs) and fmean(pairs) > 0.8
