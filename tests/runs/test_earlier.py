"""Reopening a run: the overrides of its launch come back, once each, and the user's win."""

import sys
from pathlib import Path

import pytest

from opv2v_doctor.runs.earlier import adoption, is_stamped, reopened
from opv2v_doctor.runs.record import RunStatus
from opv2v_doctor.settings import Settings
from opv2v_doctor.target import Target

LAUNCH = {"overrides": ["machine=demo"], "2": {"overrides": ["dataset=two", "+more=1"]}}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A directory that a training with two processes left behind."""
    place = tmp_path / "run"
    (place / ".hydra").mkdir(parents=True)
    words = ["machine=demo", "dataset=two", "+more=1", "loss=pose", "hydra.run.dir=elsewhere"]
    (place / ".hydra" / "overrides.yaml").write_text("".join(f"- {word}\n" for word in words))
    return place


def target(tmp_path: Path, *overrides: str, gpus: int = 1) -> Target:
    settings = Settings.model_validate({"launch": LAUNCH})
    return Target(
        repo=tmp_path, python=Path(sys.executable), overrides=overrides, gpus=gpus, settings=settings
    )


def test_overrides_of_a_launch_by_hand_come_back_and_the_users_win(run: Path, tmp_path: Path) -> None:
    found = reopened(target(tmp_path, "loss=other"), run)
    assert found.launch_overrides == ("machine=demo", "dataset=two", "+more=1", "loss=pose", "loss=other")


def test_what_the_settings_say_again_comes_once(run: Path, tmp_path: Path) -> None:
    found = reopened(target(tmp_path, gpus=2), run)
    assert found.launch_overrides == ("machine=demo", "dataset=two", "+more=1", "loss=pose")


def test_an_adopted_run_gives_the_same_and_stays_unstamped(run: Path, tmp_path: Path) -> None:
    before = reopened(target(tmp_path), run)
    adoption(run).save()
    assert reopened(target(tmp_path), run) == before
    assert not is_stamped(run)


def test_a_launched_run_is_stamped(run: Path) -> None:
    adoption(run).with_last(status=RunStatus.FINISHED).save()
    assert is_stamped(run)


def test_a_folder_that_no_training_wrote_into_changes_nothing(tmp_path: Path) -> None:
    asked = target(tmp_path, "loss=other")
    assert reopened(asked, tmp_path) == asked
