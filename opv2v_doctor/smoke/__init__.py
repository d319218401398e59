"""The smoke test: short real trainings, killed, resumed and compared; and what must hold in them."""

from opv2v_doctor.check import Check
from opv2v_doctor.smoke import smoke_evaluation, smoke_processes, smoke_resume, smoke_training, smoke_updates

CHECKS: tuple[Check, ...] = (
    smoke_training.ranks_hold_the_same_weights,
    smoke_updates.optimizer_holds_the_parameters_of_the_model,
    smoke_updates.updates_have_the_gradients_of_all_ranks_and_batches,
    smoke_training.gradients_are_cleared,
    smoke_training.every_group_is_trained,
    smoke_training.each_epoch_draws_its_own_samples,
    smoke_updates.names_in_the_config_match_parameters,
    smoke_updates.the_forward_has_the_configured_precision,
    smoke_updates.gradients_are_clipped_as_configured,
    smoke_updates.accumulated_batches_are_not_left_over,
    smoke_training.the_largest_batch_fits,
    smoke_evaluation.modes_are_those_of_training_and_of_evaluation,
    smoke_evaluation.evaluation_changes_nothing_and_repeats,
    smoke_evaluation.a_sample_is_evaluated_alike_in_any_batch,
    smoke_evaluation.averages_of_an_evaluation_are_averages,
    smoke_processes.learning_rate_does_not_follow_the_processes,
    smoke_updates.a_batch_weighs_alike_on_any_number_of_processes,
    smoke_processes.ranks_train_like_one_process,
    smoke_resume.resume_goes_on_at_the_next_epoch,
    smoke_resume.resume_restores_the_weights,
    smoke_resume.resume_restores_the_optimizer,
    smoke_resume.resume_keeps_the_learning_rate,
    smoke_resume.resume_draws_the_same_samples,
    smoke_resume.resume_keeps_the_random_numbers,
    smoke_resume.resumed_run_ends_like_an_uninterrupted_one,
)
