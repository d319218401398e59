"""The guards of the family config."""

from .guard import Guard, edited, fault, guarded, healthy

NO_SETS = ("dataset.train_dataset=null", "dataset.test_dataset=null")
NOTHING_READ = tuple(f"~{group}" for group in ("dataset", "loss", "train_params", "model"))
WEIGHTS = "model.model_config.pretrained_checkpoint_path"

GUARDS = {
    "CFG001": Guard(
        bad=healthy(overrides=("dataset=absent",)),
        good=healthy(),
        empty=edited(("scripts/train.py", "@hydra.main", "@another.main")),
    ),
    "CFG002": Guard(
        bad=healthy(overrides=("loss.train_criterion=???",)),
        good=healthy(),
        empty=healthy(overrides=NOTHING_READ),
    ),
    "CFG015": Guard(
        bad=healthy(overrides=("loss.test_criterion='2 * NonAmbiguousMaskLoss(BCELoss())'",)),
        good=healthy(),
        empty=healthy(overrides=("loss.test_criterion=''",)),
    ),
    "CFG003": Guard(
        bad=healthy(overrides=("loss.train_criterion='Absent()'",)),
        good=healthy(),
        empty=healthy(overrides=("~loss",)),
    ),
    "CFG004": Guard(
        bad=healthy(overrides=(f"{WEIGHTS}=null",)), good=healthy(), empty=healthy(overrides=(f"~{WEIGHTS}",))
    ),
    "CFG005": Guard(
        bad=healthy(overrides=("train_params.max_num_of_imgs_per_gpu=2",)),
        good=healthy(),
        empty=healthy(overrides=("dataset.test_dataset='[null]'",)),
    ),
    "CFG006": Guard(
        bad=fault("eval_sets_share_a_key"),
        good=healthy(),
        empty=healthy(overrides=("dataset.test_dataset='[null]'",)),
    ),
    "CFG007": Guard(
        bad=healthy(overrides=("dataset.opv2v.split_names.val=train",)),
        good=healthy(),
        empty=healthy(overrides=("dataset.test_dataset='[null]'",)),
    ),
    "CFG008": Guard(
        bad=healthy(overrides=("train_params.eval_freq=0",)),
        good=healthy(),
        empty=healthy(overrides=("~train_params.eval_freq", "~train_params.epochs")),
    ),
    "CFG009": Guard(
        bad=fault("timestamped_run_directory"),
        good=healthy(),
        empty=healthy(overrides=("train_params.resume=false",)),
    ),
    "CFG010": Guard(
        bad=healthy(overrides=("hydra.run.dir='out/${now:%H-%M-%S}'",)), good=healthy(), empty=healthy(gpus=1)
    ),
    "CFG011": Guard(
        bad=healthy(overrides=(f"{WEIGHTS}=/absent.pth",)),
        good=healthy(),
        empty=healthy(overrides=(f"{WEIGHTS}=null",)),
    ),
    "CFG012": Guard(
        bad=healthy(overrides=("dataset.train_dataset='+ 4 @ Data(split='",)),
        good=healthy(),
        empty=healthy(overrides=NO_SETS),
    ),
    "CFG013": Guard(bad=fault("misspelt_key"), good=healthy(), empty=healthy(overrides=NOTHING_READ)),
    "CFG014": Guard(
        bad=fault("literal_in_the_call"),
        good=healthy(),
        empty=edited(("scripts/train.py", "from mapanything.train.training import train", "train = print")),
    ),
}

test_config = guarded(GUARDS)
