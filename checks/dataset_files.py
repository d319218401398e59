"""Dataset: files that the training would fail on, or that hold no usable depth."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from opv2v_doctor import Blocked, Finding, Findings, Target, check, error, note, warning
from opv2v_doctor.facts.damage import Damaged, RawDepth, damage, raw_depth
from opv2v_doctor.facts.frames import frame_shown, is_opv2v
from opv2v_doctor.facts.probe import Raised
from opv2v_doctor.facts.samples import Samples, each_split, examined_splits, samples
from opv2v_doctor.facts.views import Depth, View

NAMED = 3  # files that a message names; the evidence holds them all
UNKNOWN = 0.9  # fraction of the mask without depth
FAR = 500.0  # metres: no street is so long that half of it is farther


@check("DAT009", tier="data", requires=["DAT001", "ENV007"])
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
        named = set()
        try:
            for finding in _failures(target, samples(target, split)):
                named.add(finding.path)
                yield finding
        except Raised as raised:
            yield _unbuilt(split, raised)
        except Blocked as unanswered:
            blocked = blocked or unanswered
        if is_opv2v(target, split):
            yield from _damaged_files(target, split, named)
    if blocked is not None:
        raise blocked


def _failures(target: Target, drawn: Samples) -> Findings:
    """One error for each way in which samples fail."""
    failed = [sample for sample in drawn.samples if sample.failure]
    retries = drawn.part.keywords.get("max_num_retries")
    for failure, count in Counter(sample.failure for sample in failed).items():
        assert failure is not None
        file = _named_file(failure.message)
        path, line = (file, None) if file else failure.place or (None, None)
        yield error(
            f"{drawn.split}: {count} of {len(drawn.samples)} samples fail: "
            f"{failure}; up to {retries} retries would have replaced them silently",
            path=path,
            line=line,
            hint=f"restore {file}" if file else "correct what this line stumbles over",
            split=drawn.split,
            retries=retries,
        )
    if not failed:
        yield note(f"{drawn}, none failed")


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


def _damaged_files(target: Target, split: str, named: set[Path | None]) -> Findings:
    """Files that would fail sooner or later; those that a sample has named already are not told twice."""
    found = damage(target, split)
    for problem, entries in _grouped([entry for entry in found.files if entry.path not in named]).items():
        files = [str(path) for path, _ in entries]
        more = f" and {len(files) - NAMED} more" if len(files) > NAMED else ""
        yield error(
            f"{split}: {problem}: {', '.join(files[:NAMED])}{more}",
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
