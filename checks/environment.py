"""Environment: what the launch would run on, and whose code it would run."""

import shlex
from collections.abc import Iterable, Sequence

from opv2v_doctor import (
    Blocked,
    Findings,
    Place,
    Skip,
    Target,
    Text,
    Threshold,
    check,
    error,
    examined,
    note,
    quoted,
    warning,
)
from opv2v_doctor.facts.launch.paths import ConfiguredPath, configured_paths
from opv2v_doctor.facts.machine.environment import declarations, interpreter, overlap
from opv2v_doctor.facts.machine.gpus import Gpu, Gpus, gpus
from opv2v_doctor.facts.past.room import room
from opv2v_doctor.facts.source.commit import git_state
from opv2v_doctor.facts.source.copies import Resolution, resolutions

SMALL = Threshold(500 << 20, "bytes of a GPU", "what a desktop or a monitor may hold")
UNSEEN = Threshold(0.1, "of a GPU", "the driver's own memory is less, a training's more")
SPARE = Threshold(1.5, "times the space needed", "others write to the disk as well")
FIRST_FEW = 3
OURS = "opencv-python-headless"  # the OpenCV that the doctor requires


@check("ENV001", tier="static")
def training_interpreter_has_what_the_launch_needs(target: Target) -> Findings:
    """The training interpreter has what every launch needs, and what the repository declares.

    ## Why it matters
    An interpreter of another environment starts the script just as well, and stops at its first import or,
    where that is inside a function, hours later.

    ## How to fix
    Install what is missing into the training interpreter, or name the right one with `--python`.
    """
    found, needs = interpreter(target), declarations(target)
    yield note(found.text, executable=found.executable, versions=found.versions, cuda=found.cuda)
    yield examined(len({*found.versions, *(need.name for need in needs)}), "package")
    if found.absent:
        yield error(
            "{executable} has no {missing}: the launch stops at its first import",
            at=target.script,
            hint="{install}, or name the training interpreter with --python",
            executable=found.executable,
            missing=list(found.absent),
            install=_install(target, found.absent),
        )
    lacking = [need for need in needs if not need.installed and need.name not in found.absent]
    if lacking:
        yield warning(
            "declared by the repository, not installed: {missing}",
            at=Place(lacking[0].path, lacking[0].line),
            hint=quoted(_install(target, map(str, lacking))),
            missing=[need.name for need in lacking],
        )
    for need in (need for need in needs if not need.fits):
        yield note(
            "{requirement} is declared, {version} is installed",
            at=Place(need.path, need.line),
            requirement=str(need),
            version=need.installed,
        )


def _install(target: Target, requirements: Iterable[str]) -> str:
    """The command that installs packages into the training interpreter."""
    return shlex.join([str(target.python), "-m", "pip", "install", *requirements])


@check("ENV008", tier="static")
def installing_the_doctor_replaced_nothing(target: Target) -> Findings:
    """Installing the doctor replaced no package of the training.

    ## Why it matters
    Every distribution of OpenCV brings the same folder, `cv2`. The doctor needs `opencv-python-headless`: in
    an environment that has `opencv-python`, whichever was installed last overwrote the other, and images are
    then decoded by another version than the training was tried with.

    ## How to fix
    Install the doctor into an environment of its own (a venv, pipx, uv), name the training's interpreter with
    `python = ` in the settings, which `opv2v-doctor init` does, and install the training's OpenCV anew.
    """
    found = overlap(target)
    yield examined(1, "environment")
    if found is None:
        return
    yield note(
        "the doctor is installed in the training's environment, {folder}",
        hint='install it into one of its own, with python = "{python}" in the settings',
        folder=found.doctor,
        python=target.python,
    )
    others = [f"{name}=={version}" for name, version in found.opencv if name != OURS]
    if others and len(others) < len(found.opencv):
        pip = [str(target.python), "-m", "pip"]
        yield warning(
            "{distributions} share the folder {cv2}: the one that was installed last overwrote the other",
            at=found.cv2,
            hint="{removal} && {repair}",
            distributions=[f"{name} {version}" for name, version in found.opencv],
            cv2=found.cv2,
            removal=shlex.join([*pip, "uninstall", "--yes", "opv2v-doctor", OURS]),
            repair=shlex.join([*pip, "install", "--force-reinstall", "--no-deps", *others]),
        )


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
    found = _resolutions(target)
    yield examined(len(found), "module")
    for one in found:
        if not one.is_ours(one.winner):
            yield error(
                _whence(one),
                at=one.module.imported,
                hint=one.remedy(target.python),
                file=one.winner.shown if one.winner else None,
            )
    ours = [
        Text("{module} (through {way})", module=one.module.name, way=one.winner.way)
        for one in found
        if one.winner and one.is_ours(one.winner)
    ]
    if ours:
        yield note("from the repository: {modules}", modules=ours)


def _resolutions(target: Target) -> tuple[Resolution, ...]:
    found = resolutions(target)
    if not found:
        raise Blocked(
            "the script imports no module of the repository",
            at=target.script,
            hint="name the training script in [launch] script",
        )
    return found


def _whence(one: Resolution) -> Text:
    """Which copy of a module wins, and what that copy lacks."""
    name, home = one.module.name, one.module.homes[0]
    if one.winner is None:
        return Text(
            "{module} is not on the launch's sys.path; the repository's is {home}", module=name, home=home
        )
    lacking = one.lacking(one.winner)
    return Text(
        "{module} comes from {copy}, not from {home}; that copy has no class {classes}"
        if lacking
        else "{module} comes from {copy}, not from {home}",
        module=name,
        copy=one.winner.text,
        home=home,
        classes=lacking,
    )


@check("ENV003", tier="static", requires=["ENV002"])
def no_other_copy_can_win(target: Target) -> Findings:
    """No other copy of the repository's modules would win if PYTHONPATH were not set.

    ## Why it matters
    If a job script or a debugger forgets `PYTHONPATH=.`, an installed copy is trained, and nothing says so.
    Where no other copy exists, the same mistake is a ModuleNotFoundError at the start, and harmless.

    ## How to fix
    Uninstall the other copy, or install this repository in its place: `pip install -e .`.
    """
    found = [one for one in _resolutions(target) if one.is_ours(one.winner)]
    yield examined(len(found), "module")
    stopped: dict[Text, list[str]] = {}
    for one in found:
        yield from _rivals(target, one)
        for circumstances in (words for words, copy in one.otherwise if copy is None):
            stopped.setdefault(circumstances, []).append(one.module.name)
    for circumstances, names in stopped.items():
        yield note(
            "{circumstances}, {modules} would not be found: the launch would stop at once",
            circumstances=circumstances,
            modules=names,
        )


def _rivals(target: Target, one: Resolution) -> Findings:
    """The other copies of one module."""
    name, home = one.module.name, one.module.homes[0]
    rivals = {words: copy for words, copy in one.otherwise if copy and not one.is_ours(copy)}
    for circumstances, copy in rivals.items():
        if copy.holds_code:
            yield warning(
                "{circumstances}, {module} would come from {copy}, not from {home}",
                at=copy.file or copy.places[0],
                hint=copy.removal(target.python),
                circumstances=circumstances,
                module=name,
                copy=copy.text,
                home=home,
            )
    if one.winner and len(one.winner.portions) > 1:
        yield warning(
            "{module} has no __init__.py and is merged from {folders}",
            at=one.winner.portions[1],
            hint="touch {file}",
            module=name,
            folders=list(one.winner.portions),
            file=home / "__init__.py",
        )
    for copy in one.copies[1:]:
        if copy.file and not one.is_ours(copy) and copy not in rivals.values():
            yield note(
                "{module} is also at {copy}, which comes later", at=copy.file, module=name, copy=copy.text
            )


@check("ENV004", tier="static")
def repository_state_is_known(target: Target) -> Findings:
    """The working tree maps to a known commit.

    Changes that are not committed are noted: `opv2v-doctor train` stamps them as a patch.

    ## Why it matters
    A run whose commit is unknown cannot be reproduced, nor compared with another one.

    ## How to fix
    Commit the repository. Where git refuses it, run the command that git names.

    Of a file that is under a filter (`.gitattributes`) and was written since git last looked, only the filter
    could tell whether it changed, and the doctor runs no program that a repository names. `git add` runs it.
    """
    state = git_state(target)
    if not state.reason:
        yield examined(1, "commit")
        hint = "`git add` what may have changed: that runs its filter" if state.untold else ""
        yield note(state.text, hint=hint, **state.evidence)
    elif state.remedy:
        yield warning(
            "the commit is unknown: {reason}",
            at=target.repo,
            hint=quoted(state.remedy),
            reason=state.reason,
        )
    else:
        raise Blocked(state.reason, at=target.repo, hint="make `git status` succeed there")


@check("ENV005", tier="static")
def gpus_are_free(target: Target) -> Findings:
    """The launch has its GPUs, and no other process holds their memory.

    ## Why it matters
    The training takes nearly all memory of a GPU. Where another process holds some, one rank runs out of
    it in the middle of an epoch, and the others wait for that rank.

    ## How to fix
    Launch on free GPUs: `CUDA_VISIBLE_DEVICES=...`.
    """
    seen = _visible_gpus(target)
    chosen = seen.visible[: target.gpus]
    yield examined(len(chosen), "GPU")
    if len(chosen) < target.gpus:
        yield error(
            "{asked:GPU|GPUs} asked for, {visible} visible of {present}"
            if seen.mask is None
            else "{asked:GPU|GPUs} asked for, {visible} visible of {present} (CUDA_VISIBLE_DEVICES={mask!r})",
            hint="launch on fewer: --gpus {present}"
            if len(seen.all) < target.gpus
            else "name {asked} of the {present} GPUs in CUDA_VISIBLE_DEVICES",
            asked=target.gpus,
            visible=len(chosen),
            present=len(seen.all),
            mask=seen.mask,
        )
    free = [gpu.index for gpu in seen.all if not _held_by(gpu)]
    for gpu in chosen:
        for holder in _held_by(gpu):
            yield error(
                "{device} is held by {holder}",
                hint=_free_ones(free, target.gpus),
                device=gpu.text,
                holder=holder,
                gpu=gpu.index,
                free=free,
            )
    if chosen:
        uuids = [gpu.uuid for gpu in chosen]
        yield note("the launch gets {devices}", devices=[gpu.text for gpu in chosen], uuids=uuids)
    for gpu in chosen:
        if gpu.holders is None and SMALL < gpu.used <= UNSEEN * gpu.total:
            raise Blocked(
                "the NVIDIA driver does not list the processes that hold {used:,.0f} MiB of {device}",
                hint="see who uses it, then ignore this check with the reason",
                used=gpu.used / (1 << 20),
                device=gpu.text,
            )


def _visible_gpus(target: Target) -> Gpus:
    """The GPUs of a launch that uses some, told by a driver that sees them."""
    seen = gpus(target)
    if seen is None:
        raise Skip("no NVIDIA driver on this machine")
    if interpreter(target).cuda is None:
        raise Skip("the launch runs on the CPU: its torch is built without CUDA")
    if dict(target.settings.launch.env).get("CUDA_VISIBLE_DEVICES") == "":
        raise Skip("the launch runs on the CPU: the settings hide all GPUs (CUDA_VISIBLE_DEVICES is empty)")
    if "MIG-" in (seen.mask or ""):
        raise Skip("{mask} names slices of a GPU, whose processes NVML does not tell apart", mask=seen.mask)
    if not seen.all:
        raise Blocked("the NVIDIA driver sees no GPU", hint="make `nvidia-smi` list the GPUs of the launch")
    return seen


def _held_by(gpu: Gpu) -> list[Text]:
    """Who else holds the GPU's memory; the driver does not tell a process of another container."""
    if not gpu.holders and gpu.used > UNSEEN * gpu.total:
        return [Text("a process that cannot be seen from here")]
    others = (who for who in gpu.holders or () if not who.ours)
    return [who.text for who in others if who.memory is None or who.memory > SMALL]


def _free_ones(free: Sequence[int], wanted: int) -> Text:
    if len(free) < wanted:
        return Text(
            "wait for it, or launch elsewhere: {free} of the {wanted:GPU|GPUs} are free",
            free=len(free),
            wanted=wanted,
        )
    return Text("CUDA_VISIBLE_DEVICES={indices}", indices=",".join(map(str, free[:wanted])))


@check("ENV006", tier="static", requires=["CFG002"])
def disk_has_room_for_checkpoints(target: Target) -> Findings:
    """The disk of the run directory has room for the checkpoints of this training.

    ## Why it matters
    A save on a full disk stops the training, and leaves half a file where the last checkpoint was.

    ## How to fix
    Free space, write elsewhere (`hydra.run.dir=DIR`), or keep fewer: a larger `train_params.keep_freq`.
    """
    found = room(target)
    if found is None:
        raise Skip("no checkpoint and no weights tell how large a checkpoint will be")
    yield examined(found.count, "checkpoint")
    say = error if found.free < found.needed else warning if found.free < SPARE * found.needed else note
    yield say(
        found.text,
        at=found.folder,
        hint="" if say is note else "free space there, or write to another disk: hydra.run.dir=DIR",
        free=found.free,
        needed=found.needed,
    )


@check("ENV007", tier="data", requires=["CFG002"])
def configured_paths_exist(target: Target) -> Findings:
    """The folders that the datasets read exist, and no path lies in another checkout of the repository.

    ## Why it matters
    A machine config is copied with its checkout. Its paths then lead to another user's disk or, worse, into
    an older checkout, whose data and weights exist but are not the intended ones.

    ## How to fix
    Correct the path in the machine config, or choose another one: `machine=...`.
    """
    found = configured_paths(target)
    yield examined(sum(one.read or one.used for one in found), "path")
    for one in found:
        yield from _path_findings(target, one)
    unread = [one for one in found if not one.used and (one.checkout or one.missing)]
    if unread:
        paths = [f"{one.key}={one.path}" for one in unread]
        more = ["..."] if len(paths) > FIRST_FEW else []
        yield note(
            "not read by any dataset, and missing or in another checkout: {first}",
            first=[*paths[:FIRST_FEW], *more],
            paths=paths,
        )


def _path_findings(target: Target, one: ConfiguredPath) -> Findings:
    """What is wrong with one path that the launch uses."""
    if one.read and one.missing:
        yield error(
            "{key} does not exist, or may not be read: {value}",
            at=one.at,
            hint="correct it: {key}=DIR" if one.keys else "correct the path in the dataset expression",
            key=one.key,
            value=one.path,
        )
    elif one.used and one.checkout:
        yield warning(
            "{key} is in another checkout of the repository, {checkout}: {value}",
            at=one.at,
            hint="use a path in {repo}, or outside of any checkout: {key}=PATH"
            if one.keys
            else "use a path in {repo}, or outside of any checkout",
            key=one.key,
            checkout=one.checkout,
            value=one.path,
            repo=target.repo,
        )
    elif one.read:
        yield note("{key} exists: {value}", at=one.at, key=one.key, value=one.path)
