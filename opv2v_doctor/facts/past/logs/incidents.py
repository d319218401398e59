"""Incidents: what the lines between the metrics say happened, from a launch to a full disk."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace

MOST_OF_A_KIND = 500
LONGEST = 4000  # bytes of a line that are looked at

_prefix = re.compile(
    rb"(?:\[?(?:(?:rank|default) ?)?(\d{1,5})\]?: {0,2}(?=\S|$))?"  # torchrun, and srun -l
    rb"(?:\[\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[,.]\d{1,6}\]\[[^\]]{1,80}\]\[[A-Z]{1,10}\] - "
    rb"|(?:DEBUG|INFO|WARNING|ERROR|CRITICAL):[\w.]{1,60}:)?"
    rb"(?:\[\d\d:\d\d:\d\d(?:\.\d{1,6})?\] ?)?"
    rb"(?:\[?(?:(?:rank|default) ?)?(\d{1,5})\]?: ?)?"
)
_kinds = {
    "launch": r"(?:Not using distributed mode|output_dir: (?P<launch_>.*))$",
    "rank": r"\| distributed init \(rank (?P<rank_>\d{1,5})\)",
    "job": r"job dir: (?P<job_>.+)$",
    "length": r"Train dataset length:\s*(?P<length_>\d{0,12})\s*$",
    "criterion": r">> Creating train criterion = (?P<criterion_>.+)$",
    "start": r"(?:Start training for (?P<start_>\d{1,9}) epochs|Starting \w+ training)",
    "resume": r"Resume checkpoint (?P<resume_>.+)$",
    "weights": r"Loading (?:pretrained: *|(?:\w+ ){0,6}weights from )(?P<weights_>.*?)(?: \.\.\.)?$",
    "keys": r"(?:<All keys matched successfully>|_IncompatibleKeys\((?P<keys_>.*))$",
    "testing": r"Testing on (?P<testing_>.+?) \.\.\.$",
    "save": r">> Saving model to (?P<save_>.+?) \.\.\.$",
    "end": r"Training time (?P<end_>\S.*)$",
    "unstable": r"Loss is (?P<unstable_>\S+), stopping training",
    "unstable_at": r"Epoch: (?P<unstable_at_>\d{1,9}, Data Iteration: \d{1,12})",
    "error": r"Error in (?P<error_>\w+\.__getitem__ for \w+=.*)$",
    "retry": r"Retrying with \w+=(?P<retry_>\S+)",
    "out_of_memory": r".*?(?:CUDA out of memory|OutOfMemoryError|Cannot allocate memory|std::bad_alloc|"
    r"oom[-_]kill|[Oo]ut of memory: Kill|CUDA error: out of memory|cgroup out-of-memory|"
    r"killed by signal: Killed|DefaultCPUAllocator: can't allocate|CUBLAS_STATUS_ALLOC_FAILED)",
    "nccl_timeout": r".*?(?:Watchdog caught collective operation timeout|"
    r"NCCL operations have failed or timed out|"
    r"NCCL.{0,80}(?:timeout|timed out)|(?:timeout|timed out).{0,80}NCCL|Timed out waiting for clients)",
    "disk_full": r".*?(?:No space left on device|Disk quota exceeded|ENOSPC|PytorchStreamWriter failed|"
    r"inline_container\.cc.{0,40}unexpected pos|not enough (?:disk )?space)",
    "gpu_lost": r".*?(?:uncorrectable (?:NVLink |ECC )?(?:ECC )?error|NVRM: Xid|fallen off the bus|"
    r"GPU is lost|NVLink error)",
    "cuda_error": r".*?(?:CUDA error: |CUDA_ERROR_[A-Z]|CUBLAS_STATUS_(?:EXECUTION|INTERNAL)|"
    r"CUDNN_STATUS_(?:EXECUTION|INTERNAL)|device-side assert triggered|illegal memory access)",
    "time_limit": r".*?(?:DUE TO TIME LIMIT|job killed: walltime|TERM_RUNLIMIT|(?:time|walltime) limit "
    r"(?:was )?(?:exceeded|reached))",
    "preempted": r".*?(?:DUE TO PREEMPTION|[Jj]ob (?:was )?preempted|DUE TO NODE FAILURE)",
    "usage": r"(?:[\w./-]+(?:\.py)?: error: (?P<usage_>(?:unrecognized|argument|the "
    "following|ambiguous|invalid|"
    r"expected).*)|Could not (?:override|find|append) '(?P<override_>.*)|Key '(?P<key_>.*)' is not in struct|"
    r"Error parsing override '(?P<parsed_>.*)|Cannot find primary config (?P<primary_>.*)|"
    r"(?P<group_>In '.*': Could not find '.*))",
    "launcher": r".*?(?:closing signal SIG|srun: (?:error: .{0,80}task|Terminating|Force "
    "Terminated|launch/slurm)|"
    r"slurmstepd: error: \*\*\* STEP )",
    "root": r"\s*Root Cause \(first observed failure\)",
    "root_rank": r"\s*rank\s*: (?P<root_rank_>\d{1,6}) \(local_rank",
    "root_code": r"\s*exitcode\s*: (?P<root_code_>-?\d{1,4}) \(pid",
    "killed": r".*?(?:\bSIGKILL\b|\bSIGTERM\b|\bSIG(?:SEGV|BUS|ABRT)\b|exitcode\s*:?\s*-(?!15\b)\d{1,2}\b|"
    r"[Ss]ignal 9\b|^Killed$|slurmstepd: error: .{0,80}CANCELLED|Bus error|Segmentation fault)",
    "aborted": r"\s*what\(\):\s+(?P<aborted_>.*)|Fatal Python error: (?P<fatal_>.*)",
}
_bar = re.compile(r"^.*?\d+%\|.*?(?:it/s|s/it|\?it/s)[^\]]*\]\s*")
_any = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _kinds.items()))
_worth = re.compile(
    rb"istributed|_dir: |job dir|length|riterion|raining|Resume|Loading |Keys|keys match|Testing on|"
    rb"Saving model|stopping|Data Iteration|Error|Retrying|emory|bad_alloc|oom|imed out|timeout|space left|"
    rb"quota|ENOSPC|SIG|exitcode|ignal|Killed|DUE TO|CANCELLED|fault|ALLOC|rror|ould not|what\(\)|"
    rb"limit|LIMIT|rank  |Root C|"
    rb"srun: |inate|PREE|preempted|CUDA|space|Key '|Writer|unexpected pos|fallen|lost"
)


@dataclass(frozen=True, kw_only=True)
class Incident:
    """One thing that the log says: what kind, in which line, and the part of the line that tells it apart."""

    kind: str
    line: int
    text: str
    value: str = ""


def without_prefix(line: bytes) -> tuple[str, str]:
    """A line without the prefixes of loggers, and the rank that wrote it, if it says so."""
    prefix = _prefix.match(line)
    end = prefix.end() if prefix else 0
    rank = (prefix[1] or prefix[2] or b"").decode() if prefix else ""
    return line[end : end + LONGEST].decode("utf-8", "replace").rstrip(), rank


class Incidents:
    """Told the lines that are not metrics, it keeps what they say happened, and counts the rest."""

    def __init__(self) -> None:
        self.found: list[Incident] = []
        self.counts: Counter[str] = Counter()

    def read(self, number: int, text: str, line: bytes) -> Incident | None:
        """What a line says happened, if anything."""
        match = _any.match(text) if _worth.search(line, 0, LONGEST) else None
        if match is None or match.lastgroup is None:
            return None
        kind = next(kind for kind in _kinds if match[kind] is not None)
        said = match.groupdict()
        value = said.get(f"{kind}_") or next(
            (one for name, one in said.items() if name[-1] == "_" and one), ""
        )
        shown = _bar.sub("", text)  # the launcher's words stand behind a progress bar that ended no line
        incident = Incident(kind=kind, line=number, text=shown[:300], value=value[:LONGEST].strip())
        self.counts[kind] += 1
        if self.counts[kind] <= MOST_OF_A_KIND:
            self.found.append(incident)
        return incident

    def answer(self, incident: Incident, value: str) -> None:
        """The value of an incident stood in a line of its own, below."""
        if incident in self.found[-3:]:
            self.found[self.found.index(incident)] = replace(incident, value=value[:LONGEST])
