"""Trains the model: `torchrun --nproc_per_node N scripts/train.py [hydra overrides]`."""

import logging
import sys

import hydra
from omegaconf import DictConfig, OmegaConf

from mapanything.train.training import train
from mapanything.utils.misc import StreamToLogger

log = logging.getLogger(__name__)


@hydra.main(version_base=None, config_path="../configs", config_name="train")
def execute_training(cfg: DictConfig):
    """Train with an editable copy of the config; all that is printed goes to the log."""
    cfg = OmegaConf.create(OmegaConf.to_yaml(cfg))
    sys.stdout = StreamToLogger(log, logging.INFO)
    sys.stderr = StreamToLogger(log, logging.ERROR)
    train(cfg)


if __name__ == "__main__":
    execute_training()
