"""Files of model versions: link a finished folder into place, hash it, compare it with its manifest."""

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from core.storage import home, sha256_of, sync_folder, workspace_folder


@dataclass(frozen=True)
class KeptFolder:
    """A model folder in its final place, not yet registered."""

    folder: str  # relative to HOME
    files: list[dict[str, Any]]  # {"path", "bytes", "sha256"} sorted by path
    content_hash: str

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(int(file["bytes"]) for file in self.files)


def keep_folder(*, workspace_id: int, folder: Path) -> KeptFolder:
    """Link (or copy, across disks) a finished folder below the workspace's models, durably, and hash its files.

    The source stays as it is, so that a crash before the version is registered loses nothing.
    Raises ValueError for a folder with symbolic links or without files.
    """
    place = workspace_folder(workspace_id, "models") / uuid4().hex
    place.mkdir()
    found = []
    for source in sorted(folder.rglob("*")):
        if source.is_symlink() or not (source.is_file() or source.is_dir()):
            raise ValueError(f"{source.name} is not a plain file")
        target = place / source.relative_to(folder)
        if source.is_dir():
            target.mkdir()
            continue
        _link(source, target)
        path = target.relative_to(place).as_posix()
        found.append({"path": path, "bytes": target.stat().st_size, "sha256": sha256_of(target)})
    if not found:
        raise ValueError(f"{folder} holds no files")
    found.sort(key=lambda file: str(file["path"]))
    for below in [path for path in place.rglob("*") if path.is_dir()] + [place, place.parent]:
        sync_folder(below)
    return KeptFolder(place.relative_to(home()).as_posix(), found, content_hash(found))


def content_hash(files: Sequence[dict[str, Any]]) -> str:
    """sha256 over "<sha256>  <path>" lines sorted by path: equal folders have equal hashes."""
    lines = sorted(f"{file['sha256']}  {file['path']}\n" for file in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def compare_with_manifest(
    folder: Path, files: Sequence[dict[str, Any]], progress: Callable[[int], None] | None = None
) -> list[dict[str, str]]:
    """What differs from the manifest: missing, altered and additional files; `progress` hears bytes read."""
    problems, done = [], 0
    for file in files:
        path = folder / str(file["path"])
        if not path.is_file() or path.is_symlink():
            problems.append({"path": str(file["path"]), "problem": "missing"})
        elif path.stat().st_size != file["bytes"] or sha256_of(path) != file["sha256"]:
            problems.append({"path": str(file["path"]), "problem": "altered"})
        done += int(file["bytes"])
        if progress is not None:
            progress(done)
    known = {str(file["path"]) for file in files}
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    return problems + [{"path": path, "problem": "additional"} for path in sorted(present - known)]


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    with target.open("rb") as handle:
        os.fsync(handle.fileno())
