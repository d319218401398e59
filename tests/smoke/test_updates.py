"""What reached the optimizer is told from what was computed, at each threshold and for each cause."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opv2v_doctor.result import Result, Status
from opv2v_doctor.smoke.smoke_evaluation import LEAST_MOVED, MOVED, REPEATED
from opv2v_doctor.smoke.smoke_processes import OF_ROUNDING, ROUNDING
from opv2v_doctor.smoke.smoke_training import FULL, IN_PROPORTION
from opv2v_doctor.smoke.smoke_updates import CLIPPED, LEAST_PART, SAME_WEIGHT
from opv2v_doctor.smoke.update_sums import NOT_EXPLAINED
from opv2v_doctor.text import Place

from ..edges import assert_edge
from ..guards.test_smoke import accumulated, config, of_one_rank, scaled
from .recordings import Events, Tamper, every, judged, of_kind, without


def said(result: Result) -> str:
    (finding,) = [finding for finding in result.findings if finding.severity]
    return finding.message


def changed(kind: str, edit: Callable[[dict[str, Any]], object]) -> Tamper:
    return lambda events: [edit(event) for event in of_kind(events, kind)]


def cleared(events: Events) -> None:
    """Gradients that are cleared between the backward pass and the update."""
    for event in of_kind(events, "update"):
        event.update(gradients={name: [0.0] * 5 for name in event["gradients"]}, clips=[])
        event["order"] = [
            event["order"][0],
            event["order"][1],
            "zero_grad /repository/x.py:9",
            event["order"][-1],
        ]


def before_backward(events: Events) -> None:
    """Each update comes before the backward pass of its batch."""
    for event in of_kind(events, "update"):
        events.remove(event)
        events.insert(0, event)


def kept(events: Events) -> None:
    """Gradients that are never cleared."""
    total: dict[int, dict[str, list[float]]] = {0: {}, 1: {}}
    for event in of_kind(events, "update"):
        mine = total[event["rank"]]
        event["clips"] = []
        for name in event["gradients"]:
            rows = [
                e["gradients"].get(name, [0.0] * 5)
                for e in of_kind(events, "backward")
                if e["step"] == event["step"]
            ]
            mean = [sum(values) / 2 for values in zip(*rows, strict=True)]
            mine[name] = [a + b for a, b in zip(mine.get(name, [0.0] * 5), mean, strict=True)]
        event["gradients"] = dict(mine)


def test_a_bias_that_decays_where_its_weight_does_not_is_named(tmp_path: Path) -> None:
    tamper = every("parameters", decayed_by_bias=["head.0"])
    (finding,) = judged("SMK014", tmp_path, uninterrupted=tamper).findings
    assert "the bias of head.0 has a weight decay" in finding.message


@pytest.mark.parametrize(
    ("tamper", "words", "place"),
    [
        (of_one_rank, "are those of rank 0 alone: they are not averaged", "train_tools.py"),
        (cleared, "the optimizer gets gradients of 0, though 1 backward pass came before", "x.py"),
        (before_backward, "the optimizer's step comes before the backward pass", "train_tools.py"),
        (kept, "the gradients of the update before are still in this one", "train_tools.py"),
        (every("backward", gradients={}), "backward() reaches no parameter of the model", "train_tools.py"),
    ],
)
def test_what_an_update_was_made_of_is_named(tamper: Tamper, words: str, place: str, tmp_path: Path) -> None:
    result = judged("SMK015", tmp_path, uninterrupted=tamper)
    assert words in said(result)
    (finding,) = [finding for finding in result.findings if finding.severity]
    assert finding.at is not None
    assert finding.at.path.name == place


def test_gradients_that_cannot_be_told_are_no_answer(tmp_path: Path) -> None:
    result = judged(
        "SMK015", tmp_path, uninterrupted=every("backward", error="checkpointing is not compatible")
    )
    assert (result.status, "not compatible" in str(result.reason)) == (Status.SKIPPED, True)


def test_gradients_with_lengths_of_their_own_are_no_fault(tmp_path: Path) -> None:
    def scale_each(event: dict[str, Any]) -> None:
        rows = event["gradients"].items()
        event["gradients"] = {n: [v * (1 + k) for v in row] for k, (n, row) in enumerate(rows)}

    assert judged("SMK015", tmp_path, uninterrupted=changed("update", scale_each)).status is Status.PASSED


def test_a_part_of_a_gradient_may_be_unexplained(tmp_path: Path) -> None:
    def status(share: float) -> Status:
        def disturb(event: dict[str, Any]) -> None:
            for row in event["gradients"].values():
                size = math.sqrt(sum(value**2 for value in row[:-1]))
                away = share / math.sqrt(1 - share**2) * size
                a, b = row[0], row[1]
                turned = [
                    -b / math.hypot(a, b),
                    a / math.hypot(a, b),
                ]  # a direction that is not the gradient's
                row[0], row[1] = row[0] + away * turned[0], row[1] + away * turned[1]

        folder = tmp_path / str(share)
        return judged("SMK015", folder, uninterrupted=changed("update", disturb)).status

    assert status(NOT_EXPLAINED * 0.9) is Status.PASSED
    assert status(NOT_EXPLAINED * 6) is Status.FAILED  # between the two, all of them still point alike


def test_accumulated_batches_that_are_dropped_or_carried_are_told_apart(tmp_path: Path) -> None:
    result = judged("SMK018", tmp_path, uninterrupted=accumulated)
    assert said(result) == (
        "2 batches make an update, an epoch has 7 steps: its last 1 batch are computed and then dropped"
    )


@pytest.mark.parametrize(
    ("single", "words"),
    [
        (0.5, "the loss is not divided by the number of accumulated batches, or is by that of the ranks"),
        (0.125, "the loss is divided by accum_iter more than once"),
    ],
)
def test_a_wrong_division_of_the_loss_is_named(single: float, words: str, tmp_path: Path) -> None:
    tamper = every("backward", weight=0.5), every("backward", weight=single)
    assert words in said(judged("SMK016", tmp_path, uninterrupted=tamper[0], alone=tamper[1]))


def test_gradients_that_are_summed_over_ranks_are_named(tmp_path: Path) -> None:
    result = judged("SMK016", tmp_path, uninterrupted=scaled(2, "update"))
    assert "gradients are summed over the ranks, not averaged" in said(result)


def test_the_weight_of_a_batch_may_differ_by_rounding(tmp_path: Path) -> None:
    def status(difference: float) -> Status:
        ours, theirs = every("backward", weight=0.5 * (1 - difference)), every("backward", weight=0.25)
        return judged("SMK016", tmp_path / str(difference), uninterrupted=ours, alone=theirs).status

    assert_edge(SAME_WEIGHT, status)


def test_what_rounding_moves_is_no_difference(tmp_path: Path) -> None:
    moved = 10 * float(ROUNDING)

    def status(factor: float) -> Status:
        def disturb(events: Events) -> None:
            (seen,) = of_kind(events, "perturbed")
            first = of_kind(events, "backward")[0]
            rows, weight = first["gradients"].items(), first["weight"]
            seen["gradients"] = {name: [(1 + moved) * v / weight for v in row] for name, row in rows}
            scaled(1 + factor * moved, "update")(events)

        return judged("SMK006", tmp_path / str(factor), alone=disturb).status

    assert_edge(OF_ROUNDING, status, step=0.2)


def test_the_same_samples_with_other_values_are_not_compared(tmp_path: Path) -> None:
    result = judged("SMK006", tmp_path, alone=every(content="other"))
    assert (result.status, "augmentation" in str(result.reason)) == (Status.SKIPPED, True)


@pytest.mark.parametrize(
    ("facts", "order", "words"),
    [
        ({"missed": ["reference"]}, None, "clipping misses 1 of 16 gradients: reference"),
        ({}, ["clip /x.py:1", "backward /x.py:2", "update /x.py:3"], "clips before the last backward pass"),
    ],
)
def test_a_wrong_clipping_is_named(
    facts: dict[str, Any], order: list[str] | None, words: str, tmp_path: Path
) -> None:
    def change(event: dict[str, Any]) -> None:
        event["clips"][0].update(facts)
        event["order"] = order or event["order"]

    assert words in said(judged("SMK017", tmp_path, uninterrupted=changed("update", change)))


def test_gradients_that_are_clipped_before_they_are_unscaled_are_named(tmp_path: Path) -> None:
    def scale(events: Events) -> None:
        every("backward", scale=1024.0)(events)
        scaled(1 / 1024, "update")(events)

    assert "multiplied by the loss scale, 1024" in said(judged("SMK017", tmp_path, uninterrupted=scale))


def test_clipped_gradients_have_the_length_of_the_bound(tmp_path: Path) -> None:
    def status(difference: float) -> Status:
        tamper = scaled(1 - difference, "update")
        return judged("SMK017", tmp_path / str(difference), uninterrupted=tamper).status

    assert_edge(CLIPPED, status, step=0.1)


def test_a_bound_without_clipping_is_told(tmp_path: Path) -> None:
    def neither(events: Events) -> None:
        config(max_grad_norm=2.0)(events)
        every("update", clips=[])(events)

    result = judged("SMK017", tmp_path, uninterrupted=neither)
    assert said(result) == "train_params.max_grad_norm is 2.0, and no update is clipped"


def test_a_part_of_the_model_may_be_computed_in_full_precision(tmp_path: Path) -> None:
    def status(share: float) -> Status:
        def mixed(events: Events) -> None:
            config(amp=1, amp_dtype="bf16")(events)
            half = {"bfloat16": [1, round(1000 * share)], "float32": [1, round(1000 * (1 - share))]}
            every("precision", modules=half)(events)

        return judged("SMK020", tmp_path / str(share), uninterrupted=mixed).status

    assert_edge(LEAST_PART, status, good="above")


def test_the_memory_that_is_left_is_told(tmp_path: Path) -> None:
    def status(share: float) -> Status:
        memory = {
            "allocated": 900,
            "reserved": int(1000 * share),
            "total": 1000,
            "free": 1000 - int(1000 * share),
        }
        tamper = every("largest step", memory=memory)
        return judged("SMK021", tmp_path / str(share), uninterrupted=tamper).status

    assert_edge(FULL, status)


def test_a_largest_batch_that_fails_is_told(tmp_path: Path) -> None:
    result = judged("SMK021", tmp_path, uninterrupted=without("largest step"))
    assert "the largest batch that the sampler draws (4 views)" in said(result)


def test_an_evaluation_may_differ_by_rounding(tmp_path: Path) -> None:
    def status(difference: float) -> Status:
        def change(event: dict[str, Any]) -> None:
            event["sets"]["0 again"]["loss_avg"] *= 1 + difference

        return judged("SMK023", tmp_path / str(difference), uninterrupted=changed("trials", change)).status

    assert_edge(REPEATED, status)


def test_a_sample_alone_may_move_as_rounding_does(tmp_path: Path) -> None:
    def status(near: float) -> Callable[[float], Status]:
        def measured(far: float) -> Status:
            def change(event: dict[str, Any]) -> None:
                event["alone"]["moved"] = {"0.pts3d": [far if near == 0 else far * near, near]}

            folder = tmp_path / f"{near}{far}"
            return judged("SMK024", folder, uninterrupted=changed("trials", change)).status

        return measured

    assert_edge(LEAST_MOVED, status(0))
    assert_edge(MOVED, status(10.0))


@pytest.mark.parametrize(
    ("found", "turned", "words"),
    [
        (1.0, 2.0, "the value of the last batch"),
        (2.0, 1.0, "the value of the first batch"),
        (5.0, 5.0, "their sum"),
        (1.5, 1.5, "neither mean nor median"),
    ],
)
def test_what_an_average_is_instead_is_named(found: float, turned: float, words: str, tmp_path: Path) -> None:
    def change(event: dict[str, Any]) -> None:
        for name, value in {"0": 2.0, "0 again": 2.0, "1": 1.0, "0 0 1": found, "1 0 0": turned}.items():
            event["sets"][name] = {"loss_avg": value}

    assert words in said(judged("SMK025", tmp_path, uninterrupted=changed("trials", change)))


def test_the_average_of_one_batch_is_its_value(tmp_path: Path) -> None:
    def change(event: dict[str, Any]) -> None:
        for name in ("0", "0 again", "1", "0 0 1", "1 0 0"):
            event["sets"][name]["loss_avg"] /= 2

    words = [
        finding.message
        for finding in judged("SMK025", tmp_path, uninterrupted=changed("trials", change)).findings
    ]
    assert any("of a single batch, loss_avg is" in word for word in words)


def test_buffers_that_another_rank_gets_from_the_first_are_no_change(tmp_path: Path) -> None:
    def change(event: dict[str, Any]) -> None:
        event["changed"] = ["bn.running_mean"] if event["rank"] == rank else []

    for rank, status in ((1, Status.PASSED), (0, Status.FAILED)):
        result = judged("SMK023", tmp_path / str(rank), uninterrupted=changed("evaluated", change))
        assert result.status is status


def test_groups_of_one_name_follow_one_schedule(tmp_path: Path) -> None:
    def status(difference: float) -> Status:
        def change(event: dict[str, Any]) -> None:
            later = 1 + difference * (event["global_step"] == 5)
            event["lr"] = {"default[0]": 0.1, "default[1]": 0.1 * later}

        folder = tmp_path / str(difference)
        return judged("SMK003", folder, uninterrupted=changed("step", change)).status

    assert_edge(IN_PROPORTION, status, step=0.1)


def test_modes_that_do_not_come_back_are_told(tmp_path: Path) -> None:
    def change(event: dict[str, Any]) -> None:
        if event["phase"] == "train" and event["epoch"] == 1:
            event.update(numbers=[4, 8], evaluating=["encoder"], training=[])

    words = said(judged("SMK022", tmp_path, uninterrupted=changed("modes", change)))
    assert "epoch 1 is trained with 8 modules in evaluation mode" in words


def test_the_place_of_a_sample_that_parts_is_that_of_the_call(tmp_path: Path) -> None:
    def change(event: dict[str, Any]) -> None:
        event["alone"].update(
            moved={"0.pts3d": [0.5, 0.0]}, parts=["what goes into head", "/repository/model.py:7"]
        )

    result = judged("SMK024", tmp_path, uninterrupted=changed("trials", change))
    (finding,) = result.findings
    assert finding.at == Place(Path("/repository/model.py"), 7)
    assert finding.message.endswith("; first what goes into head")
