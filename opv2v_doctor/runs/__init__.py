"""Runs: launches that were stamped. Launching, stamping, resuming, listing, comparing and verifying them."""
