"""The audit: every file of a dataset is read once, remembered in an inventory, and judged from there."""
