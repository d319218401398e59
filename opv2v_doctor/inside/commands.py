"""Questions about the configs that documented commands would give."""

from __future__ import annotations

from typing import Any, TypedDict

from .config import Lines, call_with, run_lines


class TrainSet(TypedDict):
    """The training's dataset expression, and what else the call of its loader is given."""

    expression: str
    words: dict[str, Any]


def train_sets(
    config_dir: str, config_name: str, launches: list[list[str]], lines: Lines
) -> list[TrainSet | None]:
    """Expression and call of the loader for each list of overrides, null where it does not compose.

    All in one Hydra context, which reads each yaml file once.
    """
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    with initialize_config_dir(config_dir=config_dir, version_base=None):
        return [train_set(config_name, overrides, lines) for overrides in launches]


def train_set(config_name: str, overrides: list[str], lines: Lines) -> TrainSet | None:
    from hydra import compose
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        cfg = compose(config_name, overrides=overrides)
        calls = run_lines(lines, cfg, lambda call, *_: call)[1]
        own = call_with(calls, str(cfg.dataset.train_dataset))
        return {"expression": own["dataset"].strip(), "words": own["words"]} if own else None
    except (HydraException, OmegaConfBaseException, TypeError, ValueError):
        return None
