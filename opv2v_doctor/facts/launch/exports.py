"""Exports: the names that the module in which datasets are evaluated has, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from opv2v_doctor.facts.interpreter import questions
from opv2v_doctor.facts.launch.loaders import loader_function, loader_module
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target


@dataclass(frozen=True, kw_only=True)
class Exported:
    """The module in whose namespace datasets are evaluated, and the files of the names that it has."""

    module: str
    home: Path  # the repository's own file of it
    file: Path  # the one that was imported
    names: Mapping[str, Path]

    @property
    def is_ours(self) -> bool:
        """Whether no other copy of it wins the import."""
        return self.file.resolve() == self.home.resolve()


@fact
def exported(target: Target, names: tuple[str, ...]) -> Exported:
    """Which of the names the datasets module has, in the training interpreter."""
    module, home = loader_module(target), loader_function(target).path
    answer = questions.exported(target, module_name=module, names=list(names))
    return Exported(module=module, home=home, file=answer.file or Path(module), names=answer.names)
