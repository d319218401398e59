"""Dataset: the class that reads it, and the splits that are on disk."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from opv2v_doctor import Blocked, Finding, Findings, Target, check, error, note, warning
from opv2v_doctor.facts.config import place
from opv2v_doctor.facts.datasets import asked_eval_parts, train_parts
from opv2v_doctor.facts.exports import Exported, exported
from opv2v_doctor.facts.frames import Disk, Frame, Scenario, each_disk, frame_file
from opv2v_doctor.facts.loaders import loader_module
from opv2v_doctor.facts.origins import class_place
from opv2v_doctor.facts.probe import Raised
from opv2v_doctor.facts.samples import examined_splits


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
    wanted = {part.class_name: part for part in (*asked_eval_parts(target), *train_parts(target))}
    try:
        found = exported(target, tuple(wanted))
    except Raised as raised:
        path, line = raised.place or (None, None)
        yield error(
            f"{loader_module(target)} cannot be imported: {raised.kind}: {raised.message}",
            path=path,
            line=line,
            hint="make `python -c 'import " + loader_module(target) + "'` work in the launch's environment",
        )
        return
    for name in wanted:
        if name not in found.names:
            yield _unknown_class(target, name, found)
    expected = target.settings.dataset_class
    if expected and expected not in {part.class_name for part in train_parts(target)}:
        yield _other_class(target, expected)
    if set(wanted) == set(found.names):
        yield note(f"{', '.join(wanted)} in {found.module} ({found.file})", module=str(found.file))


def _unknown_class(target: Target, name: str, found: Exported) -> Finding:
    defined = class_place(target, name)
    path, line = (defined.path, defined.line) if defined else place(target, "dataset.train_dataset")
    why = "the repository defines it here" if defined else "the repository does not define it"
    return error(
        f"{name} is not in {found.module}, which was imported from {found.file}; {why}",
        path=path,
        line=line,
        hint=_remedy(target, name, found, defined=defined is not None),
        module=str(found.file),
    )


def _remedy(target: Target, name: str, found: Exported, *, defined: bool) -> str:
    """What makes a class known; a copy of the package that wins the import is not to be mended."""
    if not found.is_ours:
        return f"launch with PYTHONPATH={target.repo} alone, so that {found.home} is imported"
    if defined:
        return f"import {name} in {found.home}"
    return f"correct the class name in the config, or define {name}"


def _other_class(target: Target, expected: str) -> Finding:
    path, line = place(target, "dataset.train_dataset")
    named = ", ".join(sorted({part.class_name for part in train_parts(target)}))
    return error(
        f"the training reads {named}, the settings expect {expected}",
        path=path,
        line=line,
        hint="choose the dataset config: dataset=opv2v_cyl_coop_ft, or correct dataset_class in the settings",
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
        lost = _lost_folder(split, where) or _no_scenario(split, where)
        if lost is not None:
            yield lost
            continue
        yield _counted(split, where)
        for scenario in where.read:
            yield from _incomplete(split, where, scenario)


def _lost_folder(split: str, where: Disk) -> Finding | None:
    for folder, key in ((where.folder, "images"), (where.depth_folder, "depth")):
        if not folder.is_dir():
            return error(
                f"{split}: no folder {folder}",
                path=folder,
                hint=f"machine.opv2v_{key}_root=DIR with the folder that holds {folder.name}",
            )
    return None


def _no_scenario(split: str, where: Disk) -> Finding | None:
    if where.scenes:
        return None
    most = max((len(moment) for scenario in where.chosen for moment in scenario.moments), default=0)
    wanted = where.part.keywords.get("include_agents")
    among = f" among {wanted} (include_agents)" if wanted else ""
    return error(
        f"{split} is empty: no frame of its {len(where.scenarios)} scenarios has {where.least_agents} agents "
        f"(min_agents){among}; the most that one has are {most}",
        path=where.folder,
        hint=f"dataset.opv2v.{split}.min_agents=N with at most {most}, or correct the root",
        scenarios=len(where.scenarios),
    )


def _counted(split: str, where: Disk) -> Finding:
    agents = Counter(len(scenario.agents) for scenario in where.read)
    sizes = ", ".join(f"{count} of {size} agents" for size, count in sorted(agents.items()))
    return note(
        f"{split}: {len(where.read)} of {len(where.scenarios)} scenarios are read, with {where.least_agents} "
        f"agents or more ({sizes}), {len(where.scenes)} frames",
        path=where.folder,
        split=split,
        scenarios=len(where.scenarios),
        usable=len(where.read),
        agents=len(where.agents),
        frames=len(where.scenes),
    )


def _incomplete(split: str, where: Disk, scenario: Scenario) -> Findings:
    """Agents that lack frames or a camera that the others of their scenario have."""
    for camera in where.cameras:
        if scenario.agents and camera not in scenario.cameras:
            yield _no_camera(split, scenario, camera)
    for agent in scenario.agents:
        lacking = [f"all of {camera}" for camera in sorted(scenario.cameras) if not agent.has_camera(camera)]
        if fewer := len(scenario.moments) - len(agent.frames):
            lacking.append(f"{fewer} of {len(scenario.moments)} frames")
        if lacking:
            yield warning(
                f"{split}: agent {agent.name} of {scenario.name} lacks {', '.join(lacking)}",
                path=agent.folder,
                hint="copy its files from the original data set, or move the agent out of the split",
                split=split,
            )


def _no_camera(split: str, scenario: Scenario, camera: str) -> Finding:
    """OPV2V itself has a scenario without camera3: its frame files do not name it."""
    frames = [frame for agent in scenario.agents for frame in agent.frames[:1]]
    message = f"{split}: {scenario.name} has no {camera}"
    if any(_names(frame, camera) for frame in frames):
        return warning(
            f"{message}, though its frame files name it: the loader cannot read its agents",
            path=scenario.folder,
            hint=f"copy the images of {camera}, or move the scenario out of the split",
        )
    return note(message, path=scenario.folder)


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
    Remove the copy, by hand: which split it belongs to is told by the original data set.
    """
    seen: dict[object, Path] = {}
    count = 0
    for folder, where in {where.folder: where for _, where in each_disk(target)}.items():
        found: dict[object, Path] = {}
        for scenario in where.read:
            count += 1
            identities = (scenario.name, scenario.folder.resolve(), *_first_frame(scenario))
            other = next((seen[one] for one in identities if one in seen), None)
            if other is not None:
                alias = f", as {other.name}" if other.name != scenario.name else ""
                yield error(
                    f"scenario {scenario.name} is in {folder.name} and in {other.parent.name}{alias}",
                    path=scenario.folder,
                    hint=f"remove one: {scenario.folder} or {other}",
                )
            found |= dict.fromkeys(identities, scenario.folder)
        seen = {**found, **seen}
    yield note(f"{count} scenarios in {', '.join(examined_splits(target))}")


def _first_frame(scenario: Scenario) -> Iterator[bytes]:
    """What the first frame file says: where all vehicles are, to the millimetre, tells a copy."""
    frame = next((frame for agent in scenario.agents for frame in agent.frames), None)
    with contextlib.suppress(OSError):
        if frame is not None and (content := frame.yaml.read_bytes()):
            yield content
