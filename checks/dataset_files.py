"""Dataset: files that the training would fail on, or that hold no usable depth."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from opv2v_doctor import Blocked, Finding, Findings, Target, check, error, note, warning
from opv2v_doctor.facts.damage import Damage, Damaged, RawDepth, damage, raw_depth
from opv2v_doctor.facts.frames import frame_shown, is_opv2v
from opv2v_doctor.facts.probe import Raised
from opv2v_doctor.facts.samples import Samples, begin_drawing, each_split, examined_splits, samples
from opv2v_doctor.facts.views import Depth, Failure, View

NAMED = 3  # files that a message names; the evidence holds them all
UNKNOWN = 0.9  # fraction of the mask without depth
FAR = 500.0  # metres: no street is so long that half of it is farther


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
            yield from _failures(drawn, found)
    if blocked is not None:
        raise blocked


def _failures(drawn: Samples, found: Damage | None) -> Findings:
    """One error for each way in which samples fail that no damaged file explains."""
    moments = {_moment(entry.path) for entry in found.files} if found else set()
    failures = [sample.failure for sample in drawn.samples if sample.failure]
    for failure, count in Counter(one for one in failures if not _moments(one) & moments).items():
        file = _named_file(failure.message)
        path, line = (file, None) if file else failure.place or (None, None)
        yield error(
            f"{drawn.split}: {count} {_replaced(drawn, failure)}",
            path=path,
            line=line,
            hint=f"restore {file}" if file else "correct what this line stumbles over",
            split=drawn.split,
            retries=drawn.part.keywords.get("max_num_retries"),
        )
    if not failures:
        yield note(f"{drawn}, none failed")


def _replaced(drawn: Samples, failure: Failure) -> str:
    retries = drawn.part.keywords.get("max_num_retries")
    return (
        f"of {len(drawn.samples)} samples fail: {failure}; "
        f"up to {retries} retries would have replaced them silently"
    )


def _moments(failure: Failure) -> set[tuple[str, str]]:
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
    path, line = raised.place or (None, None)
    return error(
        f"{split}: the dataset cannot be built: {raised.kind}: {raised.message}",
        path=path,
        line=line,
        hint="correct the dataset's expression in the config, or the roots of the machine config",
    )


def _damaged_files(split: str, found: Damage, drawn: Samples | None) -> Findings:
    """Files that fail sooner or later, with the samples that have failed at their frames."""
    for problem, entries in _grouped(found.files).items():
        files = [str(path) for path, _ in entries]
        more = f" and {len(files) - NAMED} more" if len(files) > NAMED else ""
        yield error(
            f"{split}: {problem}: {', '.join(files[:NAMED])}{more}{_felt(drawn, entries)}",
            path=entries[0][0],
            line=entries[0][1],
            hint="restore what is named from the original data set, or take their scenario out of the split",
            files=files,
        )
    yield note(
        f"{split}: files of {found.frames} frames looked for, those of {found.opened} opened",
        frames=found.frames,
        opened=found.opened,
    )


def _felt(drawn: Samples | None, entries: Sequence[tuple[Path, int | None]]) -> str:
    """How many samples have failed at the frames of these files."""
    moments = {_moment(path) for path, _ in entries}
    failures = [sample.failure for sample in drawn.samples if sample.failure] if drawn else []
    felt = [failure for failure in failures if _moments(failure) & moments]
    return f"; {len(felt)} {_replaced(drawn, felt[0])}" if drawn and felt else ""


def _grouped(entries: Sequence[Damaged]) -> dict[str, list[tuple[Path, int | None]]]:
    groups: dict[str, list[tuple[Path, int | None]]] = {}
    for entry in entries:
        groups.setdefault(entry.problem, []).append((entry.path, entry.line))
    return groups


@check("DAT010", tier="data", requires=["DAT001", "ENV007"])
def depth_is_usable(target: Target) -> Findings:
    """The depth of the samples is finite, in metres, and known where the masks say that something is seen.

    ## Why it matters
    Loaders turn NaN into 0, which means "unknown": a depth file that is broken takes its pixels out of
    every loss and leaves no trace. Depth in millimetres, or one number for a whole image, is learned as it
    is.

    ## How to fix
    Make the depth files that are named anew: float32, metres, 0 where nothing was measured.
    """
    for drawn in each_split(target):
        yield from _raw_depth_faults(target, drawn)
        for fault, views in _by_fault(drawn).items():
            first = frame_shown(target, drawn.split, views[0])
            judge = warning if fault == IN_MILLIMETRES else error
            yield judge(
                f"{drawn.split}: {fault} ({len(views)} of {len(drawn.views)} views)",
                path=first.depth(first.cameras[0]) if first else None,
                hint="make the depth files of this frame anew, in metres",
                split=drawn.split,
            )
        known = [view.depth for view in drawn.views if view.depth]
        if known:
            least, most = min(depth.minimum for depth in known), max(depth.maximum for depth in known)
            unknown = max(depth.zero_in_mask for depth in known)
            yield note(
                f"{drawn.split}: depth {least:.1f} to {most:.1f} m, unknown in up to {unknown:.0%} of a mask"
            )


IN_MILLIMETRES = f"half of the depth is beyond {FAR:g}: millimetres rather than metres"


def _by_fault(drawn: Samples) -> dict[str, list[View]]:
    """Fault of the depth -> the views that have it."""
    found: dict[str, list[View]] = {}
    for view in drawn.views:
        if fault := _depth_fault(view.depth):
            found.setdefault(fault, []).append(view)
    return found


def _depth_fault(depth: Depth | None) -> str | None:
    if depth is None:
        return "a view has no depthmap"
    if depth.finite < 1:
        return "depth that is not finite reaches the training"
    if depth.maximum == 0 or depth.zero_in_mask > UNKNOWN:
        return f"the depth is unknown (0) in more than {UNKNOWN:.0%} of the mask"
    if depth.minimum == depth.maximum:
        return f"the depth is {depth.minimum:g} everywhere"
    return IN_MILLIMETRES if depth.median > FAR else None


def _raw_depth_faults(target: Target, drawn: Samples) -> Findings:
    """Faults of the files themselves, which the dataset may mend without a word."""
    shown = [frame_shown(target, drawn.split, view) for view in drawn.views]
    frames = {frame.yaml: frame for frame in shown if frame}
    paths = [frame.depth(camera) for frame in frames.values() for camera in frame.cameras]
    read = [(path, depth) for path in paths if (depth := raw_depth(path))]
    faults = [(path, fault) for path, depth in read if (fault := _raw_fault(depth))]
    for fault in dict.fromkeys(fault for _, fault in faults):
        files = [str(path) for path, other in faults if other == fault]
        yield error(
            f"{drawn.split}: {len(files)} of {len(read)} depth files {fault}, first {files[0]}",
            path=Path(files[0]),
            hint="make them anew: float32, metres, 0 where nothing was measured",
            files=files,
        )


def _raw_fault(depth: RawDepth) -> str | None:
    if depth.nan:
        return "hold NaN"
    if depth.infinite > 0.5:
        return "are infinite in more than half of their pixels"
    if depth.zero == 1:
        return "are 0 everywhere"
    return "hold one number everywhere" if depth.constant else None
