"""Which mutation comes next: chosen by a seed and its number alone, so that each can be made again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from exam.choices import TRAINED
from exam.code_kinds import made, module_of, places
from exam.config_kinds import config_made, config_places
from exam.data_kinds import KINDS as DATA_KINDS
from exam.data_kinds import data_mutation
from exam.mutation import Mutation

Lines = Mapping[str, frozenset[int]]  # of each module: those that a training runs


@dataclass(frozen=True)
class Launch:
    """A training of the embedded repository: its overrides, and the share of mutations that it gets."""

    name: str
    overrides: tuple[str, ...]
    share: float
    infers: bool  # the script of the settings is for its samples


PANORAMA = Launch("panorama", ("dataset=opv2v_cyl_coop_ft_2gpu",), 0.75, True)
PINHOLE = Launch("pinhole", ("dataset=opv2v_coop_ft",), 0.25, False)
LAUNCHES = (PANORAMA, PINHOLE)
CONFIGS = {  # what each launch composes
    "panorama": (
        "dataset/opv2v_cyl_coop_ft.yaml", "dataset/opv2v_cyl_coop_ft_2gpu.yaml", "dataset/default.yaml",
        "dataset/opv2v/cyl_coop.yaml",
        *(f"dataset/opv2v/{split}/cyl_coop.yaml" for split in ("train", "val", "test")),
    ),
    "pinhole": (
        "dataset/opv2v_coop_ft.yaml", "dataset/default.yaml", "dataset/opv2v/coop.yaml",
        *(f"dataset/opv2v/{split}/coop.yaml" for split in ("train", "val", "test")),
        *(f"dataset/opv2v/{split}/default.yaml" for split in ("train", "val", "test")),
    ),
}  # fmt: skip
SHARED = (
    "loss/opv2v_pose_loss.yaml", "train_params/default.yaml", "train_params/opv2v_cyl_coop.yaml",
    "model/default.yaml", "model/mapanything.yaml",
)  # fmt: skip
GROUPS = {"code": 0.6, "config": 0.15, "data": 0.25}
TRIES = 100


def generated(
    seed: int, number: int, repo: Path, lines: Mapping[str, Lines] | None
) -> tuple[Launch, Mutation]:
    """The mutation of this number, of the healthy repository; `lines` are those that each launch runs."""
    random = Random(f"{seed}:{number}")
    for _ in range(TRIES):
        launch = random.choices(LAUNCHES, [each.share for each in LAUNCHES])[0]
        group = random.choices([*GROUPS], [*GROUPS.values()])[0]
        if group == "data":
            return launch, data_mutation(random.choice(DATA_KINDS), repo, random)
        found = (
            _code(random, repo, None if lines is None else lines[launch.name])
            if group == "code"
            else _config(random, repo, launch)
        )
        if found is not None:
            return launch, found
    raise RuntimeError(f"no mutation of number {number} parses")


def _code(random: Random, repo: Path, lines: Lines | None) -> Mutation | None:
    """First a kind, then a function, so that neither the frequent nor the long ones get all."""
    modules = [
        module_of(str(path.relative_to(repo)), path.read_text(encoding="utf-8"))
        for pattern in TRAINED
        for path in sorted(repo.glob(pattern))
    ]
    by_kind: dict[str, list[tuple[int, str]]] = {}
    ran = [None if lines is None else lines.get(module.path, frozenset()) for module in modules]
    for number, module in enumerate(modules):
        for kind, functions in places(module, ran[number]).items():
            by_kind.setdefault(kind, []).extend((number, name) for name in functions)
    kind = random.choice(sorted(by_kind))
    number, function = random.choice(by_kind[kind])
    return made(kind, modules[number], random.choice(places(modules[number], ran[number])[kind][function]))


def _config(random: Random, repo: Path, launch: Launch) -> Mutation | None:
    by_kind: dict[str, list[tuple[str, str]]] = {}
    for name in (*CONFIGS[launch.name], *SHARED):
        path = f"configs/{name}"
        for kind in config_places(text := (repo / path).read_text(encoding="utf-8")):
            by_kind.setdefault(kind, []).append((path, text))
    kind = random.choice(sorted(by_kind))
    path, text = random.choice(by_kind[kind])
    return config_made(path, text, random.choice(config_places(text)[kind]))
