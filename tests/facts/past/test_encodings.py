"""Logs in all the encodings, packings and forms that they come in: each is read as the plain one is."""

import gzip
import lzma
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from opv2v_doctor.facts.past.logs import logs_in, read_log
from opv2v_doctor.facts.past.logs.log_files import Log
from opv2v_doctor.result import Status
from opv2v_doctor.target import Target
from opv2v_doctor.testing import run_check

LINES = [
    "job dir: /repo/scripts",
    "Start training for 2 epochs",
    *(
        f"Epoch: [{epoch}]  [{step}/4]  eta: 0:00:04  lr: 0.000100  loss: {2 - epoch - step / 8:.4f} (1.5000)"
        for epoch in range(2)
        for step in range(4)
    ),
    "Training time 0:00:09",
]
HYDRA = "[2026-11-22 13:22:45,051][__main__][INFO] - "
COLOURED = "[\x1b[36m2026-11-22 13:22:45,051\x1b[0m][\x1b[34m__main__\x1b[0m][\x1b[32mINFO\x1b[0m] - "


def text(prefix: str = "", end: str = "\n") -> str:
    return "".join(f"{prefix}{line}{end}" for line in LINES)


def told(log: Log) -> tuple[object, ...]:
    losses = [span.last_median for part in log.parts if (span := part.span("loss"))]
    kinds = [(one.kind, one.line) for one in log.incidents]
    return log.lines, losses, kinds, [part.last_line for part in log.parts]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    path = tmp_path_factory.mktemp("plain") / "train.log"
    path.write_text(text())
    found = told(read_log(path))
    assert found == (11, [0.625 + 1, 0.625], [("job", 1), ("start", 2), ("end", 11)], [6, 10])
    return found


@pytest.mark.parametrize(
    ("name", "content"),
    {
        "utf-16 of PowerShell": ("train.log", text(end="\r\n").encode("utf-16")),
        "utf-16 without a mark": ("train.log", text().encode("utf-16-le")),
        "utf-16 the other way round": ("train.log", text().encode("utf-16-be")),
        "utf-8 with a mark": ("train.log", text().encode("utf-8-sig")),
        "latin-1": ("train.log", text().replace("/repo", "/d\u00e9p\u00f4t").encode("latin-1")),
        "windows": ("train.log", text(end="\r\n").encode()),
        "colours of hydra": ("train.log", text(COLOURED).encode()),
        "gz": ("train.log.gz", gzip.compress(text().encode())),
        "xz": ("train.log.xz", lzma.compress(text().encode())),
        "hydra": ("train.log", text(HYDRA).encode()),
        "torchrun": ("train.log", text("[rank0]: ").encode()),
        "torchrun --tee": ("train.log", text("[default0]:").encode()),
        "srun -l": ("train.log", text("0: ").encode()),
        "srun -l of hydra": ("train.log", text(f"0: {HYDRA}").encode()),
        "logging": ("train.log", text("INFO:root:").encode()),
        "a progress bar before each": ("train.log", text("  3%|#  | 3/99 [00:01<00:09, 1.0it/s]\r").encode()),
    }.values(),
)
def test_a_log_reads_alike_in_each_encoding(
    tmp_path: Path, plain: tuple[object, ...], name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert logs_in(tmp_path) == (path,)
    assert told(read_log(path)) == plain


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_a_packed_log_that_was_cut_off_is_read_as_far_as_it_goes(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / ("train.log.gz" if pack is gzip.compress else "train.log.xz")
    content = pack(
        "".join(f"Epoch: [{n}]  [0/1]  eta: 0:00:04  loss: {n}.5\n" for n in range(20_000)).encode()
    )
    path.write_bytes(content[: len(content) // 2])
    assert 0 < len(read_log(path).parts) < 20_000
    path.write_bytes(b"no archive")
    assert read_log(path).lines == 0


def test_zstd_is_read_or_said_to_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "train.log.zst"
    path.write_bytes(b"(\xb5/\xfd\x04X\x01\x00\x00\x99\xe9\xd8Q")  # a frame of nothing
    result = run_check("LOG003", Target(repo=tmp_path, python=Path(sys.executable), logs=(path,)))
    assert result.status is Status.BLOCKED
    assert "train.log.zst" in str(result.reason)


def test_nul_bytes_at_the_head_are_no_utf_16(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_bytes(bytes(5000) + text().encode())
    assert len(read_log(path).parts) == 2


def test_averages_are_all_that_some_logs_say(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    said = [
        f"Epoch: [{epoch}] Total time: 0:01:40 (1.0 s / it)\n"
        f"Averaged stats: lr: 0.000100  loss: {3 - epoch}.0 ({2 - epoch / 2})\n"
        f"Test: Total time: 0:00:10 (0.1 s / it)\n"
        f"Averaged stats: loss: 9.0 ({4 - epoch})\n"
        for epoch in range(3)
    ]
    path.write_text("".join(said))
    log = read_log(path)
    found = [(part.phase, part.epoch, span.last) for part in log.parts if (span := part.span("loss"))]
    assert found == [
        *(("train", 0, 2.0), ("test", 0, 4.0)),
        *(("train", 1, 1.5), ("test", 1, 3.0)),
        *(("train", 2, 1.0), ("test", 2, 2.0)),
    ]
    assert len(log.trained) == 1


@pytest.mark.parametrize(
    ("lines", "epochs"),
    [
        (['{"train_loss": 2.5, "test_coco_eval_bbox": [0.4, 0.6]}'] * 3, [0, 1, 2]),
        ([f'{{"step": {10 * n}, "loss": 2.5}}' for n in range(3)], [0]),
        ([f'{{"epoch": 0.{n}, "global_step": {n}, "train_loss": "2.5"}}' for n in range(3)], [0]),
        (['{"epoch": 4, "val_loss": 2.5, "train_loss": 2.5}'], [4]),
    ],
)
def test_statistics_count_what_they_count(tmp_path: Path, lines: list[str], epochs: list[int]) -> None:
    path = tmp_path / "log.txt"
    path.write_text("\n".join(lines) + "\n")
    trained = read_log(path).phase("train")
    assert [part.epoch for part in trained] == epochs
    assert {span.last for part in trained if (span := part.span("loss"))} == {2.5}


def test_the_first_of_coco_s_numbers_is_the_average_precision(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text('{"epoch": 0, "train_loss": 2.5, "test_loss": 3.5, "test_coco_eval_bbox": [0.4, 0.6]}\n')
    (test,) = read_log(path).phase("test")
    span = test.span("coco_eval_bbox")
    assert span is not None
    assert span.last == 0.4


def test_where_nothing_is_known_it_is_said_once(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text("one\n\ntwo\nthree\nfour\n")
    target = Target(repo=tmp_path, python=Path(sys.executable), logs=(path,))
    result = run_check("LOG003", target)
    assert result.status is Status.BLOCKED
    assert all(word in str(result.reason) for word in ("one", "two", "three", "expected Epoch: [0]"))
    assert "four" not in str(result.reason)
    assert run_check("LOG004", target).status is Status.SKIPPED
    assert "see LOG003" in str(run_check("LOG004", target).reason)


@pytest.mark.parametrize(
    ("line", "trainer"),
    [
        ("Epoch 3:  45%|####     | 450/1000 [01:02<01:10,  7.81it/s, v_num=0, loss=0.31]", "Lightning"),
        ("2026-01-01 10:00:00,000 - mmdet - INFO - Epoch [1][50/1000]\tlr: 1.0e-04, loss: 1.2", "mmengine"),
        ("01/01 10:00:00 - mmengine - INFO - Epoch(train)  [1][  50/1000]  lr: 1.0e-04", "mmengine"),
        ("{'loss': 2.31, 'grad_norm': 1.2, 'learning_rate': 1e-05, 'epoch': 0.1}", "Transformers"),
        ("[01/01 10:00:00 d2.utils.events]:  eta: 1:02:03  iter: 19  total_loss: 2.1", "Detectron2"),
    ],
)
def test_lines_of_other_trainers_are_said_to_be_unread(tmp_path: Path, line: str, trainer: str) -> None:
    path = tmp_path / "train.log"
    path.write_text(f"a head\n{line}\n{line}\n")
    log = read_log(path)
    assert log.unread == (trainer, 2, 2)
    result = run_check("LOG003", Target(repo=tmp_path, python=Path(sys.executable), logs=(path,)))
    assert str(result.hint) == f"metrics of {trainer} are not read"


def test_outputs_of_schedulers_and_trackers_are_read_where_there_is_no_other_log(tmp_path: Path) -> None:
    tracked = tmp_path / "wandb" / "run-1" / "files" / "output.log"
    tracked.parent.mkdir(parents=True)
    tracked.write_text(text())
    assert logs_in(tmp_path) == (tracked,)
    output = tmp_path / "slurm-17.out"
    output.write_text(text())
    assert logs_in(tmp_path) == (output,)
    log = tmp_path / "train.log"
    log.write_text(text())
    assert logs_in(tmp_path) == (log,)


def test_the_average_precision_of_coco_s_summary_is_a_score_of_the_evaluation(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    said = [
        f"Epoch: [{epoch}]  [0/1]  eta: 0:00:04  loss: 2.0 (2.0)\n"
        f"Test:  [0/1]  eta: 0:00:04  loss: 3.0 (3.0)\n"
        f" Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0.4{epoch}2\n"
        f" Average Precision  (AP) @[ IoU=0.50      | area=   all | maxDets=100 ] = 0.6{epoch}2\n"
        for epoch in range(3)
    ]
    path.write_text("".join(said))
    found = [
        (part.epoch, part.number, span.last) for part in read_log(path).parts if (span := part.span("AP"))
    ]
    assert found == [(0, 0, 0.402), (1, 0, 0.412), (2, 0, 0.422)]
