"""Healthy variations of the embedded repository, on which the doctor has nothing to say, and what it says.

Each is an edit like those of `opv2v_doctor.sandbox.faults`, of something that is done otherwise and rightly.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from exam.generator import PANORAMA, PINHOLE, Launch
from exam.judgement import alarms
from exam.report import read
from exam.stages import TooLate, examined
from exam.trial import Healthy, Warm, make_pretrained
from opv2v_doctor.sandbox import copy_repository
from opv2v_doctor.sandbox import history as git
from opv2v_doctor.sandbox.faults.fault import replace_text, set_value

LOOP = "mapanything/train/training.py"
TOOLS = "mapanything/utils/train_tools.py"
MODEL = "mapanything/models/mapanything.py"
LOADERS = "mapanything/datasets/__init__.py"
EASY = "mapanything/datasets/base/easy_dataset.py"
BASE = "mapanything/datasets/base/base_dataset.py"
PANORAMAS = "mapanything/datasets/opv2v_cyl.py"
CAMERAS = "mapanything/datasets/opv2v.py"
CROPPING = "mapanything/utils/cropping.py"
PARAMS = "configs/train_params/opv2v_cyl_coop.yaml"
DEFAULTS = "configs/train_params/default.yaml"
LOSS = "configs/loss/opv2v_pose_loss.yaml"
SPLITS = ("train", "val", "test")
BRIEF = 180.0  # seconds
SPARSE = 0.9  # of the depth's pixels are lost


@dataclass(frozen=True)
class Variation:
    """A named edit, and the launch that it is examined in."""

    name: str
    summary: str
    launch: Launch
    reshaped: bool  # the model has other weights, so the pretrained ones are made anew
    edit: Callable[[Path], None] = field(repr=False, compare=False)


VARIATIONS: dict[str, Variation] = {}


def variation(
    launch: Launch = PANORAMA, *, reshaped: bool = False
) -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    """Register an edit under its function's name."""

    def register(edit: Callable[[Path], None]) -> Callable[[Path], None]:
        name = str(getattr(edit, "__name__", ""))
        VARIATIONS[name] = Variation(name, (edit.__doc__ or "").split("\n")[0], launch, reshaped, edit)
        return edit

    return register


def alarmed(
    healthy: Healthy,
    only: Sequence[str],
    output: Path | None,
    stages: Sequence[str],
    say: Callable[[str], None],
) -> int:
    """Examine every variation; 1 where one raised an alarm or could not be trained."""
    import exam.other_ways  # noqa: F401 (they register themselves)

    chosen = [each for each in VARIATIONS.values() if not only or each.name in only]
    records = read(output) if output else []
    done, warm = {each["name"] for each in records}, Warm()
    try:
        for each in chosen:
            if each.name not in done:
                records.append(_examined(each, healthy, warm, stages))
                if output:
                    with output.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(records[-1]) + "\n")
                for line in _lines(records[-1]):
                    say(line)
    finally:
        warm.end()
    loud = [each["name"] for each in records if each["alarms"]]
    say(f"{len(records) - len(loud)} of {len(records)} healthy variations are silent; alarms: {loud}")
    return int(bool(loud))


def _examined(chosen: Variation, healthy: Healthy, warm: Warm, stages: Sequence[str]) -> dict[str, Any]:
    """What a variation is told that the untouched repository is not; first of all, that it trains."""
    copy, said = healthy.folder / f"variation-{chosen.name}", []
    copy_repository(healthy.repo, copy)
    chosen.edit(copy)
    if chosen.reshaped:
        make_pretrained(copy)
    git.commit(copy, "Another way")
    asked = {"samples": False, "traced": False, "healthy": ""}
    trained = warm.measure(copy, chosen.launch, healthy.folder, BRIEF, **asked)
    if trained["difference"]:
        last = trained["phases"][trained["phase"]]["said"].strip().splitlines()[-1:]
        said.append(
            {"stage": "training", "code": "", "status": "failed", "message": f"{trained['phase']}: {last}"}
        )
    for stage in stages if not said else ():
        try:
            results = examined(stage, copy, chosen.launch.overrides, healthy.folder / "scratch-variation")
            said += [
                {"stage": stage, **each} for each in alarms(results, healthy.silent(chosen.launch, stage))
            ]
        except TooLate:
            said.append({"stage": stage, "code": "", "status": "too late", "message": ""})
    shutil.rmtree(copy)
    return {"name": chosen.name, "summary": chosen.summary, "launch": chosen.launch.name, "alarms": said}


def _lines(record: dict[str, Any]) -> list[str]:
    told = [f"{record['name']:32} {'ALARM' if record['alarms'] else 'silent'}"]
    for each in record["alarms"]:
        place = f"{each['path']}:{each['line']}" if each.get("path") else ""
        told.append(f"    {each['stage']} {each['code']} {each['status']}: {each['message'][:400]} {place}")
    return told


# What is drawn


@variation(PINHOLE)
def mirrored(directory: Path) -> None:
    """Half of the training samples are mirrored: images, depth, masks, principal points, rays and poses."""
    replace_text(
        directory / BASE,
        "        return [self._complete(view, (",
        "        if self.augmented and self._rng.random() < 0.5:\n"
        "            drawn = [mirrored(view) for view in drawn]\n"
        "        return [self._complete(view, (",
    )
    replace_text(
        directory / BASE,
        "        self.aug_crop = aug_crop\n",
        '        self.aug_crop = aug_crop\n        self.augmented = transform == "colorjitter"\n',
    )
    replace_text(
        directory / BASE,
        "\n\nclass BaseDataset(",
        '''

def mirrored(view):
    """A view in a mirrored world: x becomes -x, for pixels, points and poses alike."""
    flip = np.diag([-1.0, 1.0, 1.0, 1.0])
    width = view["depthmap"].shape[1]
    intrinsics = view["camera_intrinsics"].copy()
    intrinsics[0, 2] = width - intrinsics[0, 2]
    return {
        **view,
        "img": np.ascontiguousarray(view["img"][:, ::-1]),
        "depthmap": view["depthmap"][:, ::-1].copy(),
        "non_ambiguous_mask": view["non_ambiguous_mask"][:, ::-1].copy(),
        "ray_directions_cam": view["ray_directions_cam"][:, ::-1] * [-1.0, 1.0, 1.0],
        "camera_intrinsics": intrinsics,
        "camera_pose": flip @ view["camera_pose"] @ flip,
    }


class BaseDataset(''',
    )


@variation()
def panoramas_begin_elsewhere(directory: Path) -> None:
    """The panoramas' left edge looks to the right: image, depth, mask and rays begin there alike."""
    replace_text(
        directory / PANORAMAS,
        '        return {\n            "img": panorama.image,\n            "depthmap": panorama.depth,\n'
        '            "non_ambiguous_mask": panorama.mask,\n'
        '            "ray_directions_cam": self.stitcher.rays,\n',
        "        by = panorama.depth.shape[1] // 4\n"
        '        return {\n            "img": np.roll(panorama.image, by, axis=1),\n'
        '            "depthmap": np.roll(panorama.depth, by, axis=1),\n'
        '            "non_ambiguous_mask": np.roll(panorama.mask, by, axis=1),\n'
        '            "ray_directions_cam": np.roll(self.stitcher.rays, by, axis=1),\n',
    )


@variation(PINHOLE)
def cropped_at_random(directory: Path) -> None:
    """Each image is cropped elsewhere, and its principal point follows."""
    replace_text(
        directory / CROPPING,
        "    left, top = (image.shape[1] - resolution[0]) // 2, (image.shape[0] - resolution[1]) // 2\n",
        "    spare = image.shape[1] - resolution[0], image.shape[0] - resolution[1]\n"
        "    left, top = (int(np.floor(random.random() * (each + 1))) for each in spare)\n",
    )
    for name in ("crop_resize", "crop_to_middle"):
        replace_text(
            directory / CROPPING,
            f"def {name}(image, depth, intrinsics, resolution):",
            f"def {name}(image, depth, intrinsics, resolution, random):",
        )
    replace_text(
        directory / CROPPING,
        "return crop_to_middle(image, depth, intrinsics, resolution)",
        "return crop_to_middle(image, depth, intrinsics, resolution, random)",
    )
    replace_text(
        directory / CAMERAS,
        "crop_resize(image, depth, intrinsics, resolution)",
        "crop_resize(image, depth, intrinsics, resolution, self._rng)",
    )


@variation()
def sparse_depth(directory: Path) -> None:
    """Nine tenths of the depth's pixels were not measured."""
    random = np.random.default_rng(5)
    for path in sorted((directory / "data/opv2v_depth").rglob("*_depth.npy")):
        depth = np.load(path)
        np.save(path, np.where(random.random(depth.shape) < SPARSE, 0, depth).astype(np.float32))


@variation()
def noise_in_training(directory: Path) -> None:
    """Training images get noise, drawn from the sample's own random numbers."""
    replace_text(
        directory / "mapanything/utils/image.py",
        "    middle = pixels.mean()\n",
        "    pixels = pixels + random.normal(0, 0.02, pixels.shape).astype(np.float32)\n"
        "    middle = pixels.mean()\n",
    )


@variation()
def no_colour_jitter(directory: Path) -> None:
    """Training images are as they are."""
    set_value(directory / "configs/dataset/opv2v/train/cyl_coop.yaml", "transform", "'imgnorm'")


@variation()
def other_panorama_size(directory: Path) -> None:
    """Panoramas are 192 by 48 pixels, in every split."""
    for split in SPLITS:
        set_value(
            directory / f"configs/dataset/opv2v/{split}/cyl_coop.yaml", "panorama_resolution", "[192, 48]"
        )


@variation(PINHOLE)
def other_image_size(directory: Path) -> None:
    """Images are 112 by 80 pixels, in every split."""
    for split in ("train", "val"):
        set_value(directory / "configs/dataset/opv2v_coop_ft.yaml", f"resolution_{split}", "[112, 80]")


@variation()
def narrower_field_of_view(directory: Path) -> None:
    """Panoramas see 70 degrees of height, in every split."""
    for split in SPLITS:
        set_value(
            directory / f"configs/dataset/opv2v/{split}/cyl_coop.yaml", "panorama_vertical_fov_deg", "70.0"
        )


@variation()
def cameras_in_another_order(directory: Path) -> None:
    """The rear camera is stitched first."""
    set_value(directory / "configs/dataset/opv2v/cyl_coop.yaml", "camera_ids", "[3, 1, 2, 0]")


@variation()
def three_views(directory: Path) -> None:
    """A sample has two or three views."""
    set_value(directory / "configs/dataset/opv2v_cyl_coop_ft.yaml", "num_views", "3")
    for split in SPLITS:
        set_value(directory / f"configs/dataset/opv2v/{split}/cyl_coop.yaml", "max_num_views", "3")


@variation(PINHOLE)
def world_poses(directory: Path) -> None:
    """The cameras' poses lead to the world."""
    set_value(directory / "configs/dataset/opv2v/coop.yaml", "pose_reference", "world")


@variation(PINHOLE)
def opengl_cameras(directory: Path) -> None:
    """Cameras look along -z, with y up: their poses and their rays."""
    set_value(directory / "configs/dataset/opv2v/coop.yaml", "pose_axes", "opengl")


@variation()
def another_name(directory: Path) -> None:
    """The dataset's class and module have other names."""
    for path in [*directory.rglob("*.py"), *directory.rglob("*.yaml")]:
        text = path.read_text()
        changed = text.replace("OPV2VCoopCylindricalDataset", "AroundViews").replace(
            "datasets.opv2v_cyl import", "datasets.around import"
        )
        if changed != text:
            path.write_text(changed)
    (directory / PANORAMAS).rename(directory / "mapanything/datasets/around.py")


# How it is loaded


@variation()
def two_workers(directory: Path) -> None:
    """Two workers draw samples."""
    set_value(directory / "configs/dataset/default.yaml", "num_workers", "2")


@variation()
def workers_that_persist(directory: Path) -> None:
    """Workers live on from epoch to epoch, and read the epoch from memory that is shared with them."""
    set_value(directory / "configs/dataset/default.yaml", "num_workers", "2")
    replace_text(
        directory / LOADERS,
        "        batch_sampler=batch_sampler,\n        num_workers=num_workers,\n",
        "        batch_sampler=batch_sampler,\n        num_workers=num_workers,\n"
        "        persistent_workers=num_workers > 0,\n",
    )
    replace_text(
        directory / BASE,
        "        self.epoch = 0\n",
        "        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()\n",
    )
    replace_text(directory / BASE, "import numpy as np\n", "import numpy as np\nimport torch\n")
    replace_text(
        directory / BASE,
        "    def set_epoch(self, epoch):\n        self.epoch = epoch\n",
        "    @property\n    def epoch(self):\n        return int(self._epoch)\n\n"
        "    def set_epoch(self, epoch):\n        self._epoch[0] = epoch\n",
    )
    replace_text(
        directory / EASY,
        "        self.new_size = int(size)\n",
        "        self.new_size = int(size)\n"
        "        self._epoch = torch.full((1,), -1, dtype=torch.int64).share_memory_()\n"
        "        self._mapped_epoch = None\n",
    )
    replace_text(directory / EASY, "import numpy as np\n", "import numpy as np\nimport torch\n")
    replace_text(
        directory / EASY,
        "        super().set_epoch(epoch)\n        count = len(self.dataset)\n"
        "        order = epoch_generator(epoch).permutation(count)\n",
        "        super().set_epoch(epoch)\n        self._epoch[0] = epoch\n\n"
        "    def _map(self):\n        epoch, count = int(self._epoch), len(self.dataset)\n"
        "        if epoch == self._mapped_epoch:\n            return\n"
        "        self._mapped_epoch = epoch\n"
        "        order = epoch_generator(epoch).permutation(count)\n",
    )
    replace_text(
        directory / EASY,
        '        if not hasattr(self, "_idxs_mapping"):\n',
        "        if int(self._epoch) >= 0:\n            self._map()\n"
        '        if not hasattr(self, "_idxs_mapping"):\n',
    )


@variation()
def own_collation(directory: Path) -> None:
    """Batches are put together by a function of the repository."""
    replace_text(
        directory / LOADERS,
        "\n\ndef get_train_data_loader(",
        '''

def collate(samples):
    """A batch: for each view, the tensors of all samples."""
    return [torch.utils.data.default_collate(list(views)) for views in zip(*samples, strict=True)]


def get_train_data_loader(''',
    )
    replace_text(
        directory / LOADERS,
        "        batch_sampler=batch_sampler,\n",
        "        batch_sampler=batch_sampler,\n        collate_fn=collate,\n",
    )


@variation()
def torch_sampler(directory: Path) -> None:
    """Training draws with torch's DistributedSampler, two samples a batch, always four views."""
    text = (directory / LOADERS).read_text()
    first = text.index("    batch_sampler = dataset.make_sampler(")
    last = text.index("def get_test_data_loader(")
    loader = """    sampler = torch.utils.data.DistributedSampler(
        dataset, num_replicas=get_world_size(), rank=get_rank(), shuffle=shuffle, drop_last=drop_last
    )
    return torch.utils.data.DataLoader(
        dataset,
        sampler=sampler,
        batch_size=max(1, max_num_of_imgs_per_gpu // 2),
        num_workers=num_workers,
        pin_memory=pin_mem,
        drop_last=drop_last,
    )


"""
    (directory / LOADERS).write_text(text[:first] + loader + text[last:])
    replace_text(
        directory / "configs/dataset/default.yaml",
        "train:\n  variable_num_views: true\n",
        "train:\n  variable_num_views: false\n",
    )


# The model


@variation()
def dropout(directory: Path) -> None:
    """The encoder has dropout."""
    replace_text(
        directory / MODEL,
        "            nn.Conv2d(2 * width, 2 * width, 3, padding=1),\n            nn.GELU(),\n",
        "            nn.Conv2d(2 * width, 2 * width, 3, padding=1),\n            nn.GELU(),\n"
        "            nn.Dropout(0.1),\n",
    )


@variation(reshaped=True)
def layer_norm(directory: Path) -> None:
    """What the views exchange is normalised first."""
    _normed(
        directory,
        "nn.LayerNorm(2 * width)",
        "self.norm(torch.stack([feature.mean((-2, -1)) for feature in features]))",
    )


@variation(reshaped=True)
def batch_norm(directory: Path) -> None:
    """The encoder has batch normalisation, which is synchronised where there are GPUs."""
    replace_text(
        directory / MODEL,
        "            nn.Conv2d(6, width, 5, stride=4, padding=2),\n",
        "            nn.Conv2d(6, width, 5, stride=4, padding=2),\n            nn.BatchNorm2d(width),\n",
    )
    replace_text(
        directory / LOOP,
        "    if args.distributed.distributed:\n        model = torch.nn",
        "    if args.distributed.distributed:\n        if torch.cuda.is_available():\n"
        "            model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)\n        model = torch.nn",
    )


def _normed(directory: Path, layer: str, pooled: str) -> None:
    replace_text(
        directory / MODEL,
        "        self.dense_head = nn.Conv2d(2 * width, 6, 1)\n",
        f"        self.norm = {layer}\n        self.dense_head = nn.Conv2d(2 * width, 6, 1)\n",
    )
    replace_text(directory / MODEL, "torch.stack([feature.mean((-2, -1)) for feature in features])", pooled)


@variation(reshaped=True)
def wider_model(directory: Path) -> None:
    """The model is half as wide again."""
    set_value(directory / "configs/model/mapanything.yaml", "width", "24")


@variation()
def gradient_checkpointing(directory: Path) -> None:
    """The encoder's activations are computed again in the backward pass."""
    replace_text(
        directory / MODEL,
        '[self.encoder(self._with_position(view["img"])) for view in views]',
        '[self._encoded(self._with_position(view["img"])) for view in views]',
    )
    replace_text(
        directory / MODEL,
        "    @staticmethod\n    def _with_position(",
        "    def _encoded(self, images):\n"
        '        """Features; in training their activations are not kept."""\n'
        "        if not self.training:\n            return self.encoder(images)\n"
        "        return torch.utils.checkpoint.checkpoint(self.encoder, images, use_reentrant=False)\n\n"
        "    @staticmethod\n    def _with_position(",
    )
    replace_text(
        directory / MODEL,
        "import torch\nfrom torch import nn\n",
        "import torch\nimport torch.utils.checkpoint\nfrom torch import nn\n",
    )


@variation()
def frozen_encoder(directory: Path) -> None:
    """The encoder keeps its pretrained weights: its learning rate is 0, as the config says."""
    set_value(directory / DEFAULTS, "submodule_configs", "{encoder: {lr: 0}}")
    replace_text(
        directory / LOOP,
        "    model_without_ddp = model\n",
        "    model_without_ddp = model\n"
        "    for name, options in (args.train_params.submodule_configs or {}).items():\n"
        '        model.get_submodule(name).requires_grad_(options.get("lr", 1) != 0)\n',
    )


@variation()
def compiled_never(directory: Path) -> None:
    """The script would compile the model where it is asked to, and it is not."""
    replace_text(directory / DEFAULTS, "amp: 1\n", "compile: false\namp: 1\n")
    replace_text(
        directory / LOOP,
        "    model_without_ddp = model\n",
        "    model_without_ddp = model\n    if args.train_params.compile:\n"
        "        model = torch.compile(model)\n",
    )


# The training


@variation()
def accumulation(directory: Path) -> None:
    """Two batches an update."""
    set_value(directory / DEFAULTS, "accum_iter", "2")


@variation()
def bfloat16(directory: Path) -> None:
    """The forward pass is computed in bfloat16; what the inference writes is made float32 again."""
    set_value(directory / PARAMS, "amp", "1")
    replace_text(
        directory / "scripts/infer.py", "prediction[name][0].cpu().numpy()", "_numbers(prediction[name][0])"
    )
    replace_text(
        directory / "scripts/infer.py",
        "\n\nif __name__",
        '\n\ndef _numbers(values):\n    """An array; numpy knows no bfloat16."""\n'
        "    values = values.cpu()\n"
        "    return (values.float() if values.is_floating_point() else values).numpy()\n\n\nif __name__",
    )


@variation()
def sgd(directory: Path) -> None:
    """SGD with momentum."""
    replace_text(
        directory / LOOP,
        "torch.optim.AdamW(groups, lr=params.lr, betas=(0.9, 0.95))",
        "torch.optim.SGD(groups, lr=params.lr, momentum=0.9, nesterov=True)",
    )


@variation()
def slower_encoder(directory: Path) -> None:
    """The encoder learns at a tenth of the others' rate."""
    set_value(directory / DEFAULTS, "submodule_configs", "{encoder: {lr: 0.001, min_lr: 0.00001}}")


@variation()
def constant_rate(directory: Path) -> None:
    """The learning rate stays at its peak after the warm-up."""
    set_value(directory / PARAMS, "min_lr", "0.01")


@variation()
def cosine_of_torch(directory: Path) -> None:
    """The learning rate is that of torch's CosineAnnealingLR, stepped after each update."""
    scheduled(directory, "CosineAnnealingLR(optimizer, params.epochs * len(train_loader), params.min_lr)")


@variation()
def one_cycle(directory: Path) -> None:
    """The learning rate is that of torch's OneCycleLR, stepped after each update."""
    steps = "total_steps=params.epochs * len(train_loader) + 1"
    scheduled(directory, f"OneCycleLR(optimizer, max_lr=params.lr, {steps}, cycle_momentum=False)")


def scheduled(directory: Path, scheduler: str) -> None:
    """A scheduler of torch in the place of the repository's rule: made, stepped, saved and restored."""
    loop, tools = directory / LOOP, directory / TOOLS
    replace_text(
        loop,
        "    loss_scaler = train_tools.NativeScalerWithGradNormCount()\n",
        f"    scheduler = torch.optim.lr_scheduler.{scheduler}\n"
        "    loss_scaler = train_tools.NativeScalerWithGradNormCount()\n",
    )
    replace_text(
        loop,
        "load_model(params, model_without_ddp, optimizer, loss_scaler)",
        "load_model(params, model_without_ddp, optimizer, loss_scaler, scheduler)",
    )
    replace_text(
        loop,
        "loss_scaler, fname=name, best_so_far=best\n",
        "loss_scaler, scheduler, fname=name, best_so_far=best\n",
    )
    replace_text(
        loop,
        "            loss_scaler,\n            args,\n",
        "            loss_scaler,\n            scheduler,\n            args,\n",
    )
    replace_text(loop, "    loss_scaler,\n    args,\n", "    loss_scaler,\n    scheduler,\n    args,\n")
    replace_text(
        loop,
        "        if step % params.accum_iter == 0:\n            train_tools.adjust_learning_rate(\n"
        "                optimizer, epoch_f, params, param_groups_idx_to_name_map, params.submodule_configs\n"
        "            )\n",
        "",
    )
    replace_text(
        loop,
        "        metric_logger.update(**rates, epoch=epoch_f, loss=loss_value, **details)\n",
        "        if update:\n            scheduler.step()\n"
        "        metric_logger.update(**rates, epoch=epoch_f, loss=loss_value, **details)\n",
    )
    replace_text(
        tools,
        "def save_model(args, epoch, model_without_ddp, optimizer, loss_scaler, fname",
        "def save_model(args, epoch, model_without_ddp, optimizer, loss_scaler, scheduler, fname",
    )
    replace_text(
        tools,
        '        "scaler": loss_scaler.state_dict(),\n',
        '        "scaler": loss_scaler.state_dict(),\n        "scheduler": scheduler.state_dict(),\n',
    )
    replace_text(
        tools,
        "def load_model(train_args, model_without_ddp, optimizer, loss_scaler):",
        "def load_model(train_args, model_without_ddp, optimizer, loss_scaler, scheduler):",
    )
    replace_text(
        tools,
        '    loss_scaler.load_state_dict(checkpoint["scaler"])\n',
        '    loss_scaler.load_state_dict(checkpoint["scaler"])\n'
        '    scheduler.load_state_dict(checkpoint["scheduler"])\n',
    )


@variation()
def average_of_weights(directory: Path) -> None:
    """An exponential average of the weights is kept, saved and restored beside them."""
    replace_text(
        directory / LOOP,
        "    loss_scaler = train_tools.NativeScalerWithGradNormCount()\n",
        "    average = torch.optim.swa_utils.AveragedModel(\n"
        "        model_without_ddp, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99)\n    )\n"
        "    optimizer.register_step_post_hook(lambda *_: average.update_parameters(model_without_ddp))\n"
        "    loss_scaler = train_tools.NativeScalerWithGradNormCount()\n",
    )
    replace_text(
        directory / LOOP,
        "load_model(params, model_without_ddp, optimizer, loss_scaler)",
        "load_model(params, model_without_ddp, optimizer, loss_scaler, average)",
    )
    replace_text(
        directory / LOOP,
        "loss_scaler, fname=name, best_so_far=best\n",
        "loss_scaler, average, fname=name, best_so_far=best\n",
    )
    tools = directory / TOOLS
    replace_text(
        tools,
        "def save_model(args, epoch, model_without_ddp, optimizer, loss_scaler, fname",
        "def save_model(args, epoch, model_without_ddp, optimizer, loss_scaler, average, fname",
    )
    replace_text(
        tools,
        '        "scaler": loss_scaler.state_dict(),\n',
        '        "scaler": loss_scaler.state_dict(),\n        "average": average.state_dict(),\n',
    )
    replace_text(
        tools,
        "def load_model(train_args, model_without_ddp, optimizer, loss_scaler):",
        "def load_model(train_args, model_without_ddp, optimizer, loss_scaler, average):",
    )
    replace_text(
        tools,
        '    loss_scaler.load_state_dict(checkpoint["scaler"])\n',
        '    loss_scaler.load_state_dict(checkpoint["scaler"])\n'
        '    average.load_state_dict(checkpoint["average"])\n',
    )


@variation()
def no_clipping(directory: Path) -> None:
    """Gradients are measured and not clipped."""
    replace_text(
        directory / TOOLS,
        "torch.nn.utils.clip_grad_norm_(parameters, clip_grad)",
        'torch.nn.utils.clip_grad_norm_(parameters, float("inf"))',
    )


@variation()
def gradients_cleared_before(directory: Path) -> None:
    """Gradients are cleared before the backward pass of the first batch of an update."""
    loop = directory / LOOP
    replace_text(loop, "        if update:\n            optimizer.zero_grad()\n", "")
    replace_text(
        loop,
        "        update = (step + 1) % params.accum_iter == 0\n",
        "        if step % params.accum_iter == 0:\n            optimizer.zero_grad(set_to_none=True)\n"
        "        update = (step + 1) % params.accum_iter == 0\n",
    )


@variation()
def unused_parameters_allowed(directory: Path) -> None:
    """DistributedDataParallel looks for parameters without a gradient."""
    replace_text(
        directory / LOOP,
        "DistributedDataParallel(model)",
        "DistributedDataParallel(model, find_unused_parameters=True, gradient_as_bucket_view=True)",
    )


@variation()
def other_weights_of_terms(directory: Path) -> None:
    """The terms of the loss weigh otherwise, the same in training and evaluation."""
    text = (directory / LOSS).read_text()
    (directory / LOSS).write_text(
        text.replace("pose_quats_loss_weight=3.0", "pose_quats_loss_weight=2.0, depth_loss_weight=0.5")
    )


@variation()
def no_confidence(directory: Path) -> None:
    """Training's criterion is the one of evaluation, which does not weigh by confidence."""
    text = (directory / LOSS).read_text()
    changed = text.replace("ConfAndExcludeTopNPercentPixelLoss", "ExcludeTopNPercentPixelLoss")
    (directory / LOSS).write_text(changed.replace("conf_alpha=0.2, ", ""))


# Evaluation and checkpoints


@variation()
def evaluated_every_second_epoch(directory: Path) -> None:
    """Every second epoch is evaluated."""
    set_value(directory / DEFAULTS, "eval_freq", "2")
    set_value(directory / PARAMS, "epochs", "4")


@variation()
def five_epochs(directory: Path) -> None:
    """Training is longer, and its warm-up."""
    set_value(directory / PARAMS, "epochs", "5")
    set_value(directory / PARAMS, "warmup_epochs", "2")


@variation()
def last_three_kept(directory: Path) -> None:
    """Of the checkpoints of single epochs the last three are kept."""
    set_value(directory / PARAMS, "epochs", "5")
    replace_text(
        directory / LOOP,
        "            save(epoch - 1, str(epoch))\n",
        "            save(epoch - 1, str(epoch))\n"
        "            if train_tools.is_main_process():\n"
        '                (output_dir / f"checkpoint-{epoch - 3}.pth").unlink(missing_ok=True)\n',
    )


@variation()
def random_state_saved(directory: Path) -> None:
    """Checkpoints hold the first rank's random state, too."""
    replace_text(
        directory / TOOLS,
        '        "epoch": epoch,\n    }\n',
        '        "epoch": epoch,\n        "random": torch.get_rng_state(),\n    }\n',
    )


@variation()
def printed_seldom(directory: Path) -> None:
    """Every fifth step is printed."""
    set_value(directory / PARAMS, "print_freq", "5")


@variation()
def another_seed(directory: Path) -> None:
    """Other random numbers."""
    set_value(directory / DEFAULTS, "seed", "1234")
    set_value(directory / "configs/dataset/opv2v/train/cyl_coop.yaml", "seed", "31")
