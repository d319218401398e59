"""Faults of the config: what is composed, what it names, what is evaluated, where the run goes."""

from pathlib import Path

from opv2v_doctor.sandbox.faults.fault import fault, replace_text, set_value

DATASET = "configs/dataset/opv2v_cyl_coop_ft.yaml"
TRAINING = "mapanything/train/training.py"
RUN = "experiments/opv2v_cyl_coop"


@fault("CFG001")
def broken_config(directory: Path) -> None:
    """A train_params config builds on one that does not exist."""
    replace_text(directory / "configs/train_params/opv2v_cyl_coop.yaml", "  - default", "  - defualt")


@fault("CFG001")
def broken_override(directory: Path) -> None:
    """The launch asks for a train_params config that does not exist."""
    settings = directory / "opv2v-doctor.toml"
    replace_text(settings, "train_params=opv2v_cyl_coop", "train_params=opv2v_cyl_koop")


@fault("CFG002")
def mandatory_value_missing(directory: Path) -> None:
    """The machine config does not say where the depth maps are: `???` is left."""
    machine = directory / "configs/machine/demo.yaml"
    replace_text(machine, f"opv2v_depth_root: {directory}/data/opv2v_depth\n", "")


@fault("CFG003")
def empty_criterion(directory: Path) -> None:
    """The training criterion is an empty string."""
    set_value(directory / "configs/loss/opv2v_pose_loss.yaml", "train_criterion", '""')


@fault("CFG004")
def no_pretrained_weights(directory: Path) -> None:
    """The fine-tuning names no pretrained weights."""
    set_value(directory / "configs/model/mapanything.yaml", "pretrained_checkpoint_path", "null")


@fault("CFG011")
def missing_weights_file(directory: Path) -> None:
    """The pretrained weights that the config names are not there."""
    (directory / "checkpoints/pretrained.pth").unlink()


@fault("CFG005")
def eval_batch_size_zero(directory: Path) -> None:
    """A sample has more views than a GPU takes images, so the evaluation batch size is 0."""
    set_value(directory / DATASET, "num_views", "5")


@fault("CFG006")
def eval_sets_share_a_key(directory: Path) -> None:
    """Test loaders are named after what precedes the parenthesis, which two splits share: one gets lost."""
    replace_text(directory / TRAINING, "test_set_name(dataset): build", 'dataset.split("(")[0]: build')
    replace_text(directory / DATASET, "+ 4 @", "+ 6 @")


@fault("CFG007")
def validate_on_train(directory: Path) -> None:
    """The validation set is the training split."""
    set_value(directory / "configs/dataset/opv2v/cyl_coop.yaml", "val", "train")


@fault("CFG008")
def no_eval_set(directory: Path) -> None:
    """There is no evaluation set, so no checkpoint will be the best one."""
    set_value(directory / DATASET, "test_dataset", '"[null]"')


@fault("CFG009")
def timestamped_run_directory(directory: Path) -> None:
    """The run directory is new at every launch, and the earlier run with its checkpoints is a sibling."""
    replace_text(
        directory / "configs/train.yaml",
        "dir: ${root_experiments_dir}/opv2v_cyl_coop",
        "dir: ${root_experiments_dir}/opv2v_cyl_coop/${now:%Y%m%d_%H%M%S}",
    )
    earlier = (directory / RUN).rename(directory / "experiments/earlier")
    (directory / RUN).mkdir()
    earlier.rename(directory / RUN / "20251201_120000")


@fault("SCH001")
def warmup_longer_than_training(directory: Path) -> None:
    """Warm-up takes five epochs of a training of three: the peak is never reached."""
    set_value(directory / "configs/train_params/opv2v_cyl_coop.yaml", "warmup_epochs", "5")


@fault("SCH002")
def schedule_stops_early(directory: Path) -> None:
    """The cosine is stretched over twice the training: the learning rate never falls to its minimum."""
    tools = directory / "mapanything/utils/train_tools.py"
    replace_text(tools, "(train_args.epochs - warmup)", "(2 * train_args.epochs - warmup)")


@fault("SCH003")
def learning_rate_jump(directory: Path) -> None:
    """Warm-up ends at a tenth of the learning rate, which then jumps."""
    tools = directory / "mapanything/utils/train_tools.py"
    replace_text(tools, 'group["lr"] = lr * epoch / warmup', 'group["lr"] = 0.1 * lr * epoch / warmup')


@fault("CFG013")
def misspelt_key(directory: Path) -> None:
    """The launch's train_params say `warmup_epoch`, which nothing reads."""
    replace_text(directory / "configs/train_params/opv2v_cyl_coop.yaml", "warmup_epochs", "warmup_epoch")


@fault("CFG014")
def literal_in_the_call(directory: Path) -> None:
    """The call of the training loader gives a number of images, whatever the config says."""
    replace_text(
        directory / TRAINING,
        "max_num_of_imgs_per_gpu=args.train_params.max_num_of_imgs_per_gpu,\n",
        "max_num_of_imgs_per_gpu=8,\n",
    )
