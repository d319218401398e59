"""The masks: how much of a panorama is masked, in target and prediction, on average of an epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping

if TYPE_CHECKING:
    from torch import Tensor

ALL_OF, ONE_IN = 16, 8  # batches of an epoch: what is averaged moves by less than they differ
LOGITS, MASK, VALID = "non_ambiguous_mask_logits", "non_ambiguous_mask", "valid_mask"


class MaskSums:
    """Sums that stay on the device until the epoch ends; a few operations a step, and no waiting."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = names  # a key of views -> the name that the training gives it
        self.forget()

    def forget(self, thinned: bool = False) -> None:
        """Begin anew; `thinned` looks at each of the first batches, and at a part of those that follow."""
        self.thinned = thinned
        self.came = 0
        self.sums: dict[tuple[str, ...], tuple[Tensor, int]] = {}  # total and number of batches, by names
        self.batches = 0  # that were looked at

    def see(self, views: Any, predictions: Any) -> None:
        """Take in one batch."""
        import torch

        self.came += 1
        if self.thinned and self.came > ALL_OF and self.came % ONE_IN:
            return
        self.batches += 1
        with torch.no_grad():
            found = means(views, predictions, self.names)
            if found:
                names = tuple(found)  # all batches have the same, as a rule
                values = torch.stack([value.to(found[names[0]].device) for value in found.values()])
                total, count = self.sums.get(names, (None, 0))
                self.sums[names] = values if total is None else total + values, count + 1

    def averages(self) -> dict[str, float]:
        """The mean of every quantity that was there; here we wait for the device."""
        totals: dict[str, float] = {}
        counts: dict[str, int] = {}
        for names, (total, count) in self.sums.items():
            for name, value in zip(names, total.tolist()):
                totals[name] = totals.get(name, 0.0) + value
                counts[name] = counts.get(name, 0) + count
        return {name: total / counts[name] for name, total in totals.items()}


def means(views: Any, predictions: Any, names: Mapping[str, str]) -> dict[str, Tensor]:
    """The mean over the views of one batch, of each quantity that it has."""
    logits, predicted = collect(predictions, LOGITS), collect(predictions, MASK)
    if predicted is None and logits is not None:
        predicted = logits > 0
    found = {
        "pred_mask_mean": None if logits is None else logits.sigmoid(),
        "gt_mask_mean": collect(views, names.get(MASK, MASK)),
        "valid_mask_ratio_target": collect(views, names.get(VALID, VALID)),
        "valid_mask_ratio_prediction": predicted,
    }
    return {name: mean(tensor) for name, tensor in found.items() if tensor is not None}


def mean(tensor: Tensor) -> Tensor:
    import torch

    return tensor.mean(dtype=torch.float32)


def collect(entries: Any, name: str) -> Tensor | None:
    """The tensor of this name of all views, stacked; None where a view lacks it."""
    import torch

    if not all(isinstance(entry, dict) and torch.is_tensor(entry.get(name)) for entry in entries):
        return None
    return torch.stack([entry[name].detach() for entry in entries])
