"""Tools of the training loop: processes, learning rate, parameter groups, checkpoints."""

import builtins
import datetime
import json
import math
import os
from pathlib import Path

import torch
import torch.distributed as dist

from mapanything.utils.metric_logger import MetricLogger, SmoothedValue  # noqa: F401


def get_world_size():
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def get_rank():
    """Number of this process among them."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def is_main_process():
    """Whether this process prints and saves."""
    return get_rank() == 0


def init_distributed_mode(args):
    """Join the other processes that torchrun has started; only the first one prints from then on."""
    args.distributed = "RANK" in os.environ and "WORLD_SIZE" in os.environ
    if not args.distributed:
        print("Not using distributed mode")
        setup_for_distributed(is_master=True)
        return
    args.rank, args.world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    args.gpu = int(os.environ["LOCAL_RANK"])
    args.dist_backend = "nccl" if torch.cuda.is_available() else "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(args.gpu)
    print(f"| distributed init (rank {args.rank}): {args.dist_url}, gpu {args.gpu}", flush=True)
    limit = datetime.timedelta(seconds=int(os.environ.get("TORCH_DIST_TIMEOUT", 7200)))
    dist.init_process_group(
        args.dist_backend, args.dist_url, world_size=args.world_size, rank=args.rank, timeout=limit
    )
    dist.barrier()
    setup_for_distributed(is_master=args.rank == 0)


def setup_for_distributed(is_master):
    """Let only the first process print, each time with the time before it; `force=True` always prints."""
    plain_print = builtins.print

    def print_with_time(*values, force=False, **options):
        if is_master or force:
            plain_print(f"[{datetime.datetime.now().time()}] ", end="")
            plain_print(*values, **options)

    builtins.print = print_with_time


def all_reduce_mean(value):
    """The mean of a number over all processes."""
    if get_world_size() == 1:
        return value
    total = torch.tensor(value, device="cuda" if torch.cuda.is_available() else "cpu")
    dist.all_reduce(total)
    return (total / get_world_size()).item()


def set_epoch(data_loader, epoch):
    """Tell dataset and samplers which epoch follows."""
    for part in (data_loader.dataset, data_loader.sampler, data_loader.batch_sampler):
        if hasattr(part, "set_epoch"):
            part.set_epoch(epoch)


def adjust_learning_rate(
    optimizer, epoch, train_args, parameter_group_idx_to_name_map, submodule_configs=None
):
    """Set the learning rate at this (fractional) epoch: linear warm-up, then half a cosine to min_lr."""
    for index, group in enumerate(optimizer.param_groups):
        name = parameter_group_idx_to_name_map.get(index)
        config = (submodule_configs or {}).get(name, {})
        lr = config.get("lr", train_args.lr)
        min_lr = config.get("min_lr", train_args.min_lr)
        warmup = config.get("warmup_epochs", train_args.warmup_epochs)
        schedule = config.get("schedule_type", train_args.schedule_type)
        if schedule != "linear_warmup_half_cycle_cosine_decay":
            raise ValueError(f"schedule_type {schedule} is not implemented")
        if epoch < warmup:
            group["lr"] = lr * epoch / warmup
        else:
            progress = (epoch - warmup) / (train_args.epochs - warmup)
            group["lr"] = min_lr + (lr - min_lr) * 0.5 * (1.0 + math.cos(math.pi * progress))


def get_parameter_groups(
    model, lr, weight_decay, skip_list=(), submodule_configs=None, warn_not_in_submodule=False
):
    """Parameter groups by sub-module, with and without weight decay; and their names and numbers."""
    submodule_configs = submodule_configs or {}
    groups, names, name_to_indices, index_to_name = {}, {}, {}, {}
    for name, parameter in model.named_parameters():
        submodule = next((prefix for prefix in submodule_configs if name.startswith(prefix)), None)
        config = submodule_configs[submodule] if submodule else {}
        if submodule is None and submodule_configs and warn_not_in_submodule:
            print(f"Warning: parameter {name} belongs to none of {list(submodule_configs)}")
        if config.get("lr", lr) == 0:
            parameter.requires_grad = False
        if not parameter.requires_grad:
            continue
        plain = parameter.ndim == 1 or name in skip_list
        key = f"{submodule}_" * bool(submodule) + ("no_decay" if plain else "decay")
        if key not in groups:
            name_to_indices.setdefault(submodule or "default", []).append(len(groups))
            index_to_name[len(groups)] = submodule or "default"
            decay = 0.0 if plain else config.get("weight_decay", weight_decay)
            groups[key] = {"weight_decay": decay, "lr": config.get("lr", lr), "params": []}
        groups[key]["params"].append(parameter)
        names.setdefault(key, []).append(name)
    print("Param groups = " + json.dumps(names, indent=2))
    return list(groups.values()), name_to_indices, index_to_name


class NativeScalerWithGradNormCount:
    """The backward pass, clipping and step, with loss scaling where there is a GPU."""

    def __init__(self):
        self._scaler = torch.GradScaler("cuda", enabled=torch.cuda.is_available())

    def __call__(self, loss, optimizer, parameters, clip_grad=1.0, update_grad=True):
        """Returns the norm of the gradients, None where they only accumulate."""
        self._scaler.scale(loss).backward()
        if not update_grad:
            return None
        self._scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(parameters, clip_grad)
        self._scaler.step(optimizer)
        self._scaler.update()
        return norm

    def state_dict(self):
        """What resuming needs."""
        return self._scaler.state_dict()

    def load_state_dict(self, state):
        """Go on from a saved state."""
        self._scaler.load_state_dict(state)


def save_on_master(content, path):
    """Save from the first process: a temporary file, then a rename."""
    if is_main_process():
        path = Path(path)
        temporary = path.with_suffix(path.suffix + ".tmp")
        torch.save(content, temporary)
        temporary.replace(path)


def save_model(args, epoch, model_without_ddp, optimizer, loss_scaler, fname=None, best_so_far=None):
    """Save all that resuming needs as checkpoint-NAME.pth; `epoch` is the last one that is complete."""
    content = {
        "model": model_without_ddp.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scaler": loss_scaler.state_dict(),
        "args": args,
        "epoch": epoch,
    }
    if best_so_far is not None:
        content["best_so_far"] = best_so_far
    path = Path(args.output_dir) / f"checkpoint-{epoch if fname is None else fname}.pth"
    print(f">> Saving model to {path} ...")
    save_on_master(content, path)


def load_model(train_args, model_without_ddp, optimizer, loss_scaler):
    """Resume from `train_args.resume_ckpt`, if any; returns the best loss so far."""
    train_args.start_epoch = 0
    if not train_args.resume or train_args.resume_ckpt is None:
        return None
    checkpoint = torch.load(train_args.resume_ckpt, map_location="cpu", weights_only=False)
    print(f"Resume checkpoint {train_args.resume_ckpt}")
    model_without_ddp.load_state_dict(checkpoint["model"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    loss_scaler.load_state_dict(checkpoint["scaler"])
    train_args.start_epoch = checkpoint["epoch"] + 1
    print(f"With optim & sched! start_epoch={train_args.start_epoch}")
    return checkpoint.get("best_so_far")
