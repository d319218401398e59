"""More healthy variations: what right code does otherwise, in the loader, the criterion and the loop."""

from __future__ import annotations

from pathlib import Path

from exam.generator import PINHOLE
from exam.healthy import (
    BASE,
    CAMERAS,
    DEFAULTS,
    LOADERS,
    LOOP,
    LOSS,
    MODEL,
    PANORAMAS,
    PARAMS,
    SPLITS,
    TOOLS,
    scheduled,
    variation,
)
from opv2v_doctor.sandbox.faults.fault import replace_text, set_value

LOSSES = "mapanything/train/losses.py"
DETAILS = "mapanything/train/details.py"
POSES = "data_processing/opv2v_poses.py"
IMAGE = "mapanything/utils/image.py"
DATASET = "configs/dataset/opv2v_cyl_coop_ft_2gpu.yaml"

# What is drawn


@variation()
def mirrored_panoramas(directory: Path) -> None:
    """Half of the training samples are mirrored panoramas: images, depth, masks, rays and poses."""
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
    """A panorama of a mirrored world: left is right, for pixels, rays and poses alike."""
    flip = np.diag([-1.0, 1.0, 1.0, 1.0])
    across = {key: np.fliplr(view[key]).copy() for key in ("img", "depthmap", "non_ambiguous_mask")}
    rays = np.fliplr(view["ray_directions_cam"]) * [-1.0, 1.0, 1.0]
    return {**view, **across, "ray_directions_cam": rays, "camera_pose": flip @ view["camera_pose"] @ flip}


class BaseDataset(''',
    )


@variation()
def panoramas_turned_at_random(directory: Path) -> None:
    """Each training panorama is turned by some columns, and its pose by as much."""
    replace_text(
        directory / PANORAMAS,
        '        return {\n            "img": panorama.image,\n            "depthmap": panorama.depth,\n'
        '            "non_ambiguous_mask": panorama.mask,\n',
        "        by, width = 0, panorama.depth.shape[1]\n"
        '        if "train" in str(self.split):\n            by = int(self._rng.integers(width))\n'
        "        angle = -2 * np.pi * by / width\n"
        "        turn = np.eye(4)\n"
        "        turn[0, 0] = turn[2, 2] = np.cos(angle)\n"
        "        turn[0, 2], turn[2, 0] = np.sin(angle), -np.sin(angle)\n"
        "        pose = pose @ turn\n"
        '        return {\n            "img": np.roll(panorama.image, by, axis=1),\n'
        '            "depthmap": np.roll(panorama.depth, by, axis=1),\n'
        '            "non_ambiguous_mask": np.roll(panorama.mask, by, axis=1),\n',
    )


@variation()
def pillow_reads_images(directory: Path) -> None:
    """Images are read by Pillow, whose channels are red first."""
    replace_text(
        directory / PANORAMAS,
        '        image = cv2.imread(f"{self.root / place}.png")\n        if image is None:\n'
        '            raise FileNotFoundError(f"no readable image {self.root / place}.png")\n',
        '        with Image.open(f"{self.root / place}.png") as file:\n'
        '            image = np.asarray(file.convert("RGB"))\n',
    )
    replace_text(directory / PANORAMAS, "image[..., ::-1].astype", "image.astype")
    replace_text(
        directory / PANORAMAS,
        "import cv2\nimport numpy as np\n",
        "import numpy as np\nfrom PIL import Image\n",
    )


@variation()
def images_are_cached(directory: Path) -> None:
    """What was read of a camera is kept in memory."""
    replace_text(
        directory / PANORAMAS,
        "        cameras = [self._camera(scene, agent, frame, name, agent_pose) for name in camera_ids]\n",
        "        cameras = []\n"
        "        for name in camera_ids:\n"
        '            key = scene["sequence"], scene["frame"], agent, name\n'
        "            if key not in self._read:\n"
        "                self._read[key] = self._camera(scene, agent, frame, name, agent_pose)\n"
        "            cameras.append(self._read[key])\n",
    )
    replace_text(
        directory / PANORAMAS,
        "        self.min_agents = int(min_agents)\n",
        "        self.min_agents = int(min_agents)\n        self._read = {}\n",
    )


@variation()
def rotations_by_scipy(directory: Path) -> None:
    """Rotations and quaternions are scipy's."""
    text = (directory / POSES).read_text()
    first, last = text.index("    cr, sr, cy"), text.index("\n\ndef pose_to_opencv")
    made = '    return Rotation.from_euler("ZYX", [yaw, -pitch, -roll]).as_matrix()\n'
    text = text[:first] + made + text[last:]
    (directory / POSES).write_text(
        text.replace("import yaml\n", "import yaml\nfrom scipy.spatial.transform import Rotation\n")
    )
    geometry = directory / "mapanything/utils/geometry.py"
    text = geometry.read_text()
    first, last = text.index("    r = rotation.astype"), text.index("\n\ndef quaternion_to_matrix")
    made = "    return Rotation.from_matrix(rotation).as_quat(canonical=True).astype(np.float32)\n"
    text = text[:first] + made + text[last:]
    geometry.write_text(
        text.replace("import torch\n", "import torch\nfrom scipy.spatial.transform import Rotation\n", 1)
    )


@variation()
def poses_by_way_of_their_inverse(directory: Path) -> None:
    """Poses are made from the first agent to each, of three rows, and turned around in the end."""
    replace_text(
        directory / PANORAMAS,
        "        pose = pose_to_opencv(relative_pose(agent_pose, main_pose))\n",
        "        to_agent = pose_to_opencv(relative_pose(main_pose, agent_pose))[:3]\n"
        "        rotation, offset = to_agent[:, :3], to_agent[:, 3]\n"
        "        pose = np.eye(4)\n"
        "        pose[:3] = np.column_stack([rotation.T, -rotation.T @ offset])\n",
    )


@variation()
def first_agent_at_random(directory: Path) -> None:
    """Any agent may be the first one, to which all poses of a training sample lead."""
    replace_text(
        directory / PANORAMAS,
        "        others = self._rng.permutation(agents[1:])[: count - 1]\n",
        '        if self.split == "train":\n'
        "            agents = list(map(str, self._rng.permutation(agents)))\n"
        "        others = self._rng.permutation(agents[1:])[: count - 1]\n",
    )


@variation()
def far_depth_is_unknown(directory: Path) -> None:
    """What is farther than a known limit counts as unknown: no valid pixel, in every split."""
    replace_text(
        directory / PANORAMAS,
        "        panorama = self.stitcher.stitch(cameras)\n",
        "        panorama = self.stitcher.stitch(cameras)\n"
        "        depth = np.where(panorama.depth < FARTHEST, panorama.depth, 0).astype(np.float32)\n",
    )
    replace_text(directory / PANORAMAS, '"depthmap": panorama.depth,', '"depthmap": depth,')
    replace_text(
        directory / PANORAMAS,
        "\n\nclass OPV2VCoop",
        "\nFARTHEST = 120.0  # metres: no farther surface is learned\n\n\nclass OPV2VCoop",
    )


@variation()
def samples_are_tuples(directory: Path) -> None:
    """A sample is a tuple of views."""
    views = "self._complete(view, (sample, resolution, number)) for number, view in enumerate(drawn)"
    replace_text(directory / BASE, f"        return [{views}]\n", f"        return tuple({views})\n")


@variation()
def panoramas_look_down(directory: Path) -> None:
    """Panoramas see 70 degrees of height, and their middle lies five degrees below the horizon."""
    for split in SPLITS:
        path = directory / f"configs/dataset/opv2v/{split}/cyl_coop.yaml"
        set_value(path, "panorama_vertical_fov_deg", "70.0")
        set_value(path, "panorama_elevation_center_deg", "-5.0")


@variation()
def images_in_0_to_1(directory: Path) -> None:
    """Images are not normalised, in training, evaluation and inference alike."""
    set_value(directory / "configs/model/mapanything.yaml", "data_norm_type", '"identity"')


@variation(PINHOLE)
def images_zoomed_at_random(directory: Path) -> None:
    """Training images are cut out at a random size and place, and resized; their intrinsics follow."""
    replace_text(
        directory / CAMERAS,
        "        image, depth, intrinsics = crop_resize(image, depth, intrinsics, resolution)\n",
        '        if self.split == "train":\n'
        "            image, depth, intrinsics = self._cut(image, depth, intrinsics)\n"
        "        image, depth, intrinsics = crop_resize(image, depth, intrinsics, resolution)\n",
    )
    replace_text(
        directory / CAMERAS,
        "    def _view(self, scene,",
        "    def _cut(self, image, depth, intrinsics):\n"
        '        """A part of the image, its depth and its intrinsics."""\n'
        "        share = self._rng.uniform(0.7, 1.0)\n"
        "        height, width = (round(side * share) for side in depth.shape)\n"
        "        top = int(self._rng.integers(depth.shape[0] - height + 1))\n"
        "        left = int(self._rng.integers(depth.shape[1] - width + 1))\n"
        "        part = slice(top, top + height), slice(left, left + width)\n"
        "        intrinsics = intrinsics - [[0, 0, left], [0, 0, top], [0, 0, 0]]\n"
        "        return np.ascontiguousarray(image[part]), depth[part], intrinsics\n\n"
        "    def _view(self, scene,",
    )


# Where it lies, and how it is loaded


@variation()
def splits_have_other_names(directory: Path) -> None:
    """The folder of the validation split is called val."""
    for root in ("data/OPV2V", "data/opv2v_depth"):
        (directory / root / "validate").rename(directory / root / "val")
    replace_text(directory / "configs/dataset/opv2v/cyl_coop.yaml", "val: validate", "val: val")


@variation()
def data_behind_links(directory: Path) -> None:
    """The data lie elsewhere, and links lead there."""
    for name in ("OPV2V", "opv2v_depth"):
        store = directory / "data/store" / name
        store.parent.mkdir(exist_ok=True)
        (directory / "data" / name).rename(store)
        (directory / "data" / name).symlink_to(Path("store") / name)


@variation()
def unused_files_beside(directory: Path) -> None:
    """Files that nobody reads lie among the data: notes, and a split that is not used."""
    root = directory / "data/OPV2V"
    (root / "README.txt").write_text("OPV2V, downloaded in March\n")
    (root / "train/.DS_Store").write_bytes(b"\0" * 16)
    unused = root / "test_culver_city/2021_12_01_12_00_00/650"
    unused.mkdir(parents=True)
    (unused / "000069.yaml").write_text("lidar_pose: [0, 0, 0, 0, 0, 0]\n")


@variation()
def two_datasets_joined(directory: Path) -> None:
    """The training set is two halves, each drawn for itself."""
    half = "20 @ ${dataset.opv2v.train.dataset_str}"
    set_value(directory / DATASET, "train_dataset", f'"+ {half} + {half}"')


@variation()
def worker_that_fetches_ahead(directory: Path) -> None:
    """One worker fetches four batches ahead, into memory that is pinned where there is a GPU."""
    set_value(directory / "configs/dataset/default.yaml", "num_workers", "1")
    replace_text(
        directory / LOADERS,
        "        batch_sampler=batch_sampler,\n        num_workers=num_workers,\n"
        "        pin_memory=pin_mem,\n",
        "        batch_sampler=batch_sampler,\n        num_workers=num_workers,\n"
        "        prefetch_factor=4 if num_workers else None,\n"
        "        pin_memory=torch.cuda.is_available(),\n",
    )


@variation()
def evaluated_one_by_one(directory: Path) -> None:
    """Evaluation takes one sample at a time."""
    replace_text(
        directory / LOOP,
        "2 * (args.train_params.max_num_of_imgs_per_gpu // args.dataset.num_views)",
        "max(1, args.train_params.max_num_of_imgs_per_gpu // args.dataset.num_views)",
    )


# The criterion


@variation()
def absolute_differences(directory: Path) -> None:
    """Residuals count by their length, which is the L1 loss of vectors."""
    replace_text(
        directory / LOSSES,
        "\n\nclass BCELoss(",
        '\n\nclass L1Loss(nn.Module):\n    """The length of a residual."""\n\n'
        "    def forward(self, predicted, true):\n"
        '        """Loss (...) of vectors (..., D)."""\n'
        "        return ((predicted - true).square().sum(-1) + 1e-12).sqrt()\n\n\nclass BCELoss(",
    )
    text = (directory / LOSS).read_text()
    (directory / LOSS).write_text(text.replace("RobustRegressionLoss(alpha=0.5, scaling_c=0.05)", "L1Loss()"))


@variation()
def mask_classes_balanced(directory: Path) -> None:
    """The mask's cross entropy weighs the rarer class more."""
    replace_text(
        directory / LOSSES,
        "binary_cross_entropy_with_logits(logits, target.to(logits.dtype))",
        "binary_cross_entropy_with_logits(\n"
        "            logits, target.to(logits.dtype), pos_weight=torch.tensor(0.2, device=logits.device)\n"
        "        )",
    )


@variation()
def terms_have_other_names(directory: Path) -> None:
    """The parts of the loss are logged under shorter names."""
    replace_text(
        directory / DETAILS, 'f"FactoredGeometryScaleRegr3DPlusNormalGMLoss_{name}"', 'f"geometry_{name}"'
    )


@variation()
def chosen_before_compared(directory: Path) -> None:
    """Valid pixels are chosen first and compared then, and means are sums divided by counts."""
    replace_text(
        directory / LOSSES,
        "                * self.criterion(\n"
        "                    self._log(prediction[key] / wide(size)), "
        "self._log(view[key] / wide(true_size))\n"
        '                )[view["valid_mask"]]\n',
        "                * self.criterion(\n"
        '                    self._log(prediction[key] / wide(size))[view["valid_mask"]],\n'
        '                    self._log(view[key] / wide(true_size))[view["valid_mask"]],\n'
        "                )\n",
    )
    text = (directory / LOSSES).read_text()
    whole = "[loss.mean() if loss.numel() else loss.sum() for loss in losses]"
    (directory / LOSSES).write_text(
        text.replace(whole, "[loss.sum() / max(loss.numel(), 1) for loss in losses]")
    )


@variation()
def relative_error_logged(directory: Path) -> None:
    """The mean relative error of depth is logged beside the losses."""
    replace_text(
        directory / LOOP,
        "    return loss * (2 / max(len(batch), 2)), details\n",
        "    return loss * (2 / max(len(batch), 2)), details | _errors(batch, found)\n",
    )
    replace_text(
        directory / LOOP,
        "    loss, details = loss_of_one_batch_multi_view(\n"
        "        batch, model, criterion, device, use_amp=bool(params.amp), amp_dtype=params.amp_dtype, "
        'ret="loss"\n    )\n',
        "    found = loss_of_one_batch_multi_view(\n"
        "        batch, model, criterion, device, use_amp=bool(params.amp), amp_dtype=params.amp_dtype\n"
        "    )\n"
        '    loss, details = found["loss"]\n',
    )
    replace_text(
        directory / LOOP,
        "\n\ndef _stop_if_unstable(",
        '''

@torch.no_grad()
def _errors(batch, found):
    """The mean relative error of depth, over all valid pixels."""
    errors = []
    for number, view in enumerate(batch, 1):
        true, valid = view["depth_along_ray"].squeeze(-1), view["valid_mask"]
        predicted = found[f"pred{number}"]["depth_along_ray"].squeeze(-1)
        errors.append(((predicted - true).abs() / true.clamp(min=1e-3))[valid].mean().item())
    return {"abs_rel": sum(errors) / len(errors)}


def _stop_if_unstable(''',
    )


# The model


@variation(reshaped=True)
def group_norm(directory: Path) -> None:
    """The encoder normalises groups of channels."""
    replace_text(
        directory / MODEL,
        "            nn.Conv2d(6, width, 5, stride=4, padding=2),\n",
        "            nn.Conv2d(6, width, 5, stride=4, padding=2),\n            nn.GroupNorm(4, width),\n",
    )


# The training


@variation()
def accumulation_without_exchange(directory: Path) -> None:
    """Two batches an update; the ranks exchange gradients in the second one only."""
    set_value(directory / DEFAULTS, "accum_iter", "2")
    replace_text(
        directory / LOOP,
        "        loss, details = _loss(batch, model, criterion, device, params)\n"
        "        loss_value = loss.detach().item()\n"
        "        _stop_if_unstable(loss_value, details, epoch, step, params)\n"
        "        update = (step + 1) % params.accum_iter == 0\n"
        "        norm = loss_scaler(loss / params.accum_iter, optimizer, model.parameters(), "
        "update_grad=update)\n",
        "        update = (step + 1) % params.accum_iter == 0\n"
        '        alone = not update and hasattr(model, "no_sync")\n'
        "        with model.no_sync() if alone else contextlib.nullcontext():\n"
        "            loss, details = _loss(batch, model, criterion, device, params)\n"
        "            loss_value = loss.detach().item()\n"
        "            _stop_if_unstable(loss_value, details, epoch, step, params)\n"
        "            norm = loss_scaler(\n"
        "                loss / params.accum_iter, optimizer, model.parameters(), update_grad=update\n"
        "            )\n",
    )
    replace_text(directory / LOOP, "import datetime\n", "import contextlib\nimport datetime\n")


@variation()
def adam(directory: Path) -> None:
    """Adam with decay in its gradients, and AMSGrad."""
    replace_text(
        directory / LOOP,
        "torch.optim.AdamW(groups, lr=params.lr, betas=(0.9, 0.95))",
        "torch.optim.Adam(groups, lr=params.lr, betas=(0.9, 0.99), amsgrad=True)",
    )


@variation()
def rate_in_steps(directory: Path) -> None:
    """The learning rate falls to a tenth after two epochs, by torch's MultiStepLR."""
    scheduled(directory, "MultiStepLR(optimizer, [2 * len(train_loader)])")


@variation()
def polynomial_rate(directory: Path) -> None:
    """After the warm-up the learning rate falls by a power of what is left."""
    replace_text(
        directory / TOOLS,
        "min_lr + (lr - min_lr) * 0.5 * (1.0 + math.cos(math.pi * progress))",
        "min_lr + (lr - min_lr) * (1.0 - progress) ** 0.9",
    )


@variation()
def longer_warm_up(directory: Path) -> None:
    """Half of a training of four epochs is warm-up."""
    set_value(directory / PARAMS, "epochs", "4")
    set_value(directory / PARAMS, "warmup_epochs", "2")


@variation()
def evaluated_in_inference_mode(directory: Path) -> None:
    """Evaluation runs in torch's inference mode."""
    replace_text(
        directory / LOOP,
        "@torch.no_grad()\ndef test_one_epoch",
        "@torch.inference_mode()\ndef test_one_epoch",
    )


@variation()
def mean_of_losses_is_best(directory: Path) -> None:
    """The best checkpoint is the one of the least mean of the evaluation's losses."""
    replace_text(directory / LOOP, 'stats["loss_med"]', 'stats["loss_avg"]')


# Augmentations of the training's images


def _augmented(directory: Path, lines: str) -> None:
    """Training's images (H, W, 3), 0 to 1, go through these lines; `random` is the sample's generator."""
    replace_text(
        directory / IMAGE,
        "    return np.clip((pixels - middle) * contrast + middle * brightness, 0.0, 1.0)"
        ".astype(np.float32)\n",
        "    pixels = np.clip((pixels - middle) * contrast + middle * brightness, 0.0, 1.0)\n"
        f"{lines}    return pixels.astype(np.float32)\n",
    )


@variation()
def grey_at_times(directory: Path) -> None:
    """A fifth of the training images is grey."""
    _augmented(
        directory,
        "    if random.random() < 0.2:\n"
        "        pixels = np.repeat(pixels @ [[0.299], [0.587], [0.114]], 3, axis=-1)\n",
    )


@variation()
def blurred_at_times(directory: Path) -> None:
    """A third of the training images is blurred."""
    _augmented(
        directory,
        "    if random.random() < 0.33:\n"
        "        pixels = cv2.GaussianBlur(pixels, (0, 0), random.uniform(0.3, 1.2))\n",
    )
    replace_text(directory / IMAGE, "import numpy as np\n", "import cv2\nimport numpy as np\n")


@variation()
def hues_jittered(directory: Path) -> None:
    """Hue, saturation and gamma of the training images are jittered."""
    _augmented(
        directory,
        "    colours = cv2.cvtColor(pixels.astype(np.float32), cv2.COLOR_RGB2HSV)\n"
        "    colours[..., 0] = (colours[..., 0] + random.uniform(-18, 18)) % 360\n"
        "    colours[..., 1] = np.clip(colours[..., 1] * random.uniform(0.7, 1.3), 0, 1)\n"
        "    pixels = cv2.cvtColor(colours, cv2.COLOR_HSV2RGB) ** random.uniform(0.8, 1.25)\n",
    )
    replace_text(directory / IMAGE, "import numpy as np\n", "import cv2\nimport numpy as np\n")


@variation()
def parts_painted_over(directory: Path) -> None:
    """A patch of each training image is grey: what is behind it has to be guessed."""
    _augmented(
        directory,
        "    high, wide = (int(side * random.uniform(0.1, 0.2)) for side in pixels.shape[:2])\n"
        "    top = int(random.integers(pixels.shape[0] - high))\n"
        "    left = int(random.integers(pixels.shape[1] - wide))\n"
        "    pixels[top : top + high, left : left + wide] = 0.5\n",
    )


@variation()
def cameras_left_out_at_times(directory: Path) -> None:
    """A training panorama may lack one of its cameras: image, depth and mask know nothing there."""
    replace_text(
        directory / PANORAMAS,
        "        panorama = self.stitcher.stitch(cameras)\n",
        '        if self.split == "train" and self._rng.random() < 0.3:\n'
        "            del cameras[int(self._rng.integers(len(cameras)))]\n"
        "        panorama = self.stitcher.stitch(cameras)\n",
    )


@variation(PINHOLE)
def images_with_borders(directory: Path) -> None:
    """Images are resized until all of them fits, and get borders that nobody sees: no mask, no depth."""
    replace_text(
        directory / "mapanything/utils/cropping.py",
        "    image, depth, intrinsics = resize_to_cover(image, depth, intrinsics, resolution)\n"
        "    return crop_to_middle(image, depth, intrinsics, resolution)\n",
        "    height, width = depth.shape\n"
        "    scale = min(resolution[0] / width, resolution[1] / height)\n"
        "    size = round(width * scale), round(height * scale)\n"
        "    image, depth, intrinsics = resize_to_cover(image, depth, intrinsics, size)\n"
        "    left, top = (resolution[0] - size[0]) // 2, (resolution[1] - size[1]) // 2\n"
        "    around = (top, resolution[1] - size[1] - top), (left, resolution[0] - size[0] - left)\n"
        "    intrinsics = intrinsics + [[0, 0, left], [0, 0, top], [0, 0, 0]]\n"
        "    image = np.pad(image, (*around, (0, 0)))\n"
        "    return image, np.pad(depth, around, constant_values=-1), intrinsics\n",
    )
    replace_text(
        directory / CAMERAS,
        '            "depthmap": depth,\n',
        '            "depthmap": np.maximum(depth, 0),\n',
    )
