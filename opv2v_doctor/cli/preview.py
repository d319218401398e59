"""The command that shows a sample as training sees it: preview."""

from __future__ import annotations

import contextlib
import importlib
import re
import socket
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.cli import options
from opv2v_doctor.cli.streams import user
from opv2v_doctor.facts.geometry.references import Reference, References, where_of
from opv2v_doctor.facts.launch.config import composing
from opv2v_doctor.facts.launch.loaders import loader_module
from opv2v_doctor.facts.samples.panoramas import DrawnView, NoSuchSample, ShownSample, draw_at
from opv2v_doctor.figures.gallery import Tile, around, write_index
from opv2v_doctor.figures.panorama_files import verify_preview, write_preview
from opv2v_doctor.figures.panorama_page import Around, answer
from opv2v_doctor.figures.panorama_words import ViewCaption
from opv2v_doctor.figures.plotly_page import plotly_tags
from opv2v_doctor.figures.rerun_files import record_sample, recording, rerun
from opv2v_doctor.languages import Language, say
from opv2v_doctor.reporters import Say
from opv2v_doctor.target import Target
from opv2v_doctor.text import Text, sentence
from opv2v_doctor.user_error import UsageError

AT_ONCE = 2  # references that are stitched at the same time
MOST_AT_ONCE = 200  # samples of a set: each has 20 MB of files
Place = References | str  # what stitches references, or why there are none

Index = Annotated[
    str | None,
    typer.Option(
        "--index",
        help="The sample to draw, as training counts; 0:20 draws twenty, with an index page.  [default: 0]",
        show_default=False,
    ),
]
Random = Annotated[
    int | None,
    typer.Option("--random", min=1, help="Draw so many samples at random instead.", show_default=False),
]
Seed = Annotated[int, typer.Option(min=0, help="Of --random: the same seed draws the same samples.")]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--output",
        help="Folder to write into, one in it for each of several samples.  [default: preview/SPLIT_INDEX; "
        "within the repository that would be, REPO_preview/SPLIT_INDEX beside it]",
        show_default=False,
    ),
]


Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Show a frame of this dataset instead, SPLIT/SCENARIO/AGENT, from its files alone: no training "
        "is needed. --split names its folder, --index counts frames.",
        show_default=False,
    ),
]


@options.taking(options.target_of, "target", unless="data")
def preview(
    target: Any,  # a Target; with --data what was said to the options that make one
    overrides: options.Overrides = None,
    index: Index = None,
    random: Random = None,
    seed: Seed = 0,
    output: Folder = None,
    data: Data = None,
    rrd: options.Recording = None,
    lang: options.Lang = "en",
) -> None:
    """Show a sample as training sees it, on one page that opens offline.

    Beside it stands a stitching of the doctor's own. The repository's dataset draws the sample: of --split,
    or of val where several are named. Panorama, depth and masks of each agent lie beside the page as PNG and
    .npy. With --data a frame of a dataset is shown from its files: panoramas, cameras, LiDAR.
    """
    indices = indices_of(index)
    if rrd is not None:
        rerun()
    if data is not None:
        from opv2v_doctor.cli.frames import show_frames

        count = random or 0
        raise typer.Exit(
            show_frames(
                data, target, index=indices, random=count, seed=seed, output=output, language=lang, rrd=rrd
            )
        )
    target = replace(target, overrides=tuple(overrides or ()))
    code = show_samples(
        target, index=indices, random=random or 0, seed=seed, output=output, language=lang, rrd=rrd
    )
    raise typer.Exit(code)


def indices_of(word: str | None) -> tuple[int, ...] | None:
    """The numbers that `--index` means: one, or a range without its end. Raises UsageError for neither."""
    found = re.fullmatch(r"(\d{1,9})(?::(\d{1,9}))?", word or "0")
    first = int(found[1]) if found else 0
    end = int(found[2]) if found and found[2] else first + 1
    if found is None or end <= first or end - first > MOST_AT_ONCE:
        raise UsageError(f"--index {word}: give a number, or a range as 0:20 of {MOST_AT_ONCE} at most")
    return None if word is None else tuple(range(first, end))


def show_samples(
    target: Target,
    *,
    index: Sequence[int] | int | None,
    random: int,
    seed: int,
    output: Path | None,
    language: Language = "en",
    rrd: Path | None = None,
) -> int:
    """Draw, stitch, write and tell; the exit code. Raises UsageError for what cannot be asked for."""
    split = _split(target)
    if random and index is not None:
        raise UsageError("--index and --random: choose one")
    indices = (index,) if isinstance(index, int) else tuple(index or (0,))
    if not random and len(indices) == 1:
        verify_preview(place_of(target.repo, output, f"{split}_{indices[0]}", False))
    seeded = Text("drawn at random with --seed {seed}", seed=seed) if random else None
    with ThreadPoolExecutor(AT_ONCE) as threads, contextlib.ExitStack() as stack:
        try:
            composing(target)
            ready = threads.submit(_prepare, target)  # while the training interpreter imports and composes
            drawn = draw_at(target, split, () if random else indices, random, seed)
            place = _place(target, split)
            if isinstance(place, References):
                stack.callback(place.close)
                if not random:
                    place.expect(indices[0])
            samples = drawn()
            ready.result()
        except NoSuchSample as problem:
            raise UsageError(f"--index {problem}") from None
        except (Blocked, Skip) as problem:
            _say(f"opv2v-doctor: {split} could not be drawn: {problem}")
            return 3
        folders = [
            place_of(target.repo, output, f"{each.split}_{each.index}", len(samples) > 1) for each in samples
        ]
        for folder in folders:
            verify_preview(folder)
        stream = stack.enter_context(recording(rrd)) if rrd else None
        speak = partial(say, language=language)
        drawn_ones = [
            _write(
                target,
                each,
                place,
                PreviewPage(folder, around(folders, number), speak, language, stream),
                seeded,
                threads,
            )
            for number, (each, folder) in enumerate(zip(samples, folders, strict=True))
        ]
    tiles = [tile for tile in drawn_ones if tile is not None]
    _write_set(folders[0].parent, split, tiles, speak, language)
    return 0 if len(tiles) == len(drawn_ones) else 3


def _write_set(folder: Path, split: str, tiles: Sequence[Tile], speak: Say, language: Language) -> None:
    """The index page of several samples."""
    if len(tiles) > 1:
        title = Text("{split}: what training sees", split=split)
        _say(f"  {write_index(folder, title, tiles, speak, language)}")


@dataclass(frozen=True)
class PreviewPage:
    """Where a page of a sample goes, what is beside it, and in which language it is told."""

    folder: Path
    around: Around
    say: Say
    language: Language
    stream: Any  # the recording that the sample is added to, if there is one


def place_of(examined: Path, output: Path | None, name: str, many: bool) -> Path:
    """Where the files of the sample of this name go: not into what is examined, unless asked for."""
    if output is not None:
        return output / name if many else output
    if Path.cwd().resolve().is_relative_to(examined):
        return examined.parent / f"{examined.name}_preview" / name
    return Path("preview", name)


def _split(target: Target) -> str:
    """The split that was asked for; val where that leaves a choice."""
    options.verify_splits(target)
    return "val" if len(target.splits) > 1 and "val" in target.splits else target.splits[0]


def _prepare(target: Target) -> None:
    """What is needed whatever is drawn."""
    loader_module(target)
    importlib.import_module("cv2")
    importlib.import_module("yaml")
    plotly_tags()


def _place(target: Target, split: str) -> Place:
    try:
        return References(*where_of(target, split))
    except Blocked as reason:
        return str(reason)


def _write(
    target: Target,
    sample: ShownSample,
    place: Place,
    page: PreviewPage,
    seeded: Text | None,
    threads: ThreadPoolExecutor,
) -> Tile | None:
    """Write the files of one sample, and its tile; None where it could not be drawn."""
    name = Text(
        "{split} sample {index} of {length}", split=sample.split, index=sample.index, length=sample.length
    )
    if sample.sample.failure:
        failure = sample.sample.failure
        where = f" ({failure.place})" if failure.place else ""
        read = Text(", while {file} was read", file=failure.opened) if failure.opened else Text("")
        problem = Text("{failure}{read}", failure=f"{failure}{where}", read=read)
        said = Text(
            "{name} could not be drawn: {problem}; training would take another", name=name, problem=problem
        )
        _say(f"opv2v-doctor: {page.say(said)}")
        return None
    stitched = list(threads.map(lambda view: _reference(place, view), sample.views))
    tolerance = target.settings.masks.tolerance
    shown = [
        ViewCaption(drawn=view, reference=found, tolerance=tolerance)
        for view, found in zip(sample.views, stitched, strict=True)
    ]
    if page.stream is not None:
        record_sample(page.stream, sample, shown)
    try:
        facts = _facts(target, sample, seeded)
        path = write_preview(page.folder, sample, shown, facts, threads, page.around, page.say, page.language)
    except OSError as problem:
        raise UsageError(f"--output {page.folder}: cannot be written: {problem.strerror}") from None
    for line in _told(name, seeded, shown, path):
        _say(page.say(line))
    told = answer(shown)
    return Tile(
        folder=page.folder,
        name=f"{sample.split} {sample.index}",
        told=told[0][0] if told else "",
        kind=told[0][1] if told else "",
        pictures=[rgb for each in shown if (rgb := each.drawn.rgb) is not None],
    )


def _reference(place: Place, view: DrawnView) -> Reference | str:
    if isinstance(place, str):
        return place
    try:
        return place.of(view)
    except Blocked as reason:
        return str(reason)


def _facts(target: Target, sample: ShownSample, seeded: Text | None) -> list[Text]:
    """Sentences for the head of the page."""
    words = sample.part.keywords
    drawn = Text(
        "{repo}, {dataset}, split {split}: dataset[({key})] of {length}, {n:view|views}, in the first epoch, "
        "without retries",
        repo=target.repo,
        dataset=sample.part.class_name,
        split=sample.split,
        key=list(sample.sample.key),
        length=sample.length,
        n=len(sample.views),
    )
    facts = [Text("{said}.", said=sentence([drawn, *([seeded] if seeded else [])], ", "))]
    transform = words.get("transform")
    if transform not in (None, "imgnorm"):
        facts.append(
            Text("transform is {name!r}: colours differ from the files' on purpose.", name=str(transform))
        )
    return facts


def _told(name: Text, seeded: Text | None, shown: Sequence[ViewCaption], path: Path) -> Iterator[Text]:
    """What was drawn, what is wrong with it, and where to look."""
    agents = Text("{name}: agents {agents}", name=name, agents=[each.name for each in shown])
    yield Text("{said} ({seeded})", said=agents, seeded=seeded) if seeded else agents
    for each in shown:
        mean, found = each.drawn.view.mask_mean, each.stitched
        if each.wrong and found and mean is not None:
            why = found.explanation(mean)
            said = Text("the mask covers {mean:.3f}, the rig sees {seen:.3f}", mean=mean, seen=found.coverage)
            yield Text(
                "  agent {name}: {text}", name=each.name, text=sentence([said, *([why] if why else [])])
            )
        for doubt in each.drawn.doubts:
            yield Text("  agent {name}: {text}", name=each.name, text=doubt)
    size = path.stat().st_size / 1e6
    yield Text("  {path} ({size:.1f} MB; panorama, depth and masks beside it)", path=path, size=size)
    place = f"{user()}@{socket.gethostname()}:{path.absolute()}"
    yield Text(
        "  open it in a browser; from another machine: {command}",
        command=f"scp {place} . && open {path.name}",
    )


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
