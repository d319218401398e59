"""Launches: what the repository's documents and scripts would start, beside the launch that is examined."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from opv2v_doctor import (
    Findings,
    Place,
    Skip,
    Target,
    check,
    error,
    examined,
    note,
    warning,
)
from opv2v_doctor.facts.launch.config import run_directory
from opv2v_doctor.facts.launch.documented_commands import (
    DocumentedCommand,
    begin,
    commands,
    documented_sets,
    family,
    idle_modules,
)
from opv2v_doctor.facts.launch.evaluation import evaluation, images_of
from opv2v_doctor.facts.launch.launch_commands import LaunchCommand, option_of

FIRST = re.compile(r"[^\n]*")  # line of Hydra's message


@check("LCH001", tier="static", requires=["CFG002"], ahead=begin)
def documented_launches_start(target: Target) -> Findings:
    """Every launch that the repository documents would start: its arguments, its GPUs, its config.

    ## Why it matters
    Whoever copies a documented launch, or hands its job script in, waits for the queue and gets a refusal:
    `torch.distributed.launch` gives a Hydra script `--local-rank`, a rank finds no GPU because
    `CUDA_VISIBLE_DEVICES` shows fewer than are started, a config was renamed.

    ## How to fix
    Start Hydra scripts with `torchrun`; start as many ranks as the mask shows; correct the names of configs.
    """
    found, idle = commands(target), idle_modules(target)
    if not found and not idle:
        raise Skip("no launch is documented")
    yield examined(len(found) + len(idle), "documented launch")
    for command in found:
        if command.refused:
            is_old = command.launch is not None and command.launch.launcher == "torch.distributed.launch"
            yield error(
                "{problem}",
                at=command.place,
                hint="use torchrun, or add --use-env"
                if is_old
                else "leave it out, or write it as an override",
                problem=command.refused,
            )
        yield from _mask(command)
    for command, composed in documented_sets(target):
        if composed.problem and not (command.launch and command.launch.untold):
            yield warning(
                "its config does not compose: {problem}",
                at=command.place,
                hint="correct that name or key, or remove the command",
                problem=(FIRST.match(composed.problem) or composed.problem)[0],
            )
    for launch in idle:
        yield warning(
            "python -m {module} defines functions and ends: nothing in it calls one, and nothing is trained",
            at=_place(target, launch),
            hint="start {script}",
            module=launch.module,
            script=target.settings.launch.script,
        )


def _place(target: Target, launch: LaunchCommand) -> Place:
    return Place(path=launch.started.path or target.repo, line=launch.started.line)


def _mask(command: DocumentedCommand) -> Findings:
    """The GPUs that a launch shows its ranks, against their number on one node."""
    launch = command.launch
    if launch is None or launch.mask is None or not command.gpus:
        return
    several = option_of(launch.options, "nnodes", "num-nodes", "num-machines") not in (None, "1")
    if several or not launch.mask or launch.launcher == "srun":
        return
    if len(launch.mask) < command.gpus:
        yield error(
            "{gpus:rank is|ranks are} started, and CUDA_VISIBLE_DEVICES={mask} shows {visible:GPU|GPUs}: "
            "rank {visible_number} finds none",
            at=command.place,
            hint="start {visible_number}, or show {gpus_number} in CUDA_VISIBLE_DEVICES",
            gpus=command.gpus,
            mask=",".join(launch.mask),
            visible=len(launch.mask),
            visible_number=len(launch.mask),
            gpus_number=command.gpus,
        )
    elif len(launch.mask) > command.gpus and command.is_parallel:
        yield note(
            "{gpus:rank is|ranks are} started, of {visible:GPU|GPUs} that CUDA_VISIBLE_DEVICES shows",
            at=command.place,
            gpus=command.gpus,
            visible=len(launch.mask),
        )


@check("LCH002", tier="static", requires=["CFG002"])
def documented_launches_keep_apart(target: Target) -> Findings:
    """Documented launches of different trainings write into different run directories.

    ## Why it matters
    A training resumes from the `checkpoint-last.pth` that it finds in its run directory. A script that was
    copied with its `hydra.run.dir` goes on with the other training's weights, optimizer and epoch, or
    overwrites its best checkpoint.

    ## How to fix
    Give each training its own `hydra.run.dir`, or name it for the time of the launch, `${now:%Y%m%d_%H%M}`.
    """
    usual = run_directory(target)
    homes: dict[str, list[DocumentedCommand]] = {}
    for command in commands(target):
        untold = command.launch.untold if command.launch else ()
        place = command.directory or usual
        if "now:" not in place and "hydra.run.dir" not in untold:
            homes.setdefault(place, []).append(command)
    known = sum(map(len, homes.values()))
    if not known:
        raise Skip("no launch is documented that writes into a directory of a fixed name")
    yield examined(known, "documented launch")
    for place, sharing in homes.items():
        first, *others = sharing
        for other in others:
            differing = sorted(first.setting ^ other.setting)
            if differing and not any(command.refused for command in (first, other)):
                yield warning(
                    "it writes into {directory}, as the launch at {first} does, and is another training: "
                    "{differing}",
                    at=other.place,
                    hint="give it a hydra.run.dir of its own",
                    directory=place,
                    first=Place(first.place.path.relative_to(target.repo), first.place.line),
                    differing=differing[:6],
                )
                break  # one finding for one directory


@check("LCH003", tier="static", requires=["CFG002"], ahead=begin)
def documented_launches_train_as_meant(target: Target) -> Findings:
    """Documented launches warm up within their training, can evaluate, and name their training's loss.

    ## Why it matters
    A launch that was shortened for a trial keeps the warm-up of the long one, and never reaches its learning
    rate. One for smaller GPUs takes fewer images than a sample has views: the evaluation's batch is 0. One
    that forgot `loss=` trains all the same, with the default loss.

    ## How to fix
    Lower `train_params.warmup_epochs`; raise `train_params.max_num_of_imgs_per_gpu` to the number of views;
    add the `loss=` that the other launches of that training name.
    """
    found = [(command, composed) for command, composed in documented_sets(target) if not composed.problem]
    if not found:
        raise Skip("no launch is documented whose number of GPUs is written down and whose config composes")
    yield examined(len(found), "documented launch")
    for command, composed in found:
        if composed.warmup is not None and composed.epochs is not None and composed.warmup >= composed.epochs:
            yield warning(
                "a warm-up of {warmup:g} epochs in a training of {epochs:g}",
                at=command.place,
                hint="add train_params.warmup_epochs={fitting:g} there",
                warmup=composed.warmup,
                epochs=composed.epochs,
                fitting=composed.epochs // 10,
            )
        images = images_of(composed.words)
        if images is not None and composed.views is not None and images[1] < composed.views:
            yield from _evaluation(target, command, images[1], composed.views)
    chosen = [command for command, _ in found if command.loss]
    for command, composed in found:
        named = _usual_loss(command, chosen)
        if not command.loss and named and composed.loss not in (None, named):
            yield warning(
                "it names no loss, and gets {default}: the other launches of {training} name loss={loss}",
                at=command.place,
                hint="add loss={loss} there",
                default=composed.loss,
                training=family(command.dataset) or command.config_name,
                loss=named,
            )


def _evaluation(target: Target, command: DocumentedCommand, images: int, views: int) -> Findings:
    """What the repository's own rule makes of fewer images than views."""
    settings = target.settings.model_copy(
        update={"launch": target.settings.launch.model_copy(update={"overrides": (), "variants": ()})}
    )
    built = evaluation(replace(target, settings=settings, overrides=command.overrides))
    if built.batch is not None and built.batch < 1:
        yield warning(
            "the evaluation batch size is {size}: {images} images per GPU, {views} views per sample",
            at=command.place,
            hint="write train_params.max_num_of_imgs_per_gpu={views} there, or more",
            size=built.batch,
            images=images,
            views=views,
        )


def _usual_loss(command: DocumentedCommand, others: Iterable[DocumentedCommand]) -> str:
    """The loss that all other launches of a training name; empty where they differ."""
    kin = Counter(
        other.loss
        for other in others
        if (other.config_name, family(other.dataset)) == (command.config_name, family(command.dataset))
    )
    return next(iter(kin)) if len(kin) == 1 else ""
