"""Compile translations (.po) into what gettext reads (.mo); only the changed ones."""

from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import PoFileError, read_po


class TranslationError(Exception):
    """A .po file cannot be read; the message names file and line."""


def compile_translations(root: Path) -> list[Path]:
    """Compile every locale/*/LC_MESSAGES/*.po below `root`'s rooms that is newer than its .mo; returns those."""
    return [_compile(path) for path in sorted(_sources(root)) if _is_stale(path)]


def _sources(root: Path) -> list[Path]:
    rooms = ("apps/*", "platform/*", "workers")
    return [path for room in rooms for path in root.glob(f"{room}/locale/*/LC_MESSAGES/*.po")]


def _is_stale(path: Path) -> bool:
    compiled = path.with_suffix(".mo")
    return not compiled.exists() or compiled.stat().st_mtime_ns < path.stat().st_mtime_ns


def _compile(path: Path) -> Path:
    try:
        with path.open("rb") as source:
            catalog = read_po(source, abort_invalid=True)
    except PoFileError as error:
        raise TranslationError(f"{path}: {error}") from error
    beside = path.with_suffix(".mo.new")
    with beside.open("wb") as target:
        write_mo(target, catalog)
    beside.replace(path.with_suffix(".mo"))
    return path
