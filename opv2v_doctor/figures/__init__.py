"""Figures: panoramas, point clouds and curves, as pages that need no network."""
