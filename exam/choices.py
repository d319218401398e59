"""What is left alone: places where another value is another training and no fault, and what only prints.

A mutation there would be counted as missed, though nothing that is known says which value is right.
"""

from __future__ import annotations

import re

TRAINED = ("scripts/train.py", "scripts/infer.py", "mapanything/**/*.py", "data_processing/**/*.py")
PRINTS = re.compile(
    r"records\.py$|misc\.py$|\.__(str|repr)__$|\._line$|::setup_for_distributed|::build_criterion$"
)
# What the model computes of its images is its own affair, as long as it says the same in training and later.
OWN = re.compile(
    r"mapanything\.py::MapAnything\.(__init__|_start_neutral|_with_position|forward)$"
    r"|details\.py::(by_view|detail_name|mean_of)$"
    r"|image\.py::_jitter$|losses\.py::RobustRegressionLoss\."
    r"|opv2v_panorama\.py::(ranges_along|_flat_cells|Surface\.settle)$"  # how a surface is searched
)
# Numbers that are as good as another one, where they stand: constants and defaults of these names.
FREE = re.compile(
    r"\b(betas|margin|eps|clamp|alpha|scaling_c|width=|std=|timeout|TORCH_DIST_TIMEOUT|window_size|fmt|GAIN"
    r"|apply_mask|mask_edges|apply_confidence_mask|memory_efficient_inference|confidence_percentile"
    r"|default_rng|FIRST_GUESSES|ITERATIONS|SETTLED|FLAT|FAR|print_freq|delimiter|1e-\d+|top_n_percent|clip_grad)\b"
)
# Keys of a config where another number is another wish. Their contradictions (a warm-up longer than the
# training) are made by other keys and by the code that reads them.
WISHES = {
    "lr", "min_lr", "weight_decay", "epochs", "warmup_epochs", "seed", "print_freq", "eval_freq", "save_freq",
    "keep_freq", "num_workers", "width", "accum_iter", "amp", "amp_dtype", "disable_cudnn_benchmark",
    "num_views", "max_loss_value", "check_loss_instability", "name", "model_str", "warn_not_in_submodule",
    "torch_hub_force_reload", "max_num_retries", "min_agents", "min_num_views", "max_num_views",
    "view_selection_margin", "dist_url", "world_size", "local_rank", "schedule_type", "pose_reference",
    "mapanything_dataset_metadata_dir", "output_dir", "dir", "variable_num_views",
    "resume",  # a training that begins anew is another wish: only a README says that it goes on
}  # fmt: skip


def is_left_alone(path: str, function: str, line: str) -> bool:
    """Whether nothing is mutated at this line of a function of the repository."""
    place = f"{path}::{function}"
    return bool(PRINTS.search(place) or OWN.search(place) or re.match(r"\s*(print|raise)\b", line))
