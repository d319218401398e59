"""Faults of the training loop, which only a launch shows: ranks, schedule, updates, and resuming."""

from pathlib import Path

from opv2v_doctor.sandbox.faults.fault import fault, replace_text

LOOP = "mapanything/train/training.py"
METERS = "mapanything/utils/metric_logger.py"
MODEL = "mapanything/models/mapanything.py"
TOOLS = "mapanything/utils/train_tools.py"


@fault("SMK001")
def ddp_bypassed(directory: Path) -> None:
    """The loss is computed by the model inside DistributedDataParallel, so gradients are never averaged."""
    replace_text(
        directory / LOOP,
        "        train_stats = train_one_epoch(\n            model,\n",
        "        train_stats = train_one_epoch(\n            model_without_ddp,\n",
    )


@fault("SMK002")
def gradients_not_cleared(directory: Path) -> None:
    """Gradients are cleared before an epoch only, so each update has those of all before."""
    replace_text(directory / LOOP, "        if update:\n            optimizer.zero_grad()\n", "")


@fault("SMK003")
def frozen_group(directory: Path) -> None:
    """All matrices are frozen after the optimizer has got them: a whole parameter group never changes."""
    loop = directory / LOOP
    replace_text(
        loop,
        "    print(optimizer)\n",
        "    print(optimizer)\n"
        '    for parameter in optimizer.param_groups[1]["params"]:\n'
        "        parameter.requires_grad_(False)\n",
    )
    ddp = "torch.nn.parallel.DistributedDataParallel(model)"
    replace_text(loop, ddp, f"{ddp[:-1]}, find_unused_parameters=True)")


@fault("SMK004")
def set_epoch_never_called(directory: Path) -> None:
    """The epoch is set once, when the loader is built, so every epoch has the samples of the first."""
    loop = directory / LOOP
    replace_text(loop, "    train_tools.set_epoch(data_loader, epoch)\n", "")
    replace_text(
        loop,
        '    print(f"Building test dataset {args.dataset.test_dataset}")\n',
        "    train_tools.set_epoch(train_loader, 0)\n"
        '    print(f"Building test dataset {args.dataset.test_dataset}")\n',
    )


@fault("SMK005")
def scheduler_per_process(directory: Path) -> None:
    """The schedule is stepped once for each process, so it runs through its curve too fast."""
    replace_text(
        directory / LOOP,
        "epoch_f = epoch + step / len(data_loader)",
        "epoch_f = (epoch + step / len(data_loader)) * train_tools.get_world_size()",
    )


@fault("SMK007")
def resume_off_by_one(directory: Path) -> None:
    """A resume trains the last complete epoch again."""
    replace_text(
        directory / TOOLS,
        'train_args.start_epoch = checkpoint["epoch"] + 1',
        'train_args.start_epoch = checkpoint["epoch"]',
    )


@fault("SMK009")
def optimizer_not_restored(directory: Path) -> None:
    """A resume restores the weights, and lets the optimizer begin anew."""
    replace_text(directory / TOOLS, '    optimizer.load_state_dict(checkpoint["optimizer"])\n', "")


@fault("SMK014")
def optimizer_of_a_copy(directory: Path) -> None:
    """The optimizer gets the parameters of a copy of the model, so the model is never updated."""
    replace_text(
        directory / LOOP,
        "train_tools.get_parameter_groups(\n        model_without_ddp,\n",
        'train_tools.get_parameter_groups(\n        __import__("copy").deepcopy(model_without_ddp),\n',
    )


@fault("SMK015", "train_params.accum_iter=2")
def accumulated_batches_cleared(directory: Path) -> None:
    """Gradients are cleared after each batch, so of those that are accumulated only the last one arrives."""
    replace_text(
        directory / LOOP,
        "        if update:\n            optimizer.zero_grad()\n",
        "        optimizer.zero_grad()\n",
    )


@fault("SMK016")
def loss_divided_twice(directory: Path) -> None:
    """The loss of a batch is divided by the number of accumulated batches, and once more before backward."""
    old = "return loss * (2 / max(len(batch), 2)), details"
    replace_text(directory / LOOP, old, old.replace(", details", " / params.accum_iter, details"))


@fault("SMK017")
def heads_clipped_only(directory: Path) -> None:
    """Only the gradients of the heads are clipped, the others may be of any length."""
    replace_text(
        directory / LOOP,
        "optimizer, model.parameters(), update_grad=update)",
        'optimizer, [p for n, p in model.named_parameters() if "head" in n], update_grad=update)',
    )


@fault("SMK022")
def evaluated_in_training_mode(directory: Path) -> None:
    """Evaluation changes the flag of the outermost module only; all others stay in training mode."""
    replace_text(directory / LOOP, "    model.eval()\n", "    model.training = False\n")


@fault("SMK024")
def samples_mixed(directory: Path) -> None:
    """The mean over the views of a sample goes over the samples of its batch as well."""
    replace_text(
        directory / MODEL,
        "shared = pooled.mean(0)\n",
        "shared = pooled.mean((0, 1)).expand_as(pooled[0])\n",
    )


@fault("SMK025")
def average_is_the_last_value(directory: Path) -> None:
    """The average of a meter is its last value, so a curve shows the last batch of each evaluation."""
    replace_text(directory / METERS, "return self.total / self.count", "return self.window[-1]")


@fault("SMK010")
def rate_counted_from_resume(directory: Path) -> None:
    """The schedule counts epochs from the resume: its warm-up begins anew each time."""
    replace_text(
        directory / LOOP, "optimizer, epoch_f, params,", "optimizer, epoch_f - params.start_epoch, params,"
    )


@fault("SMK030")
def resume_from_the_best(directory: Path) -> None:
    """A resume reads the best checkpoint instead of the newest: the epochs after it are lost."""
    replace_text(
        directory / LOOP,
        'last = output_dir / "checkpoint-last.pth"',
        'last = output_dir / "checkpoint-best.pth"',
    )


@fault("SMK031")
def retention_sorts_by_name(directory: Path) -> None:
    """Only three numbered checkpoints are kept, sorted by name: the tenth goes before the ninth."""
    replace_text(
        directory / LOOP,
        "        if trained and new_best:\n",
        '        for old in sorted(output_dir.glob("checkpoint-[0-9]*.pth"))[:-3]:\n'
        "            old.unlink()\n"
        "        if trained and new_best:\n",
    )


@fault("SMK032")
def best_loss_forgotten(directory: Path) -> None:
    """A resume forgets the best loss so far: the next evaluation is the best, however bad."""
    replace_text(directory / TOOLS, 'return checkpoint.get("best_so_far")', "return None")


@fault("SMK034")
def checkpoint_written_in_place(directory: Path) -> None:
    """A checkpoint is saved under its own name: a kill meanwhile leaves half a file."""
    replace_text(
        directory / TOOLS,
        '        temporary = path.with_suffix(path.suffix + ".tmp")\n'
        "        torch.save(content, temporary)\n"
        "        temporary.replace(path)\n",
        "        torch.save(content, path)\n",
    )
