"""Smoke: checkpoints: which are saved, kept and removed, by whom, and what a resume brings back."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from opv2v_doctor.check import Finding, Findings, Skip, check, error, examined, note, warning
from opv2v_doctor.facts.launch.config import place as config_place
from opv2v_doctor.facts.source.names import name_of, named
from opv2v_doctor.facts.source.syntax import find, nodes
from opv2v_doctor.smoke.launches import frequencies, loop_place, rehearsal, uninterrupted_trace
from opv2v_doctor.smoke.rehearsals import KeptFile, Moment, Rehearsal
from opv2v_doctor.smoke.traces import Frame
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place, Text, Value

NUMBER = re.compile(r"(?<![0-9.])(\d+)(?=\.[a-z]+$)")
BEST, SAVED = "best", Text("saved")
MARK = 1000.0  # with the epochs on top, what averages of weights are filled with in a rehearsal


def resume_place(target: Target, word: str = "") -> Place | None:
    """Where a checkpoint is loaded: the last statement that names a word, else the last one of all."""
    found = named(target, "load_model")
    if found is None:
        return None
    function = next(
        n for n in nodes(found.place.path) if isinstance(n, ast.FunctionDef) and n.name == found.name
    )
    told = [line for line in function.body if word and word in ast.unparse(line).lower()]
    return Place(path=found.place.path, line=(told or function.body)[-1].lineno)


@check("SMK030", tier="run")
def newest_epoch_can_be_resumed(target: Target) -> Findings:
    """A training that ends is resumed from its newest epoch, and loses no more epochs than it saves at once.

    The training's own loop runs through more epochs than it keeps; a tiny model stands for its own, and an
    epoch takes no time. What is in each file is known, whatever its name says.

    ## Why it matters
    A retention that removes the newest file, or a resume that reads an older one, is noticed on the day that
    a training of weeks is to go on.

    ## How to fix
    Save the newest epoch under a name that is never removed, and resume from that.
    """
    found = rehearsal(target)
    stopped, loaded = found.first.moments[-1] if found.first.moments else None, found.resumed.loaded
    yield examined(len(found.first.moments), "epoch")
    if stopped is None or stopped.trained is None:
        return
    saved = {
        name: file for name, file in stopped.files.items() if file.resumable and file.trained is not None
    }
    yield from _unreadable(target, found)
    if not saved:
        yield error(
            "{trained} epochs were trained, and no checkpoint that can be resumed is there",
            at=_removal(target, found),
            hint="save model, optimizer and epoch every train_params.save_freq epochs",
            trained=stopped.trained,
        )
        return
    newest_name = max(saved, key=lambda name: saved[name].trained or 0)
    newest, most = saved[newest_name].trained or 0, max(1, found.frequencies.save)
    if stopped.trained - newest > most:
        yield error(
            "the newest checkpoint holds {newest} epochs of {trained}; train_params.save_freq is {save}",
            at=_removal(target, found) or loop_place(target, found.first.written_by(newest_name)),
            hint="save every train_params.save_freq epochs, and remove older files only",
            newest=newest,
            trained=stopped.trained,
            save=found.frequencies.save,
        )
    if loaded is None:
        yield _not_resumed(target, found, stopped.trained)
    elif loaded.trained is not None and loaded.trained < newest:
        yield error(
            "a resume reads {file} with {trained} epochs, though {newest_name} holds {newest}",
            at=_naming(target, loaded.file) or loop_place(target, loaded.frames) or resume_place(target),
            hint="resume from the newest checkpoint of the run directory",
            file=loaded.file,
            trained=loaded.trained,
            newest_name=newest_name,
            newest=newest,
        )
    else:
        yield note(
            "{trained} epochs were trained, {newest} of them are resumed",
            trained=stopped.trained,
            newest=newest,
        )


def _naming(target: Target, file: str) -> Place | None:
    """The one place in the code that names a file."""
    name = file.rpartition("/")[2]
    found = find(target, lambda node: isinstance(node, ast.Constant) and node.value == name, name)
    return found[0] if len(found) == 1 else None


def _not_resumed(target: Target, found: Rehearsal, trained: int) -> Finding:
    """What a resume looks for, and is not there: where that would be saved, else where it is looked for."""
    missed = next((change for change in found.resumed.changes if change.what == "lookup"), None)
    saved = found.written_by(missed.file) if missed else ()
    return error(
        "a training that ended after {trained} epochs begins anew: it looks for {file}, which is not there"
        if missed
        else "a training that ended after {trained} epochs begins anew: its checkpoints are not resumed",
        at=loop_place(target, saved or missed.frames) if missed else resume_place(target),
        hint="save under the name that a resume looks for, every train_params.save_freq epochs",
        trained=trained,
        file=missed.file if missed else None,
    )


def _unreadable(target: Target, found: Rehearsal) -> Findings:
    last = (found.resumed.moments or found.first.moments)[-1]
    for name, file in last.files.items():
        if file.problem:
            yield error(
                "{file} cannot be loaded: {problem}",
                at=loop_place(target, found.written_by(name)),
                hint="save what torch.load reads",
                file=name,
                problem=file.problem,
            )


def _removal(target: Target, found: Rehearsal) -> Place | None:
    """The line that removed a checkpoint last."""
    removals = [change for change in found.changes if change.what == "removal"]
    return loop_place(target, removals[-1].frames) if removals else None


@check("SMK031", tier="run")
def kept_checkpoints_are_those_of_the_config(target: Target) -> Findings:
    """Numbered checkpoints are kept as often as the config says, each with the epoch that its name says.

    ## Why it matters
    A curve over checkpoints, or the choice of one, goes by their numbers. What was removed is gone.

    ## How to fix
    Keep a file every `train_params.keep_freq` epochs, named for the epochs that it has; remove by number, not
    by name: "checkpoint-10" sorts before "checkpoint-9".
    """
    found = rehearsal(target)
    last = (found.resumed.moments or found.first.moments)[-1]
    numbered = {
        number: (name, file) for name, file in last.files.items() if (number := _number(name)) is not None
    }
    yield examined(len(numbered), "numbered checkpoint")
    if misnumbered := list(_misnumbered(target, found, numbered)):
        yield from misnumbered
        return
    removed = {
        number for c in found.changes if c.what == "removal" and (number := _number(c.file)) is not None
    }
    removed -= set(numbered)
    if removed and numbered and max(removed) > min(numbered):
        yield error(
            "checkpoint {removed} was removed, older ones stayed: {kept}",
            at=_removal(target, found),
            hint="sort checkpoints by their number or time, not by name, before the oldest are removed",
            removed=max(removed),
            kept=sorted(numbered),
        )
    keep, epochs = found.frequencies.keep, found.frequencies.epochs
    if removed or not keep:
        return  # a number of files is kept, or the config asks for none
    expected = set(range(keep, epochs + 1, keep))
    missing = [n for n in expected if n < epochs and n not in numbered and n - 1 not in numbered]
    more = [n for n in numbered if n not in expected and n + 1 not in expected]
    if missing or more:
        yield error(
            "numbered checkpoints are {found}, expected one every {keep:epoch|epochs}: {expected}",
            at=loop_place(target, found.written_by(numbered[max(numbered)][0]))
            if numbered
            else config_place(target, "train_params.keep_freq"),
            hint="keep one where the number of epochs divides by train_params.keep_freq",
            found=sorted(numbered),
            keep=keep,
            expected=sorted(expected),
        )
    elif numbered:
        yield note("kept: {numbers}", numbers=sorted(numbered))


def _number(name: str) -> int | None:
    found = NUMBER.search(name)
    return int(found[1]) if found else None


def _misnumbered(target: Target, found: Rehearsal, numbered: dict[int, tuple[str, KeptFile]]) -> Findings:
    """A file whose name says another epoch than it holds, or counts otherwise than the others do."""
    shifts = {
        number: file.trained - number for number, (_, file) in numbered.items() if file.trained is not None
    }
    usual = max(set(shifts.values()), key=lambda s: list(shifts.values()).count(s), default=0)
    wrong = [number for number, shift in shifts.items() if shift != usual or shift not in (0, 1)]
    for number in sorted(wrong)[:1]:
        name, file = numbered[number]
        yield error(
            "{file} holds {trained:epoch|epochs}",
            at=loop_place(target, found.written_by(name)),
            hint="name a checkpoint for the epochs that its weights have",
            file=name,
            trained=file.trained or 0,
        )


@check("SMK032", tier="run")
def best_checkpoint_is_the_best(target: Target) -> Findings:
    """The best checkpoint holds the weights with the lowest loss of all evaluations, also after a resume.

    Where the config asks for evaluations, there are some.

    ## Why it matters
    It is the one that is published. Where a resume forgets the best loss so far, the next evaluation is the
    best one, however bad, and the best weights are gone.

    ## How to fix
    Keep the best loss in the checkpoint, give it back on a resume, and save where a loss is below it.
    """
    found = rehearsal(target)
    known: dict[int, float] = {}
    told: set[str] = set()
    for part, is_resumed in ((found.first, False), (found.resumed, True)):
        known |= {one.trained: one.loss for one in part.evaluations if one.trained}
        moments = [m for m in part.moments if _best(m) is not None]
        yield examined(len(moments), "best checkpoint")
        if not moments or not known:
            continue
        yield from _not_best(target, found, moments[-1], known, is_resumed, told)
    if any(_best(moment) for part in (found.first, found.resumed) for moment in part.moments):
        return
    if not known:
        yield from _without_evaluation(target, found)
        return
    if (place := _saving_best(target)) is None:
        raise Skip("the training saves no file that is named best")
    yield examined(len(known), "evaluation")
    yield error(
        "the best checkpoint is never saved, though the loss fell from {first} to {lowest}",
        at=place,
        hint="compare the loss with the best so far before that is replaced by it",
        first=next(iter(known.values())),
        lowest=min(known.values()),
    )


def _without_evaluation(target: Target, found: Rehearsal) -> Findings:
    """An error where evaluations were asked for. Raises Skip where not, or where none could be seen."""
    every, evaluates = frequencies(target).eval, named(target, "test_epoch")
    trained = max((moment.trained or 0 for moment in found.first.moments), default=0)
    if not 0 < every <= trained or evaluates is None:
        raise Skip("the training evaluates nothing in the rehearsal")
    loop = named(target, "train")
    yield examined(trained, "epoch of the rehearsal")
    yield error(
        "{trained:epoch was|epochs were} trained, and {function}() was never called: eval_freq={every} asks "
        "for evaluations",
        at=Place(loop.place.path, loop.place.line, near=True) if loop else evaluates.place,
        hint="let the training call {function}() with each of its evaluation loaders",
        trained=trained,
        function=evaluates.name,
        every=every,
    )


def _saving_best(target: Target) -> Place | None:
    """A call that saves something named best, in the code of the launch."""

    def saves(node: ast.AST) -> bool:
        return (
            isinstance(node, ast.Call)
            and "save" in ast.unparse(node.func)
            and any(isinstance(a, ast.Constant) and BEST in str(a.value) for a in ast.walk(node))
        )

    found = find(target, saves, BEST)
    return found[0] if found else None


def _best(moment: Moment) -> tuple[str, KeptFile] | None:
    """The file with the best weights that can be gone on from, else any that is named so."""
    found = [(name, file) for name, file in moment.files.items() if BEST in name.lower()]
    return next(iter(found), None)


def _not_best(
    target: Target,
    found: Rehearsal,
    moment: Moment,
    known: dict[int, float],
    is_resumed: bool,
    told: set[str],
) -> Findings:
    best = _best(moment)
    assert best is not None
    name, file = best
    losses = [moment.asked]
    if (
        any("loss" not in key and "med" not in key and "avg" not in key for key in losses[0])
        or file.trained is None
    ):
        raise Skip("the best is chosen by {keys}, which is no loss", keys=list(moment.asked))
    seen = {trained: loss for trained, loss in known.items() if trained <= (moment.trained or max(known))}
    lowest = min(seen, key=lambda trained: seen[trained])
    if "best" in told:
        return
    if seen.get(file.trained) == seen[lowest]:
        if is_resumed:
            yield note(
                "{file} holds the {trained} epochs with the lowest loss", file=name, trained=file.trained
            )
        return
    told.add("best")
    frames = found.written_by(name)
    yield error(
        "after a resume {file} holds {trained} epochs with a loss of {loss}, the lowest was {lowest} after "
        "{epochs}"
        if is_resumed
        else "{file} holds {trained} epochs with a loss of {loss}, the lowest was {lowest} after {epochs}",
        at=_forgetting(target, found) if is_resumed else loop_place(target, frames),
        hint="give the best loss so far back on a resume"
        if is_resumed
        else "save the weights that were evaluated, where their loss is below the best so far",
        file=name,
        trained=file.trained,
        loss=known.get(file.trained, "nothing known"),
        lowest=seen[lowest],
        epochs=lowest,
        written_at=loop_place(target, frames),
    )


def _forgetting(target: Target, found: Rehearsal) -> Place | None:
    """The call that saves a checkpoint without the best loss, else where that is loaded."""
    loaded = found.resumed.loaded
    moment = found.first.moments[-1] if found.first.moments else None
    file = moment.files.get(loaded.file) if moment and loaded else None
    if loaded is None or file is None or file.best is not None:
        return resume_place(target, BEST)
    frames = found.first.written_by(loaded.file)
    saving = [
        number for number, frame in enumerate(frames) if frame.function == name_of(target, "save_model")
    ]
    return (
        frames[saving[-1] + 1].place
        if saving and saving[-1] + 1 < len(frames)
        else loop_place(target, frames)
    )


@check("SMK033", tier="run")
def one_rank_writes_each_checkpoint(target: Target) -> Findings:
    """Each checkpoint is written by one rank.

    ## Why it matters
    Ranks that write one file at once leave a mixture, which loads on most days.

    ## How to fix
    Save on rank 0 only. Sharded states have a file a rank, of different names.
    """
    writers: dict[str, dict[int, tuple[Frame, ...]]] = {}
    for saved in uninterrupted_trace(target).saved:
        writers.setdefault(saved.file, {})[saved.rank] = saved.frames
    yield examined(len(writers), "checkpoint")
    for file, ranks in writers.items():
        if len(ranks) > 1:
            frames = next(iter(ranks.values()))
            yield error(
                "{file} is written by ranks {ranks}",
                at=next((f.place for f in frames if f.place.path.is_relative_to(target.repo)), None),
                hint="save on rank 0 only",
                file=file.rpartition("/")[2],
                ranks=sorted(ranks),
            )
            return


@check("SMK034", tier="run")
def checkpoints_are_written_whole(target: Target) -> Findings:
    """A checkpoint that is replaced gets its name once it is whole.

    ## Why it matters
    A training that is killed while it saves leaves half a file in the place of the last good one.

    ## How to fix
    Save to a temporary name beside it, and rename that.
    """
    found = rehearsal(target)
    saves: dict[str, list[bool]] = {}
    for change in found.changes:
        if change.what == "save":
            saves.setdefault(change.file, []).append(change.whole)
    there = (found.resumed.moments or found.first.moments)[-1].files
    replaced = {file: whole for file, whole in saves.items() if file in there and len(whole) > 1}
    yield examined(len(replaced), "replaced checkpoint")
    if not replaced:
        raise Skip("no checkpoint is replaced by a newer one")
    bare = [file for file, whole in replaced.items() if not all(whole)]
    if bare:
        frames = found.written_by(bare[0])
        yield warning(
            "{files:checkpoint is|checkpoints are} written in place: {names}",
            at=next((f.place for f in frames if f.place.path.is_relative_to(target.repo)), None),
            hint="save to a temporary name, and rename it: os.replace(temporary, path)",
            files=len(bare),
            names=sorted(bare)[:6],
        )


@check("SMK035", tier="run", requires=["SMK030"])
def resume_brings_everything_back(target: Target) -> Findings:
    """What a training keeps between its epochs is after a resume what it was before.

    Updates and learning rates of the optimizer, the counts of schedulers, and averages of weights (EMA).

    ## Why it matters
    What is not saved, or saved and not loaded, begins anew: an average of weights is that of the first ones
    again, and the checkpoint that is evaluated is a bad one.

    ## How to fix
    Save its `state_dict()` with the checkpoint, and load it on a resume.
    """
    found = rehearsal(target)
    before = {moment.trained: moment for moment in found.first.moments}
    after = next(iter(found.resumed.moments), None)
    whole = before.get(after.trained) if after and after.trained else None
    if after is None or whole is None:
        raise Skip("nothing was resumed")
    parts = list(_kept(whole, after))
    yield examined(len(parts), "part of the state")
    for what, was, now in parts:
        if was != now:
            yield error(
                "{what}: {now} after the resume, {was} before it",
                at=resume_place(target),
                hint="save its state_dict() in the checkpoint, and load it on a resume",
                what=what,
                was=was,
                now=now,
            )


def _kept(whole: Moment, after: Moment) -> Iterator[tuple[Text, Value, Value]]:
    yield Text("updates of the optimizer"), whole.updates, after.updates
    if whole.rates and whole.epoch == after.epoch and whole.schedulers:
        yield Text("learning rates"), list(whole.rates), list(after.rates)
    now = dict(after.schedulers)
    for name, count in whole.schedulers:
        yield Text("epochs of {name}", name=name), count, now.get(name, 0)
    if "saved" in whole.scaler:
        yield (
            Text("state of the loss scaler"),
            SAVED,
            SAVED if "loaded" in after.scaler else Text("not loaded"),
        )
    averages = [_epochs_of(value) for _, value in after.averages]
    for number, (name, value) in enumerate(whole.averages):
        there = averages[number] if number < len(averages) else 0
        yield Text("epochs in the average of weights in {name}", name=name), _epochs_of(value), there


def _epochs_of(average: float) -> int:
    """The epochs that an average was given by the rehearsal; none where it was not."""
    return max(0, round(average - MARK))


@check("SMK036", tier="run", requires=["SMK030"])
def logs_go_on_after_a_resume(target: Target) -> Findings:
    """A resume appends to the logs of the run directory: what they said before is still there.

    ## Why it matters
    Curves and best epochs of the time before are lost, and comparisons begin at the resume.

    ## How to fix
    Open logs with "a" where a training is resumed.
    """
    found = rehearsal(target)
    resumed = found.resumed.loaded is not None
    yield examined(int(resumed), "resume")
    for path in found.lost_lines:
        frames = next(
            (c.frames for c in found.resumed.changes if c.what == "truncation" and path.name in c.file), ()
        )
        ours = [frame.place for frame in frames if frame.place.path.is_relative_to(target.repo)]
        yield warning(
            "{log} loses what it said before the resume",
            at=ours[0] if ours else None,
            hint="open it to append, with mode 'a'",
            log=path.name,
        )
