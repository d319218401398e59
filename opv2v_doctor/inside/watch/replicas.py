"""The replicas: whether all ranks still hold the same weights."""

from . import ranks
from .fingerprints import digest


class Replicas:
    """Compares the weights of the ranks through their fingerprints."""

    def __init__(self, assembly, parameters, progress, warn):
        self.assembly, self.parameters, self.progress, self.warn = assembly, parameters, progress, warn

    def compare(self):
        """At the same step in all ranks; returns the hash of our own weights."""
        own = self.parameters.fingerprints()
        said = {"step": self.progress.global_step, "weights": digest(sorted(own.items()))}
        if ranks.world_size() == 1 or self.parameters.sharded():
            return said["weights"]
        answers = self.assembly.gathered(said)
        if any(answer["step"] != said["step"] for answer in answers):
            steps = [answer["step"] for answer in answers]
            self.warn("ranks out of step", "the ranks are at steps {}".format(steps), steps=steps)
        elif any(answer != answers[0] for answer in answers):
            self.name_difference(self.assembly.gathered(own))
        return said["weights"]

    def name_difference(self, weights):
        other, name = difference(weights)
        group = next((entry[0] for entry in self.parameters.trained() if entry[2] == name), None)
        self.warn(
            "replicas differ",
            "{} of rank {} differs from that of rank 0: gradients are not averaged over the ranks".format(
                name, other
            ),
            group=group, parameter=name, other=other,
        )  # fmt: skip


def difference(said):
    """(rank, key) of the first entry in which a rank does not say what rank 0 says; None where all agree."""
    for number, answer in enumerate(said):
        for key in list(said[0]) + [key for key in answer if key not in said[0]]:
            if answer.get(key) != said[0].get(key):
                return number, key
    return None
