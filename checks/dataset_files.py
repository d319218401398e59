"""Dataset: files that the training would fail on, or that hold no usable depth."""

import re
from collections.abc import Hashable, Sequence
from pathlib import Path

from opv2v_doctor import (
    Blocked,
    Command,
    Finding,
    Findings,
    Place,
    Target,
    Text,
    Threshold,
    check,
    error,
    examined,
    note,
    warning,
)
from opv2v_doctor.facts.disk.damage import Damage, Damaged, RawDepth, damage, raw_depth
from opv2v_doctor.facts.disk.frames import frame_of, is_opv2v
from opv2v_doctor.facts.interpreter.probe import Raised
from opv2v_doctor.facts.interpreter.views import Depth, DrawFailure, View
from opv2v_doctor.facts.launch.origins import given_place
from opv2v_doctor.facts.launch.splits import examined_splits
from opv2v_doctor.facts.samples.draws import Samples, begin_drawing, each_split, samples

AUDIT = Command("opv2v-doctor audit")
NAMED = 3  # files that a message names; the values hold them all
UNKNOWN = Threshold(
    0.9, "of the mask", "a rig sees the sky, which has no depth, in less than this", healthy=0.4, faulty=1.0
)
FAR = Threshold(500.0, "m", "no street is so long that half of it is farther", healthy=14.3, faulty=14_300.0)
INFINITE = Threshold(0.5, "of the pixels", "more than half of an image cannot be sky")


@check("DAT009", tier="data", requires=["DAT001", "ENV007"], ahead=begin_drawing)
def no_sample_is_replaced(target: Target) -> Findings:
    """No sample fails to load: none would be replaced by another one silently.

    ## Why it matters
    The base dataset answers any exception by drawing another index, up to `max_num_retries` times, and
    prints it on one rank. A missing or truncated file becomes a bias that nobody sees.

    ## How to fix
    Restore the file that is named from the original data set, or take its scenario out of the split.
    """
    blocked: Blocked | None = None
    for split in examined_splits(target):
        drawn: Samples | None = None
        try:
            drawn = samples(target, split)
        except Raised as raised:
            yield _unbuilt(split, raised)
        except Blocked as unanswered:
            blocked = blocked or unanswered
        found = damage(target, split) if is_opv2v(target, split) else None
        if found:
            yield from _damaged_files(split, found, drawn)
        if drawn:
            yield examined(len(drawn.samples), "sample", split=split)
            yield from _failures(drawn, found)
    if blocked is not None:
        raise blocked


def _failures(drawn: Samples, found: Damage | None) -> Findings:
    """One error for each way in which samples fail that no damaged file explains."""
    moments = {_moment(entry.path) for entry in found.files} if found else set()
    failures = [sample.failure for sample in drawn.samples if sample.failure]
    unexplained = [failure for failure in failures if not _moments(failure) & moments]
    for failure in dict.fromkeys(unexplained):
        yield _failure(drawn, failure, unexplained.count(failure))
    if not failures:
        yield note("none of the {samples:sample|samples} failed", of=drawn.split, samples=len(drawn.samples))


def _failure(drawn: Samples, failure: DrawFailure, count: int) -> Finding:
    file = _named_file(failure.message)
    if file:
        hint = Text("restore {file}", file=file)
    elif failure.opened:
        hint = Text("correct this line, or the file that was read last: {opened}", opened=failure.opened)
    else:
        hint = Text("correct this line")
    return error(
        "{failed}: {failure}",
        hint=hint,
        at=file or failure.place,
        of=drawn.split,
        failed=_failure_count(drawn, count),
        failure=str(failure),
    )


def _failure_count(drawn: Samples, count: int) -> Text:
    """How many samples fail, and what the training makes of that."""
    retries = drawn.part.keywords.get("max_num_retries")
    return Text(
        "{count} of {samples:sample|samples} failed to load, which up to {retries:retry|retries} would hide"
        if retries
        else "{count} of {samples:sample|samples} failed to load",
        count=count,
        samples=len(drawn.samples),
        retries=retries,
    )


def _moments(failure: DrawFailure) -> set[tuple[str, str]]:
    """The scenario and frame of the files that a failure names, and that it had opened last."""
    return {_moment(path) for path in (_named_file(failure.message), failure.opened) if path}


def _moment(path: Path) -> tuple[str, str]:
    """Scenario and frame, in which a sample reads the files of several agents."""
    return (path.parent.parent.name, path.name.partition("_")[0].partition(".")[0])


def _named_file(message: str) -> Path | None:
    """The file that an error message names, or the place where it should be."""
    words = re.findall(r"/[^\s'\":,]+\.\w+", message)
    return next((Path(word) for word in words if Path(word).parent.is_dir()), None)


def _unbuilt(split: str, raised: Raised) -> Finding:
    return error(
        "the dataset cannot be built: {kind}: {problem}",
        hint="correct the dataset expression, or the data roots in the config",
        at=raised.place,
        of=split,
        kind=raised.kind,
        problem=" ".join(raised.message.split()),
    )


def _damaged_files(split: str, found: Damage, drawn: Samples | None) -> Findings:
    """Files that fail sooner or later, with the samples that have failed at their frames."""
    for entries in _groups(found.files).values():
        yield _damage(split, entries, drawn)
    yield examined(found.opened, "file", split=split)
    yield note(
        "{expected} files looked for, all of them opened"
        if found.opened == found.present
        else "{expected} files looked for, {opened} of them opened, spread over the split",
        hint="" if found.opened == found.present else Text("open all: {command}", command=AUDIT),
        of=split,
        expected=found.expected,
        opened=found.opened,
    )


def _damage(split: str, entries: Sequence[Damaged], drawn: Samples | None) -> Finding:
    """All files of one problem; of the numbers in it those of the first."""
    first = entries[0]
    shown = [entry.path for entry in entries[:NAMED]]
    named = Text("{files} and {more} more", files=shown, more=len(entries) - NAMED)
    failures = _felt(drawn, entries)
    return error(
        "{problem}: {named}; {felt}" if drawn and failures else "{problem}: {named}",
        hint="restore what is named from the original data set, or take their scenario out of the split",
        at=Place(first.path, first.line),
        of=split,
        problem=first.problem
        if all(entry.problem == first.problem for entry in entries)
        else Text("{problem} (the first file)", problem=first.problem),
        named=named if len(entries) > NAMED else Text("{files}", files=shown),
        felt=_failure_count(drawn, len(failures)) if drawn and failures else "",
        files=[entry.path for entry in entries],
    )


def _felt(drawn: Samples | None, entries: Sequence[Damaged]) -> list[DrawFailure]:
    """The samples that have failed at the frames of these files."""
    moments = {_moment(entry.path) for entry in entries}
    failures = [sample.failure for sample in drawn.samples if sample.failure] if drawn else []
    return [failure for failure in failures if _moments(failure) & moments]


def _groups(entries: Sequence[Damaged]) -> dict[Hashable, list[Damaged]]:
    """Damaged files by what is wrong with them, whatever their sizes are."""
    groups: dict[Hashable, list[Damaged]] = {}
    for entry in entries:
        groups.setdefault(entry.problem.template, []).append(entry)
    return groups


@check("DAT010", tier="data", requires=["DAT001", "ENV007"])
def depth_is_usable(target: Target) -> Findings:
    """The depth of the samples is finite, in metres, and known where the masks say that something is seen.

    ## Why it matters
    Loaders turn NaN into 0, which means "unknown": a depth file that is broken takes its pixels out of
    every loss and leaves no trace. Depth in millimetres, or one number for a whole image, is learned as it
    is.

    ## How to fix
    Write the depth files that are named again: float32, metres, 0 where nothing was measured.
    """
    for drawn in each_split(target):
        if not any(view.depth for view in drawn.views):
            raise Blocked(
                "the views of {split} have no depthmap",
                at=given_place(target, drawn.part, "depthmap"),
                hint="let {name} give each view its depthmap",
                split=drawn.split,
                name=drawn.part.class_name,
            )
        yield from _raw_depth_faults(target, drawn)
        for fault, views in _by_fault(drawn).items():
            yield _unusable(target, drawn, fault, views)
        known = [view.depth for view in drawn.views if view.depth]
        yield examined(len(known), "view", split=drawn.split)
        yield note(
            "depth {reach}, unknown in up to {unknown:.0%} of a mask",
            of=drawn.split,
            reach=f"{min(d.minimum for d in known):.1f}–{max(d.maximum for d in known):.1f} m",
            unknown=max(depth.zero_in_mask for depth in known),
        )


def _unusable(target: Target, drawn: Samples, fault: Text, views: Sequence[View]) -> Finding:
    first = frame_of(target, drawn.split, views[0].identity)
    said = Text(
        "{fault} ({views} of {drawn:view|views})", fault=fault, views=len(views), drawn=len(drawn.views)
    )
    hint = (
        Text("write the depth files of this frame again, in metres")
        if first
        else Text("correct the depth files of this sample, in metres")
    )
    at = Place(first.depth(first.cameras[0])) if first and first.cameras else None
    if fault == IN_MILLIMETRES:
        return warning(said, hint=hint, at=at, of=drawn.split)
    return error(said, hint=hint, at=at, of=drawn.split)


IN_MILLIMETRES = Text("half of the depth is beyond {far:g} m: millimetres rather than metres", far=FAR)


def _by_fault(drawn: Samples) -> dict[Text, list[View]]:
    """Fault of the depth -> the views that have it."""
    found: dict[Text, list[View]] = {}
    for view in drawn.views:
        if fault := _depth_fault(view.depth):
            found.setdefault(fault, []).append(view)
    return found


def _depth_fault(depth: Depth | None) -> Text | None:
    if depth is None:
        return Text("a view has no depthmap")
    if depth.finite < 1:
        return Text("the depthmap is not finite")
    if depth.maximum == 0 or depth.zero_in_mask > UNKNOWN:
        return Text("the depth is unknown (0) in more than {bound:.0%} of the mask", bound=UNKNOWN)
    if depth.minimum == depth.maximum:
        return Text("the depth is {depth:g} m everywhere", depth=depth.minimum)
    return IN_MILLIMETRES if depth.median > FAR else None


def _raw_depth_faults(target: Target, drawn: Samples) -> Findings:
    """Faults of the files themselves, which the dataset may replace without a word."""
    shown = [frame_of(target, drawn.split, view.identity) for view in drawn.views]
    frames = {frame.yaml: frame for frame in shown if frame}
    paths = [frame.depth(camera) for frame in frames.values() for camera in frame.cameras]
    read = [(path, depth) for path in paths if (depth := raw_depth(path))]
    yield examined(len(read), "depth file", split=drawn.split)
    faults = [(path, fault) for path, depth in read if (fault := _raw_fault(depth))]
    for fault in dict.fromkeys(fault for _, fault in faults):
        files = [path for path, other in faults if other == fault]
        yield error(
            "{count} of {read} depth files {fault}, first {first}",
            hint="write them again: float32, metres, 0 where nothing was measured",
            at=files[0],
            of=drawn.split,
            count=len(files),
            read=len(read),
            fault=fault,
            first=files[0],
            files=files,
        )


def _raw_fault(depth: RawDepth) -> Text | None:
    if depth.nan:
        return Text("hold NaN")
    if depth.infinite > INFINITE:
        return Text("are infinite in more than half of their pixels")
    if depth.zero == 1:
        return Text("are 0 everywhere")
    return Text("hold one number everywhere") if depth.constant else None
