"""Dataset: the class that reads it, the splits on disk, and files that the training would fail on."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from glob import escape
from pathlib import Path

from opv2v_doctor import (
    Blocked,
    Command,
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
    warning,
)
from opv2v_doctor.facts.disk.damage import Damage, Damaged, RawDepth, damage, raw_depth
from opv2v_doctor.facts.disk.frames import (
    Disk,
    Frame,
    Scenario,
    disks,
    each_disk,
    frame_file,
    frame_of,
    is_opv2v,
    unknown_name,
)
from opv2v_doctor.facts.interpreter.probe import Raised
from opv2v_doctor.facts.interpreter.views import Depth, DrawFailure, View
from opv2v_doctor.facts.launch.config import place
from opv2v_doctor.facts.launch.datasets import dataset_classes, keyword_key, root_key, train_parts
from opv2v_doctor.facts.launch.loaders import Exports, exports, loader_module
from opv2v_doctor.facts.launch.origins import class_place, given_place, listing_place
from opv2v_doctor.facts.launch.splits import examined_splits, is_in_launch
from opv2v_doctor.facts.samples.draws import Samples, begin_drawing, each_split, samples
from opv2v_doctor.foreign_files import bytes_of


@check("DAT001", tier="static", requires=["ENV002", "CFG002"])
def dataset_class_is_exported(target: Target) -> Findings:
    """Every dataset class that the config names is one that the training finds.

    ## Why it matters
    Dataset expressions are evaluated among the names of `mapanything.datasets`. A class that is not there,
    because nobody exports it or because an older copy of the package wins the import, ends the launch in a
    NameError.

    ## How to fix
    Import the class in the datasets module. Where that module comes from outside the repository, put the
    repository first: `PYTHONPATH=.`.
    """
    used = train_parts(target)
    wanted = dataset_classes(target)
    try:
        found = exports(target, tuple(wanted))
    except Raised as raised:
        yield error(
            "{module} cannot be imported: {kind}: {problem}",
            hint="make `import {module}` work in the training environment",
            at=raised.place,
            module=loader_module(target),
            kind=raised.kind,
            problem=" ".join(raised.message.split()),
        )
        return
    yield examined(len(wanted), "dataset class")
    for name, key in wanted.items():
        if name not in found.names:
            yield _unknown_class(target, name, key, found)
    expected = target.settings.dataset_class
    if expected and expected not in {part.class_name for part in used}:
        yield _other_class(target, expected)
    if set(wanted) == set(found.names):
        yield note(
            "{classes} in {module} ({file})", classes=list(wanted), module=found.module, file=found.file
        )


def _unknown_class(target: Target, name: str, key: str, found: Exports) -> Finding:
    defined = class_place(target, name)
    return error(
        "{name} is not in {module}, which was imported from {file}; the repository defines it here"
        if defined
        else "{name} is not in {module}, which was imported from {file}; the repository does not define it",
        hint=_remedy(target, name, found, defined=defined is not None),
        at=defined or place(target, key),
        name=name,
        module=found.module,
        file=found.file,
    )


def _remedy(target: Target, name: str, found: Exports, *, defined: bool) -> Text:
    """What makes a class known; a copy of the package that wins the import is not to be changed."""
    if not found.is_ours:
        return Text(
            "launch with PYTHONPATH={repo} alone, so that {home} is imported",
            repo=target.repo,
            home=found.home,
        )
    if defined:
        return Text("import {name} in {home}", name=name, home=found.home)
    return Text("correct the class name in the config, or define {name}", name=name)


def _other_class(target: Target, expected: str) -> Finding:
    return error(
        "the training reads {classes}, expected {expected} (dataset_class in opv2v-doctor.toml)",
        hint="choose a dataset config that reads {expected}, or correct dataset_class",
        at=place(target, "dataset.train_dataset"),
        classes=sorted({part.class_name for part in train_parts(target)}),
        expected=expected,
    )


@check("DAT002", tier="data", requires=["DAT001", "ENV007"])
def splits_have_scenarios(target: Target) -> Findings:
    """Every split is on disk, with scenarios that have enough agents and all their cameras.

    ## Why it matters
    A scenario with fewer agents than `min_agents` is left out silently, and an agent without one of its
    cameras is dropped, or replaced by a sample of another scenario.

    ## How to fix
    Correct the roots in the machine config, and copy what is missing from the original data set.
    """
    for split, where in each_disk(target):
        yield examined(len(where.scenarios_in_use), "scenario", split=split)
        if not is_in_launch(target, split):
            yield note("not in this launch: examined because it was asked for by name", of=split)
        lost = _lost_folder(target, split, where) or _no_scenario(target, split, where)
        if lost is not None:
            yield lost
            continue
        yield _count(split, where)
        if unknown := sum((scenario.unknown for scenario in where.scenarios), Counter()):
            yield note(
                "left alone, being nothing of a frame that is read: {names}",
                at=where.folder,
                of=split,
                names=[Text("{count} {name}", count=n, name=name) for name, n in unknown.most_common(NAMES)],
            )
        for scenario in where.scenarios_in_use:
            yield from _incomplete(split, where, scenario)


def _lost_folder(target: Target, split: str, where: Disk) -> Finding | None:
    for folder, keyword in ((where.folder, "ROOT"), (where.depth_folder, "depth_root")):
        if not folder.is_dir():
            key = root_key(target, where.part.keywords[keyword])
            return error(
                "no folder {folder}",
                hint="set {key} to the folder that holds {name}"
                if key
                else "correct {keyword} in the dataset expression: it should be the folder that holds {name}",
                at=folder,
                of=split,
                folder=folder,
                key=key,
                keyword=keyword,
                name=folder.name,
            )
    return None


def _no_scenario(target: Target, split: str, where: Disk) -> Finding | None:
    if where.scenes:
        return None
    most = max((len(moment) for scenario in where.selection for moment in scenario.moments), default=0)
    if not most:
        return error(
            "no frame of any agent in {folder} ({agents})"
            if _included_agents(where)
            else "no frame in {folder}",
            hint="copy the scenarios of this split there, or correct the data root",
            at=where.folder,
            of=split,
            folder=where.folder,
            agents=Text("include_agents is {wanted}", wanted=_included_agents(where)),
        )
    key = keyword_key(target, split, "min_agents")
    return error(
        "no frame of the {scenarios:scenario|scenarios} has {least} agents (min_agents) among {wanted} "
        "(include_agents); the most are {most}"
        if _included_agents(where)
        else "no frame of the {scenarios:scenario|scenarios} has {least} agents (min_agents); the most are "
        "{most}",
        hint="lower min_agents: {override}" if key else "lower min_agents to {most}",
        at=where.folder,
        of=split,
        scenarios=len(where.scenarios),
        least=where.least_agents,
        wanted=_included_agents(where),
        most=most,
        override=Override(f"{key}={most}"),
    )


def _included_agents(where: Disk) -> list[str]:
    """The agents that the dataset is told to include, empty where it includes all."""
    wanted = where.part.keywords.get("include_agents") or []
    return [str(agent) for agent in (wanted if isinstance(wanted, list | tuple | set) else [wanted])]


def _count(split: str, where: Disk) -> Finding:
    agents = Counter(len(scenario.agents) for scenario in where.scenarios_in_use)
    return note(
        "{usable} of {scenarios} scenarios are read, with {least} agents or more ({sizes}): {frames} samples",
        at=where.folder,
        of=split,
        scenarios=len(where.scenarios),
        usable=len(where.scenarios_in_use),
        least=where.least_agents,
        sizes=[
            Text("{count} of {size:agent|agents}", count=count, size=size)
            for size, count in sorted(agents.items())
        ],
        frames=len(where.scenes),
    )


def _incomplete(split: str, where: Disk, scenario: Scenario) -> Findings:
    """Agents that lack a camera, or frames between their own, that the others of their scenario have."""
    for camera in where.cameras:
        if scenario.agents and camera not in scenario.cameras:
            yield _no_camera(split, scenario, camera)
    names = [moment[0].name for moment in scenario.moments]
    for agent in scenario.agents:
        cameras = [camera for camera in sorted(scenario.cameras) if camera not in agent.cameras]
        lacking = [Text("all images of {camera}", camera=camera) for camera in cameras]
        there = [frame.name for frame in agent.frames]
        between = [name for name in names if there and there[0] < name < there[-1]]
        if fewer := len(between) + 2 - len(there) if len(there) > 1 else 0:
            lacking.append(Text("{fewer} of {frames} frames", fewer=fewer, frames=len(names)))
        if lacking:
            yield warning(
                "agent {agent} of {scenario} lacks {lacking}",
                hint="copy its files from the original data set, or move the agent out of the split",
                at=agent.folder,
                of=split,
                agent=agent.name,
                scenario=scenario.name,
                lacking=lacking,
            )


def _no_camera(split: str, scenario: Scenario, camera: str) -> Finding:
    """OPV2V itself has a scenario without camera3: its frame files do not name it."""
    frames = [frame for agent in scenario.agents for frame in agent.frames[:1]]
    if any(_names(frame, camera) for frame in frames):
        return warning(
            "{scenario} has no images of {camera}, though its frame files name it: its agents cannot be read",
            hint="copy the images of {camera}, or move the scenario out of the split",
            at=scenario.folder,
            of=split,
            scenario=scenario.name,
            camera=camera,
        )
    return note(
        "{scenario} has no {camera}", at=scenario.folder, of=split, scenario=scenario.name, camera=camera
    )


def _names(frame: Frame, camera: str) -> bool:
    try:
        return camera in frame_file(frame)
    except Blocked:  # a broken frame file is another finding
        return False


@check("DAT003", tier="data", requires=["DAT001", "ENV007"])
def no_scenario_in_two_splits(target: Target) -> Findings:
    """No scenario is in two splits.

    ## Why it matters
    The frames of a scenario follow one another by a tenth of a second: one that is trained on and evaluated
    on measures memory.

    ## How to fix
    Remove the copy, by hand: the original data set shows which split it belongs to. Give each split a folder
    of its own.
    """
    readers: dict[Path, tuple[str, Disk]] = {}  # a folder -> the first split that reads it
    shared = False
    for split, where in each_disk(target):
        first, _ = readers.setdefault(where.folder.resolve(), (split, where))
        if split != first and "train" in (split, first):
            yield _shared_folder(target, first if split == "train" else split, where)
            shared = True
    splits = list(dict.fromkeys(split for split, _ in readers.values()))
    if len(splits) < 2 and not shared:
        raise Skip("there is nothing to compare: only the folder of {splits} is examined", splits=splits)
    seen: dict[object, tuple[str, Scenario]] = {}
    for split, where in readers.values():
        yield examined(len(where.scenarios_in_use), "scenario", split=split)
        for scenario in where.scenarios_in_use:
            identities = (scenario.name, scenario.folder.resolve(), *_first_frame(scenario))
            others = [seen[one][1] for one in identities if one in seen and seen[one][0] != split]
            if others:
                yield _copy(scenario, others[0])
            for one in identities:
                seen.setdefault(one, (split, scenario))


def _shared_folder(target: Target, split: str, where: Disk) -> Finding:
    key = keyword_key(target, split, "split")
    return warning(
        "evaluation reads the folder of the training split: {folder}",
        hint="set {key} to a folder of its own" if key else "let it read a folder of its own",
        at=(place(target, key) if key else None) or Place(where.folder),
        of=split,
        folder=where.folder,
        key=key,
    )


def _copy(scenario: Scenario, other: Scenario) -> Finding:
    return error(
        "scenario {scenario} is in {split} and in {other_split}"
        if other.name == scenario.name
        else "scenario {scenario} is in {split} and in {other_split}, as {other_name}",
        hint="remove one: {folder} or {other}",
        at=scenario.folder,
        scenario=scenario.name,
        split=scenario.folder.parent.name,
        other_split=other.folder.parent.name,
        other_name=other.name,
        folder=scenario.folder,
        other=other.folder,
    )


def _first_frame(scenario: Scenario) -> Iterator[bytes]:
    """What the first frame file says: where all vehicles are, to the millimetre, tells a copy."""
    frame = next((frame for agent in scenario.agents for frame in agent.frames), None)
    with contextlib.suppress(OSError):
        if frame is not None and (content := bytes_of(frame.yaml)):
            yield content


AUDIT = Command("opv2v-doctor audit")
NAMES = 12  # of unknown files that a sentence names
NAMED = 3  # files that a message names; the values hold them all
UNKNOWN = Threshold(
    0.9, "of the mask", "a rig sees the sky, which has no depth, in less than this", healthy=0.4, faulty=1.0
)
SPARSE = Threshold(
    0.1, "of the pixels", "stitching loses a few points of sparse depth", healthy=0.03, faulty=0.5
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
    Restore the file that is named from the original data set, or take its scenario out of the split. A file
    that is no frame, as OPV2V's `*_additional.yaml`, is to be skipped where the dataset lists its frames.
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
            yield from _failures(target, drawn, found)
    if blocked is not None:
        raise blocked


def _failures(target: Target, drawn: Samples, found: Damage | None) -> Findings:
    """One error for each way in which samples fail that no damaged file explains."""
    moments = {_moment(entry.path) for entry in found.files} if found else set()
    failures = [sample.failure for sample in drawn.samples if sample.failure]
    no_frames = [failure for failure in failures if _no_frame(target, drawn.split, failure)]
    if no_frames:
        yield _taken_for_frame(target, drawn, no_frames)
    unexplained = [one for one in failures if one not in no_frames and not _moments(one) & moments]
    for failure in dict.fromkeys(unexplained):
        yield _failure(drawn, failure, unexplained.count(failure))
    if not failures:
        yield note("none of the {samples:sample|samples} failed", of=drawn.split, samples=len(drawn.samples))


def _failure(drawn: Samples, failure: DrawFailure, count: int) -> Finding:
    file = _named_file(failure.message)
    other = _under_another_suffix(file)
    if other:
        hint = Text("let the dataset read {suffix}, as this file's name ends", suffix=other.suffix)
    elif file:
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


def _no_frame(target: Target, split: str, failure: DrawFailure) -> Path | None:
    """The frame file of an agent that a sample fails at and that is none by its name."""
    agents = {agent.folder: agent for where in disks(target, split) for agent in where.agents.values()}
    for path in filter(None, (_named_file(failure.message), failure.opened)):
        agent = agents.get(path.parent)
        if agent and path.suffix == ".yaml" and agent.has(path) and not agent.layout.parse(path.name):
            return path
    return None


def _taken_for_frame(target: Target, drawn: Samples, failures: Sequence[DrawFailure]) -> Finding:
    path = _no_frame(target, drawn.split, failures[0])
    assert path is not None
    lists = listing_place(target, drawn.part)
    return error(
        "{failed}: {name} is no frame, and is read as one ({file})",
        hint="skip names such as {name} where frames are listed (`{line}`), or move these files elsewhere"
        if lists
        else "skip names such as {name} where the dataset lists its frames, or move these files elsewhere",
        at=lists or failures[0].place,
        of=drawn.split,
        failed=_failure_count(drawn, len(failures)),
        name=unknown_name(path.name),
        file=path,
        line=lists.text if lists else "",
        failure=str(failures[0]),
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


def _under_another_suffix(file: Path | None) -> Path | None:
    """The file of this name, but for its suffix, where the file itself is not there."""
    if file is None or file.exists():
        return None
    return next((path for path in sorted(file.parent.glob(f"{escape(file.stem)}.*"))), None)


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
                hint="let {name} give each view its depthmap, or say how it calls it: [names] views = "
                '{{ depthmap = "NAME" }}',
                split=drawn.split,
                name=drawn.part.class_name,
            )
        yield from _raw_depth_faults(target, drawn)
        for fault, views in _by_fault(target, drawn).items():
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
    if (
        fault == IS_UNKNOWN and first and not _is_sparse(first, 0.0)
    ):  # its files know more: the loader loses it
        at = given_place(target, drawn.part, "depthmap")
        hint = Text("keep the depth that the files have, up to this line")
    if fault == IN_MILLIMETRES:
        return warning(said, hint=hint, at=at, of=drawn.split)
    return error(said, hint=hint, at=at, of=drawn.split)


IS_UNKNOWN = Text("the depth is unknown (0) in more than {bound:.0%} of the mask", bound=UNKNOWN)
IN_MILLIMETRES = Text("half of the depth is beyond {far:g} m: millimetres rather than metres", far=FAR)


def _is_sparse(frame: Frame, unknown: float) -> bool:
    """Whether the depth files of a frame know as little: then depth is sparse, and nothing is lost."""
    raw = [depth for camera in frame.cameras if (depth := raw_depth(frame.depth(camera)))]
    return bool(raw) and sum(depth.zero for depth in raw) / len(raw) > max(UNKNOWN, unknown) - SPARSE


def _by_fault(target: Target, drawn: Samples) -> dict[Text, list[View]]:
    """Fault of the depth -> the views that have it."""
    found: dict[Text, list[View]] = {}
    for view in drawn.views:
        fault = _depth_fault(view.depth)
        frame = frame_of(target, drawn.split, view.identity) if fault == IS_UNKNOWN else None
        known = view.depth is not None and view.depth.maximum > 0
        if frame and known and view.depth and _is_sparse(frame, view.depth.zero_in_mask):
            continue
        if fault:
            found.setdefault(fault, []).append(view)
    return found


def _depth_fault(depth: Depth | None) -> Text | None:
    if depth is None:
        return Text("a view has no depthmap")
    if depth.finite < 1:
        return Text("the depthmap is not finite")
    if depth.maximum == 0 or depth.zero_in_mask > UNKNOWN:
        return IS_UNKNOWN
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
