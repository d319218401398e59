"""The training loop: epochs of training, evaluation and checkpoints."""

import datetime
import math
import re
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

import mapanything.utils.train_tools as train_tools
from mapanything.datasets import get_test_data_loader, get_train_data_loader
from mapanything.models import init_model
from mapanything.train import losses
from mapanything.train.records import write_log_stats, write_scalars
from mapanything.utils.inference import loss_of_one_batch_multi_view


def train(args):
    """Train as the config says, from the last checkpoint of the run directory if there is one."""
    train_tools.init_distributed_mode(args.distributed)
    output_dir = Path(args.output_dir)
    print(f"output_dir: {output_dir}")
    output_dir.mkdir(parents=True, exist_ok=True)
    print(f"job dir: {Path(__file__).resolve().parent}")
    print(f"{args}".replace(", ", ",\n"))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    seed = args.train_params.seed + train_tools.get_rank()
    torch.manual_seed(seed)
    np.random.seed(seed)

    train_loader, test_loaders = build_loaders(args)
    model = init_model(args.model.model_str, args.model.model_config, args.model.torch_hub_force_reload).to(
        device
    )
    print(f"Model = {model}")
    train_criterion = build_criterion("train", args.loss.train_criterion).to(device)
    test_criterion = build_criterion("test", args.loss.test_criterion or args.loss.train_criterion).to(device)
    model_without_ddp = model
    if args.distributed.distributed:
        model = torch.nn.parallel.DistributedDataParallel(model)

    params = args.train_params
    groups, name_to_indices, index_to_name = train_tools.get_parameter_groups(
        model_without_ddp,
        params.lr,
        params.weight_decay,
        submodule_configs=params.submodule_configs,
        warn_not_in_submodule=params.warn_not_in_submodule,
    )
    optimizer = torch.optim.AdamW(groups, lr=params.lr, betas=(0.9, 0.95))
    print(optimizer)
    loss_scaler = train_tools.NativeScalerWithGradNormCount()
    last = output_dir / "checkpoint-last.pth"
    params.resume_ckpt = str(last) if params.resume and last.is_file() else None
    best = train_tools.load_model(params, model_without_ddp, optimizer, loss_scaler)
    best = float("inf") if best is None else best
    log_writer = SummaryWriter(log_dir=str(output_dir)) if train_tools.is_main_process() else None

    def save(epoch, name):
        train_tools.save_model(
            args, epoch, model_without_ddp, optimizer, loss_scaler, fname=name, best_so_far=best
        )

    print(f"Start training for {params.epochs} epochs")
    started = time.time()
    train_stats = {}
    for epoch in range(params.start_epoch, params.epochs + 1):
        trained = epoch > params.start_epoch
        if trained and (params.save_freq and epoch % params.save_freq == 0 or epoch == params.epochs):
            save(epoch - 1, "last")
        test_stats, new_best = {}, False
        if params.eval_freq and epoch > 0 and epoch % params.eval_freq == 0 and test_loaders:
            for name, loader in test_loaders.items():
                print(f"Testing on {name} ...")
                test_stats[name] = test_one_epoch(
                    model, test_criterion, loader, device, epoch, args, log_writer=log_writer, prefix=name
                )
            median = float(np.mean([stats["loss_med"] for stats in test_stats.values()]))
            best, new_best = min(best, median), median < best
        write_log_stats(output_dir, epoch, train_stats, test_stats)
        if trained and params.keep_freq and epoch % params.keep_freq == 0:
            save(epoch - 1, str(epoch))
        if trained and new_best:
            save(epoch - 1, "best")
        if epoch >= params.epochs:
            break
        train_stats = train_one_epoch(
            model,
            train_criterion,
            train_loader,
            optimizer,
            device,
            epoch,
            loss_scaler,
            args,
            log_writer=log_writer,
            param_groups_name_to_idx_map=name_to_indices,
            param_groups_idx_to_name_map=index_to_name,
        )
    print(f"Training time {datetime.timedelta(seconds=int(time.time() - started))}")
    save_final_model(args, params.epochs, model_without_ddp, best_so_far=best)
    if log_writer is not None:
        log_writer.close()
    if args.distributed.distributed:
        torch.distributed.destroy_process_group()


def build_loaders(args):
    """The training loader, and the test loaders by name."""
    print(f"Building train dataset {args.dataset.train_dataset}")
    train_loader = build_dataset(
        dataset=args.dataset.train_dataset,
        num_workers=args.dataset.num_workers,
        test=False,
        max_num_of_imgs_per_gpu=args.train_params.max_num_of_imgs_per_gpu,
    )
    print(f"Building test dataset {args.dataset.test_dataset}")
    test_batch_size = 2 * (args.train_params.max_num_of_imgs_per_gpu // args.dataset.num_views)
    test_loaders = {
        test_set_name(dataset): build_dataset(
            dataset=dataset, num_workers=args.dataset.num_workers, test=True, batch_size=test_batch_size
        )
        for dataset in args.dataset.test_dataset.split("+")
        if "(" in dataset
    }
    return train_loader, test_loaders


def test_set_name(dataset):
    """Class and split of a dataset expression: two splits of one class have different names."""
    class_name, split = re.search(r"(\w+)\(", dataset)[1], re.search(r"split='(\w+)'", dataset)[1]
    return f"{class_name}_{split}"


def build_dataset(dataset, num_workers, test, batch_size=None, max_num_of_imgs_per_gpu=None):
    """The loader of a dataset expression."""
    split = "Test" if test else "Train"
    print(f"Building {split} Data loader for dataset: {dataset}")
    if test:
        loader = get_test_data_loader(dataset, batch_size=batch_size, num_workers=num_workers)
    else:
        loader = get_train_data_loader(
            dataset, max_num_of_imgs_per_gpu=max_num_of_imgs_per_gpu, num_workers=num_workers
        )
    print(f"{split} dataset length: {len(loader)}")
    return loader


def build_criterion(kind, expression):
    """The criterion that an expression over the losses names."""
    print(f">> Creating {kind} criterion = {expression}")
    return eval(expression, vars(losses))


def train_one_epoch(
    model,
    criterion,
    data_loader,
    optimizer,
    device,
    epoch,
    loss_scaler,
    args,
    log_writer=None,
    param_groups_name_to_idx_map=None,
    param_groups_idx_to_name_map=None,
    model_without_ddp=None,
):
    """One epoch of updates; returns the average of every meter."""
    params = args.train_params
    model.train()
    metric_logger = train_tools.MetricLogger()
    rate_meters = {"lr" if name == "default" else f"lr_{name}": name for name in param_groups_name_to_idx_map}
    for meter in rate_meters:
        metric_logger.add_meter(meter, train_tools.SmoothedValue(window_size=1, fmt="{value:.6f}"))
    train_tools.set_epoch(data_loader, epoch)
    optimizer.zero_grad()
    for step, batch in enumerate(
        metric_logger.log_every(data_loader, params.print_freq, f"Epoch: [{epoch}]")
    ):
        epoch_f = epoch + step / len(data_loader)
        if step % params.accum_iter == 0:
            train_tools.adjust_learning_rate(
                optimizer, epoch_f, params, param_groups_idx_to_name_map, params.submodule_configs
            )
        loss, details = _loss(batch, model, criterion, device, params)
        loss_value = loss.detach().item()
        _stop_if_unstable(loss_value, details, epoch, step, params)
        update = (step + 1) % params.accum_iter == 0
        norm = loss_scaler(loss / params.accum_iter, optimizer, model.parameters(), update_grad=update)
        if update:
            optimizer.zero_grad()
        rates = {
            meter: optimizer.param_groups[param_groups_name_to_idx_map[name][0]]["lr"]
            for meter, name in rate_meters.items()
        }
        metric_logger.update(**rates, epoch=epoch_f, loss=loss_value, **details)
        if (step + 1) % (params.accum_iter * params.print_freq) == 0:
            mean = train_tools.all_reduce_mean(loss_value)
            values = {"train_loss": mean, "train_grad_norm": norm, "train_iter": epoch_f * 1000}
            values |= {f"train_{name}": value for name, value in (rates | details).items()}
            write_scalars(log_writer, values, int(epoch_f * 1000))
    return {name: meter.global_avg for name, meter in metric_logger.meters.items()}


@torch.no_grad()
def test_one_epoch(model, criterion, data_loader, device, epoch, args, log_writer=None, prefix="test"):
    """Losses on a test set; returns the average and the median of every meter."""
    params = args.train_params
    model.eval()
    metric_logger = train_tools.MetricLogger(window_size=9**9)
    train_tools.set_epoch(data_loader, 0 if params.freeze_val_samples_across_all_epochs else epoch)
    for batch in metric_logger.log_every(data_loader, params.print_freq, f"Test Epoch: [{epoch}]"):
        loss, details = _loss(batch, model, criterion, device, params)
        metric_logger.update(loss=float(loss), **details)
    results = {}
    for name, meter in metric_logger.meters.items():
        results |= {f"{name}_avg": meter.global_avg, f"{name}_med": meter.median}
    write_scalars(log_writer, {f"{prefix}_{name}": value for name, value in results.items()}, 1000 * epoch)
    return results


def save_final_model(args, epoch, model_without_ddp, best_so_far=None):
    """The weights alone, as checkpoint-final.pth."""
    path = Path(args.output_dir) / "checkpoint-final.pth"
    content = {"args": args, "model": model_without_ddp.cpu().state_dict(), "epoch": epoch}
    if best_so_far is not None:
        content["best_so_far"] = best_so_far
    print(f">> Saving model to {path} ...")
    train_tools.save_on_master(content, path)


def _loss(batch, model, criterion, device, params):
    """The loss of a batch, as if it had two views, and its parts."""
    loss, details = loss_of_one_batch_multi_view(
        batch, model, criterion, device, use_amp=bool(params.amp), amp_dtype=params.amp_dtype, ret="loss"
    )
    return loss * (2 / max(len(batch), 2)), details


def _stop_if_unstable(loss, details, epoch, step, params):
    if math.isfinite(loss) and not (params.check_loss_instability and loss > params.max_loss_value):
        return
    print(f"Loss is {loss}, stopping training", force=True)
    print(f"Loss Details: {details}", force=True)
    print(f"Epoch: {epoch}, Data Iteration: {step}", force=True)
    sys.exit(1)
