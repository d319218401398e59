"""Written: what the inference script wrote, each array against what the model answered in that inference."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.predictions.artefacts import (
    Artefact,
    OutputKind,
    TrueView,
    artefacts_of,
    kinds_of,
    view_by_name,
)
from opv2v_doctor.facts.predictions.comparisons import Ending
from opv2v_doctor.facts.predictions.likeness import Deviation, Likeness
from opv2v_doctor.facts.predictions.parity import inference_by, partings, script_folder, script_inference
from opv2v_doctor.facts.predictions.wording import tolerance
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place, Text


@dataclass(frozen=True, kw_only=True)
class JudgedArtefact:
    """An array that was compared: how many values, with which view, and how it differs, if it does."""

    label: str
    quantity: str
    values: int
    view: int | None  # None: of all of them
    names: tuple[str | None, ...]  # of the views
    type: str
    place: Place | None  # of the statement that wrote the file
    parted: Place | None = None  # of the statement that made the value another one
    deviation: Deviation | None = None


@dataclass(frozen=True, kw_only=True)
class Overwritten:
    """A file that was begun anew for each of several views, so that one is left."""

    label: str
    times: int
    place: Place | None


@dataclass(frozen=True, kw_only=True)
class Written:
    """All that the script wrote."""

    judged: tuple[JudgedArtefact, ...]
    unknown: tuple[tuple[str, Text], ...]  # what was not compared, and why
    overwritten: tuple[Overwritten, ...]
    ending: Ending
    script: Path
    left_files: bool  # whether any is there, however it was written: not every library is heard


@fact
def written(target: Target) -> Written:
    """What the script wrote after its first inference. Raises Skip and Blocked as `script_inference` does."""
    script = script_inference(target)
    inference = inference_by(script)
    artefacts, unread = artefacts_of(script, script_folder(target))
    views = [TrueView(view) for view in script.views]
    first = [one for one in artefacts if one.file.inferences == 1]
    likeness = Likeness(views, tolerance(inference))
    known = [(one, kinds) for one in first if (kinds := kinds_of(one, target.settings.infer))]
    judged = [_judged(one, kinds, likeness, known) for one, kinds in known if kinds[0].quantity != "other"]
    unknown = [*unread, *_unknown(artefacts, [one for one, _ in known])]
    found = [each for each, _ in judged]
    return Written(
        judged=tuple(_parted(target, judged, likeness))
        if any(one.deviation for one in found)
        else tuple(found),
        unknown=tuple(unknown),
        overwritten=tuple(_overwritten(known, len(views))),
        ending=script.ending,
        script=script.path,
        left_files=bool(script.written) or _holds_files(script_folder(target) / "output"),
    )


def _holds_files(folder: Path) -> bool:
    """Whether what was handed over as {output} holds more than what Hydra and a logger leave there."""
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return any(path.suffix != ".log" and not path.parts[0].startswith(".") for path in files)


def _unknown(artefacts: Sequence[Artefact], known: Sequence[Artefact]) -> Iterator[tuple[str, Text]]:
    for one in artefacts:
        if one.file.inferences > 1:
            yield (
                one.label,
                Text(
                    "it was written after {n:inference|inferences}: of which is unknown",
                    n=one.file.inferences,
                ),
            )
        elif one not in known:
            yield one.label, Text("[infer] outputs does not say what it is")


def _overwritten(known: Sequence[tuple[Artefact, object]], views: int) -> Iterator[Overwritten]:
    """Files of one view each, begun anew as often as there are views."""
    files = {one.name: one.file for one, _ in known}
    for name, file in files.items():
        if 1 < views <= file.times:
            yield Overwritten(label=name, times=file.times, place=file.place)


Known = Sequence[tuple[Artefact, tuple[OutputKind, ...]]]


def _judged(
    one: Artefact, kinds: tuple[OutputKind, ...], likeness: Likeness, known: Known
) -> tuple[JudgedArtefact, Artefact]:
    found = [_compared(one, kind, likeness, known) for kind in kinds]
    right = [each for each in found if each.deviation is None]
    explained = [each for each in found if each.deviation and each.deviation.what != "values"]
    return (right or explained or found)[0], one


def _compared(one: Artefact, kind: OutputKind, likeness: Likeness, known: Known) -> JudgedArtefact:
    views = likeness.views
    result = JudgedArtefact(
        label=one.label,
        quantity=kind.quantity,
        values=int(one.array.size),
        view=None,
        names=tuple(view.view.instance or view.view.agent for view in views),
        type=str(one.array.dtype),
        place=one.place,
    )
    truth = next((t for view in views if (t := view.truth(kind.quantity)) is not None), None)
    if truth is None:
        return replace(result, values=0)
    array, everyone = np.squeeze(one.array), list(range(len(views)))
    named = view_by_name(one.label, views)
    is_list = "points" in kind.quantity and array.ndim == 2 and array.shape[-1] >= 3
    if is_list:
        return replace(result, view=named, deviation=_of_list(array, kind, likeness, named, everyone))
    if array.ndim == truth.ndim + 1 and len(array) == len(views) and len(views) > 1:
        each = [likeness.of_view(part, kind, number) for number, part in enumerate(array)]
        return replace(result, deviation=next(filter(None, each), None))
    number = named if named is not None else _by_order(one, known, len(views))
    if number is not None:
        deviation = likeness.of_view(array, kind, number)
        if (
            deviation
            and deviation.what == "view"
            and named is None
            and _is_permutation(one, kind, likeness, known)
        ):
            deviation = None
        return replace(result, view=number, deviation=deviation)
    each = [likeness.of_view(array, kind, number) for number in everyone]
    fits = [number for number in everyone if each[number] is None]
    return replace(result, view=fits[0] if fits else 0, deviation=None if fits else each[0])


def _of_list(
    array: np.ndarray, kind: OutputKind, likeness: Likeness, named: int | None, everyone: list[int]
) -> Deviation | None:
    """A list of points is that of the view in its name, else of all views, or of the one that it is of."""
    chosen = [named] if named is not None else everyone
    found = likeness.of_list(array, kind, chosen)
    is_less = named is None and found is not None and found.what in ("fewer", "fewer views")
    if is_less and any(likeness.of_list(array, kind, [number]) is None for number in everyone):
        return Deviation(what="fewer views", numbers={"there": 1, "wanted": len(everyone)})
    return found


def _alike(one: Artefact, known: Known) -> list[Artefact]:
    """Arrays whose names differ in numbers only, in the order in which they were written."""
    plain = re.sub(r"\d+", "#", one.label)
    return [other for other, _ in known if re.sub(r"\d+", "#", other.label) == plain]


def _by_order(one: Artefact, known: Known, views: int) -> int | None:
    alike = _alike(one, known)
    return alike.index(one) if len(alike) == views else None


def _is_permutation(one: Artefact, kind: OutputKind, likeness: Likeness, known: Known) -> bool:
    """Whether arrays that no name ties to a view are those of all views, in another order."""
    order = [
        next(
            (n for n in range(len(likeness.views)) if likeness.of_view(np.squeeze(a.array), kind, n) is None),
            None,
        )
        for a in _alike(one, known)
    ]
    return None not in order and len(set(order)) == len(likeness.views)


def _parted(
    target: Target, judged: Sequence[tuple[JudgedArtefact, Artefact]], likeness: Likeness
) -> Iterator[JudgedArtefact]:
    """The same with the lines at which what was written parts from what the model answered."""
    wrong = [(each, one) for each, one in judged if each.deviation]
    firsts: dict[tuple[str, str], tuple[JudgedArtefact, Artefact]] = {}
    for each, one in wrong:  # one of each kind tells the line of all
        assert each.deviation is not None
        firsts.setdefault((each.quantity, each.deviation.what), (each, one))
    folder = script_folder(target).with_suffix(".wrong")
    folder.mkdir(exist_ok=True)
    forms = [
        [str(path) for path in _forms(each, one, likeness, folder / str(number))]
        for number, (each, one) in enumerate(firsts.values())
    ]
    try:
        places = partings(target, forms)
    except Blocked:  # it does not run a second time
        places = (None,) * len(forms)
    at = dict(zip(firsts, places, strict=True))
    for each, _ in judged:
        place = at.get((each.quantity, each.deviation.what)) if each.deviation else None
        yield replace(each, parted=place)


def _forms(each: JudgedArtefact, one: Artefact, likeness: Likeness, prefix: Path) -> Iterator[Path]:
    """The wrong value as it was written, and of points as whole maps, before some were chosen."""
    arrays = [one.array]
    make = each.deviation.make if each.deviation else None
    if make is not None:
        key = "pts3d_cam" if each.quantity == "camera points" else "pts3d"
        maps = [found for view in likeness.views if (found := view.returned(key)) is not None]
        arrays += [make(found) for found in maps]
    for number, array in enumerate(arrays):
        path = prefix.with_name(f"{prefix.name}_{number}.npy")
        np.save(path, np.asarray(array))
        yield path
