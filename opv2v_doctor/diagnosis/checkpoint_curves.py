"""The curves of a run's checkpoints on the same samples: a page that opens offline, a table and a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.atomic import whole
from opv2v_doctor.diagnosis.measurements import CheckpointErrors
from opv2v_doctor.figures.curves import alone, drawn
from opv2v_doctor.figures.pictures import png
from opv2v_doctor.figures.report_charts import Chart, Series
from opv2v_doctor.neutral import printable
from opv2v_doctor.text import Text, quoted

PANELS = {  # what is drawn -> its name with the unit
    "loss": "validation loss",
    "pose_metres": "poses, RMSE in metres",
    "pose_degrees": "headings, RMS in degrees",
    "depth_metres": "depth, RMSE in metres",
    "pred_mask_mean": "mean of the predicted mask",
}
WIDTH, HEIGHT, MARGIN = 760, 150, 46  # pixels of a panel of the picture
INK, LINE, PAPER = (60, 70, 80), (33, 102, 172), (255, 255, 255)


def write_curves(folder: Path, found: Sequence[CheckpointErrors]) -> list[Path]:
    """Write checkpoints.html, .csv and .png into an existing folder."""
    contents = {".html": _page(found).encode(), ".csv": _table(found).encode(), ".png": png(_picture(found))}
    paths = []
    for suffix, content in contents.items():
        paths.append(folder / f"checkpoints{suffix}")
        with whole(paths[-1]) as partial:
            partial.write_bytes(content)
    return paths


def _table(found: Sequence[CheckpointErrors]) -> str:
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["checkpoint", *PANELS, "true_mask_mean", "problem"])
    for one in found:
        numbers = [getattr(one, name) for name in (*PANELS, "true_mask_mean")]
        said = [f"{number:.6g}" if number is not None else "" for number in numbers]
        rows.writerow([printable(one.path.name), *said, printable(one.problem)])
    return text.getvalue()


def _page(found: Sequence[CheckpointErrors]) -> str:
    names = tuple(printable(one.path.stem.partition("-")[2] or one.path.stem) for one in found)
    charts = []
    for name, said in PANELS.items():
        values = [(float(place), getattr(one, name)) for place, one in enumerate(found)]
        known = tuple((place, value) for place, value in values if value is not None)
        told = quoted(said)
        series = (Series(name=told, points=known, kind="steps"),) if known else ()
        missing = "" if known else Text("nothing was measured")
        charts.append(Chart(title=told, family="", y=told, series=series, columns=names, missing=missing))
    return alone(
        drawn(charts, str),
        title="Checkpoints on the same samples of validation",
        answer=", ".join(printable(one.path.name) for one in found),
        problems=[
            ("DGN011", printable(one.path.name), printable(one.problem)) for one in found if one.problem
        ],
    )


def _picture(found: Sequence[CheckpointErrors]) -> NDArray[np.uint8]:
    """One panel above the other, each from its least to its largest value."""
    return np.vstack([_panel(said, [getattr(one, name) for one in found]) for name, said in PANELS.items()])


def _panel(said: str, values: Sequence[float | None]) -> NDArray[np.uint8]:
    import cv2

    paper = np.full((HEIGHT, WIDTH, 3), PAPER, np.uint8)
    known = [(number, value) for number, value in enumerate(values) if value is not None]
    low, high = (pick((value for _, value in known), default=0.0) for pick in (min, max))
    cv2.putText(
        paper,
        f"{said}: {low:.4g} to {high:.4g}",
        (8, 18),
        cv2.FONT_HERSHEY_SIMPLEX,
        0.45,
        INK,
        1,
        cv2.LINE_AA,
    )
    across, up = (WIDTH - 2 * MARGIN) / max(1, len(values) - 1), (HEIGHT - 2 * MARGIN) / ((high - low) or 1.0)
    points = [(int(MARGIN + n * across), int(HEIGHT - MARGIN - (v - low) * up)) for n, v in known]
    for point in points:
        cv2.circle(paper, point, 3, LINE, -1, cv2.LINE_AA)
    if len(points) > 1:
        cv2.polylines(paper, [np.array(points, np.int32)], False, LINE, 1, cv2.LINE_AA)
    return paper
