"""Dataset: the class that reads it, and the splits that are on disk."""

import contextlib
from collections import Counter
from collections.abc import Iterator
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
    check,
    error,
    examined,
    note,
    warning,
)
from opv2v_doctor.facts.disk.frames import Disk, Frame, Scenario, each_disk, frame_file
from opv2v_doctor.facts.interpreter.probe import Raised
from opv2v_doctor.facts.launch.config import place
from opv2v_doctor.facts.launch.datasets import dataset_classes, keyword_key, root_key, train_parts
from opv2v_doctor.facts.launch.loaders import Exports, exports, loader_module
from opv2v_doctor.facts.launch.origins import class_place
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
        lost = _lost_folder(target, split, where) or _no_scenario(target, split, where)
        if lost is not None:
            yield lost
            continue
        yield _count(split, where)
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
    """Agents that lack frames or a camera that the others of their scenario have."""
    for camera in where.cameras:
        if scenario.agents and camera not in scenario.cameras:
            yield _no_camera(split, scenario, camera)
    for agent in scenario.agents:
        cameras = [camera for camera in sorted(scenario.cameras) if not agent.has_camera(camera)]
        lacking = [Text("all images of {camera}", camera=camera) for camera in cameras]
        if fewer := len(scenario.moments) - len(agent.frames):
            lacking.append(Text("{fewer} of {frames} frames", fewer=fewer, frames=len(scenario.moments)))
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
        return camera in frame_file(frame.yaml)
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
