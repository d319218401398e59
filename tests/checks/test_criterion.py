"""Criterion checks: faults of the embedded losses, healthy variations, and the real launch."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from opv2v_doctor import Place, Severity, Target
from opv2v_doctor.facts.launch.config import place
from opv2v_doctor.facts.launch.criteria import CriterionLines, criterion_lines
from opv2v_doctor.facts.launch.datasets import Part, train_parts
from opv2v_doctor.facts.predictions.comparisons import Fit, Turn
from opv2v_doctor.facts.predictions.criteria import judgement, parting
from opv2v_doctor.facts.predictions.judgements import Judged, Trial, kind_of
from opv2v_doctor.result import Result, Status
from opv2v_doctor.sandbox.faults import FAULTS
from opv2v_doctor.target import make_target
from opv2v_doctor.testing import run_check

from ..criteria import TEST, TRAIN, Edit, judged
from ..edges import BAD, assert_edge

CRITERION: Any = importlib.import_module(
    "opv2v_doctor.checks.criterion"
)  # an import hook serves it: no types
CODES = [f"CRT00{number}" for number in range(1, 9)]
QUATERNION = 'quaternion, true = prediction["cam_quats"]'
ROTATIONS = 'losses["pose_quats"].append(self.criterion(quaternion, turned).mean())'
SMOOTHLY = 'predicted, true, reduction="none", beta=self.scaling_c'
LOSS_OF_TURNED = "self.criterion(quaternion, turned)"
NEARER = "turned = true * torch.where((quaternion * true).sum(-1, keepdim=True) < 0, -1.0, 1.0)"
PREDICTED = "prediction[key] / wide(size)"
DISTANCE = "(distances * valid).sum((0, 2, 3)) / valid.sum((0, 2, 3)).clamp(min=1)"
ADDED = "sum(sum(losses) for losses in parts.values())"
ROBUST = "return bend / self.alpha * ((squared / bend + 1) ** (self.alpha / 2) - 1)"
REDUCED = "return [loss.mean() if loss.numel() else loss.sum() for loss in weighted]"
MEDIAN = REDUCED.replace("mean", "median")
CROSS_ENTROPY = "functional.binary_cross_entropy_with_logits(logits, target.to(logits.dtype))"
LINES: Any = {"source": "", "module": "", "parameter": "", "builders": {}}


def said(code: str, found: Judged, folder: Path) -> Result:
    """What a check says of what the training's criterion said; the evaluation's is the same."""
    lines = CriterionLines(lines=LINES, variable="", key="loss.train_criterion", place=Place(folder))
    part = Part(expression="", class_name="Views", size=None)
    given: dict[Callable[..., Any], Any] = {
        train_parts: (part,),
        judgement: found,
        criterion_lines: lines,
        parting: Place(folder / "losses.py", 1),
        place: None,
    }
    return run_check(code, Target(repo=folder, python=folder), given)


def told(code: str, found: Judged, folder: Path) -> str:
    """Its first finding that is no note, empty without one."""
    findings = [one for one in said(code, found, folder).findings if one.severity > Severity.NOTE]
    return findings[0].message if findings else ""


@pytest.mark.parametrize("expression", [TRAIN, TEST])
def test_the_embedded_criteria_pass(tmp_path: Path, expression: str) -> None:
    found = judged(tmp_path, expression=expression)
    for code in CODES[1:]:
        result = said(code, found, tmp_path)
        assert not [one for one in result.findings if one.severity > Severity.NOTE], result.findings
        expected = Status.SKIPPED if code == "CRT007" and expression == TEST else Status.PASSED
        assert result.status is expected, (code, result.reason)


FAULTY: dict[str, tuple[str, str, tuple[Edit, ...]]] = {
    "reordered": (
        "CRT002",
        "quaternions as",
        ((QUATERNION, QUATERNION.replace('"]', '"][..., [1, 2, 3, 0]]')),),
    ),
    "sigmoid twice": ("CRT002", "nothing tried", (("with_logits(logits,", "with_logits(logits.sigmoid(),"),)),
    "opposite mask": (
        "CRT002",
        "opposite mask",
        (("self.criterion(logit, mask) for", "self.criterion(logit, ~mask) for"),),
    ),
    "another mask": (
        "CRT002",
        "valid_mask instead",
        (('masks = [view["non_ambiguous_mask"]', 'masks = [view["valid_mask"]'),),
    ),
    "first view's translation": (
        "CRT002",
        "pose_trans",
        (('prediction["cam_trans"] / size', 'predictions[0]["cam_trans"] / size'),),
    ),
    "log of one side": ("CRT002", "minimum", (("self._log(prediction[key] / wide(size))", PREDICTED),)),
    "signed": ("CRT002", "minimum", (("(steps.abs() * valid)", "(steps * valid)"),)),
    "subtracted": (
        "CRT002",
        "does not add",
        (("loss + other, details | more", "loss - other, details | more"),),
    ),
    "labels alone": (
        "CRT003",
        "nothing of a prediction",
        (("values in (view, prediction)", "values in (view, view)"),),
    ),
    "another entry": ("CRT003", "takes pts3d_cam instead", (('{"pts3d": "pts3d"', '{"pts3d": "pts3d_cam"'),)),
    "logged only": (
        "CRT003",
        "no part of the loss",
        ((ADDED, 'sum(sum(parts[p]) for p in parts if p != "pose_trans")'),),
    ),
    "scaled twice": (
        "CRT003",
        "does not move with",
        (('["camera_pose_trans"] / true_size', '["camera_pose_trans"] / size'),),
    ),
    "all pixels": (
        "CRT004",
        "labels change",
        ((DISTANCE, "distances.mean((0, 2, 3))"),),
    ),
    "one sign": (
        "CRT004",
        "same rotation",
        ((NEARER, "turned = true"),),
    ),
    "detached": ("CRT005", "no gradient by cam_quats", ((QUATERNION, QUATERNION + ".detach()"),)),
    "samples mixed": (
        "CRT002",
        "compares samples of a batch with each other",
        (("true_size.log()[:, None]", "true_size.log()[None, :]"),),
    ),
    "one pixel": ("CRT005", "of the valid pixels have a gradient by pts3d,", ((REDUCED, MEDIAN),)),
    "the best few": (
        "CRT005",
        "only 0.05 of the valid pixels have a gradient by pts3d_cam,",
        (
            ("if keep_all or loss.numel() == 0:", "if loss.numel() == 0:"),
            ("int(self.kept * loss", "int((1 - self.kept) * loss"),
        ),
    ),
    "exchanged weights": (
        "CRT006",
        "weighs pose_quats",
        (('"pose_quats": pose_quats_loss_weight', '"pose_quats": pose_trans_loss_weight'),),
    ),
    "factor lost": ("CRT006", "reaches nothing", (("self._weight * weight", "self._weight"),)),
    "squared": (
        "CRT006",
        "no factor",
        ((ROTATIONS, ROTATIONS.replace("(self.c", '(self.weights["pose_quats"] * self.c')),),
    ),
    "costless": ("CRT007", "right predictions", (("loss * confidence - self", "loss * confidence + self"),)),
    "unweighted": ("CRT007", "wrong predictions", (("loss * confidence - self", "loss - self"),)),
    "one view less": ("CRT008", "mean of its views", (("max(len(losses), 1)", "max(len(losses) - 1, 1)"),)),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_fault_is_told_by_its_check(name: str, tmp_path: Path) -> None:
    code, words, edits = FAULTY[name]
    assert words in told(code, judged(tmp_path, *edits), tmp_path)


def test_a_weight_that_is_0_by_default_is_a_hazard_and_one_that_is_given_is_meant(tmp_path: Path) -> None:
    by_default = judged(tmp_path, ("gm_loss_weight=1.0", "gm_loss_weight=0.0"))
    assert "is 0 by default" in told("CRT003", by_default, tmp_path)
    given = judged(
        tmp_path, expression=TRAIN.replace("pose_quats_loss_weight=3.0", "pose_quats_loss_weight=0.0")
    )
    result = said("CRT003", given, tmp_path)
    assert result.status is Status.PASSED
    assert any("pose_quats_loss_weight = 0" in one.message for one in result.findings)


HEALTHY: dict[str, tuple[Edit, ...]] = {
    "smooth L1": ((ROBUST, f"return self.alpha * functional.smooth_l1_loss({SMOOTHLY}).sum(-1)"),),
    "the nearer sign": (
        (NEARER, "turned = true"),
        (LOSS_OF_TURNED, f"torch.minimum({LOSS_OF_TURNED}, self.criterion(quaternion, -turned))"),
    ),
    "cosine of quaternions": ((LOSS_OF_TURNED, "(1 - (quaternion * true).sum(-1).abs())"),),
    "angle between quaternions": (
        (LOSS_OF_TURNED, "torch.arccos((quaternion * turned).sum(-1).clamp(-1 + 1e-6, 1 - 1e-6))"),
    ),
    "cross entropy of probabilities": (
        (CROSS_ENTROPY, "functional.binary_cross_entropy(logits.sigmoid(), target.to(logits.dtype))"),
    ),
    "smoothed labels": ((CROSS_ENTROPY, CROSS_ENTROPY.replace("dtype))", "dtype) * 0.9 + 0.05)")),),
    "weighted positives": ((CROSS_ENTROPY, CROSS_ENTROPY[:-1] + ", pos_weight=torch.tensor(2.0))"),),
    "selected pixels": ((')[view["valid_mask"]]', ').masked_select(view["valid_mask"])'),),
    "rays where they are valid": (("append(rays.mean())", 'append(rays[view["valid_mask"]].mean())'),),
    "a scale that poses do not train": (('"cam_trans"] / size[', '"cam_trans"] / size.detach()['),),
    "means over views": (("sum(sum(losses) for losses", "sum(sum(losses) / len(losses) for losses"),),
    "without the worst half": (
        ("if keep_all or loss.numel() == 0:", "if loss.numel() == 0:"),
        ("int(self.kept * loss", "int(0.5 * loss"),
    ),
    "nothing logged": (("in parts.values()), details", "in parts.values()), {}"),),
    "logged without gradients": (("loss.item() for number", "loss.detach().clone().item() for number"),),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_variation_is_silent(name: str, tmp_path: Path) -> None:
    found = judged(tmp_path, *HEALTHY[name])
    for code in CODES[1:]:
        assert told(code, found, tmp_path) == "", code


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    return judged(tmp_path_factory.mktemp("criteria"))


def changed(found: Judged, wanted: str, **values: Any) -> Judged:
    """With other values of the terms whose names hold this."""
    terms = [replace(term, **values) if wanted in term.name else term for term in found.terms]
    return replace(found, terms=tuple(terms))


def with_value(trial: Trial, place: int, value: float) -> Trial:
    """With another value of the term at a place."""
    return replace(trial, values=(*trial.values[:place], value, *trial.values[place + 1 :]))


def test_thresholds(found: Judged, tmp_path: Path) -> None:
    assert len(found.alone) == found.samples > 1
    of_pairs, found = found, replace(found, alone=())
    term = next(one for one in found.terms if one.short == "ray_directions_view1")
    cost = max(found.value(trial, term) for trial in found.own(term))
    place = [one.name for one in found.terms].index(term.name)

    def floored(share: float) -> Status:
        """The truth costs so much, and nothing costs less."""
        trials = [with_value(trial, place, max(trial.values[place], share * cost)) for trial in found.trials]
        return said(
            "CRT002", replace(changed(found, term.short, truth=share * cost), trials=tuple(trials)), tmp_path
        ).status

    assert_edge(CRITERION.FLOOR, floored)

    def less(share: float) -> Status:
        """The truth costs so much more than a disturbance of something else."""
        other = changed(found, term.short, truth=share * term.wrong)
        return said("CRT002", other, tmp_path).status

    assert_edge(CRITERION.LESS, less)

    def mixed(share: float) -> Status:
        """Two samples cost so much together, and nothing alone."""
        is_mixed = CRITERION._is_mixed(of_pairs, replace(term, truth=share * term.wrong))
        return Status.FAILED if is_mixed else Status.PASSED

    assert_edge(CRITERION.LESS, mixed)

    def moved(share: float) -> Status:
        trial = next(one for one in found.trials if one.name == "invalid pixels")
        other = with_value(trial, place, term.truth + share * term.wrong)
        trials = [other if one is trial else one for one in found.trials]
        return said("CRT004", replace(found, trials=tuple(trials)), tmp_path).status

    assert_edge(CRITERION.NOTHING, moved)
    average = next(one for one in found.terms if one.short == "ray_directions_avg")
    assert_edge(
        CRITERION.AVERAGE,
        lambda share: (
            said("CRT008", changed(found, average.short, wrong=average.wrong * (1 + share)), tmp_path).status
        ),
    )

    def bent(share: float) -> Status:
        option = next(one for one in found.options if one.name == "pose_quats_loss_weight")
        first, step = option.losses[0], option.losses[1] - option.losses[0]
        other = replace(option, losses=(first, first + step * (1 - share), first + step * (2 - share)))
        options = [other if one is option else one for one in found.options]
        return said("CRT006", replace(found, options=tuple(options)), tmp_path).status

    assert_edge(CRITERION.LINEAR, bent)
    labels = judged_labels(found)
    assert_edge(CRITERION.DEGREES, lambda degrees: labels(Turn(degrees=degrees, metres=0.0), 0.0))
    assert_edge(CRITERION.APART, lambda share: labels(Turn(degrees=0.0, metres=0.0), share * 50))


def judged_labels(found: Judged) -> Callable[[Turn, float], Status]:
    """The verdict on labels that are so far off."""

    def verdict(turn: Turn, apart: float) -> Status:
        fit = Fit(points=9, apart=apart, size=50.0, pose=turn)
        return Status.FAILED if CRITERION._bent(fit, real_first=False) else Status.PASSED

    return verdict


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("pose_quats_view1", "quaternions"),
        ("depth_along_ray_bot95%_loss_view2", "depth"),
        ("ray_directions_avg", "rays"),
        ("cam_frame_points_loss_weight", "camera points"),
        ("world_frame_points_loss_weight", "points"),
        ("pts3d_conf_loss_view1", "points"),
        ("gm_loss_weight", "gradients"),
        ("pred_mask_mean", None),
        ("mask_iou", None),
        ("anything", None),
    ],
)
def test_a_name_says_what_it_judges(name: str, kind: str | None) -> None:
    assert kind_of(name) == kind


def test_how_few_pixels_may_have_a_gradient(found: Judged, tmp_path: Path) -> None:
    def reached(share: float) -> Status:
        heads = [replace(head, reached=share) if head.entry == "pts3d" else head for head in found.heads]
        return said("CRT005", replace(found, heads=tuple(heads)), tmp_path).status

    assert_edge(CRITERION.REACHED, reached, good="above")


TOGETHER = (
    ("points_turned_back",),
    (
        "quaternions_reordered",
        "gradients_of_the_labels",
        "confidence_without_cost",
        "averages_of_one_view_less",
    ),
    ("sigmoid_twice", "rotations_detached", "weights_exchanged", "translations_logged_only"),
)  # faults that do not touch each other


@pytest.mark.parametrize("names", TOGETHER, ids=lambda names: names[0])
def test_faults_are_placed_in_the_repository(
    names: tuple[str, ...], healthy: Path, broken: Callable[..., Path]
) -> None:
    repo = broken(*names)
    target = make_target(repo=repo)
    for name in names:
        result = run_check(FAULTS[name].code, target)
        assert result.status in BAD, (name, result.reason)
        places = {(one.path, one.line) for one in result.findings if one.severity > Severity.NOTE}
        assert places & differing(healthy, repo), (name, places)


def differing(healthy: Path, repo: Path) -> set[tuple[Path, int]]:
    """The lines of a copy that its original has not."""
    found = set()
    for path in (repo / "mapanything").rglob("*.py"):
        old = (healthy / path.relative_to(repo)).read_text().splitlines()
        found |= {(path, n) for n, line in enumerate(path.read_text().splitlines(), 1) if line not in old}
    return found
