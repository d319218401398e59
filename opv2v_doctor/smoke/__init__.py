"""The smoke test: short real trainings, killed, resumed and compared; and what must hold in them."""

from opv2v_doctor.check import Check
from opv2v_doctor.smoke import smoke_checkpoints, smoke_processes, smoke_resume, smoke_training

CHECKS: tuple[Check, ...] = (
    smoke_training.ranks_hold_the_same_weights,
    smoke_training.gradients_are_cleared,
    smoke_training.every_group_is_trained,
    smoke_training.each_epoch_draws_its_own_samples,
    smoke_processes.learning_rate_does_not_follow_the_processes,
    smoke_processes.ranks_train_like_one_process,
    smoke_resume.resume_goes_on_at_the_next_epoch,
    smoke_resume.resume_restores_the_weights,
    smoke_resume.resume_restores_the_optimizer,
    smoke_resume.resume_keeps_the_learning_rate,
    smoke_resume.resume_draws_the_same_samples,
    smoke_resume.resume_keeps_the_random_numbers,
    smoke_resume.resumed_run_ends_like_an_uninterrupted_one,
    smoke_checkpoints.newest_epoch_can_be_resumed,
    smoke_checkpoints.kept_checkpoints_are_those_of_the_config,
    smoke_checkpoints.best_checkpoint_is_the_best,
    smoke_checkpoints.one_rank_writes_each_checkpoint,
    smoke_checkpoints.checkpoints_are_written_whole,
    smoke_checkpoints.resume_brings_everything_back,
    smoke_checkpoints.logs_go_on_after_a_resume,
)
