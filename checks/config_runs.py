"""Config: where the training would write, and what it would resume."""

from opv2v_doctor import Findings, Override, Skip, Target, check, examined, note, warning
from opv2v_doctor.facts.launch.config import config, place, run_directory
from opv2v_doctor.facts.past.runs import last_run


@check("CFG009", tier="static", requires=["CFG002"])
def resume_finds_its_checkpoint(target: Target) -> Findings:
    """A resume looks where its checkpoint is.

    ## Why it matters
    `resume: True` looks for `checkpoint-last.pth` in the run directory only. Where that is named for the time
    of the launch it is always new: the training starts again at epoch 0, without a word.

    ## How to fix
    `hydra.run.dir=RUN` with the directory of the run to go on with, or `train_params.resume=false`.
    """
    if not config(target).get("train_params.resume"):
        raise Skip("train_params.resume is off")
    folder = run_directory(target)
    at, run = place(target, "hydra.run.dir"), last_run(target)
    if run is None:
        raise Skip("there is no earlier run to resume")
    yield examined(1, "run directory")
    if not _is_named_for_the_time(target):
        yield note("a resume looks for {folder}/checkpoint-last.pth", at=at, folder=folder)
    else:
        yield warning(
            "resume is on, but every launch gets a new run directory ({folder}): {checkpoint} will not be "
            "found",
            at=at,
            hint="name the run to resume: {override}",
            override=Override(f"hydra.run.dir={run}"),
            folder=folder,
            checkpoint=run / "checkpoint-last.pth",
        )


@check("CFG010", tier="static", requires=["CFG002"])
def all_ranks_share_the_run_directory(target: Target) -> Findings:
    """All ranks of the launch write into the same run directory.

    ## Why it matters
    Every rank composes the config for itself: a directory named for the second in which that happened is
    another one for a rank that started a second later, and logs and configs lie scattered.

    ## How to fix
    Give the directory of the launch explicitly: `hydra.run.dir=DIR`.
    """
    if target.gpus < 2:
        raise Skip("one process: there is nothing to share")
    yield examined(1, "run directory")
    if _is_named_for_the_time(target):
        yield warning(
            "hydra.run.dir ({folder}) holds the time at which each of the {gpus} ranks starts",
            at=place(target, "hydra.run.dir"),
            hint="give one directory for the launch: hydra.run.dir=DIR",
            folder=run_directory(target),
            gpus=target.gpus,
        )


def _is_named_for_the_time(target: Target) -> bool:
    return "<now:" in run_directory(target) and "%S" in run_directory(target)
