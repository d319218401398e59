"""Views: what one drawn sample holds, in the numbers and words that left the training interpreter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from opv2v_doctor.text import Place


@dataclass(frozen=True, kw_only=True)
class Depth:
    """The depth of a view: over its known pixels in metres, and the fractions that are not."""

    minimum: float
    maximum: float
    median: float
    finite: float
    zero_in_mask: float


@dataclass(frozen=True, kw_only=True)
class View:
    """One view of a sample, in numbers."""

    agent_id: str | None
    label: str | None
    instance: str | None
    camera_model: str | None
    shape: tuple[int, ...]  # of the image: (3, H, W)
    pose: tuple[tuple[float, ...], ...] | None  # camera to the first agent's frame
    depth: Depth | None
    mask_mean: float | None  # of non_ambiguous_mask
    valid_mean: float | None  # of valid_mask
    valid_outside: float | None  # fraction of all pixels that are valid, and not in the mask
    mask_digest: str | None
    digest: str  # of image, depth and pose
    types: Mapping[str, str] = field(default_factory=dict)
    norm_type: str | None = None  # what its data_norm_type says

    @property
    def scenario(self) -> str | None:
        """The first word of the label, "scenario/agent"."""
        return self.label.split("/")[0] if self.label else None

    @property
    def agent(self) -> str | None:
        """The agent that it shows; that of the label where it does not say."""
        return self.agent_id or (self.label.split("/")[-1] if self.label else None)

    @property
    def identity(self) -> tuple[str | None, ...]:
        """What it shows, whatever the pixels are."""
        return (self.label, self.instance, self.agent_id)


@dataclass(frozen=True, kw_only=True)
class Failure:
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
    failure: Failure | None

    @property
    def identity(self) -> tuple[tuple[str | None, ...], ...]:
        return tuple(view.identity for view in self.views)

    @property
    def digest(self) -> tuple[str, ...]:
        return tuple(view.digest for view in self.views)
