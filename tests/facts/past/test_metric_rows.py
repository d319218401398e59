"""One line of a MetricLogger: every variant that logs in the wild have."""

import math

import pytest

from opv2v_doctor.facts.past.logs.metric_rows import metric_line, resembles_metrics

VARIANTS = {
    b"Epoch: [0]  [ 120/5000]  eta: 1:02:03  lr: 0.000013  epoch: 0.0000 (0.1250)  loss: 167.9 (181.7)  "
    b"time: 1.2  data: 0.1  max mem: 20000": ("train", 0, 120, 5000, "loss", 167.9, 181.7),
    b"[2026-11-22 13:27:34,264][__main__][INFO] - Test Epoch: [1]  [0/1]  eta: 0:00:36  "
    b"loss: 142.0974 (142.0974)  a_bot95%_loss_avg: 8.1907 (8.1907)": (
        "test",
        1,
        0,
        1,
        "loss",
        142.0974,
        142.0974,
    ),
    b"[13:02:11.667583] Epoch: [3]  [ 10/20]  eta: 0:00:01  loss: -1.5 (-1.25)": (
        "train",
        3,
        10,
        20,
        "loss",
        -1.5,
        -1.25,
    ),
    b"Epoch: [60/302]  [1200/7561]  eta: 10 days, 1:55:13  loss: 0.409937 (0.427171)": (
        ("train", 60, 1200, 7561, "loss", 0.409937, 0.427171)
    ),
    b"Test:  [ 10/50]  eta: 0:00:01  loss: 3.0e-05 (inf)": ("test", None, 10, 50, "loss", 3e-05, math.inf),
    b"Eval:\t[ 10/50]\teta: 0:00:01\tloss: nan (nan)": ("test", None, 10, 50, "loss", math.nan, math.nan),
    b"[rank0]: Epoch: [2]  [0/4]  eta: -1 day, 23:59:59  loss: 7": ("train", 2, 0, 4, "loss", 7.0, None),
}
NOT_METRICS = [
    b"",
    b"Epoch: [0] Total time: 0:04:08 (62.0964 s / it)",
    b"Epoch: 21, Data Iteration: 0",
    b"Using cache found in /data/torch_hub",
    b"Epoch: [0]  [ 120/5000]  eta: 1:02:03",
]
BROKEN = [
    b"Epoch: [0]  [ 120/5000]  eta: 1:02:03  loss: 1.0 (2.0",
    b"Epoch: [0]  [ 120/5000]  eta: 1:02:03  loss: 1.0 (2.0)  lEpoch: [0]  [ 120/5000]  eta: 1:02:03",
    b"Epoch: [0]  [ 120/5000]  eta: 1:0",
]


@pytest.mark.parametrize(("text", "expected"), VARIANTS.items())
def test_every_variant_is_read(text: bytes, expected: tuple[object, ...]) -> None:
    line = metric_line(text)
    assert line is not None
    column = line.names.index("loss")
    read = (
        line.phase,
        line.epoch,
        line.step,
        line.steps,
        "loss",
        line.medians[column],
        line.averages[column],
    )
    assert repr(read) == repr(expected)


def test_names_keep_their_signs_and_spaces() -> None:
    line = metric_line(next(iter(VARIANTS)))
    assert line is not None
    assert line.names == ("lr", "epoch", "loss", "time", "data", "max mem")
    assert line.averages[0] is None


@pytest.mark.parametrize("text", NOT_METRICS + BROKEN)
def test_what_does_not_parse_is_not_guessed(text: bytes) -> None:
    assert metric_line(text) is None


@pytest.mark.parametrize("text", BROKEN)
def test_what_looks_like_metrics_is_counted(text: bytes) -> None:
    assert resembles_metrics(text)


@pytest.mark.parametrize("text", NOT_METRICS[:4])
def test_other_lines_are_not_counted(text: bytes) -> None:
    assert not resembles_metrics(text)
