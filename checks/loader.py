"""Loader: how many steps an epoch has, on how many GPUs, and what each rank is given."""

from collections import Counter
from dataclasses import replace

from opv2v_doctor import Findings, Skip, Target, check, error, note, warning
from opv2v_doctor.facts.commands import Command, begin, commands, documented_lengths
from opv2v_doctor.facts.config import config, place
from opv2v_doctor.facts.loaders import Length, computed_length, lengths, loaders, real_length, wanted_size
from opv2v_doctor.facts.runs import last_run, steps_per_epoch_of
from opv2v_doctor.facts.variants import chosen_dataset, family, variants

ROUNDING = 0.01  # of an epoch: what dividing by the number of GPUs may cost
TOML = "opv2v-doctor.toml"


@check("LDR001", tier="static", requires=["CFG002"])
def steps_per_epoch_are_as_wanted(target: Target) -> Findings:
    """An epoch has the wanted number of steps on this number of GPUs.

    ## Why it matters
    `len(loader)` is the dataset length divided by the largest batch and by the number of GPUs. Learning rate,
    checkpoints and evaluations are counted in epochs: with other steps an epoch, the same config is another
    training.

    ## How to fix
    Choose the dataset config for this number of GPUs, or set the N of `N @ ...` in `dataset.train_dataset` to
    steps x GPUs x largest batch. Say what you want with `steps_per_epoch` in `opv2v-doctor.toml`.
    """
    length, wanted = computed_length(target, target.gpus), target.settings.steps_per_epoch
    path, line = place(target, "dataset.train_dataset")
    if length is None:
        yield note("an epoch is as long as its data: no `N @` in dataset.train_dataset", path=path, line=line)
        return
    if wanted and length.steps != wanted:
        yield error(
            f"{length.steps} steps an epoch on {target.gpus} GPUs, {wanted} are wanted",
            path=path,
            line=line,
            hint=_way_to(target, wanted, length),
            steps=length.steps,
            wanted=wanted,
        )
    table = lengths(target)
    yield note(
        f"{length.steps} steps an epoch: {length.samples:_} samples, batches of {length.batch}, "
        f"{target.gpus} GPUs; GPUs to steps: {', '.join(f'{g}: {steps}' for g, steps in table.items())}",
        path=path,
        line=line,
        lengths={str(gpus): steps for gpus, steps in table.items()},
    )


def _way_to(target: Target, steps: int, length: Length) -> str:
    """What gives so many steps on this launch's GPUs: a dataset config, and the length in any case."""
    size = f"{wanted_size(steps, length.gpus, length.batch):_} @ in dataset.train_dataset"
    fitting = [name for name, found in variants(target).items() if found and found.steps == steps]
    return f"use dataset={fitting[0]}, or {size}" if fitting else f"use {size}"


@check("LDR002", tier="static", requires=["CFG002"], ahead=begin)
def documented_commands_agree(target: Target) -> Findings:
    """All launch commands that the repository documents for one training give the same steps an epoch.

    ## Why it matters
    Who copies the command that fits the own machine gets another training than the one that was tuned: other
    steps an epoch, so another warm-up and another decay.

    ## How to fix
    Give each number of GPUs in the documents its dataset config, or the length that keeps the steps.
    """
    found = documented_lengths(target)
    if not found:
        known = len(commands(target))
        raise Skip(f"{known} launch commands are documented, none that names its GPUs and composes")
    for command, length in found:
        expected, why = _expected(target, command, length)
        if abs(length.steps - expected) > ROUNDING * expected:
            size = wanted_size(expected, length.gpus, length.batch)
            yield warning(
                f"{length.gpus} GPUs with dataset={command.dataset or 'its default'} give "
                f"{length.steps} steps an epoch, {expected} {why}",
                path=command.place.path,
                line=command.place.line,
                hint=f"--nproc_per_node={length.samples // length.batch // expected or 1}, or a dataset "
                f"config of {size:_} samples for {length.gpus} GPUs",
                steps=length.steps,
                expected=expected,
                gpus=length.gpus,
            )
    said = [f"{command.dataset} on {length.gpus} GPUs: {length.steps}" for command, length in found]
    yield note(f"{len(found)} of {len(commands(target))} documented commands judged: {'; '.join(said)}")


def _expected(target: Target, command: Command, length: Length) -> tuple[int, str]:
    """The steps that a command should give, and who says so.

    The settings, else the GPUs in the name of its config or of a config like it, else most commands.
    """
    wanted = target.settings.steps_per_epoch
    if wanted and family(command.dataset) == family(chosen_dataset(target)):
        return wanted, f"are wanted ({TOML})"
    if command.named_for:
        own = replace(length, gpus=command.named_for).steps
        return own, f"on the {command.named_for} GPUs that the config is named for"
    kin = [
        (other, found) for other, found in documented_lengths(target) if other.training == command.training
    ]
    claims = {replace(found, gpus=other.named_for).steps for other, found in kin if other.named_for}
    if len(claims) == 1:
        return claims.pop(), "with the config that is named for its number of GPUs"
    steps, times = Counter(found.steps for _, found in kin).most_common(1)[0]
    first = next(other.place for other, found in kin if found.steps == steps)
    where = f"{first.path.relative_to(target.repo)}:{first.line}"
    return steps, f"in {where}" if times == 1 else f"in {times} of {len(kin)} commands, first {where}"


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
    steps = measured.ranks[0].length
    if computed and steps != computed.steps:
        yield error(
            f"the train loader has {steps} steps, the config implies {computed.steps}",
            path=measured.sampler.path,
            line=measured.sampler.line,
            hint="compare the sampler's __len__ with samples // largest batch // GPUs",
            steps=steps,
            expected=computed.steps,
        )
    wanted = target.settings.steps_per_epoch
    if computed is None and wanted and steps != wanted:  # else LDR001 has said so
        path, line = place(target, "dataset.train_dataset")
        yield error(
            f"the train loader has {steps} steps on {target.gpus} GPUs, {wanted} are wanted ({TOML})",
            path=path,
            line=line,
            hint=_way_to(target, wanted, real_length(target)),
            steps=steps,
            expected=wanted,
        )
    path, line = place(target, "dataset.test_dataset")
    for loader in measured.evals:
        if not loader.length:
            yield error(
                f"the evaluation loader {loader.key!r} cannot be used: {loader.problem or 'it has no batch'}",
                path=loader.place.path if loader.place else path,
                line=loader.place.line if loader.place else line,
                hint="correct this set: dataset.test_dataset='...'",
            )
    evals = ", ".join(f"{loader.key}: {loader.length}" for loader in measured.evals)
    evals = evals or (f"not known ({measured.untold})" if measured.untold else "none")
    yield note(f"train loader: {steps} steps on {target.gpus} GPUs; evaluation loaders: {evals}", steps=steps)


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
    counts = {rank.rank: rank.batches for rank in measured.ranks}
    said = sorted({rank.length for rank in measured.ranks})
    if any(rank.batches != rank.length for rank in measured.ranks) or len(said) > 1:
        yield error(
            f"ranks are given {_listed(counts)} batches, their loaders say {', '.join(map(str, said))}",
            path=measured.sampler.path,
            line=measured.sampler.line,
            hint="let the sampler yield exactly len(sampler) batches on every rank",
            batches={str(rank): count for rank, count in counts.items()},
        )
    if measured.distinct < 0.9 * measured.drawn:
        yield error(
            f"ranks draw the same samples: {measured.drawn} drawn, {measured.distinct} different ones",
            path=measured.sampler.path,
            line=measured.sampler.line,
            hint="deal out the batches by rank: pass rank and world_size to the sampler",
        )
    yield note(
        f"{measured.drawn} samples drawn in an epoch by {len(counts)} of {target.gpus} ranks; "
        f"they hold different numbers of views in {measured.mixed:.0%} of the steps",
        drawn=measured.drawn,
        mixed=measured.mixed,
        views={str(rank.rank): dict(rank.views) for rank in measured.ranks},
    )


def _listed(counts: dict[int, int]) -> str:
    """The ranks by what they are given, so that equal ones are named together."""
    ranks = {count: [str(r) for r in counts if counts[r] == count] for count in counts.values()}
    return ", ".join(f"{count} (rank {', '.join(named)})" for count, named in ranks.items())


@check("LDR005", tier="run", requires=["CFG002"])
def world_size_is_the_last_runs(target: Target) -> Findings:
    """This launch has as many steps an epoch as the last run had.

    ## Why it matters
    A run that is resumed on another number of GPUs goes on with the same epoch, but that is another number of
    updates: warm-up and decay are stretched or squeezed, and its curves cannot be laid over the old ones.

    ## How to fix
    Use the old number of GPUs, or the dataset config that keeps the steps an epoch.
    """
    run = last_run(target)
    logged = steps_per_epoch_of(run) if run else None
    if run is None or logged is None:
        raise Skip("there is no earlier run whose log tells its steps an epoch")
    length = real_length(target)
    before, path, line = logged
    if before == length.steps:
        yield note(f"{before} steps an epoch, as in {run.name}", path=path, line=line)
        return
    warmup = float(config(target).get("train_params.warmup_epochs") or 0)
    yield warning(
        f"{before} steps an epoch in {run.name}{_explained(length, before)}, {length.steps} in this launch "
        f"on {target.gpus} GPUs: a warm-up of {warmup * length.steps:g} updates, not {warmup * before:g}",
        path=path,
        line=line,
        hint=_way_to(target, before, length),
        before=before,
        now=length.steps,
    )


def _explained(length: Length, steps: int) -> str:
    """The number of GPUs that gives so many steps with the same samples."""
    gpus = round(length.samples / length.batch / steps) if steps else 0
    fits = gpus and replace(length, gpus=gpus).steps == steps
    return f" ({gpus} GPUs with these {length.samples:_} samples)" if fits else ""
