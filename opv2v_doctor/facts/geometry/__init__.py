"""Facts about the geometry of what the dataset returns, against the frames that it shows."""
