"""Files that no row names: set aside after a grace period, dropped one more period later, given back if a row comes.

A file is always written before the row that names it is committed, so whoever looks may come between the two. Two
periods lie between the last write to a file and its end, and the rows are asked again after each step.
"""

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from django.conf import settings

from core.storage import home

logger = logging.getLogger(__name__)

ASIDE = ".unnamed-"

Names = Callable[[], set[str]]


@dataclass
class Swept:
    """What a look at some places did; paths are relative to HOME."""

    dropped: dict[str, int] = field(default_factory=dict)  # path -> bytes
    set_aside: list[str] = field(default_factory=list)
    given_back: list[str] = field(default_factory=list)

    def add(self, other: "Swept") -> None:
        """Take the findings of another look in."""
        self.dropped |= other.dropped
        self.set_aside += other.set_aside
        self.given_back += other.given_back

    @property
    def bytes(self) -> int:
        """All that was dropped."""
        return sum(self.dropped.values())


def grace() -> timedelta:
    """How long an unnamed file is left alone, and again how long it lies aside."""
    return timedelta(hours=settings.LEFTOVER_HOURS)


def sweep(pattern: str, named: Names) -> Swept:
    """Look at what `pattern` below HOME/files finds; `named` asks the rows, which name paths relative to HOME.

    Of a place that itself lies below something set aside nothing is touched.
    """
    found = [path for path in (home() / "files").glob(pattern) if ASIDE not in str(path.parent)]
    limit = time.time() - grace().total_seconds()
    lying = [path for path in found if path.name.startswith(ASIDE)]
    fresh = [path for path in found if not path.name.startswith(ASIDE) and _newest(path) < limit]
    swept = Swept()
    names = named() if fresh or lying else set()
    moved = [_set_aside(path, swept) for path in fresh if _name(path) not in names]
    names = named() if moved or lying else set()
    for path in [*moved, *lying]:
        if path is None or not _exists(path):
            continue
        if _name(_place_of(path)) in names:
            _give_back(path, swept)
        elif path.lstat().st_mtime < limit:
            _drop(path, swept)
    return swept


def sweep_all(places: Iterable[tuple[str, Names]]) -> Swept:
    """Look at several places."""
    swept = Swept()
    for pattern, named in places:
        swept.add(sweep(pattern, named))
    return swept


def _set_aside(path: Path, swept: Swept) -> Path | None:
    aside = path.with_name(ASIDE + path.name)
    try:
        path.rename(aside)
        os.utime(aside)  # its time aside begins now
    except FileNotFoundError:  # its owner was faster
        return None
    swept.set_aside.append(_name(path))
    return aside


def _give_back(path: Path, swept: Swept) -> None:
    place = _place_of(path)
    if _exists(place):
        return  # both are there: nothing may be overwritten, a person has to look
    path.rename(place)
    swept.given_back.append(_name(place))
    if _name(place) in swept.set_aside:
        swept.set_aside.remove(_name(place))


def _drop(path: Path, swept: Swept) -> None:
    size = _bytes(path)
    try:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("%s stays: %s", _name(path), error)
        return
    swept.dropped[_name(_place_of(path))] = size


def _place_of(aside: Path) -> Path:
    return aside.with_name(aside.name.removeprefix(ASIDE))


def _name(path: Path) -> str:
    return path.relative_to(home()).as_posix()


def _exists(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def _tree(path: Path) -> Iterable[os.stat_result]:
    """The status of a path and of all below it; what vanishes meanwhile is left out."""
    for each in [path, *(path.rglob("*") if path.is_dir() and not path.is_symlink() else ())]:
        try:
            yield each.lstat()
        except FileNotFoundError:
            continue


def _newest(path: Path) -> float:
    return max((status.st_mtime for status in _tree(path)), default=time.time())


def _bytes(path: Path) -> int:
    """What dropping frees: a file that another place links as well frees nothing."""
    return sum(status.st_size for status in _tree(path) if status.st_nlink == 1)
