"""What loaders give in two epochs is judged, and its place is where it parts from what is right."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from opv2v_doctor import Place, Severity, Target
from opv2v_doctor.facts.interpreter.questions import DrawingFailure, KeyChange, RandomUse
from opv2v_doctor.result import Result, Status
from opv2v_doctor.sandbox import write_repository
from opv2v_doctor.target import make_target
from opv2v_doctor.testing import run_check

from ..edges import assert_edge
from ..loader_facts import BATCHES, loader_facts

DATASETS, TRAINING = Path("mapanything/datasets/__init__.py"), Path("mapanything/train/training.py")
CODES = ["LDR006", "LDR008", "LDR009", "LDR010", "LDR011"]


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded repository's code, of which nothing is run here."""
    directory = tmp_path_factory.mktemp("source") / "repository"
    write_repository(directory)
    return directory


Judge = Callable[..., Result]


@pytest.fixture
def judge(repo: Path) -> Judge:
    """A check on facts: the healthy ones, but for what is changed."""

    def run(code: str, **words: Any) -> Result:
        return run_check(code, Target(repo=repo, python=Path("python"), gpus=2), loader_facts(**words))

    return run


def line_of(repo: Path, path: Path, text: str) -> int:
    return next(n for n, line in enumerate((repo / path).read_text().splitlines(), 1) if text in line)


def hazards(result: Result) -> list[Any]:
    return [finding for finding in result.findings if finding.severity > Severity.NOTE]


@pytest.mark.parametrize("code", CODES)
def test_healthy_loaders_pass(code: str, judge: Judge) -> None:
    result = judge(code)
    assert (result.status, hazards(result)) == (Status.PASSED, [])


def change(
    kind: str, key: str = "depthmap", given: str = "float32 (4,)", made: str = "float32 (4,)"
) -> KeyChange:
    return KeyChange(key=key, kind=kind, number=2.0, given=given, made=made)


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        (change("scaled"), Status.FAILED),
        (change("mixed"), Status.FAILED),
        (change("views", key=""), Status.FAILED),
        (change("rounded"), Status.WARNED),
        (change("clipped"), Status.WARNED),
        (change("dropped", key="non_ambiguous_mask"), Status.WARNED),  # the losses ask for it
        (change("dropped", key="nobody_asks"), Status.PASSED),
        (change("channels moved"), Status.PASSED),
        (change("scaled", key="img", given="uint8 (4,)"), Status.PASSED),  # numbers of pixels
        (change("structure", key=""), Status.BLOCKED),
    ],
)
def test_what_a_collation_does_is_judged_where_it_is_written(
    changed: KeyChange, status: Status, judge: Judge, repo: Path
) -> None:
    at = Place(repo / DATASETS, 7)
    result = judge("LDR006", train={"changes": (changed,), "collate": at})
    assert result.status is status
    assert [finding.at for finding in hazards(result)] == [at] * (status in (Status.FAILED, Status.WARNED))


def test_without_a_collation_of_its_own_the_loader_is_the_place(judge: Judge, repo: Path) -> None:
    (finding,) = hazards(
        judge("LDR006", train={"changes": (change("scaled"),), "collate": Place(Path("/lib.py"), 1)})
    )
    assert finding.at == Place(repo / DATASETS, line_of(repo, DATASETS, "utils.data.DataLoader("))


@pytest.mark.parametrize("words", [{"overwritten": ("depthmap",)}, {"arrived": False}])
def test_a_batch_that_changes_on_its_way_is_an_error(words: dict[str, Any], judge: Judge) -> None:
    result = judge("LDR006", train={"batches": (replace(BATCHES[0], **words), BATCHES[1])})
    assert result.status is Status.FAILED


def test_a_batch_that_cannot_be_drawn_blocks_with_its_last_words_and_line(judge: Judge, repo: Path) -> None:
    said = f'Traceback\n  File "{repo / DATASETS}", line 21, in __getitem__\nValueError: no frame'
    failure = DrawingFailure(kind="ValueError", message=said, opened=None, frames=())
    for code in ("LDR006", "LDR007", "LDR008"):
        result = judge(code, train={"batches": (), "failure": failure})
        assert (result.status, result.at) == (Status.BLOCKED, Place(repo / DATASETS, 21))
        assert str(result.reason).endswith("ValueError: no frame")


def use(worker: int, epoch: int, state: str, generator: str = "numpy.random") -> RandomUse:
    return RandomUse(generator=generator, worker=worker, epoch=epoch, state=state)


@pytest.mark.parametrize(
    ("uses", "status"),
    [
        ((), Status.SKIPPED),
        ((use(0, 0, "a"), use(1, 0, "b"), use(0, 1, "c"), use(1, 1, "d")), Status.PASSED),
        ((use(0, 0, "a"), use(1, 0, "a")), Status.FAILED),
        ((use(0, 0, "a"), use(0, 1, "a")), Status.FAILED),
        ((use(0, 0, "a"), use(1, 1, "a")), Status.PASSED),  # by chance, or by a shift
        ((use(0, 0, "a"), use(1, 0, "a", "torch")), Status.PASSED),
    ],
)
def test_states_of_workers_and_epochs_are_compared(
    uses: Any, status: Status, judge: Judge, repo: Path
) -> None:
    at = Place(repo / DATASETS, 3)
    result = judge("LDR007", train={"random": uses, "workers": 2, "worker_init": at})
    assert result.status is status
    assert [finding.at for finding in hazards(result)] == [at] * (status is Status.FAILED)


def test_a_generator_of_the_dataset_is_found_where_it_is_made(judge: Judge, repo: Path) -> None:
    uses = tuple(use(worker, 0, "a", "Scenes._rng") for worker in (0, 1))
    (finding,) = hazards(judge("LDR007", train={"random": uses, "workers": 2}))
    base = Path("mapanything/datasets/base/base_dataset.py")
    assert finding.at
    assert (finding.at.path, finding.at.line) == (repo / base, line_of(repo, base, "self._rng ="))


@pytest.mark.parametrize(
    ("train", "at"),
    [
        ({"alike": True, "told": True}, (TRAINING, "train_tools.set_epoch(data_loader, epoch)")),
        ({"stale": True}, (TRAINING, "train_tools.set_epoch(data_loader, epoch)")),
        ({"alike": True, "told": False}, (DATASETS, "batch_sampler=batch_sampler")),
        ({"unreached": True}, (DATASETS, "batch_sampler=batch_sampler")),
        ({"stale": True, "persistent": True, "workers": 2}, (DATASETS, "torch.utils.data.DataLoader(")),
    ],
)
def test_the_cause_of_equal_epochs_is_named(
    train: Any, at: tuple[Path, str], judge: Judge, repo: Path
) -> None:
    sampler = Place(repo / DATASETS, line_of(repo, DATASETS, "batch_sampler=batch_sampler"))
    places = {name: sampler for name in ("sampler", "unreached") if name == "sampler" or name in train}
    (finding,) = hazards(judge("LDR008", train={**train, **places}))
    assert finding.at == Place(repo / at[0], line_of(repo, *at))


def test_few_samples_may_come_alike_by_chance(judge: Judge) -> None:
    assert judge("LDR008", train={"alike": None}).status is Status.SKIPPED


def test_an_evaluation_that_follows_the_epoch_is_a_warning_and_one_by_chance_an_error(judge: Judge) -> None:
    assert judge("LDR009", val={"changed": ("img",)}).status is Status.WARNED
    assert judge("LDR009", val={"changed": ("img",), "settled": False}).status is Status.FAILED
    assert judge("LDR009", share={"epochs_alike": False}).status is Status.WARNED
    assert judge("LDR009", evaluated=False).status is Status.SKIPPED


def test_a_tenth_of_the_evaluation_may_be_dropped_with_a_warning(judge: Judge) -> None:
    def status_at(part: float) -> Status:
        return judge("LDR010", share={"missing": round(part * 10_000), "size": 10_000}).status

    assert_edge(0.1, status_at, inside=Status.WARNED, outside=[Status.FAILED])


@pytest.mark.parametrize(
    ("share", "status"),
    [
        ({"repeated": 1, "size": 99}, Status.PASSED),  # two ranks have as many
        ({"repeated": 2, "size": 99}, Status.WARNED),
        ({"repeated": 100, "whole_on_each": True}, Status.PASSED),
    ],
)
def test_what_is_evaluated_twice_is_padding_or_a_fault(share: Any, status: Status, judge: Judge) -> None:
    assert judge("LDR010", share=share).status is status


def test_the_last_batch_of_the_loader_is_told_from_the_samplers_rest(judge: Judge, repo: Path) -> None:
    (by_sampler,) = hazards(judge("LDR010", share={"missing": 20, "unsampled": 20}))
    assert by_sampler.at == Place(repo / DATASETS, line_of(repo, DATASETS, "DistributedSampler("))
    (by_batches,) = hazards(judge("LDR010", share={"missing": 4}))
    assert by_batches.at == Place(repo / DATASETS, line_of(repo, DATASETS, "def get_test_data_loader") + 12)
    assert "last batch" in str(by_batches.text)


def test_what_is_never_drawn_is_told_where_chance_would_not_leave_it_out(judge: Judge) -> None:
    assert judge("LDR011", never=1, drawn=100, size=40).status is Status.PASSED
    assert judge("LDR011", never=1, drawn=800, size=40).status is Status.FAILED
    assert judge("LDR011", frames_never=2, frames=4, frames_drawn=80).status is Status.FAILED
    assert judge("LDR011", problem="TypeError").status is Status.PASSED


def test_a_millionth_of_trainings_may_leave_something_out(judge: Judge) -> None:
    import math

    def status_at(chance: float) -> Status:  # of one sample left out: nearly its mean
        size = 100_000
        return judge("LDR011", never=1, size=size, drawn=round(size * math.log(size / chance))).status

    assert_edge(1e-6, status_at, good="above")


# --- the embedded repository, by its own interpreter


@pytest.mark.parametrize("code", CODES)
def test_the_embedded_repository_passes(code: str, healthy: Path) -> None:
    result = run_check(code, make_target(repo=healthy))
    assert (result.status, result.reason) == (Status.PASSED, None)


@pytest.mark.parametrize(
    ("fault", "code", "path", "line"),
    [
        ("depth_of_another_sample", "LDR006", DATASETS, 'view["depthmap"] = view["depthmap"].flip(0)'),
        ("workers_seeded_alike", "LDR007", DATASETS, "def seed_worker"),
        ("every_epoch_is_the_first", "LDR008", TRAINING, "train_tools.set_epoch(data_loader, 0)"),
    ],
)
def test_a_fault_is_found_where_it_is(
    fault: str, code: str, path: Path, line: str, broken: Callable[..., Path]
) -> None:
    repo = broken(fault)
    (finding,) = hazards(run_check(code, make_target(repo=repo)))
    assert finding.at
    assert (finding.at.path, finding.at.line) == (repo / path, line_of(repo, path, line))
