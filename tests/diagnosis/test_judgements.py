"""Each judgement of the diagnosis just inside and just outside of its threshold, on facts given by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest

from opv2v_doctor.check import Severity, error, examined
from opv2v_doctor.diagnosis import causes
from opv2v_doctor.diagnosis.checkpoint_curves import write_curves
from opv2v_doctor.diagnosis.diagnosis_paths import FARTHEST, LEAST_MASK
from opv2v_doctor.registry import installed_checks
from opv2v_doctor.result import Result, Status
from opv2v_doctor.text import Place

from ..edges import assert_edge
from .given import (
    account,
    both,
    checkpoints,
    diagnosed,
    drawn,
    errors,
    judged,
    moved,
    opened,
    overfitted,
    part,
    paths,
)

OTHER = (part("Loss", weight=3.0),)


@pytest.fixture
def status(tmp_path: Path) -> Callable[..., Status]:
    return lambda code, **changed: judged(code, tmp_path, **changed).status


def message(folder: Path, code: str, **changed: Any) -> str:
    return judged(code, folder, **changed).findings[0].message


def test_healthy_facts_pass_and_nothing_is_found(tmp_path: Path) -> None:
    found = diagnosed(tmp_path, data_results=())
    bad = {code for code, one in found.items() if one.status is not Status.PASSED}
    assert bad == {"DGN005"}  # no check of the data ran
    (last,) = found["DGN012"].findings
    assert last.message.startswith("validation is 10.04, training 10.04 by the same criterion")
    assert "Nothing was found that makes validation high" in last.message
    assert "50% of a constant predictor" in last.message


def test_criteria_that_differ_are_a_cause_by_what_they_say_of_the_same(status: Callable[..., Status]) -> None:
    def at(share: float) -> Status:
        return status(
            "DGN003", opened=opened(test_criterion=OTHER), both_sets=both(10.0, by_train=10.035 * (1 - share))
        )

    assert_edge(causes.YARDSTICK, at)


def test_criteria_that_cannot_be_taken_apart_are_judged_by_what_they_say(tmp_path: Path) -> None:
    said = message(tmp_path, "DGN003", both_sets=both(10.0, by_train=1.0))
    assert said.endswith("training's 1; what differs lies deeper than their parts tell")


def test_what_differs_between_criteria_is_named() -> None:
    ours = (part("Conf", alpha=0.2), part("Inner", "pixel_loss", weights={"pose": 3.0, "depth": 1.0}))
    theirs = (
        part("Plain"),
        part("Inner", "pixel_loss", weights={"pose": 1.0, "depth": 1.0}),
        part("Mask", "_next"),
    )
    assert [str(one) for one in causes.unlike_parts(ours, theirs)] == [
        "Conf in training, Plain in validation",
        "Inner weights.pose 3.0 in training, 1.0 in validation",
        "Mask in validation's alone",
    ]


def test_black_tells_a_normalisation_from_the_night(status: Callable[..., Status]) -> None:
    assert_edge(
        causes.BLACK, lambda far: status("DGN004", drawn=drawn(test={"least": (-2.1 + far, -2.0, -1.8)}))
    )
    night = {"mean": (-1.6, -1.5, -1.4), "deviation": (0.25, 0.25, 0.25)}
    found = list(causes.scene_causes(drawn(test=night), None))
    assert "contrast of the image 0.25, training's 1" in str(found[0].said)
    assert not causes.is_normalised_otherwise(drawn(test=night))


def test_an_image_that_changes_with_the_epoch_is_augmented(status: Callable[..., Status]) -> None:
    assert_edge(causes.JITTER, lambda jitter: status("DGN004", drawn=drawn(jitter=jitter)))
    assert status("DGN004", drawn=drawn(jitter=None)) is Status.PASSED


def test_another_frame_is_one_of_validation_alone(status: Callable[..., Status], tmp_path: Path) -> None:
    assert_edge(causes.FRAME, lambda far: status("DGN004", drawn=drawn(test={"position": (far, 0.0, 0.0)})))
    both_in_the_world = drawn({"position": (100.0, 0.0, 0.0)}, {"position": (100.0, 0.0, 0.0)})
    assert status("DGN004", drawn=both_in_the_world) is Status.PASSED
    said = message(tmp_path, "DGN004", drawn=drawn(test={"position": (0.0, 3.0, 4.0)}))
    assert said.startswith(
        "validation's poses are in another frame: its view nearest to the origin is 5 m off and turned by 0"
    )


def test_a_frame_of_other_axes_is_another_one(status: Callable[..., Status]) -> None:
    assert_edge(causes.TURNED, lambda turned: status("DGN004", drawn=drawn(test={"turned": turned})))


def test_agents_in_another_order_have_the_same_frame(status: Callable[..., Status]) -> None:
    shuffled = drawn()
    shuffled = replace(shuffled, test=tuple(views[::-1] for views in shuffled.test))
    assert status("DGN004", drawn=shuffled) is Status.PASSED


@pytest.mark.parametrize(
    ("train", "val", "is_other"),
    [
        ("/data/OPV2V/train", "/data/OPV2V/validate", False),
        ("/data/OPV2V", "/data/OPV2V", False),
        ("/data/OPV2V", "/old/OPV2V", True),
        ("/data/OPV2V/train", "/data/OPV2V_old/validate", True),
        ("relative", "other", False),
    ],
)
def test_another_tree_is_one_but_for_the_split(train: str, val: str, is_other: bool) -> None:
    assert bool(causes.other_roots(opened(attributes={"root": (train, val)}))) is is_other


def test_scenes_are_unlike_where_almost_no_samples_overlap() -> None:
    near, far = drawn(), drawn(test={"depth": 20.0})
    assert not any(one.is_apart for one in causes.likenesses(near))
    assert [one.name for one in causes.likenesses(far) if one.is_apart] == ["depth"]

    def apart(more: float, ratio: float = 2.0) -> bool:
        one = causes.Likeness(
            name="depth", said=causes.FEATURES["depth"][0], train=1.0, test=ratio, more=more
        )
        return one.is_apart

    assert apart(causes.APART + 0.01) and not apart(causes.APART - 0.01) and apart(1 - causes.APART - 0.01)
    assert apart(1.0, causes.TWICE * 1.02) and not apart(1.0, causes.TWICE * 0.98)


def test_few_frames_are_learned_by_heart_and_show_no_kind_of_scene(tmp_path: Path) -> None:
    def learned(frames: float) -> bool:
        few = drawn(test={"depth": 20.0}, distinct=round(frames))
        return judged("DGN007", tmp_path, both_sets=both(11.0, 10.0), drawn=few).status is Status.WARNED

    assert learned(causes.FRAMES - 1) and not learned(causes.FRAMES)
    assert not list(causes.scene_causes(drawn(test={"depth": 20.0}, distinct=3), None))
    assert list(causes.scene_causes(drawn(test={"depth": 20.0}, distinct=4), None))


def test_few_samples_show_no_kind_of_scene() -> None:
    few = drawn(test={"depth": 40.0})
    few = few.__class__(**{**vars(few), "test": few.test[:3]})
    assert not list(causes.scene_causes(few, None))


def test_the_model_is_given_the_same_by_both_paths(status: Callable[..., Status]) -> None:
    def at(apart: float) -> Status:
        return status("DGN006", paths=paths(inputs={"img": apart}, changed_by={"img": "test"}))

    assert_edge(causes.UNLIKE_INPUT, at)


@pytest.mark.parametrize(
    ("changed", "said", "line"),
    [
        ({"test": {"modules": 3, "in_training": ("the model",)}}, "validation runs in training mode", 20),
        (
            {"train": {"precision": "torch.bfloat16"}},
            "training computes in torch.bfloat16, validation in fp32",
            20,
        ),
        ({"test": {"weights_differ": 7}}, "another model than the one that is trained: 7 of its weights", 20),
        ({"inputs": {"order": 1.0}, "changed_by": {"order": "test"}}, "batch in another order", 20),
        ({"inputs": {"img": 4.0}, "changed_by": {"img": "train"}}, "changed on the path of training", 10),
    ],
)
def test_where_the_paths_part_is_named(tmp_path: Path, changed: Any, said: str, line: int) -> None:
    finding = judged("DGN006", tmp_path, paths=paths(**changed)).findings[0]
    assert said in finding.message
    assert finding.line == line


def test_both_paths_average_alike(status: Callable[..., Status], tmp_path: Path) -> None:
    def at(more: float) -> Status:
        return status("DGN006", paths=paths(test={"loss": 10.0 * (1 + more), "factor": 1 + more}))

    assert_edge(causes.TIMES, at)
    said = message(tmp_path, "DGN006", paths=paths(test={"loss": 40.0, "factor": 4.0}))
    assert said.startswith("another reduction: of one batch, given twice, validation tells 4 times the loss")


def test_a_copy_that_no_step_changes_is_another_model(tmp_path: Path) -> None:
    assert "which no step of training changes" in message(tmp_path, "DGN006", opened=opened(fresh=True))


def test_evaluation_draws_nothing(status: Callable[..., Status], tmp_path: Path) -> None:
    def at(apart: float) -> Status:
        return status("DGN006", paths=paths(test={"again": 10.0 * (1 + apart)}))

    assert at(causes.CHANCE * 0.98) is Status.PASSED and at(causes.CHANCE * 1.02) is Status.WARNED
    said = message(tmp_path, "DGN006", paths=paths(test={"again": 12.0}))
    assert said.startswith("evaluation is random: the same batch is 10, then 12, in evaluation mode")


def test_another_models_checkpoint_says_nothing_of_its_losses(tmp_path: Path) -> None:
    found = diagnosed(
        tmp_path,
        opened=opened(account=account(30), moved={"encoder": moved(0.0)}),
        both_sets=both(20.0, 10.0),
    )
    (last,) = found["DGN012"].findings
    assert last.message.startswith("Largest contributions: 1. DGN001: the checkpoint fills 30.0%")
    assert "2." not in last.message


def test_evaluation_mode_alone_may_cost_a_little(status: Callable[..., Status]) -> None:
    assert_edge(causes.MODE, lambda more: status("DGN006", paths=paths(test={"loss": 10.0 * (1 + more)})))


def test_the_checkpoint_fills_the_model(status: Callable[..., Status]) -> None:
    def at(share: float) -> Status:
        whole = opened().account
        filled = whole.parts["encoder"].__class__(elements=1_000_000, loaded=int(share * 1e6), missing=())
        return status(
            "DGN001",
            opened=opened(account=whole.__class__(parts={"encoder": filled}, unexpected=(), reshaped=())),
        )

    assert at(causes.FITS + 0.0005) is Status.PASSED
    assert at(causes.FITS - 0.0005) is Status.FAILED


def test_a_file_that_is_read_is_held(status: Callable[..., Status]) -> None:
    def at(share: float) -> Status:
        (file,) = opened().read
        return status(
            "DGN002",
            opened=opened(
                read=(file.__class__(file=file.file, elements=1000, named=1000, held=int(1000 * share)),)
            ),
        )

    assert_edge(causes.HELD, at, good="above")


def test_weights_that_hardly_moved_learned_nothing(status: Callable[..., Status], tmp_path: Path) -> None:
    def at(relative: float) -> Status:
        return status("DGN009", opened=opened(moved={"encoder": moved(relative), "head": moved(relative)}))

    assert_edge(causes.STILL, at, good="above")
    said = message(tmp_path, "DGN009", opened=opened(moved={"encoder": moved(1e-6)}))
    assert said.startswith("nothing was learned")


def test_a_head_that_stays_is_named_and_one_that_is_frozen_is_a_note(tmp_path: Path) -> None:
    still = {"encoder": moved(), "head": moved(0.0, still=("head.weight",))}
    steps = overfitted(without_gradient=("head.weight",), moved=still)
    said = message(tmp_path, "DGN009", opened=opened(moved=still), overfitted=steps)
    assert said == "head did not move: no gradient reaches what is trained there"
    frozen = {"encoder": moved(0.0, frozen=100), "head": moved()}
    result = judged("DGN009", tmp_path, opened=opened(moved=frozen))
    assert (result.status, result.findings[0].message[:21]) == (Status.PASSED, "encoder are frozen: t")


def test_a_part_that_changes_no_prediction_is_told_and_no_fault(tmp_path: Path) -> None:
    still = {"encoder": moved(), "depth_encoder": moved(0.0, still=("depth_encoder.weight",))}
    steps = overfitted(without_gradient=("depth_encoder.weight",), moved=still, unused=("depth_encoder",))
    result = judged("DGN009", tmp_path, opened=opened(moved=still), overfitted=steps)
    assert result.status is Status.PASSED
    assert result.findings[0].message.startswith("depth_encoder are not used by this task")
    (unknown,) = causes.learning_causes(opened(moved=still), None, 400)  # no step was asked for
    assert (unknown.severity, str(unknown.hint)[:17]) == (Severity.WARNING, "--overfit-steps 6")


def test_a_training_of_a_few_updates_is_told_before_all_else(tmp_path: Path) -> None:
    def first(updates: float) -> Status:
        return judged("DGN008", tmp_path, updates_made=round(updates)).status

    assert first(causes.FEW) is Status.PASSED
    assert first(causes.FEW - 1) is Status.WARNED
    found = diagnosed(
        tmp_path,
        updates_made=2,
        epoch_losses=(20.0, 10.0),
        drawn=drawn(jitter=0.5),
        opened=opened(moved={"encoder": moved(1e-6)}),
        both_sets=both(20.0, 10.0),
    )
    (last,) = found["DGN012"].findings
    assert "1. DGN008: hardly trained: the checkpoint has made 2 updates" in last.message
    assert "2. DGN004" in last.message and "3." not in last.message
    assert (found["DGN009"].status, str(last.hint)) == (
        Status.PASSED,
        "train longer: train_params.epochs=500",
    )


def test_one_batch_is_learned_by_heart(status: Callable[..., Status]) -> None:
    def at(fallen: float) -> Status:
        return status("DGN010", overfitted=overfitted(losses=(100.0,) * 15 + (100.0 * (1 - fallen),) * 15))

    assert_edge(causes.OVERFITS, at, good="above")
    few = overfitted(steps=6, losses=(100.0, 99.0, 98.0, 97.0, 96.0, 97.0))
    assert status("DGN010", overfitted=few) is Status.PASSED


def test_what_did_not_fit_into_memory_is_told(tmp_path: Path) -> None:
    found = judged("DGN010", tmp_path, overfitted=overfitted(samples=1, problem="out of memory"))
    assert (
        "the batch of 2 does not fit into memory (out of memory): 1 sample of it"
        in found.findings[-1].message
    )


def test_a_gap_that_nothing_explains_was_learned_by_heart(status: Callable[..., Status]) -> None:
    assert_edge(causes.WORSE, lambda more: status("DGN007", both_sets=both(10.0 * (1 + more), 10.0)))


def test_a_loss_that_still_falls_is_of_too_short_a_training(status: Callable[..., Status]) -> None:
    assert_edge(causes.FALLS, lambda share: status("DGN008", epoch_losses=(20.0, 10.0, 10.0 * (1 - share))))


def test_a_model_is_better_than_a_constant(status: Callable[..., Status]) -> None:
    assert_edge(causes.CONSTANT, lambda share: status("DGN008", both_sets=both(19.93 * share, 19.93 * share)))


def test_a_hidden_cloud_and_far_poses_are_looked_at_with_given_ones(tmp_path: Path) -> None:
    def is_compared(**changed: float) -> bool:
        found = judged("DGN007", tmp_path, both_sets=both(errors=errors(**changed)))
        return any("given the true poses" in finding.message for finding in found.findings)

    assert is_compared(pose_rmse=FARTHEST * 1.02) and not is_compared(pose_rmse=FARTHEST * 0.98)
    assert is_compared(pred_mask_mean=LEAST_MASK * 0.98) and not is_compared(pred_mask_mean=LEAST_MASK * 1.02)


def test_a_validation_that_turned_names_the_better_checkpoint(tmp_path: Path) -> None:
    result = judged("DGN011", tmp_path, every_checkpoint=checkpoints(10.0, 9.0, 10.5))
    assert result.findings[-1].path == Path("/run/checkpoint-2.pth")
    assert judged("DGN011", tmp_path, every_checkpoint=checkpoints(10.0, 9.0, 9.5)).status is Status.PASSED


def test_curves_are_a_page_a_table_and_a_picture(tmp_path: Path) -> None:
    found = (*checkpoints(10.0, None, 9.0), replace(checkpoints(1.0)[0], path=Path("/run/<b>.pth")))
    html, table, picture = write_curves(tmp_path, found)
    rows = table.read_text().splitlines()
    assert rows[1].startswith("checkpoint-1.pth,10,1,1,2,0.85")
    assert rows[2].startswith("checkpoint-2.pth,,1,")
    assert "&lt;b&gt;.pth" in html.read_text() and "<b>" not in html.read_text()
    image = cv2.imread(str(picture))
    assert image is not None and image.shape == (750, 760, 3) and image.std() > 5


def test_a_fault_that_was_seen_is_named_before_what_is_left(tmp_path: Path) -> None:
    found = diagnosed(
        tmp_path,
        drawn=drawn(jitter=0.5),
        both_sets=both(20.0, 10.0),
        epoch_losses=(20.0, 10.0),
        config_places={"dataset.opv2v.val.transform": Place(Path("/val.yaml"), 4)},
    )
    (last,) = found["DGN012"].findings
    order = [last.message.index(code) for code in ("DGN004", "DGN007")]
    assert "DGN008" not in last.message  # what is learned by heart is not trained longer
    assert order == sorted(order)
    assert (str(last.at), str(last.hint)) == ("/val.yaml:4", "dataset.opv2v.val.transform=imgnorm")


def test_where_the_checkpoint_cannot_be_run_nothing_found_is_no_pass(tmp_path: Path) -> None:
    none = both().__class__(train=(), test=(), asked=16, problem="out of memory")
    result = judged("DGN012", tmp_path, both_sets=none)
    assert (result.status, "could not be run" in str(result.reason)) == (Status.BLOCKED, True)


def test_another_set_in_the_place_of_the_asked_one_is_told(tmp_path: Path) -> None:
    result = judged("DGN001", tmp_path, opened=opened(sets=(("test",),)))
    assert result.findings[0].message.startswith("the launch is not evaluated on val: test stands for it")


def test_of_faults_of_the_data_harmless_ones_are_left_out_and_joint_ones_come_last(tmp_path: Path) -> None:
    def found(code: str) -> Result:
        check = next(check for check in installed_checks() if check.code == code)
        finding = error("it is off", hint="mend it", of="val")
        return Result(check=check, status=Status.FAILED, findings=(finding,), examined=(examined(1, "view"),))

    results = diagnosed(tmp_path, data_results=tuple(map(found, ("DAT007", "DAT010", "MSK002"))))
    assert len(results["DGN005"].findings) == 3
    (last,) = results["DGN012"].findings
    assert "1. MSK002: val: it is off; 2. DAT010: val: it is off" in last.message
    assert "DAT007" not in last.message


def test_the_larger_share_comes_first(tmp_path: Path) -> None:
    found = diagnosed(
        tmp_path,
        opened=opened(test_criterion=OTHER),
        both_sets=both(20.0, 10.0, by_train=5.0),
        paths=paths(test={"precision": "torch.float16", "loss": 11.0}),
    )
    (last,) = found["DGN012"].findings
    assert "1. DGN003 (15.1 of 20.07)" in last.message
    assert "2. DGN006 (1 of 20.07)" in last.message
