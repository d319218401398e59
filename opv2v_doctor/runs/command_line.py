"""Commands: the words that start a training, alone or by torchrun."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from opv2v_doctor.target import Target
from opv2v_doctor.user_error import UsageError

RUN_DIRECTORY = "hydra.run.dir"


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """The machines of a launch, and where they meet. `--gpus` counts the GPUs of all of them."""

    count: int = 1
    rank: int = 0
    endpoint: str | None = None

    @property
    def is_first(self) -> bool:
        """Whether this node owns the run directory."""
        return self.rank == 0


def command(target: Target, run: Path, output: Path, nodes: Nodes | None = None) -> list[str]:
    """The words of the launch; the ranks' output goes into files below `output`."""
    overrides = [*without_directory(target.launch_overrides), directory_override(run)]
    launch = target.settings.launch
    options = {"--config-name": launch.config_name, "--config-path": launch.config_path}
    chosen = [f"{option}={value}" for option, value in options.items() if value is not None]
    entry = ["-m", target.module] if target.module else [str(target.script)]
    script = [*entry, *chosen, *overrides]
    nodes = nodes or Nodes()
    if target.gpus == 1 and nodes.endpoint is None:
        return [str(target.python), *script]
    return [str(target.python), *_torchrun(target.gpus, run, output, nodes), *script]


def _torchrun(gpus: int, run: Path, output: Path, nodes: Nodes) -> list[str]:
    if gpus % nodes.count:
        raise UsageError(f"--gpus {gpus} counts all nodes, and {nodes.count} nodes cannot share them evenly")
    meeting = ["--standalone"]
    if nodes.endpoint is not None:
        place = ["--rdzv_backend", "c10d", "--rdzv_endpoint", nodes.endpoint, "--rdzv_id", run.name]
        meeting = ["--nnodes", str(nodes.count), *place]
    elif nodes.count > 1:
        raise UsageError("several nodes need a place to meet: --rdzv-endpoint HOST:PORT of one of them")
    each = ["--nproc_per_node", str(gpus // nodes.count)]
    # no restart: it would go on from an older checkpoint without a word
    seen = ["--max_restarts", "0", "--monitor_interval", "0.1", "--redirects", "3", "--log_dir", str(output)]
    return ["-m", "torch.distributed.run", *each, *meeting, *seen]


def directory_override(run: Path) -> str:
    """`hydra.run.dir` for a directory of any name."""
    return f"{RUN_DIRECTORY}={quote(str(run))}"


def quote(text: str) -> str:
    """A text as a value of Hydra's grammar of overrides."""
    if re.fullmatch(r"[A-Za-z_./][\w./:-]*", text, re.ASCII):
        return text
    # no interpolation: OmegaConf reads backslashes before one
    plain = re.sub(r"(\\*)\$\{", lambda m: m[1] * 2 + r"\${", text)
    # a backslash counts only before a quote and at the end
    escaped = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + (r"\'" if m[2] else ""), plain)
    return f"'{escaped}'"


def chosen_directory(overrides: Sequence[str]) -> str | None:
    """The run directory that the overrides choose, the last one of them."""
    given = [word.lstrip("+").partition("=")[2] for word in overrides if _is_directory(word)]
    return unquote(given[-1]) if given else None


def without_directory(overrides: Sequence[str]) -> list[str]:
    """The overrides that leave the run directory alone."""
    return [word for word in overrides if not _is_directory(word)]


def _is_directory(override: str) -> bool:
    return override.lstrip("+").partition("=")[0] == RUN_DIRECTORY


def unquote(value: str) -> str:
    """A value of an override without its quotes."""
    quote = value[:1]
    if len(value) > 1 and quote in "'\"" and value.endswith(quote):
        return re.sub(rf"(\\+)(?={quote}|$)", lambda m: m[1][: len(m[1]) // 2], value[1:-1])
    return value
