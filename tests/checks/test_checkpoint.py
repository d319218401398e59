"""The checkpoint family: each check is silent on the healthy run and speaks when one thing is broken."""

import shlex
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opv2v_doctor import Finding, Severity
from opv2v_doctor.facts.launch.config import Config, config
from opv2v_doctor.facts.launch.datasets import mean_the_same
from opv2v_doctor.facts.machine.environment import InstalledPython, interpreter
from opv2v_doctor.registry import installed_checks
from opv2v_doctor.result import Result, Status, examined_text
from opv2v_doctor.sandbox.archive import rewrite_pickle
from opv2v_doctor.sandbox.faults.checkpoints import MARK, RUN, edit_checkpoint
from opv2v_doctor.target import make_target
from opv2v_doctor.testing import run_check

Broken = Callable[..., Path]
CODES = [f"CKP{number:03}" for number in range(1, 7)]
STEPS = 10  # an epoch of the sandbox


def examined(code: str, repo: Path, *overrides: str, **words: Any) -> Result:
    """Only CKP006 compares configs; the others are given where the run is, and nothing is composed."""
    given = None
    if code != "CKP006" and not overrides:
        values = {"hydra": {"run": {"dir": str(repo / RUN)}}, "train_params": {"resume": True}}
        given = {config: Config(values=values, missing=(), unresolved={}, files=())}
    return run_check(code, make_target(repo=repo, overrides=overrides, **words), given)


def places(result: Result) -> list[str]:
    """The files of the findings that are more than notes."""
    return [str(f.path and f.path.name) for f in result.findings if f.severity > Severity.NOTE]


def differences(finding: Finding) -> dict[str, Any]:
    found = finding.text.values["differences"]
    assert isinstance(found, dict)
    return found


def edit(repo: Path, name: str, change: Callable[[dict[str, Any]], Any]) -> None:
    edit_checkpoint(repo / RUN / f"checkpoint-{name}.pth", change)


@pytest.mark.parametrize("code", CODES)
def test_a_healthy_run_passes(code: str, healthy: Path) -> None:
    result = examined(code, healthy)
    assert (result.status, places(result)) == (Status.PASSED, [])


@pytest.mark.parametrize("code", CODES)
def test_a_run_without_checkpoints_is_skipped(code: str, healthy: Path, tmp_path: Path) -> None:
    result = examined(code, healthy, f"hydra.run.dir={tmp_path}")
    assert result.status is Status.SKIPPED
    assert str(result.reason) == f"no checkpoint yet in {tmp_path}"


@pytest.mark.parametrize(
    ("fault", "code", "status", "files"),
    [
        ("truncated_checkpoint", "CKP001", Status.FAILED, ["checkpoint-last.pth"]),
        ("hostile_checkpoint", "CKP001", Status.FAILED, ["checkpoint-last.pth"]),
        ("epoch_off_by_one", "CKP002", Status.FAILED, ["checkpoint-last.pth"]),
        ("checkpoints_out_of_order", "CKP003", Status.FAILED, ["checkpoint-2.pth", "checkpoint-3.pth"]),
        ("killed_save", "CKP004", Status.WARNED, ["checkpoint-last.pth.tmp"]),
        ("optimizer_not_saved", "CKP005", Status.FAILED, ["checkpoint-last.pth"]),
        ("other_config_stored", "CKP006", Status.WARNED, ["opv2v_cyl_coop.yaml"]),
    ],
)
def test_a_fault_is_found_at_its_file(
    fault: str, code: str, status: Status, files: list[str], broken: Broken
) -> None:
    repo = broken(fault)
    result = examined(code, repo)
    assert (result.status, places(result)) == (status, files)
    assert not (repo / MARK).exists()


def test_what_a_hostile_checkpoint_would_run_is_named(broken: Broken) -> None:
    (finding, _) = examined("CKP001", broken("hostile_checkpoint")).findings
    assert finding.text.values["names"] in (["io.open"], ["posix.mkdir"])


@pytest.mark.parametrize("code", CODES[1:])
def test_a_checkpoint_that_cannot_be_read_leaves_the_others_to_be_judged(code: str, broken: Broken) -> None:
    repo = broken()
    (repo / RUN / "checkpoint-best.pth").write_bytes(b"")
    assert examined(code, repo).status is Status.PASSED


def test_a_damaged_last_checkpoint_is_replaced_by_the_newest_intact_one(broken: Broken) -> None:
    repo = broken("truncated_checkpoint")
    (finding, _) = examined("CKP001", repo).findings
    assert finding.hint is not None
    command = str(finding.hint.values["command"])
    assert command == f"cp {repo / RUN}/checkpoint-3.pth {repo / RUN}/checkpoint-last.pth"
    subprocess.run(shlex.split(command), check=True)
    assert examined("CKP001", repo).status is Status.PASSED


def test_a_tensor_that_is_not_in_the_file_is_damage(broken: Broken) -> None:
    repo = broken()
    path = repo / RUN / "checkpoint-2.pth"
    with zipfile.ZipFile(path) as archive:
        members = [(entry, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(path, "w") as archive:
        for entry, content in members:
            if not entry.filename.endswith("/data/1"):
                archive.writestr(
                    entry.filename, content[:-4] if entry.filename.endswith("/data/2") else content
                )
    (finding, _) = examined("CKP001", repo).findings
    assert finding.message.startswith("checkpoint-2.pth is damaged in 2 places: data/1 of ")
    assert finding.message.endswith(" is missing")


def test_what_is_only_a_pointer_is_to_be_fetched(broken: Broken) -> None:
    repo = broken()
    (repo / RUN / "checkpoint-best.pth").write_text("version https://git-lfs.github.com/spec/v1\n")
    (finding, _) = examined("CKP001", repo).findings
    assert finding.message == "checkpoint-best.pth cannot be read: a Git LFS pointer, not the file itself"
    assert str(finding.hint) == "fetch it: git lfs pull --include checkpoint-best.pth"


def test_a_legacy_checkpoint_is_not_examined_and_nothing_worse(broken: Broken) -> None:
    import torch

    repo = broken()
    path = repo / RUN / "checkpoint-best.pth"
    torch.save({"epoch": 1}, path, _use_new_zipfile_serialization=False)
    assert examined("CKP001", repo).status is Status.WARNED


def test_the_evidence_counts_checkpoints_and_tensors(healthy: Path) -> None:
    seen = examined("CKP001", healthy).examined
    assert str(examined_text(seen)) == "6 checkpoints, 336 tensors"
    assert str(examined_text(examined("CKP004", healthy).examined)) == "6 saved files"


def test_a_class_of_the_repository_itself_is_only_noted(broken: Broken) -> None:
    repo = broken()
    named = b"cmapanything.train.recipes\nRecipe\n0"
    rewrite_pickle(repo / RUN / "checkpoint-last.pth", lambda content: content[:2] + named + content[2:])
    result = examined("CKP001", repo)
    assert (result.status, len(result.findings)) == (Status.PASSED, 2)


def test_steps_that_change_between_epochs_are_said_with_their_line(broken: Broken) -> None:
    repo = broken()
    log = repo / RUN / "train.log"
    text = log.read_text().replace(f"/{STEPS}]", f"/{STEPS + 1}]", STEPS)
    log.write_text(text)
    result = examined("CKP002", repo)
    changed = [f for f in result.findings if f.path == log]
    assert [f.severity for f in changed] == [Severity.WARNING]
    assert f"/{STEPS}]" in text.splitlines()[(changed[0].line or 0) - 1]
    assert result.status is Status.FAILED  # one step is missing now: 11 + 10 + 10


def test_optimizer_steps_that_start_anew_are_an_error(broken: Broken) -> None:
    repo = broken()

    def restart(saved: dict[str, Any]) -> None:
        for state in saved["optimizer"]["state"].values():
            state["step"] -= STEPS

    edit(repo, "last", restart)
    result = examined("CKP002", repo)
    (finding,) = [f for f in result.findings if f.severity is Severity.ERROR]
    values = finding.text.values
    assert (values["optimizer_steps"], values["expected"]) == (2 * STEPS, 3 * STEPS)


def test_the_scaler_skips_as_many_steps_as_its_scale_was_halved(broken: Broken) -> None:
    repo = broken()

    def skip(steps: int) -> None:
        def change(saved: dict[str, Any]) -> None:
            saved["scaler"] = {"scale": 65536.0 / 4}
            for state in saved["optimizer"]["state"].values():
                state["step"] -= steps

        edit(repo, "last", change)

    skip(2)
    assert examined("CKP002", repo).status is Status.PASSED
    skip(1)
    assert examined("CKP002", repo).status is Status.FAILED


def test_a_global_step_that_contradicts_the_optimizer_is_an_error(broken: Broken) -> None:
    repo = broken()
    edit(repo, "last", lambda saved: saved.update(global_step=3 * STEPS + 1))
    assert places(examined("CKP002", repo)) == ["checkpoint-last.pth"]


def test_without_a_log_the_settings_say_how_long_an_epoch_is(broken: Broken) -> None:
    repo = broken("epoch_off_by_one")
    (repo / RUN / "train.log").unlink()
    assert examined("CKP002", repo).status is Status.FAILED


def test_without_log_and_settings_checkpoints_are_compared_with_one_another(broken: Broken) -> None:
    repo = broken()
    (repo / RUN / "train.log").unlink()
    settings = repo / "opv2v-doctor.toml"
    settings.write_text(settings.read_text().replace("steps_per_epoch", "# steps_per_epoch"))
    assert examined("CKP002", repo).status is Status.PASSED
    edit(repo, "last", lambda saved: saved.update(epoch=6))
    assert examined("CKP002", repo).status is Status.WARNED


def test_one_epoch_without_log_and_settings_is_no_answer(broken: Broken) -> None:
    repo = broken()
    for path in (repo / RUN).iterdir():
        if path.name in ("train.log", "checkpoint-2.pth", "checkpoint-3.pth", "checkpoint-last.pth"):
            path.unlink()
    edit(repo, "best", lambda saved: saved.update(epoch=0, optimizer=None))
    settings = repo / "opv2v-doctor.toml"
    settings.write_text(settings.read_text().replace("steps_per_epoch", "# steps_per_epoch"))
    result = examined("CKP002", repo)
    assert (result.status, "set steps_per_epoch" in str(result.hint)) == (Status.BLOCKED, True)


def test_an_older_last_checkpoint_is_an_error(broken: Broken) -> None:
    folder = broken() / RUN
    (folder / "checkpoint-1.pth").replace(folder / "checkpoint-last.pth")
    assert places(examined("CKP003", folder.parents[1])) == ["checkpoint-last.pth"]


def test_a_missing_last_checkpoint_is_a_warning(broken: Broken) -> None:
    repo = broken()
    (repo / RUN / "checkpoint-last.pth").unlink()
    result = examined("CKP003", repo)
    assert (result.status, result.findings[0].path) == (Status.WARNED, repo / RUN)


def test_a_best_checkpoint_that_is_only_a_model_is_a_note(broken: Broken) -> None:
    repo = broken()
    edit(repo, "best", lambda saved: saved.pop("optimizer"))
    result = examined("CKP005", repo)
    assert (result.status, [finding.severity for finding in result.findings]) == (
        Status.PASSED,
        [Severity.NOTE],
    )


def test_a_missing_scaler_is_an_error(broken: Broken) -> None:
    repo = broken()
    edit(repo, "2", lambda saved: saved.pop("scaler"))
    assert places(examined("CKP005", repo)) == ["checkpoint-2.pth"]


def test_another_config_is_told_key_by_key_with_its_line(broken: Broken) -> None:
    (finding,) = examined("CKP006", broken("other_config_stored")).findings
    assert set(differences(finding)) == {"train_params.epochs", "train_params.lr"}
    assert finding.path is not None
    assert "epochs:" in finding.path.read_text().splitlines()[(finding.line or 0) - 1]


def test_a_dataset_length_that_keeps_the_steps_is_only_noted(healthy: Path) -> None:
    result = examined("CKP006", healthy, gpus=5)
    (finding,) = result.findings
    assert (result.status, list(differences(finding))) == (Status.PASSED, ["dataset.train_dataset"])


@pytest.mark.parametrize(
    "same", ["40 @ ${dataset.opv2v.train.dataset_str}", "+ 2 * 20 @ (  ${dataset.opv2v.train.dataset_str})"]
)
def test_a_dataset_in_other_words_is_the_same(same: str, healthy: Path) -> None:
    result = examined("CKP006", healthy, f"dataset.train_dataset='{same}'")
    assert (result.status, result.findings) == (Status.PASSED, ())


@pytest.mark.parametrize("text", ["(" * 9000, "-" * 9000 + "1", "a\0b", "1 +"])
def test_a_text_that_is_no_expression_means_nothing_else(text: str) -> None:
    assert not mean_the_same(text, "1")


def test_a_dataset_length_that_changes_the_steps_is_a_warning(healthy: Path) -> None:
    longer = "dataset.train_dataset='+ 60 @ ${dataset.opv2v.train.dataset_str}'"
    assert examined("CKP006", healthy, longer).status is Status.WARNED


def test_a_launch_that_does_not_resume_may_have_any_config(healthy: Path) -> None:
    result = examined("CKP006", healthy, "train_params.lr=0.5", "train_params.resume=false")
    assert (result.status, str(result.reason)) == (
        Status.SKIPPED,
        "this launch does not resume: train_params.resume is false",
    )
    assert differences(result.findings[0]) == {"train_params.lr": {"then": 0.01, "now": 0.5}}


def test_one_value_is_one_override(broken: Broken) -> None:
    repo = broken()
    edit(repo, "last", lambda saved: saved["args"].train_params.update(epochs=30))
    result = examined("CKP006", repo)
    (finding,) = result.findings
    assert finding.hint is not None
    override = finding.hint.values["override"]
    assert override == "train_params.epochs=30"
    assert examined("CKP006", repo, str(override)).status is Status.PASSED
    assert sum(one.count for one in result.examined) > 20


def test_values_that_no_file_beside_it_has_are_in_the_checkpoint(broken: Broken) -> None:
    (finding,) = examined("CKP006", broken("other_config_stored")).findings
    assert str(finding.hint).startswith("to continue that training, set train_params.")
    assert str(finding.hint).endswith("/checkpoint-last.pth stores")


def test_the_config_beside_the_checkpoint_is_named_where_it_has_the_values(broken: Broken) -> None:
    repo = broken("other_config_stored")
    own = repo / RUN / ".hydra" / "config.yaml"
    own.parent.mkdir(exist_ok=True)
    own.write_text("train_params:\n  lr: 0.00005\n  epochs: 30\n")
    (finding,) = examined("CKP006", repo).findings
    assert finding.hint is not None
    assert finding.hint.template == "to continue that training, copy {keys} from {file}"
    assert finding.hint.values["file"] == own


def test_the_proposed_overrides_give_the_checkpoints_own_config(healthy: Path) -> None:
    others = (
        "dataset.train_dataset='+ 60 @ ${dataset.opv2v.train.dataset_str}'",
        "train_params.schedule_type=true",
        "~train_params.seed",
        "+model.extra={word: 'of two'}",
    )
    (finding,) = examined("CKP006", healthy, *others).findings
    own = finding.text.values["overrides"]
    assert isinstance(own, list)
    assert len(own) == 4
    assert str(finding.hint) == (
        "to continue that training, copy train_params.seed, train_params.schedule_type, model.extra.word, "
        f"… (+1) from {healthy / RUN}/.hydra/config.yaml"
    )
    result = examined("CKP006", healthy, *others, *own)
    assert (result.status, result.findings) == (Status.PASSED, ())


def test_a_config_that_does_not_compose_is_told_by_its_own_check_alone() -> None:
    needs = {check.code: check.requires for check in installed_checks() if check.code in CODES}
    assert needs == {**dict.fromkeys(CODES, ("CFG001",)), "CKP006": ("CFG002",)}


CALL = 'torch.load(train_args.resume_ckpt, map_location="cpu", weights_only=False)'


@pytest.mark.parametrize(
    ("call", "torch", "words", "stops"),
    [
        (CALL, "2.6", "", False),
        (CALL.replace(", weights_only=False", ""), "2.6.0+cu124", "", True),
        (CALL.replace(", weights_only=False", ""), "2.5.1", "", False),
        (CALL.replace("False", "True"), "2.5.1", "", True),
        (CALL.replace("weights_only=False", "**words"), "2.6", "", False),
        (CALL.replace("False", "True"), "2.6", "\ntorch.serialization.add_safe_globals([dict])\n", False),
    ],
)
def test_a_checkpoint_that_the_resumes_own_load_refuses(
    call: str, torch: str, words: str, stops: bool, healthy: Path, tmp_path: Path
) -> None:
    repo = tmp_path / "repo"
    shutil.copytree(healthy, repo, ignore=shutil.ignore_patterns("data", ".git"))
    file = repo / "mapanything" / "utils" / "train_tools.py"
    text = file.read_text()
    assert CALL in text
    file.write_text(text.replace(CALL, call) + words)
    python = InstalledPython(
        version="3.12",
        executable="python",
        cuda=None,
        versions={"torch": torch},
        absent=(),
        markers={},
        path=(),
    )
    run = {"hydra": {"run": {"dir": str(healthy / RUN)}}}
    given = {config: Config(values=run, missing=(), unresolved={}, files=()), interpreter: python}
    result = run_check("CKP001", make_target(repo=repo), given)
    found = [finding for finding in result.findings if finding.severity is Severity.ERROR]
    assert len(found) == stops
    for finding in found:
        assert (finding.path, finding.line) == (file, text[: text.index(CALL)].count("\n") + 1)
        assert "omegaconf.dictconfig.DictConfig" in finding.message
        assert "weights_only=False" in str(finding.hint)
