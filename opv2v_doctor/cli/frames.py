"""A frame of a dataset without a training: what `preview --data` shows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from opv2v_doctor.cli.preview import place_of
from opv2v_doctor.facts.disk.frames import Disk
from opv2v_doctor.facts.disk.scenarios import Frame, scenarios
from opv2v_doctor.facts.launch.datasets import Part
from opv2v_doctor.figures.frame_page import ShownAgent, shown_agent, write_frame
from opv2v_doctor.figures.gallery import Tile, around, write_index
from opv2v_doctor.figures.panorama_files import verify_preview
from opv2v_doctor.figures.rerun_files import record_frame, recording
from opv2v_doctor.languages import Language, say
from opv2v_doctor.layout import dataset_root
from opv2v_doctor.neutral import printable
from opv2v_doctor.reporters import Say
from opv2v_doctor.target import Target, find_settings
from opv2v_doctor.text import Text, counted, sentence
from opv2v_doctor.user_error import UsageError, unknown

Moment = tuple[Frame, ...]


def show_frames(
    data: Path,
    words: Mapping[str, Any],
    *,
    index: Sequence[int] | None,
    random: int,
    seed: int,
    output: Path | None,
    language: Language = "en",
    rrd: Path | None = None,
) -> int:
    """Write the chosen frames' pages, and tell; the exit code. Raises UsageError for what is not there."""
    if random and index is not None:
        raise UsageError("--index and --random: choose one")
    disks = _disks(data, words["settings"], words["split"] or ())
    moments = [(where, moment) for where in disks for one in where.scenarios for moment in one.moments]
    if random:
        most = min(random, len(moments))
        drawn = np.random.default_rng(seed).choice(len(moments), most, replace=False)
        chosen = [int(number) for number in drawn]
    else:
        asked = index or (0,)
        chosen = [number for number in asked if number < len(moments)]
        if not chosen:
            raise UsageError(f"--index {asked[0]}: there are {len(moments)} frames, counted from 0")
    folders = [
        place_of(data.resolve(), output, _title(*moments[number], "_"), len(chosen) > 1) for number in chosen
    ]
    speak, tiles, codes = partial(say, language=language), [], []
    with recording(rrd) if rrd else nullcontext() as stream:
        for place, number in enumerate(chosen):
            where, moment = moments[number]
            name = _title(where, moment)
            title = Text("{frame}, {number} of {total}", frame=name, number=number, total=len(moments))
            agents = [shown_agent(where, frame) for frame in moment]
            if stream is not None:
                record_frame(stream, number, moment[0].name, moment[0].agent.scenario, agents)
            writes = partial(write_frame, around=around(folders, place), say=speak, language=language)
            codes.append(_show(title, folders[place], agents, writes, speak))
            shown = [picture for agent in agents if (picture := agent.pictures.get("panorama")) is not None]
            told = counted(len(agents), "agent")
            tiles.append(Tile(folder=folders[place], name=name, told=told, kind="", pictures=shown))
    if rrd is not None:
        sys.stdout.write(f"  {rrd}: {len(tiles)} frames\n")
    if len(tiles) > 1:
        sys.stdout.write(f"  {write_index(folders[0].parent, Text('Frames'), tiles, speak, language)}\n")
    return max(codes)


def _title(where: Disk, moment: Moment, between: str = "/") -> str:
    return between.join([where.folder.name, moment[0].agent.scenario, moment[0].name])


def _disks(data: Path, settings_file: Path | None, wanted: Sequence[str]) -> list[Disk]:
    """The splits of a dataset that hold frames; those that were asked for."""
    if not data.is_dir():
        raise UsageError(f"--data {data}: no such folder")
    target = Target(
        repo=data.resolve(), python=Path(sys.executable), settings=find_settings(None, settings_file)
    )
    folders = sorted(path for path in target.repo.iterdir() if path.is_dir())
    found = [
        Disk(
            part=Part(expression="", class_name="", size=None),
            folder=folder,
            depth_folder=folder,
            scenarios=scenarios(target, folder, folder),
        )
        for folder in folders
    ]
    disks = [where for where in found if any(one.moments for one in where.scenarios)]
    if not disks:
        root = dataset_root(data)
        told = f": give {root}" if root else ": give the folder that holds train, validate, test"
        raise UsageError(f"--data {data}: no SPLIT/SCENARIO/AGENT/FRAME.yaml in it{told}")
    for name in wanted:
        if name not in {where.folder.name for where in disks}:
            raise unknown("split", name, [where.folder.name for where in disks])
    return [where for where in disks if not wanted or where.folder.name in wanted]


def _show(
    title: Text, folder: Path, agents: Sequence[ShownAgent], write: Callable[..., Path], say: Say
) -> int:
    verify_preview(folder)
    try:
        path = write(folder, title, agents)
    except OSError as problem:
        raise UsageError(f"--output {folder}: cannot be written: {problem.strerror}") from None
    lines = [Text("{title}: {agents}", title=title, agents=counted(len(agents), "agent"))]
    lines += [Text("  agent {name}: {text}", name=agent.name, text=sentence(agent.told)) for agent in agents]
    size = path.stat().st_size / 1e6
    lines.append(Text("  {path} ({size:.1f} MB; the pictures beside it)", path=path, size=size))
    sys.stdout.writelines(f"{printable(say(line))}\n" for line in lines)
    return 0 if any(agent.pictures for agent in agents) else 3
