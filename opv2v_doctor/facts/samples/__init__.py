"""Samples: what the training interpreter draws of the datasets, and the frames that they show."""
