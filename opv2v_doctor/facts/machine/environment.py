"""Environment: the training interpreter, what is installed in it, and the room for its checkpoints."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from opv2v_doctor.facts.interpreter import questions
from opv2v_doctor.foreign_files import from_toml, text_of
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Text

if TYPE_CHECKING:
    from packaging.requirements import Requirement

NEEDED = {"torch": "torch", "hydra": "hydra-core", "omegaconf": "omegaconf", "numpy": "numpy"}
OPENCV = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)


@dataclass(frozen=True, kw_only=True)
class InstalledPython:
    """The training interpreter, and what every launch needs of it."""

    version: str
    executable: str
    cuda: str | None  # the version that torch was built for; None: a CPU build
    versions: Mapping[str, str | None]  # of what every launch needs
    absent: tuple[str, ...]  # distributions of which no module can be imported
    markers: Mapping[str, str]
    path: tuple[Path, ...]  # its sys.path under the launch

    @property
    def text(self) -> Text:
        """The versions, in a line."""
        installed = [f"{name} {version}" for name, version in self.versions.items() if version]
        return Text(
            "{packages}, {build}",
            packages=[f"python {self.version}", *installed],
            build=Text("CUDA {version}", version=self.cuda) if self.cuda else Text("a build for the CPU"),
        )


@fact
def interpreter(target: Target) -> InstalledPython:
    """What the training interpreter says about itself."""
    answer = questions.interpreter(target)
    found = questions.importable(target, modules=list(NEEDED))
    return InstalledPython(
        version=answer.version,
        executable=answer.executable,
        cuda=answer.cuda,
        versions=questions.versions(target, packages=list(NEEDED.values())),
        absent=tuple(NEEDED[module] for module, file in found.items() if file is None),
        markers=answer.markers,
        path=tuple(map(Path, answer.path)),
    )


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """An environment that the training and the doctor are both installed in."""

    doctor: Path  # the folder of packages that the doctor is in
    opencv: tuple[tuple[str, str], ...]  # (distribution, version) of all whose files are in one folder, cv2
    cv2: Path  # that folder, or the one that would be it


@fact
def overlap(target: Target) -> Overlap | None:
    """What the doctor shares with the training; None where it is not installed in the training's environment.

    What conda installed is left out: it names one OpenCV by several names.
    """
    folders = {folder: _distributions(folder) for folder in interpreter(target).path}
    home = next((folder for folder, found in folders.items() if "opv2v-doctor" in found), None)
    if home is None:
        return None
    rivals = {
        folder: tuple((name, version) for name, version in found.items() if name in OPENCV)
        for folder, found in folders.items()
    }
    crowded = max(rivals, key=lambda folder: len(rivals[folder]))
    return Overlap(doctor=home, opencv=rivals[crowded], cv2=crowded / "cv2")


def _distributions(folder: Path) -> dict[str, str]:
    """Name -> version of what pip or its like installed into one folder."""
    found: dict[str, str] = {}
    try:
        there = sorted(folder.glob("*.dist-info"))
    except OSError:  # no folder has such a name
        return found
    for path in there:
        name, _, version = path.name.removesuffix(".dist-info").partition("-")
        installer = path / "INSTALLER"
        if not (installer.is_file() and text_of(installer, "replace").strip() == "conda"):
            found[name.replace("_", "-").lower()] = version
    return found


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A distribution that the repository declares, and what is installed of it."""

    name: str
    bounds: str
    path: Path
    line: int
    installed: str | None
    fits: bool

    def __str__(self) -> str:
        return f"{self.name}{self.bounds}"


@fact
def declarations(target: Target) -> tuple[Declared, ...]:
    """What pyproject.toml and requirements.txt declare and what applies to the training interpreter.

    One that is written twice counts once. Requirements given by an address are left out: what they install is
    not known by name and version.
    """
    found: dict[str, tuple[Requirement, Path, int]] = {}
    for path, line, words in _declarations(target.repo):
        if (requirement := _requirement(words)) is not None and _applies(requirement, target):
            found.setdefault(str(requirement), (requirement, path, line))
    asked = sorted({name for requirement, _, _ in found.values() for name in _stand_ins(requirement.name)})
    versions = questions.versions(target, packages=asked) if asked else {}
    return tuple(_declaration(*one, versions) for one in found.values())


def _declaration(
    requirement: Requirement, path: Path, line: int, versions: Mapping[str, str | None]
) -> Declared:
    installed = next((versions[name] for name in _stand_ins(requirement.name) if versions[name]), None)
    return Declared(
        name=requirement.name,
        bounds=str(requirement.specifier),
        path=path,
        line=line,
        installed=installed,
        fits=installed is None or requirement.specifier.contains(installed, prereleases=True),
    )


def _stand_ins(name: str) -> list[str]:
    """A distribution and those that bring the same modules under another name."""
    plain = re.sub(r"[-_.]+", "-", name).lower()
    alike = OPENCV if plain in OPENCV else (f"{plain}-gpu", f"{plain}-cpu", re.sub("-(gpu|cpu)$", "", plain))
    return list(dict.fromkeys([plain, *alike]))


def _requirement(words: str) -> Requirement | None:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(words)
    except InvalidRequirement:
        return None
    return None if requirement.url else requirement


def _applies(requirement: Requirement, target: Target) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(dict(interpreter(target).markers))


def _declarations(repo: Path) -> Iterator[tuple[Path, int, str]]:
    """(file, line, requirement) of all that the repository declares, its optional groups left out."""
    project, listed = repo / "pyproject.toml", repo / "requirements.txt"
    if project.is_file():
        text = text_of(project, "replace")
        for words in _project_dependencies(text):
            lines = text.splitlines()
            yield project, next((n for n, line in enumerate(lines, 1) if words in line), 1), words
    if listed.is_file():
        text = text_of(listed, "replace")
        yield from ((listed, line, words) for line, words in _listed_requirements(text))


def _project_dependencies(text: str) -> list[str]:
    try:
        project = from_toml(text).get("project")
    except ValueError:
        return []
    if not isinstance(project, dict) or not isinstance(project.get("dependencies"), list):
        return []
    return [w for w in project["dependencies"] if isinstance(w, str) and w != project.get("name")]


def _listed_requirements(text: str) -> Iterator[tuple[int, str]]:
    """The requirements of pip's format, without its options, comments and hashes."""
    joined = re.sub(r"\\\r?\n", lambda _: "\x00", text)  # continued lines count as one, and still as lines
    line = 1
    for row in joined.splitlines():
        words = re.sub(r"(^|\s)(#|--\w).*", "", row.replace("\x00", " ")).strip()
        if words and not words.startswith("-"):
            yield line, words
        line += 1 + row.count("\x00")
