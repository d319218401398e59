"""Writes first weights where the config expects pretrained ones: `make_pretrained.py [hydra overrides]`."""

import sys
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir

from mapanything.models import init_model

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def main(overrides):
    """Save a freshly initialised model."""
    with initialize_config_dir(str(CONFIGS), version_base=None):
        model = compose("train", overrides).model
    path = Path(model.model_config.pretrained_checkpoint_path)
    torch.manual_seed(0)
    fresh = init_model(model.model_str, {**model.model_config, "pretrained_checkpoint_path": None})
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": fresh.state_dict()}, path)
    print(f"wrote {path}")


if __name__ == "__main__":
    main(sys.argv[1:])
