"""How fast logs are read: against a plain expression a line, over sizes, and in how much memory."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import Ratio, compared
from opv2v_doctor.facts.past.logs import read_logs
from opv2v_doctor.facts.past.logs.blocks import blocks, chunks
from opv2v_doctor.facts.past.logs.metric_rows import head_of
from opv2v_doctor.facts.past.logs.records import records

SMALL, MIDDLE, LARGE = 30_000_000, 300_000_000, 1_000_000_000  # bytes
SMALLEST = {"SMALL": 300_000, "MIDDLE": 600_000, "LARGE": 900_000}
STEPS, EVERY = 5000, 20
LOSS = "FactoredGeometryScaleRegr3DPlusNormalGMLoss_"
PARTS = [
    *("pts3d_conf_loss_avg", "cam_pts3d_bot95%_loss_avg", "depth_along_ray_bot95%_loss_avg", "pts3d_avg"),
    *("cam_pts3d_avg", "depth_along_ray_avg", "ray_directions_avg", "pose_quats_avg", "pose_trans_avg"),
    *("scale", "normal_avg", "gradient_matching_avg"),
]
MASKS = [f"NonAmbiguousMaskLoss_{name}" for name in ("mask_avg", "pred_mask_mean", "gt_mask_mean")]
SPACES, DIGITS = bytes.maketrans(b"()[]/:,", b"       "), b"0123456789-"
NUMBERS = re.compile(rb"-?\d+(?:\.\d+)?")
HEAD = re.compile(r"(Test )?Epoch: \[(\d+)(?:/\d+)?\] +\[ *(\d+)/(\d+)\] +eta: ")
METRIC = re.compile(r"([^\s:]+(?: mem)?): ([-+\d.einfa]+)(?: \(([-+\d.einfa]+)\))?")
READ = """
import json, sys, time
from pathlib import Path
from opv2v_doctor.facts.past.logs.blocks import growing
from opv2v_doctor.facts.past.logs.log_readers import LogReader
from opv2v_doctor.facts.past.logs import KEPT_LINES, records_of
from opv2v_doctor.facts.past.logs.records import records
class AtItsEnd(Exception):
    pass
def stop():
    raise AtItsEnd
path, follow = Path(sys.argv[1]), sys.argv[2] == "follow"
reader, start = LogReader(path, KEPT_LINES), time.process_time()
try:
    for found in records(growing(path, stop)) if follow else records_of(path):
        reader.feed(found)
except AtItsEnd:
    pass
words = Path("/proc/self/status").read_text().split()
print(json.dumps([time.process_time() - start, int(words[words.index("VmHWM:") + 1]), reader.lines]))
"""


def ratios() -> Iterator[Ratio]:
    """The table at 300 MB; time and memory from 30 MB to 1 GB."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.log"
        write_log(path, MIDDLE)
        yield _against_a_plain_expression(path)
        yield _against_a_parser(path)
        write_log(path, SMALL)
        small, small_followed = _read(path, "read"), _read(path, "follow")
        write_log(path, LARGE)
        large, large_followed = _read(path, "read"), _read(path, "follow")
        yield Ratio(
            name="log: seconds a byte, 1 GB / 30 MB",
            measured=large[0] / LARGE / (small[0] / SMALL),
            bound=1.5,
            details=f"{large[0]:.1f} s, {small[0]:.2f} s",
        )
        for name, one, other in (("read", large, small), ("followed", large_followed, small_followed)):
            yield Ratio(
                name=f"log: peak memory, {name}, 1 GB / 30 MB",
                measured=one[1] / other[1],
                bound=1.5,
                details=f"{one[1] / 1024:.0f} MB, {other[1] / 1024:.0f} MB",
            )


def _against_a_plain_expression(path: Path) -> Ratio:
    """The same table, made from findall and float() line by line."""
    ours, plain = compared(lambda: read_logs([path]).table, lambda: plain_table(path), 2)
    return Ratio(
        name="log: plain expression a line / table of 300 MB",
        measured=plain / ours,
        bound=5,
        at_least=True,
        details=f"{plain:.1f} s, {ours:.2f} s",
    )


def _against_a_parser(path: Path) -> Ratio:
    """The numbers alone, by NumPy's parser on columns: the fastest of those tried (docs/design.md)."""
    ours, parsed = compared(lambda: _sum(path), lambda: _parsed_sum(path), 3)
    return Ratio(
        name="log: numpy.loadtxt on columns / the numbers of 300 MB",
        measured=parsed / ours,
        bound=2,
        at_least=True,
        details=f"{parsed:.1f} s, {ours:.2f} s",
    )


def _sum(path: Path) -> float:
    """The sum of all numbers of a log."""
    runs = (run for found in records(chunks(path)) for run in found.runs)
    return float(sum(run.medians.sum() + np.nansum(run.averages) for run in runs))


def _parsed_sum(path: Path) -> float:
    """The same sum: what is no number is compared with a line that was read plainly, then columns are parsed.

    A log of one layout will do here. Neither the estimate of a head nor what it lacks is looked at.
    """
    known: dict[bytes, _Columns] = {}
    total = 0.0
    for block in blocks(chunks(path)):
        lines = [line for line in block.data.split(b"\n") if line.find(b"eta: ", 0, 400) >= 0]
        text = b"\n".join(lines)
        skeletons = text.translate(None, DIGITS).split(b"\n")
        for skeleton in dict.fromkeys(skeletons):  # a step is padded: as many as it may have digits
            if skeleton not in known:
                known[skeleton] = _Columns(lines[skeletons.index(skeleton)])
        columns = known[skeletons[0]]
        read = np.loadtxt(
            io.BytesIO(text.translate(SPACES)), columns.types, comments=None, usecols=columns.used
        )
        for place, word in columns.words.items():
            assert (read[str(place)] == word).all()
        total += read["numbers"].sum()
    return total


class _Columns:
    """Which words of a line are numbers, and which are names that hold digits."""

    def __init__(self, line: bytes) -> None:
        words = line.translate(SPACES).split()
        head = head_of(line)
        assert head is not None
        behind = len(line[: head.end()].translate(SPACES).split())
        numbers = [at for at, word in enumerate(words) if at >= behind and NUMBERS.fullmatch(word)]
        self.words = {
            at: word
            for at, word in enumerate(words)
            if at >= behind and at not in numbers and word.translate(None, DIGITS) != word
        }
        before = len(line[: head.start("epoch")].translate(SPACES).split())
        self.used = [before, before + 1, before + 2, *numbers, *self.words]
        named = [(str(at), f"S{len(word) + 1}") for at, word in self.words.items()]
        self.types = np.dtype([("head", "i8", 3), ("numbers", "f8", len(numbers)), *named])


def plain_table(path: Path) -> pd.DataFrame:
    """What a script would do: one expression for the head, one for the metrics, a list for each column."""
    columns: dict[str, list[object]] = {
        name: []
        for name in ("phase", "epoch", "step", "steps_per_epoch", "metric", "median", "average", "line")
    }
    phases, epochs, steps, lengths, metrics, medians, averages, lines = columns.values()
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            head = HEAD.search(line)
            if head is None:
                continue
            phase, epoch, step, length = (
                "test" if head[1] else "train",
                int(head[2]),
                int(head[3]),
                int(head[4]),
            )
            for name, median, average in METRIC.findall(line, head.end()):
                phases.append(phase)
                epochs.append(epoch)
                steps.append(step)
                lengths.append(length)
                metrics.append(name)
                medians.append(float(median))
                averages.append(float(average) if average else None)
                lines.append(number)
    return pd.DataFrame(columns)


def _read(path: Path, how: str) -> tuple[float, int]:
    """Seconds and peak kilobytes of a process that reads the log for its verdicts."""
    done = subprocess.run(
        [sys.executable, "-c", READ, path, how], capture_output=True, check=True, timeout=600
    )
    seconds, kilobytes, _ = json.loads(done.stdout)
    return float(seconds), int(kilobytes)


def write_log(path: Path, size: int) -> None:
    """A log of this size: epochs as a training on four GPUs writes them."""
    epoch = b"".join(_line(step) for step in range(0, STEPS, EVERY))
    with path.open("wb") as file:
        number = 0
        while file.tell() < size:
            file.write(epoch.replace(b"Epoch: [0]", b"Epoch: [%d]" % number))
            number += 1


def _line(step: int) -> bytes:
    """The time stamp's record and that of the metrics, with other numbers at each step."""
    wave = 1 + (step * 7919 % 5000) / 10_000
    values = {"epoch": 0.25, "loss": 167.9079, **{LOSS + part: 7.7358 for part in PARTS}}
    values |= dict.fromkeys(MASKS, 0.3282)
    metrics = "  ".join(f"{name}: {x * wave:.4f} ({x * wave * 1.01:.4f})" for name, x in values.items())
    stamp = f"[2026-11-22 13:{step // 60 % 60:02d}:{step % 60:02d},016][__main__][INFO] - "
    eta = f"eta: {step % 11}:02:03  lr: {5e-5 * wave:.6f}"
    return (
        f"{stamp}[13:23:42.{step:06d}]\n{stamp}Epoch: [0]  [{step:4d}/{STEPS}]  {eta}  {metrics}  "
        f"time: {wave:.4f}  data: 0.0{step % 1000:03d}  max mem: 20514\n"
    ).encode()
