"""Reading what OPV2V has on disk."""
