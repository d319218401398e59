"""Loading: what `load_state_dict(strict=False)` would take from a file for a model, and what it would not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from opv2v_doctor.facts.past.checkpoints.weights import Weight, Weights
from opv2v_doctor.facts.past.pickles.machine import ascii_excerpt
from opv2v_doctor.text import Text

PREFIXES = ("module.", "model.", "_orig_mod.", "state_dict.", "net.", "encoder.")


@dataclass(frozen=True, kw_only=True)
class Loading:
    """A model's tensors by what would become of them."""

    elements: int  # of the model
    loaded: int  # of them, found in the file
    tensors: int
    missing: tuple[str, ...]  # of the model, and not in the file: they stay as they were, without a word
    unexpected: tuple[str, ...]  # in the file, and not of the model: ignored, without a word
    reshaped: tuple[Text, ...]  # of another shape: an error even so
    renaming: Text | None  # a change of names by which more would be found

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
        missing=tuple(ascii_excerpt(name) for name in wanted if name not in given),
        unexpected=tuple(ascii_excerpt(name) for name in given if name not in wanted),
        reshaped=tuple(
            Text(
                "{name}: {wanted}, the file has {given}",
                name=ascii_excerpt(name),
                wanted=str(list(weight.shape)),
                given=str(list(given[name].shape)),
            )
            for name, weight in wanted.items()
            if name in given and given[name].shape != weight.shape
        ),
        renaming=_renaming(wanted, given, len(taken)),
    )


def _renaming(wanted: Mapping[str, Weight], given: Mapping[str, Weight], found: int) -> Text | None:
    """The prefix whose removal or addition finds the most further names; None where none does."""
    best: tuple[int, Text | None] = (found, None)
    for prefix, removed in _prefixes(wanted, given):
        names = {name.removeprefix(prefix) if removed else prefix + name for name in given}
        said = Text(
            "without the prefix {prefix!r}" if removed else "with the prefix {prefix!r}",
            prefix=ascii_excerpt(prefix),
        )
        best = max(best, (len(names & wanted.keys()), said), key=lambda one: one[0])
    return best[1]


def _prefixes(wanted: Mapping[str, Weight], given: Mapping[str, Weight]) -> Iterator[tuple[str, bool]]:
    """Prefixes that names are known to lose (true) and gain, and the first words of either side's."""
    for names, removed in ((given, True), (wanted, False)):
        words = dict.fromkeys(name.partition(".")[0] + "." for name in names if "." in name)
        for prefix in dict.fromkeys((*PREFIXES, *list(words)[:20])):
            yield prefix, removed
