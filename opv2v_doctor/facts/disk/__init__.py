"""The disk: the scenarios, frames and files of OPV2V that the launch would read."""
