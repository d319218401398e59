"""The notebook of a run, `record.md`: what people keep by hand about a training, written from evidence.

What the doctor writes stands between two marks, the first with the digest of what follows. Everything else in
the file is a person's and stays; so does what the doctor wrote, once a person has changed it: it is then
written anew below.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from opv2v_doctor.atomic import NotWritten, write
from opv2v_doctor.facts.past.mask_bounds import bounds
from opv2v_doctor.facts.predictions.summaries import FILE as SUMMARY
from opv2v_doctor.facts.predictions.summaries import PredictionSummary, summaries_in
from opv2v_doctor.foreign_files import text_of
from opv2v_doctor.languages import Language, say
from opv2v_doctor.reporters.markdown import escape
from opv2v_doctor.runs.course import Course, Epoch, course_of
from opv2v_doctor.runs.inference import FOLDER
from opv2v_doctor.runs.record import Launch, Run, RunStatus
from opv2v_doctor.settings import Settings
from opv2v_doctor.text import Text, quoted

NAME = "record.md"
LARGEST = 4 << 20  # bytes of one that a person may have written into
END = "<!-- opv2v-doctor: end of what it writes -->\n"
_block = re.compile(rf"<!-- opv2v-doctor: written from evidence, ([0-9a-f]{{16}}) -->\n(.*?){END}", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Item:
    """One line of the checklist of a reproducible training; None: there is no evidence either way."""

    claim: Text
    holds: bool | None
    evidence: Text


def keep(run: Run, settings: Settings) -> None:
    """Write the notebook as the run directory stands now. Raises NotWritten; nobody's words are lost."""
    path = run.path / NAME
    try:
        old = text_of(path, largest=LARGEST) if path.exists() else ""
    except (OSError, ValueError) as problem:
        raise NotWritten(f"{path} is left as it is: {problem}") from None
    new = merged(old, page(run, settings, settings.runs.language))
    if new != old:
        write(path, new.encode("utf-8", "surrogateescape"))


def merged(old: str, page: str) -> str:
    """The notebook with this page in the place of ours, where that is as we wrote it, else behind all."""
    block = f"<!-- opv2v-doctor: written from evidence, {_digest(page)} -->\n{page}{END}"
    for found in _block.finditer(old):
        if _digest(found[2]) == found[1]:
            return old[: found.start()] + block + old[found.end() :]
    return f"{old.rstrip()}\n\n{block}" if old.strip() else block


def _digest(page: str) -> str:
    return hashlib.sha256(page.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def page(run: Run, settings: Settings, language: Language) -> str:
    """What the doctor knows of a run, in Markdown."""
    course = course_of(run.path)
    rendered = sorted(
        summaries_in(run.path.glob(f"{FOLDER}/*/{SUMMARY}")), key=lambda found: str(found.path.parent)
    )
    parts = {
        Text("What ran"): (say(line, language) for line in _launches(run)),
        Text("Epochs"): _epochs(course, language),
        Text("Checkpoints"): _checkpoints(course, language),
        Text("Rendered checkpoints"): _rendered(run, rendered, language),
        Text("Reproducible?"): _checklist(items(run, course, settings, rendered), language),
    }
    lines = [f"# {escape(run.path.name)}", ""]
    for title, content in parts.items():
        told = list(content)
        if told:
            lines += [f"## {say(title, language)}", "", *told, ""]
    return "\n".join(lines)


def _launches(run: Run) -> Iterator[Text]:
    stamp = run.stamp
    if stamp.commit:
        yield Text(
            "- code: commit `{commit}` on {branch}, {dirty:changed file|changed files}, "
            "{untracked:untracked file|untracked files} (diff.patch, untracked.txt)",
            commit=stamp.commit,
            branch=escape(stamp.branch or "a detached head"),
            dirty=len(stamp.dirty),
            untracked=len(stamp.untracked),
        )
    else:
        yield Text("- code: no commit is known: {reason}", reason=escape(stamp.without_commit or "adopted"))
    yield Text("- config: `{digest}` (config.yaml)", digest=stamp.config_hash or "?")
    yield Text("- command: {command}", command=escape(stamp.command or "?"))
    for launch in run.launches:
        yield _launch(launch)


def _launch(launch: Launch) -> Text:
    stamp = launch.stamp
    return Text(
        "- launch {number}: {started} to {ended}, {status}, {n:process|processes} on {host} ({gpus}); "
        "gate: {gate}",
        number=launch.number,
        started=f"{launch.started:%Y-%m-%d %H:%M}",
        ended=f"{launch.ended:%Y-%m-%d %H:%M}" if launch.ended else "...",
        status=launch.state.value,
        n=stamp.world_size or 1,
        host=escape(stamp.host or "?"),
        gpus=escape(", ".join(stamp.gpus) or "no GPU"),
        gate=escape(str(stamp.gate)) if stamp.gate else "-",
    )


def _epochs(course: Course, language: Language) -> Iterator[str]:
    if not course.epochs:
        return
    if course.length is not None:
        yield say(Text("`len(loader_train)` is {length}.", length=course.length), language)
        yield ""
    head = [Text("epoch"), Text("steps"), Text("learning rate at its start"), Text("training loss")]
    head += [Text("loss of {split}", split=escape(_short(split))) for split in course.splits]
    masks = list(dict.fromkeys(split for epoch in course.epochs.values() for split in epoch.masks))
    head += [Text("mask means of {split}, predicted / true", split=escape(_short(split))) for split in masks]
    rows = [_row(number, epoch, course.splits, masks) for number, epoch in course.epochs.items()]
    yield from _table([say(name, language) for name in head], rows)


def _row(number: int, epoch: Epoch, splits: list[str], masks: list[str]) -> list[str]:
    rates = list(dict.fromkeys(f"{rate:.4g}" for rate in epoch.rates.values()))
    row = [str(number), str(epoch.steps or ""), ", ".join(rates), _shown(epoch.losses.get("train"))]
    row += [_shown(epoch.losses.get(split)) for split in splits]
    for split in masks:
        means = epoch.masks.get(split)
        row.append(" / ".join(map(_shown, means)) if means else "")
    return row


def _short(split: str) -> str:
    return split.removeprefix("test_").strip()


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _checkpoints(course: Course, language: Language) -> Iterator[str]:
    """Each file as it was saved last."""
    last = {str(save.get("file")): save for save in course.saves}
    names = (Text("file"), Text("complete epoch"), Text("global step"), Text("MB"))
    rows = [[escape(name), *_counters(save)] for name, save in last.items()]
    yield from _table([say(name, language) for name in names], rows) if rows else ()


def _counters(save: Mapping[str, Any]) -> list[str]:
    size = save.get("size")
    megabytes = f"{size / 1e6:.1f}" if isinstance(size, int | float) else ""
    return [escape(str(save.get("epoch"))), escape(str(save.get("global_step"))), megabytes]


def _rendered(run: Run, rendered: list[PredictionSummary], language: Language) -> Iterator[str]:
    names = (
        *(Text("checkpoint"), Text("folder"), Text("sample"), Text("given poses"), Text("pose error, m")),
        *(Text("depth error, m"), Text("mask means, predicted / true"), Text("page and figures")),
    )
    rows = [
        [
            escape(found.checkpoint.name),
            escape(found.path.parent.name),
            escape(f"{found.split} {found.index}"),
            escape(found.poses),
            _shown(found.pose_rmse),
            _shown(found.depth_rmse),
            f"{_shown(found.pred_mask_mean)} / {_shown(found.gt_mask_mean)}",
            ", ".join(_links(run, found)),
        ]
        for found in rendered
    ]
    yield from _table([say(name, language) for name in names], rows) if rows else ()


def _links(run: Run, found: PredictionSummary) -> Iterator[str]:
    for path in (*sorted(found.path.parent.glob("*.html")), found.path):
        place = path.relative_to(run.path).as_posix()
        yield f"[{escape(path.name)}](<{place}>)" if not set(place) & set("<>\n") else escape(place)


def _table(head: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "| --- " * len(head) + "|"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _checklist(found: list[Item], language: Language) -> Iterator[str]:
    for item in found:
        unknown = "" if item.holds is not None else say(Text(" (not known)"), language)
        mark = "x" if item.holds else " "
        yield f"- [{mark}] {say(item.claim, language)}{unknown}: {say(item.evidence, language)}"


def items(run: Run, course: Course, settings: Settings, rendered: list[PredictionSummary]) -> list[Item]:
    """What has to hold of a training that somebody could repeat, and what the evidence says."""
    return [*_items_of_stamp(run), *_items_of_course(run, course, settings), _item_of_renderings(rendered)]


def _items_of_stamp(run: Run) -> Iterator[Item]:
    stamp, launches = run.stamp, run.launches
    changed = len(stamp.dirty) + len(stamp.untracked) + len(stamp.untold)
    yield Item(
        claim=Text("The code is that of a commit"),
        holds=bool(stamp.commit) and not changed,
        evidence=Text("{n:file differs|files differ} from it (see diff.patch)", n=changed)
        if stamp.commit
        else Text("no commit is known"),
    )
    other = [launch.number for launch in launches if launch.stamp.commit != stamp.commit]
    yield Item(
        claim=Text("All launches have one commit"),
        holds=not other,
        evidence=Text("{n:launch|launches}", n=len(launches))
        if not other
        else Text("another one in launch {numbers}", numbers=other),
    )
    gates = [launch.stamp.gate for launch in launches]
    yield Item(
        claim=Text("The gate passed, unforced"),
        holds=all(gate is not None and not gate.exit_code and not gate.forced for gate in gates),
        evidence=quoted(", ".join(escape(str(gate)) if gate else "-" for gate in gates)),
    )
    departed = sorted({name for launch in launches for name in launch.departures})
    ended = all(launch.ended for launch in launches)
    yield Item(
        claim=Text("What ran is what was stamped"),
        holds=False if departed else run.is_stamped if ended else None,
        evidence=Text("differs: {names}", names=[escape(name) for name in departed])
        if departed
        else Text("compared at the end of each launch"),
    )
    yield Item(
        claim=Text("The content of the dataset is known"),
        holds=bool(stamp.dataset and stamp.dataset.fingerprint),
        evidence=Text("fingerprint `{digest}`", digest=stamp.dataset.fingerprint)
        if stamp.dataset and stamp.dataset.fingerprint
        else Text("never audited: `opv2v-doctor audit`"),
    )


def _items_of_course(run: Run, course: Course, settings: Settings) -> Iterator[Item]:
    wanted = run.stamp.steps_per_epoch
    steps = sorted({epoch.steps for epoch in course.epochs.values() if epoch.steps})
    yield Item(
        claim=Text("Every epoch has the steps that the config implies"),
        holds=steps == [wanted] if steps and wanted else None,
        evidence=Text("{steps}, expected {wanted}", steps=steps or "-", wanted=wanted or "-"),
    )
    yield Item(
        claim=Text("The training came to its own end"),
        holds=None if run.state is RunStatus.RUNNING else run.state is RunStatus.FINISHED,
        evidence=quoted(run.state.value),
    )
    yield Item(
        claim=Text("It was evaluated"),
        holds=bool(course.splits),
        evidence=quoted(", ".join(escape(_short(split)) for split in course.splits) or "-"),
    )
    files = [str(save.get("file")) for save in course.saves]
    best = [name for name in files if "best" in name]
    yield Item(
        claim=Text("There is a best checkpoint"),
        holds=bool(best) if files else None,
        evidence=quoted(escape(best[-1]) if best else "-"),
    )
    means = [
        (number, split, *pair)
        for number, epoch in course.epochs.items()
        for split, pair in epoch.masks.items()
    ]
    last = means[-1] if means else None
    expected = bounds(settings.masks, last[3]) if last else None
    if last and expected and last[2] is not None:
        yield Item(
            claim=Text("The predicted masks cover what the target does"),
            holds=expected[0] <= last[2] <= expected[1],
            evidence=Text(
                "mean {mean:.3g} of {split} in epoch {epoch}, expected {low:.3g} to {high:.3g}",
                mean=last[2],
                split=escape(_short(last[1])),
                epoch=last[0],
                low=expected[0],
                high=expected[1],
            ),
        )


def _item_of_renderings(rendered: list[PredictionSummary]) -> Item:
    unaided = [found for found in rendered if found.is_unaided]
    return Item(
        claim=Text("A checkpoint was looked at, with nothing given but images"),
        holds=bool(unaided),
        evidence=Text("{n:rendering|renderings}", n=len(unaided))
        if unaided
        else Text("`opv2v-doctor pointcloud --run` writes one"),
    )
