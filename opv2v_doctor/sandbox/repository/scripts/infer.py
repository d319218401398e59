"""Predicts one sample with a checkpoint: `python scripts/infer.py --config FILE --checkpoint FILE ...`."""

import argparse
from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf

from mapanything import datasets
from mapanything.models import init_model

GIVEN = ("img", "data_norm_type")


def main(asked):
    """Predict with the config that the checkpoint was trained with, and write a file for each view."""
    config = OmegaConf.load(asked.config)
    model = open_model(config, asked.checkpoint)
    views = sample(config, asked.split, asked.index)
    amp, amp_dtype = bool(config.train_params.amp), config.train_params.amp_dtype
    predictions = model.infer([given(view) for view in views], use_amp=amp, amp_dtype=amp_dtype)
    write(views, predictions, Path(asked.output))


def open_model(config, checkpoint):
    """The trained model, ready to predict."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = init_model(config.model.model_str, config.model.model_config)
    weights = torch.load(checkpoint, map_location="cpu", weights_only=False)["model"]
    model.load_state_dict(weights)
    return model.to(device).eval()


def sample(config, split, index):
    """The views of a sample, as a batch of one; every time the same."""
    dataset = eval(config.dataset.opv2v[split].dataset_str, vars(datasets))
    dataset.set_epoch(0)
    most = len(dataset.num_views) - 1 if isinstance(dataset.num_views, list) else 0
    return torch.utils.data.default_collate([dataset[index, 0, most]])


def given(view):
    """What the model is given of a view."""
    return {name: view[name] for name in GIVEN}


def write(views, predictions, folder):
    """One file a view: points, depth, mask, pose and scale."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("pts3d", "depth_along_ray", "mask", "camera_poses", "metric_scaling_factor")
    for view, prediction in zip(views, predictions, strict=True):
        arrays = {name: prediction[name][0].cpu().numpy() for name in names}
        np.savez(folder / f"agent_{view['agent_id'][0]}.npz", **arrays)
        print(f"{view['instance'][0]}: mask mean {arrays['mask'].mean():.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--index", type=int, default=0)
    parser.add_argument("--output", required=True)
    main(parser.parse_args())
