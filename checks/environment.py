"""Environment: what the launch would run on, and whose code it would run."""

import shlex
from collections.abc import Sequence

from opv2v_doctor import Blocked, Findings, Skip, Target, check, error, note, warning
from opv2v_doctor.facts.copies import Resolution, resolutions
from opv2v_doctor.facts.environment import declared, interpreter, room
from opv2v_doctor.facts.git import git_state
from opv2v_doctor.facts.gpus import Gpu, gpus
from opv2v_doctor.facts.paths import configured_paths

SMALL = 500 << 20  # bytes of a GPU that a desktop or a monitor may hold
UNSEEN = 0.1  # part of a GPU: what nobody visible holds is somebody's beyond it, and the driver's own below
SPARE = 1.5  # others write to the disk as well


@check("ENV001", tier="static")
def training_interpreter_has_what_the_launch_needs(target: Target) -> Findings:
    """The training interpreter has every package that the launch needs.

    ## Why it matters
    An interpreter of another environment starts the script just as well, and stops at its first import or,
    where that stands inside a function, after the queue has waited for hours.

    ## How to fix
    Install what is missing into the training interpreter, or name the right one with `--python`.
    """
    found = interpreter(target)
    pip = f"{shlex.quote(str(target.python))} -m pip install"
    yield note(str(found), executable=found.executable, versions=found.versions, cuda=found.cuda)
    if found.absent:
        yield error(
            f"{found.executable} has no {', '.join(found.absent)}: the launch stops at its first import",
            path=target.script,
            hint=f"{pip} {' '.join(found.absent)}, or name the training interpreter with --python",
            missing=list(found.absent),
        )
    lacking = [need for need in declared(target) if not need.installed and need.name not in found.absent]
    if lacking:
        yield warning(
            f"declared by the repository, not installed: {', '.join(need.name for need in lacking)}",
            path=lacking[0].path,
            line=lacking[0].line,
            hint=f"{pip} {' '.join(shlex.quote(str(need)) for need in lacking)}",
            missing=[need.name for need in lacking],
        )
    for need in (need for need in declared(target) if not need.fits):
        yield note(f"{need} is declared, {need.installed} is installed", path=need.path, line=need.line)


@check("ENV002", tier="static")
def first_party_modules_come_from_the_repository(target: Target) -> Findings:
    """Every module of the repository that the launch imports comes from the repository.

    ## Why it matters
    `python scripts/train.py` puts `scripts/`, not the repository, first on `sys.path`. Without the right
    PYTHONPATH an installed or older copy of the package is trained: the dataset class is unknown there
    (`NameError: OPV2VCoopCylindricalDataset`) or, worse, known but older.

    ## How to fix
    Launch with PYTHONPATH set to the repository, or remove the copy that wins.
    """
    ours = []
    for one in _resolved(target):
        if one.is_ours(one.winner):
            ours.append(f"{one.module.name} (through {one.winner.way})" if one.winner else one.module.name)
        else:
            yield error(
                _whence(one),
                path=one.module.imported.path,
                line=one.module.imported.line,
                hint=one.remedy(target.python),
                module=one.module.name,
                file=one.winner.shown if one.winner else None,
            )
    if ours:
        yield note(f"from the repository: {', '.join(ours)}")


def _resolved(target: Target) -> tuple[Resolution, ...]:
    found = resolutions(target)
    if not found:
        raise Blocked(f"{target.settings.launch.script} imports no module of the repository")
    return found


def _whence(one: Resolution) -> str:
    """Which copy of a module wins, and what that copy lacks."""
    name, home = one.module.name, one.module.homes[0]
    if one.winner is None:
        return f"{name} is found nowhere on the launch's sys.path; the repository holds it at {home}"
    lacking = ", ".join(one.lacking(one.winner))
    return f"{name} comes from {one.winner}, not from {home}" + f"; it has no class {lacking}" * bool(lacking)


@check("ENV003", tier="static", requires=["ENV002"])
def no_other_copy_can_win(target: Target) -> Findings:
    """No other copy of the repository's modules would win if PYTHONPATH were not set.

    ## Why it matters
    One forgotten `PYTHONPATH=.`, in a job script or a debugger, and an installed copy is trained without a
    word. Where no other copy exists, the same slip is a loud ModuleNotFoundError, and harmless.

    ## How to fix
    Uninstall the other copy, or install this repository in its place: `pip install -e .`.
    """
    loud: dict[str, str] = {}
    for one in (one for one in _resolved(target) if one.is_ours(one.winner)):
        name, home = one.module.name, one.module.homes[0]
        rivals = {words: copy for words, copy in one.otherwise if copy and not one.is_ours(copy)}
        for words, copy in rivals.items():
            if copy.holds_code:
                message = f"{words}, {name} would come from {copy}, not from {home}"
                yield warning(
                    message, path=copy.file or copy.places[0], hint=copy.removal(target.python), module=name
                )
        if one.winner and len(one.winner.portions) > 1:
            message = f"{name} has no __init__.py and is put together from {one.winner.shown}"
            yield warning(message, path=one.winner.portions[1], hint=f"touch {home / '__init__.py'}")
        for copy in one.copies[1:]:
            if copy.file and not one.is_ours(copy) and copy not in rivals.values():
                yield note(f"{name} is also at {copy}, which comes later", path=copy.file)
        loud = {words: name for words, copy in one.otherwise if copy is None} | loud
    for words, name in loud.items():
        yield note(f"{words}, {name} would not be found: the launch would stop at once")


@check("ENV004", tier="static")
def repository_state_is_known(target: Target) -> Findings:
    """Git knows which state of the repository would be trained.

    ## Why it matters
    A run whose commit nobody knows cannot be reproduced, nor compared with another one.

    ## How to fix
    Commit the repository. Where git refuses it, run the command that git names.

    Of a file that is under a filter (`.gitattributes`) and was written since git last looked, only the filter
    could tell whether it changed, and the doctor runs no program that a repository names. `git add` runs it.
    """
    state = git_state(target)
    if state.reason:
        hint = state.remedy or "let `git status` succeed there"
        yield warning(f"the state cannot be recorded: {state.reason}", path=target.repo, hint=hint)
    else:
        hint = "`git add` what may have changed: that runs its filter" if state.untold else ""
        yield note(str(state), hint=hint, **state.evidence)


@check("ENV005", tier="static")
def gpus_are_free(target: Target) -> Findings:
    """The launch has its GPUs, and nobody else holds their memory.

    ## Why it matters
    The training takes nearly all memory of a GPU. Where somebody's process holds some, one rank runs out
    of it in the middle of an epoch, and the others wait for that rank.

    ## How to fix
    Launch on free GPUs: `CUDA_VISIBLE_DEVICES=...`.
    """
    seen = gpus(target)
    if seen is None:
        raise Skip("no NVIDIA driver here")
    if interpreter(target).cuda is None or dict(target.settings.launch.env).get("CUDA_VISIBLE_DEVICES") == "":
        raise Skip("a launch on the CPU: torch has no CUDA, or the settings hide all GPUs")
    if "MIG-" in (seen.mask or ""):
        raise Skip(f"{seen.mask} names slices of a GPU, whose holders NVML does not tell apart")
    chosen = seen.visible[: target.gpus]
    if len(chosen) < target.gpus:
        mask = "" if seen.mask is None else f" (CUDA_VISIBLE_DEVICES={seen.mask!r})"
        yield error(
            f"{target.gpus} GPUs asked for, {len(chosen)} visible{mask} of {len(seen.all)}",
            hint="name more GPUs in CUDA_VISIBLE_DEVICES" if mask else f"--gpus {len(chosen)}",
        )
    free = [gpu.index for gpu in seen.all if not _held_by(gpu)]
    for gpu in chosen:
        for who in _held_by(gpu):
            yield error(
                f"{gpu} is held by {who}", hint=_free_ones(free, target.gpus), gpu=gpu.index, free=free
            )
    yield note(
        f"the launch gets {', '.join(map(str, chosen)) or 'no GPU'}", uuids=[gpu.uuid for gpu in chosen]
    )


def _held_by(gpu: Gpu) -> list[str]:
    """Who else holds the GPU's memory; the driver does not tell a process of another container."""
    if not gpu.holders and gpu.total - gpu.free > UNSEEN * gpu.total:
        return ["a process that cannot be seen from here"]
    return [str(who) for who in gpu.holders if not who.ours and (who.memory is None or who.memory > SMALL)]


def _free_ones(free: Sequence[int], wanted: int) -> str:
    if len(free) < wanted:
        return f"wait, or ask its owner: only {len(free)} of {wanted} GPUs are free"
    return f"CUDA_VISIBLE_DEVICES={','.join(map(str, free[:wanted]))}"


@check("ENV006", tier="static", requires=["CFG002"])
def disk_has_room_for_checkpoints(target: Target) -> Findings:
    """The disk of the run directory has room for the checkpoints to come.

    ## Why it matters
    A save on a full disk stops the training, and leaves half a file where the last checkpoint was.

    ## How to fix
    Free space, write elsewhere (`hydra.run.dir=DIR`), or keep fewer: a larger `train_params.keep_freq`.
    """
    found = room(target)
    if found is None:
        raise Skip("no checkpoint and no weights that tell how large a checkpoint will be")
    if found.free >= SPARE * found.needed:
        yield note(str(found), path=found.folder, free=found.free, needed=found.needed)
    else:
        say = error if found.free < found.needed else warning
        hint = "free space, hydra.run.dir=DIR on another disk, or a larger train_params.keep_freq"
        yield say(str(found), path=found.folder, hint=hint, free=found.free, needed=found.needed)


@check("ENV007", tier="data", requires=["CFG002"])
def configured_paths_exist(target: Target) -> Findings:
    """The folders that the datasets read exist, and no path lies in another checkout of the repository.

    ## Why it matters
    A machine config is copied with its checkout. Its paths then lead to another user's disk or, worse, into
    an older checkout, whose data and weights are there, and are not the ones that were meant.

    ## How to fix
    Correct the path in the machine config, or choose another one: `machine=...`.
    """
    unread = []
    for one in configured_paths(target):
        if one.read and one.missing:
            message = f"{one.key} does not exist, or may not be read: {one.path}"
            hint = f"correct it: {one.key}=DIR, or choose another machine=..."
            yield error(message, path=one.file, line=one.line, hint=hint)
        elif one.used and one.checkout:
            message = f"{one.key} leads into another checkout of the repository, {one.checkout}: {one.path}"
            hint = f"{one.key}=PATH inside {target.repo}, or outside of any checkout"
            yield warning(message, path=one.file, line=one.line, hint=hint)
        elif one.read:
            yield note(f"{one.key} is there: {one.path}", path=one.file, line=one.line)
        elif not one.used and (one.checkout or one.missing):
            unread.append(f"{one.key}={one.path}")
    if unread:
        shown = ", ".join(unread[:3]) + f" and {len(unread) - 3} more" * (len(unread) > 3)
        yield note(f"not read by any dataset, and missing or in another checkout: {shown}", paths=unread)
