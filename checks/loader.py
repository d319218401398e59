"""Loader: how many steps an epoch has, on how many GPUs, and what each rank is given."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from opv2v_doctor import (
    Blocked,
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
    sentence,
    warning,
)
from opv2v_doctor.facts.launch.config import config, place
from opv2v_doctor.facts.launch.datasets import train_parts
from opv2v_doctor.facts.launch.documented_commands import (
    DocumentedCommand,
    begin,
    chosen_dataset,
    commands_without_length,
    documented_lengths,
    family,
    variants,
)
from opv2v_doctor.facts.launch.loaders import (
    EvalLength,
    Length,
    computed_length,
    counts_views_so,
    lengths,
    loaders,
    real_length,
    wanted_size,
)
from opv2v_doctor.facts.past.runs import last_run, steps_per_epoch_of

ROUNDING = Threshold(
    0.01,
    "of the steps per epoch",
    "what dividing by the number of GPUs may leave over",
    healthy=0.0,
    faulty=0.5,
)
DISTINCT = Threshold(
    0.9, "of the samples drawn", "two ranks that draw the same have half of it", healthy=1.0, faulty=0.5
)
NAMED = 12  # commands that a note names
TOML = "opv2v-doctor.toml"


@check("LDR001", tier="static", requires=["CFG002"])
def steps_per_epoch_are_as_wanted(target: Target) -> Findings:
    """An epoch has the wanted number of steps on this number of GPUs.

    ## Why it matters
    `len(loader)` is the dataset length divided by the largest batch and by the number of GPUs. Learning rate,
    checkpoints and evaluations are counted in epochs: with other steps per epoch, the same config is
    another training.

    ## How to fix
    Choose the dataset config for this number of GPUs, or set the N of `N @ ...` in `dataset.train_dataset` to
    steps x GPUs x largest batch. Say what you want with `steps_per_epoch` in `opv2v-doctor.toml`.
    """
    length, wanted = computed_length(target, target.gpus), target.settings.steps_per_epoch
    at = place(target, "dataset.train_dataset")
    if length is None:
        raise Skip("an epoch is as long as its data: no `N @` in dataset.train_dataset", at=at)
    _know_views(target)
    if length.steps != wanted and (wanted or not length.steps):
        yield error(
            "{steps} steps per epoch on {gpus:GPU|GPUs}, expected {wanted} (steps_per_epoch)"
            if wanted
            else "no step per epoch on {gpus:GPU|GPUs}: {samples} samples are less than one batch for each",
            hint=_way_to(target, wanted or 1, length),
            at=at,
            steps=length.steps,
            gpus=target.gpus,
            wanted=wanted,
            samples=length.samples,
        )
    table = lengths(target)
    yield note(
        "{steps} steps per epoch: {samples:_} samples, batches of {batch}, {gpus:GPU|GPUs}; by number of "
        "GPUs: {table}",
        at=at,
        steps=length.steps,
        samples=length.samples,
        batch=length.batch,
        gpus=target.gpus,
        table=[Text("{gpus}: {steps}", gpus=gpus, steps=steps) for gpus, steps in table.items()],
        lengths={str(gpus): steps for gpus, steps in table.items()},
    )
    if not wanted:
        raise Skip(
            "no steps_per_epoch is set: there is nothing to compare with",
            hint="set steps_per_epoch = {steps} in {toml}, if that is wanted",
            steps=length.steps,
            toml=TOML,
        )
    yield examined(1, "launch")


def _know_views(target: Target) -> None:
    """Raises Blocked where the largest batch follows from a number of views that nothing gives."""
    for part in train_parts(target):
        varies = bool(part.keywords.get("variable_num_views"))
        lacking = "num_views" if not part.says_views else "min_num_views"
        least = part.keywords.get("min_num_views") or counts_views_so(target, part.class_name)
        known = part.says_views and (not varies or least)
        if not known:
            raise Blocked(
                "{name} is given no {keyword}: the largest batch of an epoch depends on it",
                at=place(target, "dataset.train_dataset"),
                hint="give {name} its {keyword} in the dataset expression",
                name=part.class_name,
                keyword=lacking,
            )


def _way_to(target: Target, steps: int, length: Length) -> Text:
    """What gives so many steps on this launch's GPUs: a dataset config, and the length in any case."""
    fitting = [name for name, found in variants(target).items() if found and found.steps == steps]
    settled = {gpus for gpus, _ in target.settings.launch.variants}
    size = Text("set {size:_} @ in dataset.train_dataset", size=wanted_size(steps, length.gpus, length.batch))
    if not fitting:
        return size
    return Text(
        "pass {override}, or {size}"
        if target.gpus in settled
        else "add [launch.{gpus}] to {toml}, or pass {override}",
        override=Override(f"dataset={fitting[0]}"),
        size=size,
        gpus=target.gpus,
        toml=TOML,
    )


@check("LDR002", tier="static", requires=["CFG002"], ahead=begin)
def documented_commands_agree(target: Target) -> Findings:
    """All launch commands that the repository documents for one training give the same steps per epoch.

    ## Why it matters
    A command for another number of GPUs is another training than the one that was tuned: other steps per
    epoch, so another warm-up and another decay.

    ## How to fix
    Give each number of GPUs in the documents its dataset config, or the length that keeps the steps.
    """
    judged, others = [], list(commands_without_length(target))
    for command, length in documented_lengths(target):
        expected = _expected_steps(target, command, length)
        if expected is None:
            others.append((command, Text("no other command of that training is documented")))
        else:
            judged.append((command, length, *expected))
    unknown = [_left_out(some) for some in _by_reason(others).values()]
    if not judged:
        raise Skip(
            "{known:launch command is|launch commands are} documented, and none can be judged: {reasons}"
            if others
            else "no launch command is documented",
            at=others[0][0].place if others else None,
            known=len(others),
            reasons=sentence(unknown),
        )
    yield examined(len(judged), "documented command")
    for command, length, steps, why in judged:
        if abs(length.steps - steps) > ROUNDING * steps:
            yield warning(
                "{gpus:GPU|GPUs} with dataset={dataset} give {steps} steps per epoch, expected {expected}: "
                "{why}"
                if command.dataset
                else "{gpus:GPU|GPUs} with the default dataset give {steps} steps per epoch, expected "
                "{expected}: {why}",
                hint="write --nproc_per_node={fitting}, or choose a dataset config of {size:_} samples",
                at=command.place,
                gpus=length.gpus,
                dataset=command.dataset,
                steps=length.steps,
                expected=steps,
                why=why,
                fitting=length.samples // length.batch // steps or 1,
                size=wanted_size(steps, length.gpus, length.batch),
            )
    said = [
        Text("{dataset} on {gpus:GPU|GPUs}: {steps}", dataset=c.dataset, gpus=x.gpus, steps=x.steps)
        for c, x, _, _ in judged
    ]
    yield note("steps per epoch: {lengths}", lengths=list(dict.fromkeys(said))[:NAMED])
    for some, told in zip(_by_reason(others).values(), unknown, strict=True):
        yield note("not judged: {commands}", at=some[0][0].place, commands=told)


def _by_reason(
    left_out: Sequence[tuple[DocumentedCommand, Text]],
) -> Mapping[Text, list[tuple[DocumentedCommand, Text]]]:
    groups: dict[Text, list[tuple[DocumentedCommand, Text]]] = {}
    for command, reason in left_out:
        groups.setdefault(reason, []).append((command, reason))
    return groups


def _left_out(some: Sequence[tuple[DocumentedCommand, Text]]) -> Text:
    return Text("{n:command|commands} ({reason})", n=len(some), reason=some[0][1])


def _expected_steps(target: Target, command: DocumentedCommand, length: Length) -> tuple[int, Text] | None:
    """The steps that a command should give, and who says so; None where nothing does.

    The settings, else the GPUs in the name of its config or of a config like it, else most commands.
    """
    wanted = target.settings.steps_per_epoch
    if wanted and family(command.dataset) == family(chosen_dataset(target)):
        return wanted, Text("steps_per_epoch in {toml}", toml=TOML)
    if command.named_for:
        own = replace(length, gpus=command.named_for).steps
        return own, Text("what {gpus:GPU|GPUs} give, for which the config is named", gpus=command.named_for)
    kin = [
        (other, found) for other, found in documented_lengths(target) if other.training == command.training
    ]
    claims = {replace(found, gpus=other.named_for).steps for other, found in kin if other.named_for}
    if len(claims) == 1:
        return claims.pop(), Text("what the config gives that is named for its number of GPUs")
    if len(kin) == 1:
        return None
    steps, times = Counter(found.steps for _, found in kin).most_common(1)[0]
    first = next(other.place for other, found in kin if found.steps == steps)
    return steps, Text(
        "what {first} gives" if times == 1 else "what {times} of {commands} commands give, first {first}",
        times=times,
        commands=len(kin),
        first=Place(first.path.relative_to(target.repo), first.line),
    )


@check("LDR003", tier="data", requires=["DAT001", "ENV007"])
def loaders_have_the_computed_length(target: Target) -> Findings:
    """The loaders have the length that the config implies or the settings want, and none is empty.

    ## Why it matters
    A dataset class may change the numbers of views that its config gives, or a loader may drop what it cannot
    batch: then every table of steps that was computed by hand is wrong.

    ## How to fix
    Look at the class of the sampler (its `__len__`) and at the numbers of views that the dataset offers it.
    """
    measured, computed = loaders(target), computed_length(target, target.gpus)
    steps, wanted = measured.ranks[0].length, target.settings.steps_per_epoch
    yield examined(1, "train loader")
    if not steps:
        yield error(
            "the train loader has no batch",
            hint="check the length of dataset.train_dataset against the batch and the number of GPUs",
            at=place(target, "dataset.train_dataset"),
        )
    elif computed and steps != computed.steps:
        yield error(
            "the train loader has {steps} steps, the config implies {expected}",
            hint="compare the sampler's __len__ with samples // largest batch // GPUs",
            at=measured.counted,
            steps=steps,
            expected=computed.steps,
        )
    elif computed is None and wanted and steps != wanted:  # else LDR001 has said so
        yield error(
            "the train loader has {steps} steps on {gpus:GPU|GPUs}, expected {expected} (steps_per_epoch in "
            "{toml})",
            hint=_way_to(target, wanted, real_length(target)),
            at=place(target, "dataset.train_dataset"),
            steps=steps,
            gpus=target.gpus,
            expected=wanted,
            toml=TOML,
        )
    for loader in measured.evals:
        if not loader.length:
            yield error(
                "the evaluation loader {key!r} cannot be built: {problem}"
                if loader.problem
                else "the evaluation loader {key!r} has no batch",
                hint="correct this set in dataset.test_dataset",
                at=loader.place or place(target, "dataset.test_dataset"),
                key=loader.key,
                problem=loader.problem,
            )
    yield note("train loader: {steps} steps on {gpus:GPU|GPUs}", steps=steps, gpus=target.gpus)
    if measured.untold:
        raise Blocked(
            "the evaluation loaders are not known: {reason}",
            at=measured.untold.at,
            hint=measured.untold.hint or "",
            reason=measured.untold.reason,
        )
    yield examined(len(measured.evals), "evaluation loader")
    if measured.evals:
        yield note("evaluation loaders: {lengths}", lengths=[_length(loader) for loader in measured.evals])


def _length(loader: EvalLength) -> Text:
    return Text("{key}: {batches:batch|batches}", key=loader.key, batches=loader.length or 0)


@check("LDR004", tier="data", requires=["DAT001", "ENV007"])
def all_ranks_agree(target: Target) -> Findings:
    """Every rank is given as many batches as its loader says, and samples of its own.

    ## Why it matters
    A rank that runs out of batches leaves the loop while the others wait for its gradients: the training
    hangs until the timeout, hours later. Ranks that draw the same samples train as one, at the price of all.

    ## How to fix
    Let the sampler deal out its batches by rank, and yield exactly `len(sampler)` of them on each.
    """
    measured = loaders(target)
    for rank in measured.ranks:
        yield examined(rank.batches, "batch", rank=rank.rank)
    counts = {rank.rank: rank.batches for rank in measured.ranks}
    said = sorted({rank.length for rank in measured.ranks})
    if any(rank.batches != rank.length for rank in measured.ranks) or len(said) > 1:
        yield error(
            "ranks are given {given} batches, their loaders say {said}",
            hint="let the sampler yield exactly len(sampler) batches on every rank",
            at=measured.counted if len(said) > 1 else measured.sampler,
            given=_by_count(counts),
            said=said,
            batches={str(rank): count for rank, count in counts.items()},
        )
    if measured.distinct < DISTINCT * measured.drawn:
        yield error(
            "ranks draw the same samples: {drawn} drawn, {distinct} different",
            hint="deal out the batches by rank: pass rank and world_size to the sampler",
            at=measured.sampler,
            drawn=measured.drawn,
            distinct=measured.distinct,
        )
    yield note(
        "{drawn} samples drawn in an epoch by {ranks} of {gpus} ranks; in {mixed:.0%} of the steps they hold "
        "different numbers of views",
        drawn=measured.drawn,
        ranks=len(counts),
        gpus=target.gpus,
        mixed=measured.mixed,
        views={str(rank.rank): dict(rank.views) for rank in measured.ranks},
    )


def _by_count(counts: Mapping[int, int]) -> list[Text]:
    """The ranks by what they are given, so that equal ones are named together."""
    return [
        Text("{count} (rank {ranks})", count=count, ranks=[rank for rank in counts if counts[rank] == count])
        for count in dict.fromkeys(counts.values())
    ]


@check("LDR005", tier="run", requires=["CFG002"])
def world_size_is_the_last_runs(target: Target) -> Findings:
    """This launch has as many steps per epoch as the last run had.

    ## Why it matters
    A run that is resumed on another number of GPUs goes on with the same epoch, but that is another number of
    updates: warm-up and decay are stretched or squeezed, and its curves cannot be laid over the old ones.

    ## How to fix
    Use the old number of GPUs, or the dataset config that keeps the steps per epoch.
    """
    run = last_run(target)
    logged = steps_per_epoch_of(run) if run else None
    if run is None or logged is None:
        raise Skip(
            "the log of {run} gives no steps per epoch" if run else "there is no earlier run",
            at=run,
            run=run.name if run else None,
        )
    length = real_length(target)
    before, path, line = logged
    yield examined(1, "earlier run")
    if before == length.steps:
        yield note("{before} steps per epoch, as in {run}", at=Place(path, line), before=before, run=run.name)
        return
    warmup = config(target).number("train_params.warmup_epochs") or 0
    earlier = _gpus_of(length, before)
    yield warning(
        "{now} steps per epoch on {gpus:GPU|GPUs}, {before} in {run}{earlier}: a warm-up of {updates:g} "
        "updates instead of {old_updates:g}"
        if warmup
        else "{now} steps per epoch on {gpus:GPU|GPUs}, {before} in {run}{earlier}",
        hint=_way_to(target, before, length),
        at=Place(path, line),
        now=length.steps,
        gpus=target.gpus,
        before=before,
        run=run.name,
        earlier=Text(" (as on {gpus:GPU|GPUs})", gpus=earlier) if earlier else "",
        updates=warmup * length.steps,
        old_updates=warmup * before,
    )


def _gpus_of(length: Length, steps: int) -> int:
    """The number of GPUs that gives so many steps with the same samples, 0 where none does."""
    gpus = round(length.samples / length.batch / steps) if steps else 0
    return gpus if gpus and replace(length, gpus=gpus).steps == steps else 0
