"""The launch: its config, and what the repository would make of it: datasets, loaders, schedule."""
