"""The sandbox: a small healthy training repository, its OPV2V scene, and faults to put into a copy."""

from opv2v_doctor.sandbox.faults import FAULTS, Fault, put
from opv2v_doctor.sandbox.launch import train_briefly
from opv2v_doctor.sandbox.scene import write_scene
from opv2v_doctor.sandbox.template import copy_repository, write_repository

__all__ = ["FAULTS", "Fault", "copy_repository", "put", "train_briefly", "write_repository", "write_scene"]
