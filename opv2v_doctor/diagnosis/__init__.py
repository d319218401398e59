"""The diagnosis: why a validation is high, measured on one checkpoint; and the checks that say so."""

from opv2v_doctor.check import Check
from opv2v_doctor.diagnosis import (
    diagnosis_answer,
    diagnosis_launch,
    diagnosis_learning,
    diagnosis_paths,
    diagnosis_samples,
)

CHECKS: tuple[Check, ...] = (
    diagnosis_launch.checkpoint_fits_the_launch,
    diagnosis_launch.launch_begins_with_the_weights_that_it_reads,
    diagnosis_launch.both_criteria_measure_alike,
    diagnosis_samples.training_and_validation_are_alike,
    diagnosis_samples.data_checks_find_no_fault_of_validation,
    diagnosis_paths.one_batch_is_the_same_on_both_paths,
    diagnosis_paths.checkpoint_is_as_good_on_validation,
    diagnosis_paths.checkpoint_is_better_than_no_training,
    diagnosis_learning.every_part_was_trained,
    diagnosis_learning.one_batch_can_be_learned,
    diagnosis_learning.checkpoints_get_better,
    diagnosis_answer.validation_is_explained,
)
