"""The replicas: whether all ranks still hold the same weights."""

from __future__ import annotations

from typing import Any, Sequence

from . import ranks
from .fingerprints import digest
from .parameters import Parameters
from .progress import Counters
from .warnings import Warnings


class Replicas:
    """Compares the weights of the ranks through their fingerprints."""

    def __init__(
        self, assembly: ranks.Assembly, parameters: Parameters, progress: Counters, warn: Warnings
    ) -> None:
        self.assembly, self.parameters, self.progress, self.warn = assembly, parameters, progress, warn

    def compare(self) -> str:
        """At the same step in all ranks; returns the hash of our own weights."""
        own = self.parameters.fingerprints()
        weights = digest(sorted(own.items()))
        said = {"step": self.progress.global_step, "weights": weights}
        if ranks.world_size() == 1 or self.parameters.sharded():
            return weights
        answers = self.assembly.gathered(said)
        if any(answer["step"] != said["step"] for answer in answers):
            steps = [answer["step"] for answer in answers]
            self.warn("ranks out of step", "the ranks are at steps {}".format(steps), steps=steps)
        elif any(answer != answers[0] for answer in answers):
            self.name_difference(self.assembly.gathered(own))
        return weights

    def name_difference(self, weights: list[dict[str, Any]]) -> None:
        found = difference(weights)
        if found is None:  # they have become alike meanwhile
            return
        other, name = found
        group = next((entry[0] for entry in self.parameters.trained() if entry[2] == name), None)
        self.warn(
            "replicas differ",
            "{} of rank {} differs from that of rank 0: gradients are not averaged over the ranks".format(
                name, other
            ),
            group=group, parameter=name, other=other,
        )  # fmt: skip


def difference(said: Sequence[dict[str, Any]]) -> tuple[int, str] | None:
    """(rank, key) of the first entry in which a rank does not say what rank 0 says; None where all agree."""
    for number, answer in enumerate(said):
        for key in list(said[0]) + [key for key in answer if key not in said[0]]:
            if answer.get(key) != said[0].get(key):
                return number, key
    return None
