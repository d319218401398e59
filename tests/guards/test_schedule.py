"""The guards of the family schedule."""

from .guard import Guard, edited, guarded, healthy

LOOP = "mapanything/train/training.py"
NOT_TRAINED = healthy(overrides=("train_params.lr=0", "++train_params.submodule_configs={}"))
NOT_CALLED = edited((LOOP, ".adjust_learning_rate(", ".another_schedule("))

GUARDS = {
    "SCH001": Guard(
        bad=healthy(overrides=("train_params.warmup_epochs=5",)), good=healthy(), empty=NOT_TRAINED
    ),
    "SCH002": Guard(
        bad=healthy(overrides=("train_params.warmup_epochs=5",)), good=healthy(), empty=NOT_CALLED
    ),
    "SCH003": Guard(
        bad=edited((LOOP, "epoch + step / len(data_loader)", "epoch + 2 * step / len(data_loader)")),
        good=healthy(),
        empty=NOT_CALLED,
    ),
}

test_schedule = guarded(GUARDS)
