"""The epoch that a training loop hands to its schedule, as its source says it."""

from pathlib import Path

import pytest

from opv2v_doctor import Target
from opv2v_doctor.facts.source.training_loop import epoch_progress

LOOP = """
from tools import adjust_learning_rate

def train_one_epoch(loader, optimizer, epoch, args):
    {before}
    for step, batch in enumerate(loader):
        adjust_learning_rate(optimizer, {asked}, args)
"""


def target(repo: Path, before: str, asked: str) -> Target:
    (repo / "scripts").mkdir()
    (repo / "scripts/train.py").write_text(LOOP.format(before=before, asked=asked))
    return Target(repo=repo, python=Path("python"))


@pytest.mark.parametrize(
    ("before", "asked", "expression"),
    [
        ("pass", "epoch + step / len(loader)", "epoch + step / len(loader)"),
        ("steps = len(loader)", "step / steps + epoch", "step / len(loader) + epoch"),
        ("pass", "epoch + step / len(loader.dataset)", "epoch + step / len(loader.dataset)"),
        ("total = len(loader); total += 1", "epoch + step / total", "epoch + step / total"),
        ("pass", "epoch", "epoch"),
    ],
)
def test_it_is_read_with_the_loops_own_variables_put_in(
    tmp_path: Path, before: str, asked: str, expression: str
) -> None:
    progress = epoch_progress(target(tmp_path, before, asked))
    assert progress is not None
    assert (progress.expression, progress.counter) == (expression, "step")
    assert progress.sized == (("loader",) if "loader" in expression else ())
    assert progress.place.line == 7


def test_a_script_without_such_a_loop_has_none(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/train.py").write_text("adjust_learning_rate = None\n")
    assert epoch_progress(Target(repo=tmp_path, python=Path("python"))) is None


@pytest.mark.parametrize(
    ("before", "asked", "line"),
    [
        ("pass", "epoch + step / len(loader)", 7),
        ("pass", "epoch - args.start_epoch + step / len(loader)", 7),
        ("now = epoch - args.start_epoch", "now + step / len(loader)", 5),
        ("params = args.train_params; now = epoch", "now - params.start_epoch", 7),
        ("params = args.train_params\n    now = epoch - params.start_epoch", "now + step / len(loader)", 6),
    ],
)
def test_the_line_that_decides_is_the_one_that_reads_something_else(
    tmp_path: Path, before: str, asked: str, line: int
) -> None:
    progress = epoch_progress(target(tmp_path, before, asked))
    assert progress is not None
    assert progress.decided.line == line
