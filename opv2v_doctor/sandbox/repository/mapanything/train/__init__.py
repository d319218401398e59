"""Training: the criteria and the loop."""
