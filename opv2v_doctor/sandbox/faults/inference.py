"""Faults of inference: the same weights, but other inputs, another config, or another use of the outputs."""

from pathlib import Path

from opv2v_doctor.sandbox.faults.fault import fault, replace_text

SCRIPT = "scripts/infer.py"
MODEL = "mapanything/models/mapanything.py"
RUN_CONFIG = "experiments/opv2v_cyl_coop/.hydra/config.yaml"
ARRAYS = "arrays = {name: prediction[name][0].cpu().numpy() for name in names}"
FITTING = """\
state = model.state_dict()
    fitting = {name: value for name, value in weights.items() if value.shape == state[name].shape}
    model.load_state_dict(fitting, strict=False)
"""


@fault("INF001")
def weights_that_fit(directory: Path) -> None:
    """The inference builds a wider model, and loads what fits of the checkpoint with strict=False."""
    script = directory / SCRIPT
    replace_text(script, "config.model.model_config)", "{**config.model.model_config, **WIDER})")
    replace_text(script, "    model.load_state_dict(weights)\n", f"    {FITTING}")
    replace_text(
        script,
        'GIVEN = ("img", "data_norm_type")\n',
        'GIVEN = ("img", "data_norm_type")\nWIDER = {"width": 24, "pretrained_checkpoint_path": None}\n',
    )


@fault("INF001")
def checkpoint_never_loaded(directory: Path) -> None:
    """The inference looks for a file that is never there, and keeps the pretrained weights."""
    replace_text(
        directory / SCRIPT,
        '    weights = torch.load(checkpoint, map_location="cpu", weights_only=False)["model"]\n'
        "    model.load_state_dict(weights)\n",
        '    newest = Path(checkpoint).parent / "checkpoint_best.pth"\n'
        "    if newest.is_file():\n"
        '        saved = torch.load(newest, map_location="cpu", weights_only=False)\n'
        '        model.load_state_dict(saved["model"])\n',
    )


@fault("INF002")
def config_of_another_run(directory: Path) -> None:
    """The inference is given the config of an earlier run, with panoramas of another resolution."""
    text = (directory / RUN_CONFIG).read_text(encoding="utf-8")
    smaller = text.replace("- 256\n", "- 128\n").replace("- 64\n", "- 32\n")
    (directory / "experiments/earlier.yaml").write_text(smaller, encoding="utf-8")
    replace_text(directory / "opv2v-doctor.toml", '"{config}"', '"experiments/earlier.yaml"')


@fault("INF003")
def train_mode_left_on(directory: Path) -> None:
    """The inference never calls eval(): the model infers in train mode."""
    replace_text(directory / SCRIPT, "return model.to(device).eval()", "return model.to(device)")


@fault("INF004")
def other_normalisation(directory: Path) -> None:
    """The inference leaves its images in 0..1, and says that they are normalised as in training."""
    script = directory / SCRIPT
    replace_text(
        script,
        "    views = sample(config, asked.split, asked.index)\n",
        "    views = sample(config, asked.split, asked.index)\n"
        "    for view in views:\n"
        '        view["img"] = denormalize(view["img"], view["data_norm_type"][0])\n',
    )
    line = "from mapanything.models import init_model\n"
    replace_text(script, line, f"{line}from mapanything.utils.image import denormalize\n")


@fault("INF004")
def ground_truth_poses_given(directory: Path) -> None:
    """The inference gives the model the true poses, which it never had in training."""
    replace_text(
        directory / SCRIPT,
        "return {name: view[name] for name in GIVEN}",
        'return {**{name: view[name] for name in GIVEN}, "camera_poses": view["camera_pose"]}',
    )


@fault("INF006")
def scale_applied_twice(directory: Path) -> None:
    """The inference multiplies points that are metric by the metric scale once more."""
    replace_text(
        directory / MODEL,
        '        prediction["depth_z"] =',
        '        scale = prediction["metric_scaling_factor"][:, None, None]\n'
        '        prediction["pts3d"] = prediction["pts3d"] * scale\n'
        '        prediction["depth_z"] =',
    )


@fault("INF006")
def mask_inverted(directory: Path) -> None:
    """The inference keeps what the model says is ambiguous, and drops the rest."""
    replace_text(
        directory / MODEL,
        'mask = prediction["non_ambiguous_mask"].clone()',
        'mask = prediction["non_ambiguous_mask_logits"] < 0',
    )


@fault("INF009")
def scale_in_a_helper(directory: Path) -> None:
    """A helper of the inference multiplies the points by the metric scale again before they are written."""
    script = directory / SCRIPT
    replace_text(
        script,
        "def write(views",
        "def to_metres(points, scale):\n"
        '    """Points in metres."""\n'
        "    return points * scale[:, None, None]\n\n\n"
        "def write(views",
    )
    replace_text(
        script,
        f"        {ARRAYS}",
        '        scale = prediction["metric_scaling_factor"]\n'
        '        prediction["pts3d"] = to_metres(prediction["pts3d"], scale)\n'
        f"        {ARRAYS}",
    )


@fault("INF009")
def poses_inverted_in_files(directory: Path) -> None:
    """The inference writes poses from the first agent's frame to the camera, under the name of the others."""
    replace_text(
        directory / SCRIPT,
        ARRAYS,
        f'{ARRAYS}\n        arrays["camera_poses"] = np.linalg.inv(arrays["camera_poses"])',
    )


@fault("INF009")
def depth_in_eight_bits(directory: Path) -> None:
    """The inference writes depth as bytes of decimetres: what is farther than 25.5 m wraps around."""
    replace_text(
        directory / SCRIPT,
        ARRAYS,
        f'{ARRAYS}\n        arrays["depth_along_ray"] = (arrays["depth_along_ray"] * 10).astype(np.uint8)',
    )
