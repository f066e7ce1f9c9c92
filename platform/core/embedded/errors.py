"""What can go wrong with the embedded servers, each as one sentence for the person at the terminal."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class StackError(Exception):
    """The embedded servers cannot run; the message says why and what to do."""


DISK_FULL = "The disk that holds {place} is full. Free some space, then start again; nothing was lost."


@contextmanager
def sentences(place: Path) -> Iterator[None]:
    """Turn what the file system refuses below `place` into a StackError."""
    try:
        yield
    except PermissionError as error:
        raise StackError(
            f"You may not write to {error.filename or place}. Run as its owner, or choose another folder with --home."
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StackError(DISK_FULL.format(place=place)) from error
        raise
