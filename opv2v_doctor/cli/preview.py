"""The command that shows a sample as training sees it: preview."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opv2v_doctor.cli import options

if TYPE_CHECKING:
    from opv2v_doctor.target import Target

Index = Annotated[
    int | None,
    typer.Option(
        "--index", min=0, help="The sample to draw, as training counts.  [default: 0]", show_default=False
    ),
]
Random = Annotated[
    int | None,
    typer.Option("--random", min=1, help="Draw so many samples at random instead.", show_default=False),
]
Seed = Annotated[int, typer.Option(min=0, help="Of --random: the same seed draws the same samples.")]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--output",
        help="Folder to write into, one in it for each of several samples.  [default: preview/SPLIT_INDEX; "
        "within the repository that would be, REPO_preview/SPLIT_INDEX beside it]",
        show_default=False,
    ),
]


@options.takes_target
def preview(
    target: Target,
    overrides: options.Overrides = None,
    index: Index = None,
    random: Random = None,
    seed: Seed = 0,
    output: Folder = None,
) -> None:
    """Show a sample as training sees it, beside a stitching of the doctor's own: one page, to open offline.

    The repository's dataset draws it: of --split, or of val where several are named. Panorama, depth and
    masks of each agent lie beside the page as PNG and .npy.
    """
    from opv2v_doctor.cli.previewing import previewed

    target = replace(target, overrides=tuple(overrides or ()))
    raise typer.Exit(previewed(target, index=index, random=random or 0, seed=seed, output=output))
