"""Loading: what `load_state_dict(strict=False)` would take from a file for a model, and what it would not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from opv2v_doctor.facts.checkpoints.weights import Weight, Weights
from opv2v_doctor.facts.pickles.machine import printable

PREFIXES = ("module.", "model.", "_orig_mod.", "state_dict.", "net.", "encoder.")


@dataclass(frozen=True, kw_only=True)
class Loading:
    """A model's tensors by what would become of them."""

    elements: int  # of the model
    loaded: int  # of them, found in the file
    tensors: int
    missing: tuple[str, ...]  # of the model, and not in the file: they stay as they were, without a word
    unexpected: tuple[str, ...]  # in the file, and not of the model: ignored, without a word
    reshaped: tuple[str, ...]  # of another shape: an error even so
    renaming: str  # a change of names by which more would be found

    @property
    def share(self) -> float:
        return self.loaded / self.elements if self.elements else 0.0


def loading(model: Weights, file: Weights) -> Loading:
    """What a model would get out of a file."""
    wanted, given = model.tensors, file.tensors
    taken = [name for name, weight in wanted.items() if name in given and given[name].shape == weight.shape]
    return Loading(
        elements=sum(weight.elements for weight in wanted.values()),
        loaded=sum(wanted[name].elements for name in taken),
        tensors=len(wanted),
        missing=tuple(printable(name) for name in wanted if name not in given),
        unexpected=tuple(printable(name) for name in given if name not in wanted),
        reshaped=tuple(
            f"{printable(name)}: {list(weight.shape)}, the file has {list(given[name].shape)}"
            for name, weight in wanted.items()
            if name in given and given[name].shape != weight.shape
        ),
        renaming=_renaming(wanted, given, len(taken)),
    )


def _renaming(wanted: Mapping[str, Weight], given: Mapping[str, Weight], found: int) -> str:
    """The prefix whose removal or addition finds the most further names; an empty text where none does."""
    best = (found, "")
    for prefix, said in _prefixes(wanted, given):
        names = {name.removeprefix(prefix) if said == "without" else prefix + name for name in given}
        best = max(best, (len(names & wanted.keys()), f"{said} the prefix {prefix!r}"), key=lambda b: b[0])
    return best[1]


def _prefixes(wanted: Mapping[str, Weight], given: Mapping[str, Weight]) -> Iterator[tuple[str, str]]:
    """Prefixes that names are known to gain and lose, and the first words of either side's."""
    for names, said in ((given, "without"), (wanted, "with")):
        words = dict.fromkeys(name.partition(".")[0] + "." for name in names if "." in name)
        for prefix in dict.fromkeys((*PREFIXES, *list(words)[:20])):
            yield prefix, said
