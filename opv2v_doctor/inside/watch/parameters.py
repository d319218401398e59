"""The parameters of the model by name, and the groups of the optimizer that they are in."""

from __future__ import annotations

from typing import Any, Iterable

from .fingerprints import digest, fingerprints

MOST_NAMED = 3


class Parameters:
    """Model and optimizer of the training, once they are known."""

    def __init__(self) -> None:
        self.model: Any = None
        self.optimizer: Any = None
        self.names: dict[Any, str] = {}
        self.labels: list[str] = []

    def learn(self, model: Any, optimizer: Any, group_names: dict[int, str] | None) -> None:
        """From the arguments of the first epoch; `group_names` maps a group's index to its sub-module."""
        inner = getattr(model, "module", None)
        self.model = inner if hasattr(inner, "named_parameters") else model
        self.optimizer = optimizer
        self.names = {parameter: name for name, parameter in self.model.named_parameters()}
        self.labels = [
            "{}[{}]".format((group_names or {}).get(index, "group"), index)
            for index in range(len(optimizer.param_groups))
        ]

    def groups(self) -> list[tuple[str, dict[str, Any]]]:
        """(label, group) of the optimizer, in order."""
        return list(zip(self.labels, self.optimizer.param_groups))

    def trained(self) -> list[tuple[str, dict[str, Any], str, Any]]:
        """(label, group, name, parameter) of all that the optimizer may change."""
        return [
            (label, group, self.names.get(parameter, "unnamed"), parameter)
            for label, group in self.groups()
            for parameter in group["params"]
        ]

    def rates(self) -> dict[str, float]:
        """The learning rate of every group."""
        return {label: float(group["lr"]) for label, group in self.groups()}

    def sharded(self) -> bool:
        """Whether each rank holds a part only, so that their parts differ."""
        kinds = {type(parameter).__name__ for parameter in self.names}
        return "DTensor" in kinds or "FlatParameter" in kinds

    def fingerprints(self) -> dict[str, int]:
        """One number for each parameter of the model, by name."""
        return dict(zip(self.names.values(), fingerprints(list(self.names))))

    def left_out(self) -> list[str]:
        """Names of parameters that want gradients, but are in no group of the optimizer."""
        inside = {id(parameter) for group in self.optimizer.param_groups for parameter in group["params"]}
        return [
            name for parameter, name in self.names.items()
            if parameter.requires_grad and id(parameter) not in inside
        ]  # fmt: skip

    def strange(self, criterion: Any) -> int:
        """How many parameters of the optimizer are neither the model's nor the criterion's."""
        known = {id(parameter) for parameter in self.names}
        known.update(id(parameter) for parameter in getattr(criterion, "parameters", tuple)())
        return sum(id(entry[3]) not in known for entry in self.trained())

    def decayed_by_bias(self) -> list[str]:
        """Modules whose vectors, as a bias, have a weight decay, and their matrices or kernels none."""
        decays: dict[str, list[float]] = {}
        for _, group, name, parameter in self.trained():
            most = decays.setdefault(name.rpartition(".")[0], [-1.0, -1.0])
            kind = 0 if parameter.dim() > 1 else 1
            most[kind] = max(most[kind], float(group.get("weight_decay") or 0))
        return [name for name, (matrix, vector) in decays.items() if vector > 0 == matrix]

    def optimizer_digest(self) -> str:
        """A hash of the whole state of the optimizer."""
        import torch

        states = [self.optimizer.state.get(entry[3], {}) for entry in self.trained()]
        entries = [(key, state[key]) for state in states for key in sorted(state)]
        tensors = [value for _, value in entries if torch.is_tensor(value)]
        plain = [(key, value) for key, value in entries if not torch.is_tensor(value)]
        return digest((fingerprints(tensors), plain))

    def optimizer_steps(self) -> int:
        """How many updates the optimizer itself remembers; 0 where it remembers none."""
        counts = [state["step"] for state in self.optimizer.state.values() if "step" in state]
        return int(max(map(float, counts), default=0))


def some(names: Iterable[str]) -> str:
    """The first few of many names, for a message."""
    names = list(names)
    shown = ", ".join(names[:MOST_NAMED])
    return shown + (" and {} more".format(len(names) - MOST_NAMED) if len(names) > MOST_NAMED else "")
