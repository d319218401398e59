"""Samples are drawn as the training would draw them, and their frames are found on disk."""

from collections.abc import Callable
from pathlib import Path

import pytest

from opv2v_doctor import Blocked, Skip, Target
from opv2v_doctor.facts.disk.damage import damage
from opv2v_doctor.facts.disk.frames import disk
from opv2v_doctor.facts.geometry.coverages import coverages
from opv2v_doctor.facts.launch.loaders import exports, loader_module
from opv2v_doctor.facts.launch.origins import crop_place, given_place, seed_place
from opv2v_doctor.facts.launch.splits import examined_splits
from opv2v_doctor.facts.samples.draws import each_split, samples
from opv2v_doctor.target import make_target


@pytest.fixture
def target(healthy: Path) -> Target:
    return make_target(repo=healthy)


def test_every_number_of_views_is_drawn(target: Target) -> None:
    drawn = samples(target, "train")
    assert {sample.requested for sample in drawn.samples} == set(drawn.view_counts) == {2, 3, 4}
    assert all(len(sample.views) == sample.requested for sample in drawn.samples)


def test_a_sum_of_repeated_data_is_drawn(healthy: Path) -> None:
    data = "${dataset.opv2v.train.dataset_str}"
    target = make_target(repo=healthy, overrides=(f"dataset.train_dataset='+ 40 @ ({data} + 2 * {data})'",))
    drawn = samples(target, "train")
    assert drawn.samples
    assert not any(sample.failure for sample in drawn.samples)


def test_samples_are_spread_over_frames(target: Target) -> None:
    shown = {view.identity.instance for view in samples(target, "val").views}
    assert len({(instance or "").split("/")[0] for instance in shown}) > 1


def test_a_split_that_the_config_does_not_know_is_left_out(healthy: Path) -> None:
    assert examined_splits(make_target(repo=healthy, splits=("train", "holdout"))) == ("train",)
    with pytest.raises(Skip):
        examined_splits(make_target(repo=healthy, splits=("holdout",)))


def test_views_are_traced_to_their_frames(target: Target) -> None:
    where = disk(target, "val")
    for view in samples(target, "val").views:
        frame = where.frame_of(view.identity)
        assert frame is not None
        assert frame.yaml.is_file()
        assert frame.agent.name == view.identity.agent_id


def test_a_healthy_scene_has_no_damage_and_all_its_coverage(target: Target) -> None:
    assert damage(target, "train").files == ()
    assert all(abs(view.measured - view.seen) < 0.01 for view in coverages(target, "train"))
    assert all((view.cropped or 1.0) < 0.4 for view in coverages(target, "train"))


def test_the_datasets_module_is_asked_in_the_training_interpreter(target: Target) -> None:
    found = exports(target, ("OPV2VCoopCylindricalDataset", "NoSuchDataset"))
    assert loader_module(target) == "mapanything.datasets"
    assert found.file.is_relative_to(target.repo)
    assert set(found.names) == {"OPV2VCoopCylindricalDataset"}


def test_origins_are_lines_of_the_dataset(target: Target) -> None:
    part = samples(target, "val").part
    for place, words in (
        (given_place(target, part, "non_ambiguous_mask"), "non_ambiguous_mask"),
        (seed_place(target, part), "self.seed"),
    ):
        assert place is not None and place.line is not None
        assert words in place.path.read_text().splitlines()[place.line - 1]
    assert crop_place(target, part) is None


def test_a_split_of_which_no_sample_loads_is_blocked(broken: Callable[..., Path]) -> None:
    repo = broken()
    for image in repo.glob("data/OPV2V/validate/*/*/*.png"):
        image.write_bytes(b"")
    target = make_target(repo=repo, splits=("val", "test"))
    assert samples(target, "val").failure is not None
    seen: list[str] = []
    with pytest.raises(Blocked, match="val"):
        seen.extend(found.split for found in each_split(target))  # a generator: what came before stays
    assert "val" not in seen


def test_a_dataset_that_cannot_be_built_is_blocked_each_time(broken: Callable[..., Path]) -> None:
    repo = broken()
    target = make_target(repo=repo, overrides=("dataset.opv2v.val.max_num_views=no",), splits=("val",))
    for _ in range(2):
        with pytest.raises(Blocked):
            samples(target, "val")
