"""Questions about the configs that documented commands would give."""

from __future__ import annotations

from typing import TypedDict


class TrainSet(TypedDict):
    """The training's dataset expression, and the images that a GPU takes."""

    expression: str
    images: int


def train_sets(config_dir: str, config_name: str, launches: list[list[str]]) -> list[TrainSet | None]:
    """Dataset expression and images a GPU for each list of overrides, null where it does not compose.

    All in one Hydra context, which reads each yaml file once.
    """
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    with initialize_config_dir(config_dir=config_dir, version_base=None):
        return [train_set(config_name, overrides) for overrides in launches]


def train_set(config_name: str, overrides: list[str]) -> TrainSet | None:
    from hydra import compose
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        cfg = compose(config_name, overrides=overrides)
        return {
            "expression": str(cfg.dataset.train_dataset).strip(),
            "images": int(cfg.train_params.max_num_of_imgs_per_gpu),
        }
    except (HydraException, OmegaConfBaseException, TypeError, ValueError):
        return None
