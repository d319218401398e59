"""Views: what one drawn sample holds, in the numbers and words that left the training interpreter."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator

from opv2v_doctor import rasters
from opv2v_doctor.check import Blocked
from opv2v_doctor.text import Place

if TYPE_CHECKING:  # numpy is loaded where there are arrays
    from numpy.typing import NDArray

PANORAMA, PINHOLE = "cyl", ("pinhole", "perspective")  # what camera_model says
FULL = 1 << 20  # bytes that are free on a full disk
NAMES = ("label", "instance", "agent_id")


def _of_size(rows: Rows, size: int) -> Rows:
    if [len(row) for row in rows] != [size] * size:
        raise ValueError(f"not {size} x {size} numbers")
    return rows


Rows = tuple[tuple[float, ...], ...]
Pose = Annotated[Rows, AfterValidator(lambda rows: _of_size(rows, 4))]
Intrinsics = Annotated[Rows, AfterValidator(lambda rows: _of_size(rows, 3))]


@dataclass(frozen=True, kw_only=True)
class Depth:
    """The depth of a view: over its known pixels in metres, and the fractions that are not."""

    minimum: float
    maximum: float
    median: float
    finite: float
    zero_in_mask: float


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What a view says that it shows, in free text."""

    label: str | None  # "scenario/agent", an image path, ...
    instance: str | None  # "000069/650", "000069/camera0", ...
    agent_id: str | None

    @property
    def agent(self) -> str | None:
        """The agent that it shows; that of the label where it does not say."""
        return self.agent_id or (self.label.split("/")[-1] if self.label else None)


@dataclass(frozen=True, kw_only=True, eq=False)
class Arrays:
    """The arrays of one view that the training interpreter wrote, as PREFIX_KEY.npy."""

    prefix: Path | str

    def array(self, key: str) -> NDArray[Any] | None:
        """What was written under a key, None where the view has no such thing."""
        return handed_over(Path(f"{self.prefix}_{key}.npy"))


def handed_over(path: Path) -> NDArray[Any] | None:
    """An array that the training interpreter wrote; None where it wrote none. Raises Blocked."""
    said = ""
    try:
        if path.exists():
            return rasters.array_of(path)
        if not path.parent.exists() or shutil.disk_usage(path.parent).free > FULL:
            return None
    except (OSError, ValueError) as problem:
        said = f": {problem}"
    raise Blocked(
        "what the training interpreter wrote is not whole ({file}){said}",
        hint="make room on the disk of {folder}, or set TMPDIR to a larger one",
        file=path.name,
        said=said,
        folder=path.parent,
    )


@dataclass(frozen=True, kw_only=True)
class View:
    """One view of a sample, in numbers; None is what it does not hold."""

    identity: Identity
    shape: tuple[int, ...]  # of the image: (3, H, W)
    digest: str  # of image, depth and pose
    camera_model: str | None = None  # as the view says: "cyl" is a panorama, "pinhole" a single camera
    intrinsics: Intrinsics | None = None  # (3, 3), as the view gives them, pixels
    pose: Pose | None = None  # (4, 4), from its camera to the frame that its dataset chose
    depth: Depth | None = None
    mask_mean: float | None = None  # of non_ambiguous_mask
    valid_mean: float | None = None  # of valid_mask
    valid_outside: float | None = None  # fraction of all pixels that are valid, and not in the mask
    valid_unknown: float | None = None  # and of those that are valid, and whose depth is 0 or not finite
    valid_known: float | None = None  # and of those that are valid, and whose depth is above 0
    mask_digest: str | None = None
    types: Mapping[str, str] = field(default_factory=dict)
    norm_type: str | None = None  # what its data_norm_type says

    @property
    def is_pinhole(self) -> bool:
        """Whether it says that it is the image of a single camera."""
        return self.camera_model in PINHOLE


@dataclass(frozen=True, kw_only=True)
class DrawFailure:
    """What drawing a sample raised."""

    kind: str
    message: str
    place: Place | None  # the innermost line inside the repository
    opened: Path | None = field(compare=False)  # the last file that was opened: failures alike differ in it

    def __str__(self) -> str:
        return f"{self.kind}: {' '.join(self.message.split())}"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One drawn sample, or its failure."""

    key: tuple[int, ...]
    requested: int | None
    views: tuple[View, ...]
    failure: DrawFailure | None

    @property
    def identity(self) -> tuple[Identity, ...]:
        return tuple(view.identity for view in self.views)

    @property
    def digest(self) -> tuple[str, ...]:
        return tuple(view.digest for view in self.views)
