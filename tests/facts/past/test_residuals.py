"""Residuals: the robust loss and its inverse, and what a criterion says about both."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opv2v_doctor.facts.past.logs.residuals import inverse, robust_loss

CRITERION = (
    "Conf(FactoredLoss(RobustRegressionLoss(alpha=0.5,\nscaling_c=0.05), norm_mode='avg_dis', "
    "loss_in_log=True, pose_trans_loss_weight=3.0), conf_alpha=0.2) + 0.3 * NonAmbiguousMaskLoss(BCELoss())"
)


def robust(residual: float, alpha: float, scale: float) -> float:
    """Barron's general robust loss of a residual."""
    curvature = abs(alpha - 2)
    powered: float = ((residual / scale) ** 2 / curvature + 1) ** (alpha / 2)
    return curvature / alpha * (powered - 1)


@given(st.floats(1e-4, 1e4), st.floats(0.1, 1.9), st.floats(0.01, 1))
def test_the_inverse_is_one(residual: float, alpha: float, scale: float) -> None:
    assert inverse(robust(residual, alpha, scale), alpha, scale) == pytest.approx(residual, rel=1e-4)


def test_seven_and_a_half_is_three_quarters() -> None:
    assert inverse(7.516, 0.5, 0.05) == pytest.approx(0.75, abs=1e-4)


def test_a_criterion_names_its_loss_and_weights() -> None:
    loss = robust_loss(CRITERION)
    assert loss is not None
    assert (loss.alpha, loss.scale, loss.in_log, loss.normalised) == (0.5, 0.05, True, True)
    assert loss.residual("FactoredLoss_pose_trans_avg", 3 * 7.516) == pytest.approx(0.75, abs=1e-4)
    assert loss.residual("FactoredLoss_pts3d_conf_loss_avg", 7.5) is None
    assert loss.residual("lr", 7.5) is None
    assert loss.residual("FactoredLoss_pose_trans_avg", -1.0) is None


@pytest.mark.parametrize("text", ["", "BCELoss()", "L21Loss(", "x" * 9000 + "(", "Loss(RobustRegressionLoss"])
def test_another_criterion_has_none(text: str) -> None:
    assert robust_loss(text) is None
