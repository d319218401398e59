"""Questions about the configs that documented commands would give."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, TypedDict

from .config import Lines, call_with, run_lines


class TrainSet(TypedDict):
    """What a config says of its training; null where it does not tell, and why it does not compose.

    `words` are what the call of its loader is given beside the dataset.
    """

    expression: str | None
    words: dict[str, Any]
    views: int | None
    epochs: float | None
    warmup: float | None
    loss: str | None
    problem: str


def train_sets(config_dir: str, launches: list[list[str]], lines: Lines) -> list[TrainSet]:
    """What each launch would train on: the name of a config, then overrides.

    All in one Hydra context, which reads each yaml file once.
    """
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()
    with initialize_config_dir(config_dir=config_dir, version_base=None):
        return [train_set(name, overrides, lines) for name, *overrides in launches]


def train_set(config_name: str, overrides: list[str], lines: Lines) -> TrainSet:
    from hydra import compose
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    cfg, problem = None, ""
    try:
        cfg = compose(config_name, overrides=overrides, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as refused:
        problem = str(refused) or type(refused).__name__
    own = None
    if cfg is not None:
        with contextlib.suppress(HydraException, OmegaConfBaseException, TypeError, ValueError):
            own = call_with(run_lines(lines, cfg, lambda call, *_: call)[1], str(cfg.dataset.train_dataset))

    def told(key: str, kind: Callable[[Any], Any]) -> Any:
        """The value of a key, null where it is missing, cannot be resolved, or is of another kind."""
        from omegaconf import OmegaConf

        try:
            value = OmegaConf.select(cfg, key) if cfg is not None else None
            return None if value is None else kind(value)
        except (OmegaConfBaseException, TypeError, ValueError):
            return None

    return {
        "expression": own["dataset"].strip() if own else None,
        "words": own["words"] if own else {},
        "views": told("dataset.num_views", int),
        "epochs": told("train_params.epochs", float),
        "warmup": told("train_params.warmup_epochs", float),
        "loss": told("hydra.runtime.choices.loss", str),
        "problem": problem,
    }
