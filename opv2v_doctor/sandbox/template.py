"""Writing the training repository from its template, and copying one elsewhere."""

import shutil
from pathlib import Path

from opv2v_doctor.sandbox import history as git
from opv2v_doctor.sandbox.archive import rewrite_pickle
from opv2v_doctor.sandbox.scene import write_scene

TEMPLATE = Path(__file__).parent / "repository"
MACHINE = Path("configs/machine/demo.yaml")
PLACEHOLDER = "@REPOSITORY@"
CACHES = shutil.ignore_patterns("__pycache__", ".ruff_cache")


def write_repository(directory: Path, *, seed: int = 0) -> None:
    """Write the healthy training repository, its data and a git history of one commit; train nothing.

    The directory may exist, but must be empty.
    """
    directory = directory.resolve()
    if directory.exists() and any(directory.iterdir()):
        raise FileExistsError(f"{directory} is not empty")
    shutil.copytree(TEMPLATE, directory, dirs_exist_ok=True, ignore=CACHES)
    _replace_in_text(directory / MACHINE, PLACEHOLDER, str(directory))
    write_scene(directory / "data/OPV2V", directory / "data/opv2v_depth", seed=seed)
    git.create(directory)


def copy_repository(source: Path, destination: Path) -> None:
    """Copy a repository, trained or not, as if it had been made at the destination: its paths follow."""
    source, destination = source.resolve(), destination.resolve()
    shutil.copytree(source, destination, ignore=CACHES, dirs_exist_ok=True)
    for path in [destination / MACHINE, *destination.glob("experiments/**/*")]:
        if path.suffix in {".yaml", ".log"}:
            _replace_in_text(path, str(source), str(destination))
        elif path.suffix == ".pth":
            rewrite_pickle(path, lambda content: _relocated(content, str(source), str(destination)))
    git.commit(destination, "Live here")


def _replace_in_text(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


def _relocated(content: bytes, old: str, new: str) -> bytes:
    """A pickle in which every string that begins with `old` begins with `new`.

    Such a string is an X, its length in four bytes, and its UTF-8 text.
    """
    wanted, parts, place = old.encode(), [], 0
    while (found := content.find(wanted, place)) >= 0:
        length = int.from_bytes(content[found - 4 : found], "little")
        if content[found - 5 : found - 4] != b"X":
            raise ValueError(f"{old} is in the checkpoint, but not at the beginning of a string")
        text = new.encode() + content[found + len(wanted) : found + length]
        parts += [content[place : found - 4], len(text).to_bytes(4, "little"), text]
        place = found + length
    return b"".join([*parts, content[place:]])
