"""Predictions: what a model says of samples, in training and in inference, beside what is true."""
