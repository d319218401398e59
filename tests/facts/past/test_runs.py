"""Runs: which directory the last training wrote into, and how long its log says that epochs are."""

import os
from pathlib import Path

import pytest

from opv2v_doctor import Target
from opv2v_doctor.facts.past import runs
from opv2v_doctor.facts.past.runs import checkpoints, epoch_lengths, last_run, leftovers, steps_per_epoch_of
from opv2v_doctor.target import make_target

LINE = "Epoch: [{}]  [ {}/{}]  eta: 0:00:10  lr: 0.000013  loss: 1.0 (1.0)\n"


def log(run: Path, text: str | bytes, name: str = "train.log") -> Path:
    path = run / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "line",
    [
        "Epoch: [3]  [0/4]  eta: 0:03:44  lr: 0.000000",
        "Epoch: [3/302]  [    0/4]  eta: 1 day, 17:06:05  loss: 1.005394",
        "[2026-11-22 13:23:42,016][__main__][INFO] - Epoch: [3]  [0/4]  eta: 0:03:44",
        "[13:02:11.667583] Epoch: [3]  [0/4]  eta: 10 days, 0:03:44",
        "\0" * 3_000_000 + "Epoch: [3]  [0/4]  eta: 0:03:44",
    ],
)
def test_every_prefix_of_a_header_is_tolerated(line: str, tmp_path: Path) -> None:
    path = log(
        tmp_path, f"first\n{line}\nTest Epoch: [4]  [0/1]  eta\nEval: [0/9]\nsome Eval Epoch: [4]  [0/7]\n"
    )
    assert steps_per_epoch_of(tmp_path) == (4, path, 2)


def test_the_last_word_about_each_epoch_counts(tmp_path: Path) -> None:
    headers = [(0, 0, 5000), (0, 20, 5000), (1, 0, 5000), (1, 0, 4000), (2, 0, 4000)]
    path = log(tmp_path, "".join(LINE.format(*header) for header in headers))
    found = [(length.epoch, length.steps, length.line) for length in epoch_lengths(tmp_path)]
    assert found == [(0, 5000, 2), (1, 4000, 4), (2, 4000, 5)]
    assert steps_per_epoch_of(tmp_path) == (4000, path, 5)


@pytest.mark.parametrize("chunk", [1, 7, 300, 1000, 5000, 1 << 20])
def test_a_log_is_read_in_chunks_of_any_size(
    chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "CHUNK", chunk)
    lines = [
        LINE.format(n, 0, 100 + n) + f"Test Epoch: [{n}]  [0/1]\n" + "x" * (n * 37) + "\n" for n in range(60)
    ]
    log(tmp_path, "".join(lines))
    found = [(length.epoch, length.steps, length.line) for length in epoch_lengths(tmp_path)]
    assert found == [(n, 100 + n, 3 * n + 1) for n in range(60)]


def test_a_header_at_the_very_end_is_seen(tmp_path: Path) -> None:
    path = log(tmp_path, b"\n" * ((1 << 20) - 17) + b"Epoch: [0]  [0/4]")
    assert path.stat().st_size == 1 << 20
    assert steps_per_epoch_of(tmp_path) == (4, path, (1 << 20) - 16)


def test_another_log_is_read_where_train_log_is_silent(tmp_path: Path) -> None:
    log(tmp_path, "Traceback\n")
    path = log(tmp_path, LINE.format(0, 0, 8), name="console.log")
    assert steps_per_epoch_of(tmp_path) == (8, path, 1)


def test_no_log_gives_no_length(tmp_path: Path) -> None:
    assert steps_per_epoch_of(tmp_path) is None


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository that only has a config: its run directory."""
    (tmp_path / "repo/scripts").mkdir(parents=True)
    (tmp_path / "repo/configs").mkdir()
    (tmp_path / "repo/configs/train.yaml").write_text("a: 1\n")
    (tmp_path / "repo/scripts/train.py").write_text(
        "import hydra\n\n@hydra.main(config_path='../configs', config_name='train')\ndef main(cfg): ...\n"
    )
    return tmp_path / "repo"


def target(repo: Path, folder: str, run: Path | None = None) -> Target:
    return make_target(repo=repo, overrides=(f"hydra.run.dir='{folder}'",), run=run)


def checkpoint(folder: Path, name: str = "checkpoint-last.pth", written: float = 0.0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.touch()
    os.utime(path, (written, written))
    return path


def test_the_run_that_is_asked_for_wins(repo: Path, tmp_path: Path) -> None:
    checkpoint(repo / "out")
    (tmp_path / "mine").mkdir()
    assert last_run(target(repo, "out", run=tmp_path / "mine")) == tmp_path / "mine"


def test_the_run_directory_counts_when_something_is_in_it(repo: Path) -> None:
    (repo / "empty").mkdir()
    checkpoint(repo / "out")
    assert last_run(target(repo, "empty")) is None
    assert last_run(target(repo, "missing")) is None
    assert last_run(target(repo, "out")) == repo / "out"


def test_of_time_stamped_runs_the_newest_counts(repo: Path) -> None:
    for day, written in (("2026-11-20", 100.0), ("2026-11-22", 300.0), ("2026-11-21", 200.0)):
        checkpoint(repo / "runs[1]" / day / "13-02-11_fine", written=written)
    (repo / "runs[1]/2026-11-23/08-00-00_fine").mkdir(parents=True)
    checkpoint(repo / "runs[1]/2026-11-23/08-00-00_other", written=900.0)
    stamped = target(repo, "runs[1]/${now:%Y-%m-%d}/${now:%H-%M-%S}_fine")
    assert last_run(stamped) == repo / "runs[1]/2026-11-22/13-02-11_fine"
    absolute = target(repo, f"{repo}/runs[1]/${{now:%Y-%m-%d}}/${{now:%H-%M-%S}}_fine")
    assert last_run(absolute) == last_run(stamped)


def test_a_stamp_without_separators_is_found_too(repo: Path) -> None:
    checkpoint(repo / "runs/20261122_130211")
    assert last_run(target(repo, "runs/${now:%Y%m%d_%H%M%S}")) == repo / "runs/20261122_130211"


def test_checkpoints_are_listed_in_their_order(repo: Path) -> None:
    for name in (
        "checkpoint-10.pth",
        "checkpoint-last.pth",
        "checkpoint-9.pth",
        "checkpoint-best.pth",
        "a.pth.tmp",
    ):
        checkpoint(repo / "out", name)
    found = target(repo, "out")
    names = [path.name for path in checkpoints(found)]
    assert names == ["checkpoint-9.pth", "checkpoint-10.pth", "checkpoint-best.pth", "checkpoint-last.pth"]
    assert [path.name for path in leftovers(found)] == ["a.pth.tmp"]
