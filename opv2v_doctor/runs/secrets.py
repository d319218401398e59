"""Secrets stay out of a stamp: environment by allow-list, addresses without credentials, hidden values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "<hidden>"
ALLOWED = {
    "CONDA_DEFAULT_ENV", "CONDA_PREFIX", "CUBLAS_WORKSPACE_CONFIG", "CUDA_DEVICE_ORDER", "CUDA_HOME",
    "CUDA_LAUNCH_BLOCKING", "CUDA_VISIBLE_DEVICES", "HF_HOME", "HF_HUB_OFFLINE", "HYDRA_FULL_ERROR", "LANG",
    "LD_LIBRARY_PATH", "LD_PRELOAD", "MASTER_ADDR", "MASTER_PORT", "MKL_NUM_THREADS", "NVIDIA_TF32_OVERRIDE",
    "NVIDIA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "OPENCV_IO_ENABLE_OPENEXR", "PYTHONHASHSEED", "PYTHONPATH",
    "PYTHONSAFEPATH", "SLURM_JOB_ID", "SLURM_JOB_NODELIST", "SLURM_JOB_PARTITION", "SLURM_NNODES",
    "SLURM_NODEID", "SLURM_PROCID", "TMPDIR", "TORCH_HOME", "TORCH_USE_CUDA_DSA", "VIRTUAL_ENV",
}  # fmt: skip
ALLOWED_BEGINNINGS = (
    "NCCL_",
    "GLOO_",
    "PYTORCH_",
    "TORCH_NCCL_",
    "TORCH_DIST",
    "TORCH_ELASTIC_",
    "XFORMERS_",
)
_speaks_of_secrets = re.compile(
    r"(?i)(^|[._-])(api_?key|access_?key|secret(_?key)?|(auth_?|access_?)?token|pass(word|wd|phrase)?|credentials?)$"
)
_credentials = re.compile(r"(?<=://)[^/\s@'\"]+@")
_query = re.compile(r"(?<=[?&])([\w.-]*(?:token|key|secret|password)[\w.-]*=)[^&\s'\"]+", re.IGNORECASE)


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that may change a training and cannot be secret, in the order of their names."""
    return {
        name: without_credentials(value)
        for name, value in sorted(variables.items())
        if (name in ALLOWED or name.startswith(ALLOWED_BEGINNINGS)) and not _speaks_of_secrets.search(name)
    }


def without_credentials(text: str) -> str:
    """A text whose addresses carry no user, password or token."""
    return _query.sub(rf"\1{HIDDEN}", _credentials.sub("", text))


def without_secret(override: str) -> str:
    """A Hydra override or an option, its value hidden where its key speaks of a secret."""
    key, given, _ = override.partition("=")
    secret = given and _speaks_of_secrets.search(key.lstrip("+~-"))
    return f"{key}={HIDDEN}" if secret else without_credentials(override)


def without_secrets(value: Any, key: str = "") -> Any:
    """A config with the texts hidden whose keys speak of a secret."""
    if isinstance(value, Mapping):
        return {name: without_secrets(entry, str(name)) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(entry, key) for entry in value]
    if not isinstance(value, str):
        return value
    return HIDDEN if value and _speaks_of_secrets.search(key) else without_credentials(value)
