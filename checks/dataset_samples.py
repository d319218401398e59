"""Dataset: what the training's own code makes of the splits: views, poses, and the same for an index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from math import dist, inf, isfinite
from pathlib import Path

from opv2v_doctor import (
    Blocked,
    Finding,
    Findings,
    Override,
    Place,
    Skip,
    Target,
    Text,
    Threshold,
    check,
    error,
    examined,
    note,
    sentence,
    warning,
)
from opv2v_doctor.facts.disk.frames import disk, disks, frame_of
from opv2v_doctor.facts.interpreter.views import Sample, View
from opv2v_doctor.facts.launch.config import place
from opv2v_doctor.facts.launch.datasets import Part, keyword_key
from opv2v_doctor.facts.launch.origins import choice_place, class_place, counts_place, given_place, seed_place
from opv2v_doctor.facts.launch.splits import examined_splits, is_resized
from opv2v_doctor.facts.samples.draws import Samples, each_split, next_epoch, redrawings, samples
from opv2v_doctor.facts.samples.moments import pinhole_views

RIGID = Threshold(1e-4, "of a rotation's entries", "poses are float32", healthy=6e-8, faulty=0.21)
AT_ORIGIN = 1e-4  # metres


@check("DAT004", tier="data", requires=["DAT001", "ENV007"])
def each_sample_has_one_view_an_agent(target: Target) -> Findings:
    """Each sample has one panorama per agent, or each image of a single camera once.

    ## Why it matters
    Four cameras of n agents become n panoramas. What comes twice teaches the model that two views may lie in
    one place; a panorama of another size or camera model is projected wrongly by every loss.

    ## How to fix
    Let the dataset choose agents without putting them back, and give `panorama_resolution` and `resolution`
    the same value.
    """
    for drawn in each_split(target):
        if "panorama_resolution" not in drawn.part.keywords:
            yield from _single_cameras(target, drawn)
            continue
        yield examined(len(drawn.views), "view", split=drawn.split)
        faults = [
            (sample, fault) for sample in drawn.successes for fault in _view_faults(target, drawn, sample)
        ]
        for fault, count in Counter(fault for _, fault in faults).items():
            yield _view_error(target, drawn, fault, count)
        if not faults and drawn.successes:
            height, width = drawn.views[0].shape[1:]
            yield note(
                "one view per agent, {width}x{height}, of {classes}",
                of=drawn.split,
                width=width,
                height=height,
                classes=drawn.classes,
            )


def _single_cameras(target: Target, drawn: Samples) -> Findings:
    """A warning where an image comes twice. Raises Skip where the views are no images of single cameras."""
    found = pinhole_views(target, drawn.split)
    if not any(found):
        raise Skip(
            "{name} is given no panorama_resolution, and its views name no single cameras",
            name=drawn.part.class_name,
        )
    yield examined(sum(map(len, found)), "view", split=drawn.split)
    times = [max(Counter((v.frame.yaml, v.name) for v in views).values()) for views in found if views]
    repeated = [count for count in times if count > 1]
    if repeated:
        yield warning(
            "one image appears up to {times} times in a sample ({count} of {drawn:sample|samples})",
            hint="choose the cameras of a sample without putting them back",
            at=given_place(target, drawn.part, "instance"),
            of=drawn.split,
            times=max(repeated),
            count=len(repeated),
            drawn=len(drawn.successes),
        )
    else:
        yield note("each camera once, of {classes}", of=drawn.split, classes=drawn.classes)


def _view_faults(target: Target, drawn: Samples, sample: Sample) -> Iterator[Text]:
    """What is wrong with a sample's views, each fault once."""
    agents = Counter(view.identity.agent_id for view in sample.views)
    if any(agent and count > 1 for agent, count in agents.items()):
        yield Text("an agent appears up to {times} times in one sample", times=max(agents.values()))
    if len(sample.views) > 1 and None in agents:
        yield Text("a view has no agent_id")
    width, height = drawn.part.keywords["panorama_resolution"]
    folder = disk(target, drawn.split).folder
    known = {agent for where in disks(target, drawn.split) for agent in where.agents}
    found = [fault for view in sample.views for fault in _one_view(view, (3, height, width), folder, known)]
    yield from dict.fromkeys(found)


def _one_view(
    view: View, shape: tuple[int, ...], folder: Path, known: Collection[tuple[str, str]]
) -> Iterator[Text]:
    if view.camera_model != "cyl":
        yield Text("the camera model is {model!r}, expected 'cyl'", model=view.camera_model)
    if view.shape != shape:
        yield Text(
            "the image is {found}, expected {expected} (panorama_resolution)",
            found=str(view.shape),
            expected=str(shape),
        )
    named = (view.identity.label or "").split("/")
    if len(named) != 2 or tuple(named) not in known:
        yield Text(
            "the label {label!r} is no scenario/agent of {folder}", label=view.identity.label, folder=folder
        )
    elif (named[0], view.identity.agent or "") not in known:
        yield Text(
            "agent {agent} is not in scenario {scenario} on disk",
            agent=view.identity.agent,
            scenario=named[0],
        )


def _view_error(target: Target, drawn: Samples, fault: Text, count: int) -> Finding:
    return error(
        "{fault} ({count} of {drawn:sample|samples})",
        hint="correct what {name} puts into a view",
        at=given_place(target, drawn.part, "camera_model"),
        of=drawn.split,
        fault=fault,
        count=count,
        drawn=len(drawn.successes),
        name=drawn.part.class_name,
    )


@check("DAT005", tier="data", requires=["DAT001", "ENV007"])
def every_number_of_views_is_sampled(target: Target) -> Findings:
    """A sample has as many views as were asked for, for every number of views that the config allows.

    ## Why it matters
    The sampler relies on it: a batch is built for k views. A dataset that always gives the smallest number
    trains on less context than the config says, and one that fails on the largest never shows it.

    ## How to fix
    Let the dataset honour the views index of its key, and keep `num_views`, `min_num_views`,
    `max_num_views` and `min_agents` in step: k views need scenarios with k agents.
    """
    for drawn in each_split(target):
        if not drawn.view_counts:
            raise Skip(
                "{name} has no num_views: it does not choose how many views a sample has",
                name=drawn.part.class_name,
            )
        allowed = sorted({views for part in drawn.parts if part.says_views for views in part.views})
        missing = sorted(set(allowed) - set(drawn.view_counts))
        yield examined(
            sum(sample.requested in drawn.view_counts for sample in drawn.successes),
            "sample",
            split=drawn.split,
        )
        if missing:
            yield _missing_counts(target, drawn, allowed, missing)
        beyond = [count for count in drawn.view_counts if allowed and count and count > max(allowed)]
        if beyond:
            yield error(
                "the config allows {allowed} views, the dataset draws {beyond} as well",
                hint="let the numbers of views that {name} draws end where the config says",
                at=counts_place(target, drawn.part),
                of=drawn.split,
                allowed=allowed,
                beyond=beyond,
                name=drawn.part.class_name,
            )
        yield from _wrong_counts(target, drawn)
        failed = sorted(set(drawn.view_counts) - {sample.requested for sample in drawn.successes})
        if failed and not missing:
            raise Blocked(
                "{split}: no sample of {views} views was drawn: {failure}",
                at=drawn.failure.place if drawn.failure else None,
                split=drawn.split,
                views=failed,
                failure=str(drawn.failure),
            )


def _missing_counts(
    target: Target, drawn: Samples, allowed: Sequence[int], missing: Sequence[int]
) -> Finding:
    key = keyword_key(target, drawn.split, "max_num_views")
    return error(
        "the config allows {allowed} views, the dataset draws {counts}, never {missing}",
        hint="set {override}, or provide scenarios with {wanted} agents"
        if key
        else "set max_num_views to {most}, or provide scenarios with {wanted} agents",
        at=place(target, key or "dataset.train_dataset"),
        of=drawn.split,
        allowed=allowed,
        counts=drawn.view_counts,
        missing=missing,
        override=Override(f"{key}={max(drawn.view_counts)}"),
        most=max(drawn.view_counts),
        wanted=max(allowed),
    )


def _wrong_counts(target: Target, drawn: Samples) -> Findings:
    wrong = {
        (sample.requested, len(sample.views))
        for sample in drawn.successes
        if sample.requested in drawn.view_counts and len(sample.views) != sample.requested
    }
    if wrong:
        differences = [
            Text("{wanted} views requested, {got} given", wanted=wanted, got=got)
            for wanted, got in sorted(wrong, key=str)
        ]
        yield error(
            "samples with another number of views than requested: {differences}",
            hint="let {name} give as many views as the key asks for",
            at=choice_place(target, drawn.part) or class_place(target, drawn.part.class_name),
            of=drawn.split,
            differences=sentence(differences),
            name=drawn.part.class_name,
        )
    complete = sorted({s.requested for s in drawn.successes if s.requested == len(s.views)} - {None}, key=str)
    if complete:
        yield note("as many views as requested: {views}", of=drawn.split, views=complete)


@check("DAT006", tier="data", requires=["DAT001", "ENV007"])
def poses_are_rigid(target: Target) -> Findings:
    """Every pose is a rotation and a translation, and all agents are within 100 m (`poses.farthest`).

    ## Why it matters
    A pose that shears or mirrors bends the ground truth. Norms of kilometres mean world coordinates where
    those of the first agent are wanted.

    ## How to fix
    Build poses from `lidar_pose` by the rotation of the data set, and invert them as rigid ones.
    `poses.farthest` in `opv2v-doctor.toml` sets the largest distance, in metres.
    """
    farthest = target.settings.poses.farthest
    for drawn in each_split(target):
        posed = [view for view in drawn.views if view.pose is not None]
        if not posed:
            raise Blocked(
                "the views of {split} have no camera_pose of 4 x 4",
                at=given_place(target, drawn.part, "camera_pose"),
                hint="let {name} give each view its camera_pose",
                split=drawn.split,
                name=drawn.part.class_name,
            )
        yield examined(len(posed), "pose", split=drawn.split)
        undefined = [view for view in posed if not isfinite(sum(map(sum, view.pose or ())))]
        bent = [view for view in posed if view not in undefined and not _is_rigid(view)]
        norms = [pair for sample in drawn.successes for pair in _norms(sample)]
        far = [(view, norm) for view, norm in norms if farthest < norm < inf]
        if undefined:
            yield _pose_error(target, drawn, undefined, Text("is not finite"))
        if bent:
            fault = Text("is not rigid: its rotation is not orthonormal, or mirrors")
            yield _pose_error(target, drawn, bent, fault)
        if far:
            fault = Text(
                "is {norm:.1f} m from the first {view}, expected at most {farthest:g} m (poses.farthest)",
                view=Text("camera") if far[0][0].is_pinhole else Text("agent"),
                norm=max(norm for _, norm in far),
                farthest=farthest,
            )
            yield _pose_error(target, drawn, [view for view, _ in far], fault)
        if not undefined and not bent and not far:
            yield _pose_note(drawn)


def _is_rigid(view: View) -> bool:
    from opv2v_doctor.geometry.poses import is_rigid

    return bool(is_rigid(view.pose or (), tolerance=RIGID))


def _norms(sample: Sample) -> list[tuple[View, float]]:
    """Each pose's distance in metres from the origin, where the first agent is.

    Single cameras may lead to any origin, the world's too: theirs is that from the first one of the sample.
    """
    posed = [(view, [row[3] for row in view.pose[:3]]) for view in sample.views if view.pose]
    origin = posed[0][1] if posed and posed[0][0].is_pinhole else [0.0, 0.0, 0.0]
    return [(view, dist(position, origin)) for view, position in posed]


def _pose_error(target: Target, drawn: Samples, views: Sequence[View], fault: Text) -> Finding:
    first = frame_of(target, drawn.split, views[0].identity)
    return error(
        "the pose of agent {agent} {fault} ({views} of {drawn:view|views})",
        hint="correct the pose that the dataset computes from lidar_pose",
        at=given_place(target, drawn.part, "camera_pose"),
        of=drawn.split,
        agent=views[0].identity.agent,
        fault=fault,
        views=len(views),
        drawn=len(drawn.views),
        first=first.yaml if first else None,
        pose=views[0].pose,
    )


def _pose_note(drawn: Samples) -> Finding:
    each = [[norm for _, norm in _norms(sample)] for sample in drawn.successes]
    norms = [norm for some in each for norm in some]
    return note(
        "the poses are rigid, {reach} from the origin; the agent at the origin is in {at_origin} samples"
        if not any(view.is_pinhole for view in drawn.views)
        else "the poses are rigid, {reach} from the first camera of their sample",
        of=drawn.split,
        reach=f"{min(norms):.1f}–{max(norms):.1f} m",
        farthest=max(norms),
        at_origin=f"{sum(any(norm < AT_ORIGIN for norm in some) for some in each)}/{len(each)}",
    )


@check("DAT007", tier="data", requires=["DAT001", "ENV007"])
def validation_is_reproducible(target: Target) -> Findings:
    """The same index of an evaluation split is the same sample in another process.

    ## Why it matters
    Otherwise every evaluation measures other samples: the best checkpoint is chosen by luck, and no number
    can be compared with that of another run.

    ## How to fix
    Seed the generator for each index, from the dataset's seed. Beware of `if self.seed:`, for which a seed
    of 0 is no seed: write `if self.seed is not None:`, or give another seed.
    """
    if not [split for split in examined_splits(target) if split != "train"]:
        raise Skip("only the training split is examined")
    blocked: Blocked | None = None
    for split, pairs in redrawings(target).items():
        drawn = [pair for pair in pairs if not any(sample.failure for sample in pair)]
        different = [pair for pair in drawn if pair[0].digest != pair[1].digest]
        yield examined(len(drawn), "sample", split=split)
        if different:
            yield _unreproducible(target, split, *different[0])
        elif drawn:
            yield note(
                "the samples at indices {indices} are the same in two processes",
                of=split,
                indices=[first.key[0] for first, _ in drawn],
            )
        else:
            failure = samples(target, split).failure
            blocked = blocked or Blocked(
                "no {split} sample could be drawn twice: {failure}",
                at=failure.place if failure else None,
                split=split,
                failure=str(failure) if failure else Text("it fails in the second process"),
            )
    if blocked is not None:
        raise blocked


def _unreproducible(target: Target, split: str, first: Sample, again: Sample) -> Finding:
    part = samples(target, split).part
    seed, condition = part.keywords.get("seed"), seed_place(target, part)
    test = condition.text.partition(":")[0] if condition else ""
    unseeded = seed == 0 and test == "if self.seed"
    key = keyword_key(target, split, "seed")
    return error(
        "index {index} is another sample in a second process: {difference}; {reason}",
        hint=_remedy(key, unseeded=unseeded),
        at=condition or (place(target, key) if key else None),
        of=split,
        index=first.key[0],
        difference=_difference(first, again),
        reason=Text("seed is 0, which `{test}:` takes for none", test=test)
        if unseeded
        else Text("seed is {seed}", seed=seed),
        seed=seed,
    )


def _remedy(key: str | None, *, unseeded: bool) -> Text:
    if not unseeded:
        return Text("seed the generator of each index from the dataset's seed")
    if key is None:
        return Text("write `if self.seed is not None:` there")
    return Text("write `if self.seed is not None:` there, or set {override}", override=Override(f"{key}=1"))


def _difference(first: Sample, again: Sample) -> Text:
    """How two draws of one index differ."""
    if first.identity == again.identity:
        return Text("the same frame and agents with other pixels")
    ones, others = ([str(view.identity.instance) for view in sample.views] for sample in (first, again))
    return Text("{ones}, then {others}", ones=ones, others=others)


@check("DAT008", tier="data", requires=["DAT001", "ENV007"])
def training_changes_between_epochs(target: Target) -> Findings:
    """The same training index is another sample in the next epoch.

    ## Why it matters
    `N @ D` chooses by the epoch which of the data an index means. A dataset that ignores the epoch
    shows the same N samples, in the same groups of agents, for the whole training.

    ## How to fix
    Let `set_epoch` reach every dataset, and choose by the epoch there.
    """
    if "train" not in examined_splits(target):
        raise Skip("the training split is not examined")
    if not is_resized(target):
        raise Skip("the training set is not resized (N @ D): the sampler alone shuffles")
    pairs = next_epoch(target)
    if not pairs:
        raise Blocked(
            "no training sample could be drawn in two epochs: {failure}",
            at=failure.place if (failure := samples(target, "train").failure) else None,
            failure=str(failure) if failure else Text("it fails in epoch 1"),
        )
    yield examined(len(pairs), "training sample")
    if all(first.identity == again.identity for first, again in pairs):
        yield error(
            "the training indices {indices} are the same frames and agents in epochs 0 and 1",
            hint="let set_epoch choose the frames of each index by the epoch",
            at=_set_epoch(target, samples(target, "train").part),
            indices=[first.key[0] for first, _ in pairs],
        )
    else:
        yield note("training index {index} is another sample in epoch 1", index=pairs[-1][0].key[0])


def _set_epoch(target: Target, part: Part) -> Place | None:
    return class_place(target, "ResizedDataset") or class_place(target, part.class_name)
