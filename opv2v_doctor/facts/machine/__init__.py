"""The machine: what the launch would run on: the installed training interpreter, and the GPUs."""
