"""Copies: every file that could be imported for the repository's own modules, and which of them wins."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.interpreter import questions
from opv2v_doctor.facts.source.first_party import FirstParty, first_party, first_party_modules, path_edits
from opv2v_doctor.foreign_files import text_of
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Text, quoted

WAYS = {  # how an interpreter came to look somewhere, where that is no name of its own
    "script folder": Text("the script's folder"),
    "sys.path edit": Text("the script's edit of sys.path"),
    "path file": Text("path file"),
    "import hook": Text("import hook"),
}


@dataclass(frozen=True, kw_only=True)
class ModuleCopy(questions.Copy):
    """One copy of a module that an interpreter could import, and how it came to look there."""

    @property
    def places(self) -> tuple[Path, ...]:
        """The package's folder or the module's file; a namespace package has several folders."""
        if self.file is None:
            return self.portions
        return (self.file.parent if self.file.name == "__init__.py" else self.file,)

    @property
    def shown(self) -> str:
        """The file, or the folders."""
        return str(self.file) if self.file else ", ".join(str(part) for part in self.portions)

    @property
    def text(self) -> Text:
        """The file, and how it is found."""
        return Text("{file} (through {way})", file=self.shown, way=self.way)

    @property
    def way(self) -> Text:
        """How the interpreter came to look there."""
        way = WAYS.get(self.through, quoted(self.through))
        if self.source:
            way = Text("{way} {source}", way=way, source=self.source)
        elif self.through == "PYTHONPATH":
            way = Text("{way} entry {entry}", way=way, entry=self.entry)
        owner = self.distribution
        return Text("{way}, distribution {distribution}", way=way, distribution=owner) if owner else way

    def removal(self, python: Path) -> Text:
        """What takes it away; a checkout that PYTHONPATH leads to may be somebody's work, and stays."""
        if self.distribution:
            return quoted(f"{shlex.quote(str(python))} -m pip uninstall {self.distribution}")
        if self.through in ("PYTHONPATH", "sys.path"):
            return Text("take {entry} out of {variable}", entry=self.entry, variable=self.through)
        return Text("remove {file}", file=self.source or self.places[0])

    @property
    def holds_code(self) -> bool:
        """Whether something could be imported from it; a folder of outputs of that name holds nothing."""
        return self.file is not None or any(True for part in self.portions for _ in part.glob("**/*.py"))


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """What a name resolves to in the launch, which other copies there are, and what it would be otherwise."""

    module: FirstParty
    copies: tuple[ModuleCopy, ...]  # in the order in which they are found, the winner first
    otherwise: tuple[tuple[Text, ModuleCopy | None], ...]  # (other circumstances, the winner under them)

    @property
    def winner(self) -> ModuleCopy | None:
        """The copy that the launch imports."""
        return self.copies[0] if self.copies else None

    def is_ours(self, copy: ModuleCopy | None) -> bool:
        """Whether a copy is the repository's own module.

        A package in the script's folder counts, if it is another one of the same name and not a copy of the
        repository's: a copy has the same parts.
        """
        if copy is None or not any(_same(copy.places[0], home) for home in self.module.homes):
            return False
        place, home = copy.places[0], self.module.homes[0]
        return _same(place, home) or not (_parts(place) & _parts(home))

    def remedy(self, python: Path) -> Text:
        """What lets the repository's own module win."""
        home, on_path = self.module.homes[0], any(self.is_ours(copy) for copy in self.copies)
        launch = Text("launch with PYTHONPATH={folder}", folder=home.parent)
        if self.winner is None:
            return launch
        if on_path and home.is_dir() and not (home / "__init__.py").is_file():
            file = home / "__init__.py"
            return Text("touch {file}: a folder without one loses against any package", file=file)
        if on_path and self.winner.through != "PYTHONPATH":
            return self.winner.removal(python)
        if not self.winner.distribution:
            return launch
        return Text("{launch}, or {removal}", launch=launch, removal=self.winner.removal(python))

    def lacking(self, copy: ModuleCopy) -> tuple[str, ...]:
        """The dataset classes that the repository's module defines and the copy does not."""
        theirs = {name for place in copy.places for name in dataset_classes(place)}
        return tuple(sorted(dataset_classes(self.module.homes[0]) - theirs))


def _same(one: Path, other: Path) -> bool:
    return one == other or os.path.realpath(one) == os.path.realpath(other)


def _parts(package: Path) -> set[str]:
    """The names of a package's modules and folders."""
    names = {path.name for path in package.iterdir()} if package.is_dir() else set()
    return names - {"__init__.py", "__pycache__"}


@fact
def resolutions(target: Target) -> tuple[Resolution, ...]:
    """What each first-party module resolves to, in a fresh interpreter with the launch's environment.

    Raises Blocked where the script's own changes of `sys.path` cannot be replayed.
    """
    situations = _situations(target)
    answers = questions.resolved(
        target,
        names=list(first_party(target)),
        edits=path_edits(target),
        folder=str(target.import_folder),
        pythonpaths=[None, *situations.values()],
    )
    for answer in answers:
        if answer.refusal:
            raise Blocked(
                "the script changes sys.path in a way that cannot be replayed: {problem}",
                at=target.script,
                hint="set PYTHONPATH in [launch] env instead, or compute the path from __file__ alone",
                problem=answer.refusal,
            )
    here, *others = [
        {name: tuple(ModuleCopy(**vars(copy)) for copy in copies) for name, copies in answer.copies.items()}
        for answer in answers
    ]
    return tuple(
        Resolution(
            module=module,
            copies=here.get(module.name, ()),
            otherwise=tuple(
                (words, next(iter(other.get(module.name, ())), None))
                for words, other in zip(situations, others, strict=True)
            ),
        )
        for module in first_party_modules(target)
    )


def _situations(target: Target) -> dict[Text, str]:
    """Other circumstances that a launch may meet, and the PYTHONPATH of each."""
    inherited = os.environ.get("PYTHONPATH", "")
    given = dict(target.settings.launch.env).get("PYTHONPATH", "")
    relative = any(not Path(part).is_absolute() for part in given.split(os.pathsep) if part)
    unset = Text("without PYTHONPATH")
    if relative:
        unset = Text("without PYTHONPATH (or with PYTHONPATH={given} from another directory)", given=given)
    others = {unset: ""}
    if inherited:
        others[Text("with the shell's own PYTHONPATH={inherited}", inherited=inherited)] = inherited
    launch = target.launch_env.get("PYTHONPATH", inherited)
    return {words: value for words, value in others.items() if value != launch}


def dataset_classes(package: Path) -> frozenset[str]:
    """The dataset classes that a package, or a module's file, defines; read as text, so any copy will do."""
    files = sorted(package.rglob("*.py")) if package.is_dir() else [package]
    texts = [text_of(path, "replace") for path in files if path.is_file()]
    return frozenset(
        name for text in texts for name in re.findall(r"^class (\w*Dataset\w*)", text, re.MULTILINE)
    )
