"""Images on their way into the model: colour jitter and normalisation."""

import numpy as np
import torch

NORMALIZATIONS = {
    "identity": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "dinov2": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
TRANSFORMS = ("imgnorm", "colorjitter")


def image_transform(transform, data_norm_type):
    """A function of an image (H, W, 3), uint8, and a generator, that returns a tensor (3, H, W)."""
    if transform not in TRANSFORMS:
        raise ValueError(f"unknown transform {transform!r}; known: {TRANSFORMS}")
    if data_norm_type not in NORMALIZATIONS:
        raise ValueError(f"unknown data_norm_type {data_norm_type!r}; known: {tuple(NORMALIZATIONS)}")

    def apply(image, random):
        pixels = image.astype(np.float32) / 255
        pixels = _jitter(pixels, random) if transform == "colorjitter" else pixels
        return normalize(torch.from_numpy(pixels).permute(2, 0, 1), data_norm_type)

    return apply


def normalize(images, data_norm_type):
    """Images (..., 3, H, W) from 0..1 to what the model was trained with."""
    mean, deviation = (torch.tensor(values).reshape(3, 1, 1) for values in NORMALIZATIONS[data_norm_type])
    return ((images - mean) / deviation).contiguous()


def denormalize(images, data_norm_type):
    """Images (..., 3, H, W) back to 0..1."""
    mean, deviation = (torch.tensor(values).reshape(3, 1, 1) for values in NORMALIZATIONS[data_norm_type])
    return images * deviation.to(images) + mean.to(images)


def _jitter(pixels, random):
    """Brightness and contrast changed by up to a fifth."""
    brightness, contrast = random.uniform(0.8, 1.2, 2)
    middle = pixels.mean()
    return np.clip((pixels - middle) * contrast + middle * brightness, 0.0, 1.0).astype(np.float32)
