"""Files of a workspace on disk: safe paths, whole-or-nothing writes and hashes."""

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from django.conf import settings
from psycopg.errors import DiskFull

from core.errors import Refused
from words import say

LEAST_FREE_BYTES = 200_000_000


def home() -> Path:
    """The folder that holds everything this installation keeps."""
    return Path(settings.HOME)


def workspace_folder(workspace_id: int, *parts: str) -> Path:
    """A folder of one workspace below HOME/files, made when missing.

    Raises ValueError for a part that would lead outside.
    """
    for part in parts:
        if not part or part in {".", ".."} or "/" in part or "\\" in part or "\0" in part:
            raise ValueError(f"unsafe path part {part!r}")
    folder = home() / "files" / str(workspace_id)
    for part in parts:
        folder = folder / part
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def require_free_space(wanted_bytes: int = 0) -> None:
    """Refuse early when the disk would run full."""
    home().mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(home()).free < wanted_bytes + LEAST_FREE_BYTES:
        raise disk_full()


def disk_full() -> Refused:
    """The refusal for want of space."""
    return Refused(
        "disk_full",
        say("The disk is almost full. Free some space or ask your administrator, then try again."),
        status=507,
    )


def for_want_of_space(error: BaseException) -> bool:
    """Whether an error of a file or of the database means that the disk is full."""
    return any(
        isinstance(each, DiskFull) or (isinstance(each, OSError) and each.errno in (errno.ENOSPC, errno.EDQUOT))
        for each in (error, error.__cause__)
    )


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Write beside, fsync, then rename: readers see the old file or the whole new one."""
    beside = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        yield beside
        with beside.open("rb+") as handle:
            os.fsync(handle.fileno())
        beside.replace(path)
        sync_folder(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
