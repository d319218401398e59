"""Inference: what the checkpoint's model is opened with, and how its predictions compare with training's."""
