"""Views as a training interpreter would have drawn them, made up and small, with references beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from opv2v_doctor.facts.disk.scenarios import Agent, Frame
from opv2v_doctor.facts.geometry.references import Reference
from opv2v_doctor.facts.interpreter.questions import Rule
from opv2v_doctor.facts.interpreter.views import Identity, Sample, View
from opv2v_doctor.facts.launch.datasets import parts_of
from opv2v_doctor.facts.samples.panoramas import DrawnView, ShownSample
from opv2v_doctor.figures.panorama_words import ViewCaption
from opv2v_doctor.geometry.cameras import Cylinder, Pinhole
from opv2v_doctor.geometry.rigs import MountedCamera

HEIGHT, WIDTH = 32, 128
RULE = Rule(mean=(0.5, 0.4, 0.3), deviation=(0.2, 0.2, 0.2), source="a table")
HOSTILE = "<script>window.hostile = true</script>"
BAND = slice(8, 24)  # rows that the masks mark


def view_of(
    folder: Path,
    place: int = 0,
    agent: str = "1045",
    arrays: Mapping[str, Any] | None = None,
    rule: Rule | None = RULE,
    named: Rule | None = None,
) -> DrawnView:
    """A view whose arrays lie in the folder."""
    written = {**default_arrays(place), **(arrays or {})}
    for key, array in written.items():
        if array is not None:
            np.save(folder / f"0_{place}_{key}.npy", array)
    mask = written["non_ambiguous_mask"]
    view = View(
        identity=Identity(label=f"scenario/{agent}", instance=f"000069/{agent}", agent_id=agent),
        camera_model="cyl",
        shape=(3, HEIGHT, WIDTH),
        pose=tuple(tuple(row) for row in np.eye(4).tolist()),
        mask_mean=None if mask is None else float(mask.mean()),
        digest="",
        types={"img": "torch.float32"},
    )
    return DrawnView(
        view=view, place=place, norm_type="dinov2", rule=rule, named=named, prefix=folder / f"0_{place}"
    )


def default_arrays(seed: int = 0) -> dict[str, Any]:
    """A normalised picture, depth with every kind of value, and both masks."""
    random = np.random.default_rng(seed)
    depth = random.uniform(0.5, 140, (HEIGHT, WIDTH, 1)).astype(np.float32)
    depth[:4], depth[4, 5], depth[4, 6] = 0, np.nan, -2
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[BAND] = True
    return {
        "img": random.uniform(-1, 1, (3, HEIGHT, WIDTH)).astype(np.float32),
        "depthmap": depth,
        "non_ambiguous_mask": mask,
        "valid_mask": mask & (depth[..., 0] > 20),
    }


def reference_of(folder: Path, agent: str = "1045") -> Reference:
    """A reference whose rig sees all but the highest and the lowest rows."""
    random = np.random.default_rng(9)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[2:30] = True
    source = np.where(mask, np.arange(WIDTH) * 4 // WIDTH, -1).astype(np.int8)
    cameras = tuple(f"camera{number}" for number in range(4))
    mounted = MountedCamera(Pinhole(np.diag([80.0, 80.0, 1.0]), 200, 150), np.eye(4))
    files = Agent(scenario="scenario", name=agent, folder=folder, depth_folder=folder, files=frozenset(),
                  depth_files=frozenset())  # fmt: skip
    return Reference(
        frame=Frame(agent=files, name="000069"),
        cylinder=Cylinder(WIDTH, HEIGHT),
        cameras=cameras,
        images={name: random.integers(0, 255, (150, 200, 3), np.uint8) for name in cameras},
        rgb=random.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8),
        near=False,
        ranges=random.uniform(1, 60, (HEIGHT, WIDTH)).astype(np.float32),
        mask=mask,
        source=source,
        rig=dict.fromkeys(cameras, mounted),
    )


def sample_of_views(views: tuple[DrawnView, ...]) -> ShownSample:
    return ShownSample(
        split="val",
        part=parts_of("Panoramas(split='val')")[0],
        index=0,
        length=6,
        sample=Sample(key=(0, 0), requested=2, views=tuple(each.view for each in views), failure=None),
        views=views,
    )


def shown_of(drawn: DrawnView, reference: Reference | str) -> ViewCaption:
    return ViewCaption(drawn=drawn, reference=reference, tolerance=0.05)
