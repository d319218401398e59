"""Before step 0: what this rank is about to do, and whether all ranks are about to do the same."""

from __future__ import annotations

import sys
from typing import Any, Mapping, NoReturn, Sequence

from . import ranks
from .configs import flat
from .fingerprints import digest
from .guard import StopTraining
from .lines import Lines
from .parameters import Parameters
from .replicas import difference
from .sources import first_party

EXIT_CODE = 88  # of a training that the watch has stopped


class Start:
    """Gathers the facts of the start, and stops a training whose ranks disagree."""

    def __init__(
        self,
        settings: dict[str, Any],
        lines: Lines,
        assembly: ranks.Assembly,
        parameters: Parameters,
    ) -> None:
        self.settings, self.lines = settings, lines
        self.assembly, self.parameters = assembly, parameters

    def record(self, loaders: dict[str, int], config: Any) -> None:
        """The facts, as an event; and a stop where the ranks disagree on them."""
        weights = self.parameters.fingerprints()
        packages = self.settings.get("packages") or ("mapanything",)
        modules, keys = first_party(packages), flat(config)
        facts: dict[str, Any] = {
            "world_size": ranks.world_size(),
            "loaders": loaders,
            "config_hash": self.settings.get("config_hash"),
            "commit": self.settings.get("commit"),
            "config": digest(sorted(keys.items())),
            "parameters": digest(sorted(weights.items())),
        }
        files = {name: entry[0] for name, entry in modules.items()}
        self.lines.event("start", **dict(facts, modules=files, sources=dict(modules.values())))
        if self.parameters.sharded():
            facts.pop("parameters")
        self.compare(facts, {"config": keys, "parameters": weights}, modules)

    def compare(
        self,
        facts: dict[str, Any],
        details: Mapping[str, dict[str, Any]],
        modules: Mapping[str, list[str]],
    ) -> None:
        """Stop where a rank says something else than rank 0 does; the difference is named."""
        found = difference(self.assembly.gathered(facts))
        if found is not None:
            other, key = found
            said = self.assembly.gathered(details.get(key, facts))
            self.stop(difference_in_words(key, other, said))
        own = {name: entry[1] for name, entry in modules.items()}
        said = self.assembly.gathered(own)
        shared = [name for name in said[0] if all(name in answer for answer in said)]
        found = difference([{name: answer[name] for name in shared} for answer in said])
        if found is not None:
            self.stop("rank {} runs another source of {} than rank 0".format(*found))

    def verify_length(self, steps: int) -> None:
        """Stop where an epoch has not the steps that it should have."""
        expected = self.settings.get("expected_steps")
        if expected and steps != expected:
            self.stop("{} steps an epoch, expected {}".format(steps, expected))

    def stop(self, reason: str) -> NoReturn:
        """End this process; it is said in the events, on the terminal and in the training's log."""
        self.lines.event("stopped", reason=reason)
        for stream in {id(stream): stream for stream in (sys.stderr, sys.__stderr__) if stream}.values():
            stream.write("opv2v-doctor: training stopped: {}\n".format(reason))
            stream.flush()
        raise StopTraining(EXIT_CODE)


def difference_in_words(key: str, other: int, said: Sequence[dict[str, Any]]) -> str:
    """The difference in words."""
    other, inner = difference(said) or (other, key)
    place = key if inner == key else "{} {}".format(key, inner)
    values = said[0].get(inner), said[other].get(inner)
    if key == "parameters":
        return "the ranks disagree before step 0: {} of rank {} is not that of rank 0".format(inner, other)
    return "the ranks disagree before step 0: {} is {} in rank 0, {} in rank {}".format(
        place, values[0], values[1], other
    )
