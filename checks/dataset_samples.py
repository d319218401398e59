"""Dataset: what the training's own code makes of the splits: views, their number, and poses."""

from collections import Counter
from collections.abc import Iterator, Sequence
from math import dist, isfinite

from opv2v_doctor import Blocked, Finding, Findings, Skip, Target, check, error, note
from opv2v_doctor.facts.config import place
from opv2v_doctor.facts.frames import Disk, disk, frame_shown
from opv2v_doctor.facts.origins import class_place, given_place
from opv2v_doctor.facts.samples import (
    Samples,
    each_split,
)
from opv2v_doctor.facts.views import Sample, View

RIGID = 1e-4  # float32 poses


@check("DAT004", tier="data", requires=["DAT001", "ENV007"])
def each_sample_has_one_view_an_agent(target: Target) -> Findings:
    """Each sample has one panorama an agent: four cameras of n agents become n views.

    ## Why it matters
    An agent that comes twice teaches the model that two views may lie in one place; a panorama of another
    size or camera model is projected wrongly by every loss.

    ## How to fix
    Let the dataset choose agents without putting them back, and give `panorama_resolution` and `resolution`
    the same value.
    """
    for drawn in each_split(target):
        if "panorama_resolution" not in drawn.part.keywords:
            raise Skip(f"{drawn.part.class_name} is not told a panorama_resolution: it makes no panoramas")
        faults = [(sample, fault) for sample in drawn.drawn for fault in _view_faults(target, drawn, sample)]
        for fault, count in Counter(fault for _, fault in faults).items():
            yield _view_error(target, drawn, fault, count)
        if not faults and drawn.drawn:
            size = "x".join(str(side) for side in reversed(drawn.views[0].shape[1:]))
            yield note(f"{drawn}, one an agent, {size}, {', '.join(drawn.classes)}")


def _view_faults(target: Target, drawn: Samples, sample: Sample) -> Iterator[str]:
    """What is wrong with a sample's views, each fault once."""
    agents = Counter(view.agent_id for view in sample.views)
    if any(agent and count > 1 for agent, count in agents.items()):
        yield f"an agent comes up to {max(agents.values())} times"
    if len(sample.views) > 1 and None in agents:
        yield "a view has no agent_id"
    width, height = drawn.part.keywords["panorama_resolution"]
    where = disk(target, drawn.split)
    found = [fault for view in sample.views for fault in _one_view(view, (3, height, width), where)]
    yield from dict.fromkeys(found)


def _one_view(view: View, shape: tuple[int, ...], where: Disk) -> Iterator[str]:
    if view.camera_model != "cyl":
        yield f"the camera model is {view.camera_model!r}, expected 'cyl'"
    if view.shape != shape:
        yield f"the image is {view.shape}, expected {shape} (panorama_resolution)"
    named = (view.label or "").split("/")
    if len(named) != 2 or tuple(named) not in where.agents:
        yield f"the label {view.label!r} is no scenario/agent of {where.folder}"
    elif (named[0], view.agent or "") not in where.agents:
        yield f"agent {view.agent} is not in scenario {named[0]} on disk"


def _view_error(target: Target, drawn: Samples, fault: str, count: int) -> Finding:
    built = given_place(target, drawn.part, "camera_model")
    return error(
        f"{drawn.split}: {fault} ({count} of {len(drawn.drawn)} samples)",
        path=built.path if built else None,
        line=built.line if built else None,
        hint=f"correct what {drawn.part.class_name} puts into a view",
        split=drawn.split,
    )


@check("DAT005", tier="data", requires=["DAT001", "ENV007"])
def every_number_of_views_is_sampled(target: Target) -> Findings:
    """A sample has as many views as were asked for, for every number of views that the config allows.

    ## Why it matters
    The sampler counts on it: a batch is built for k views. A dataset that always gives the smallest number
    trains on less context than the config says, and one that fails on the largest never shows it.

    ## How to fix
    Let the dataset honour the views index of its key, and keep `num_views`, `min_num_views`,
    `max_num_views` and `min_agents` in step: k views need scenarios with k agents.
    """
    for drawn in each_split(target):
        allowed = sorted({views for part in drawn.parts for views in part.views})
        path, line = place(target, f"dataset.opv2v.{drawn.split}.max_num_views")
        if missing := sorted(set(allowed) - set(drawn.view_counts)):
            yield error(
                f"{drawn.split}: the config allows {_listed(allowed)} views, the dataset draws "
                f"{_listed(drawn.view_counts)}: never {_listed(missing)}",
                path=path,
                line=line,
                hint=f"give it scenarios with {max(allowed)} agents, or set max_num_views to what there is",
                allowed=allowed,
                drawn=list(drawn.view_counts),
            )
        yield from _miscounted(target, drawn)
        failed = sorted(set(drawn.view_counts) - {sample.requested for sample in drawn.drawn})
        if failed and not missing:
            raise Blocked(f"{drawn.split}: no sample of {_listed(failed)} views was drawn: {drawn.failure}")


def _miscounted(target: Target, drawn: Samples) -> Findings:
    built = class_place(target, drawn.part.class_name)
    wrong = {
        f"{sample.requested} were asked for, {len(sample.views)} came": None
        for sample in drawn.drawn
        if sample.requested in drawn.view_counts and len(sample.views) != sample.requested
    }
    if wrong:
        yield error(
            f"{drawn.split}: a sample has other views than asked for: {'; '.join(wrong)}",
            path=built.path if built else None,
            line=built.line if built else None,
            hint=f"let {drawn.part.class_name} give as many views as the key asks for",
            split=drawn.split,
        )
    complete = sorted({s.requested for s in drawn.drawn if s.requested == len(s.views)} - {None}, key=str)
    yield note(f"{drawn.split}: {_listed(complete) or 'no'} views came as asked for")


def _listed(numbers: Sequence[object]) -> str:
    return ", ".join(str(number) for number in numbers)


@check("DAT006", tier="data", requires=["DAT001", "ENV007"])
def poses_are_rigid(target: Target) -> Findings:
    """Every pose is a rotation and a translation, and no agent is farther than a radio reaches.

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
            raise Blocked(f"the views of {drawn.split} have no camera_pose")
        undefined = [view for view in posed if not isfinite(sum(map(sum, view.pose or ())))]
        bent = [view for view in posed if view not in undefined and not _is_rigid(view)]
        far = [view for view in posed if view not in undefined and _norm(view) > farthest]
        if undefined:
            yield _pose_error(target, drawn, undefined, "is not finite")
        if bent:
            yield _pose_error(
                target, drawn, bent, "is not rigid: its rotation is not orthonormal, or mirrors"
            )
        if far:
            norm = max(_norm(view) for view in far)
            limit = f"at most {farthest:g} m (poses.farthest)"
            yield _pose_error(target, drawn, far, f"lies {norm:.1f} m from the first agent, expected {limit}")
        if not undefined and not bent and not far:
            yield _pose_note(drawn, posed)


def _is_rigid(view: View) -> bool:
    from opv2v_doctor.geometry.poses import is_rigid

    return len(view.pose or ()) == 4 and bool(is_rigid(view.pose or (), tolerance=RIGID))


def _norm(view: View) -> float:
    """Distance from the origin in metres."""
    return dist([row[3] for row in (view.pose or ())[:3]], [0.0, 0.0, 0.0])


def _pose_error(target: Target, drawn: Samples, views: Sequence[View], what: str) -> Finding:
    built = given_place(target, drawn.part, "camera_pose")
    first = frame_shown(target, drawn.split, views[0])
    return error(
        f"{drawn.split}: the pose of agent {views[0].agent} {what} ({len(views)} of {len(drawn.views)} views"
        + (f", first {first.yaml})" if first else ")"),
        path=built.path if built else None,
        line=built.line if built else None,
        hint="correct the pose that the dataset computes from lidar_pose",
        split=drawn.split,
        pose=views[0].pose,
    )


def _pose_note(drawn: Samples, posed: Sequence[View]) -> Finding:
    norms = [_norm(view) for view in posed]
    at_origin = sum(any(_norm(view) < RIGID for view in sample.views) for sample in drawn.drawn)
    return note(
        f"{drawn.split}: {len(posed)} rigid poses, {min(norms):.1f} to {max(norms):.1f} m from the origin; "
        f"{at_origin} of {len(drawn.drawn)} samples hold the agent that is the origin",
        split=drawn.split,
        farthest=max(norms),
    )
