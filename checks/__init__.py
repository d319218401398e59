"""The checks, in the order of the checklist: from what makes a launch impossible to what bends its result."""

from . import config

CHECKS = (
    config.config_composes,
    config.every_value_is_given,
    config.criteria_are_defined,
    config.fine_tuning_starts_from_weights,
    config.eval_batch_is_not_empty,
    config.every_eval_set_keeps_its_loader,
    config.eval_sets_are_not_trained_on,
    config.training_is_evaluated,
    config.resume_finds_its_checkpoint,
    config.all_ranks_share_the_run_directory,
)
