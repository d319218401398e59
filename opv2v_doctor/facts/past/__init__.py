"""The past: what earlier trainings left behind: runs, logs, checkpoints."""
