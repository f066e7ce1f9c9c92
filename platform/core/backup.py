"""Write an installation into one archive that checks itself, and bring it back into a fresh home."""

import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from core.embedded.errors import StackError
from core.embedded.places import binaries, service_user
from core.errors import Refused
from words import say

FORMAT = 1
DATABASE = "database.dump"
MANIFEST = "manifest.json"
SECRET = "secret_key"  # noqa: S105 - the name of a member
NOT_KEPT = {"postgres", "valkey", "sockets", "logs", "backups", "static", "lock", "secrets.json", "services.json"}
BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Member:
    """One file of the archive."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The archive's last member: what else is in it. An archive without one was cut off."""

    created_at: str
    has_files: bool
    format: int = FORMAT
    members: list[Member] = field(default_factory=list)


def write(*, target: Path, database_url: str, home: Path, secret_key: str, with_files: bool = True) -> Manifest:
    """Dump the database, then copy the files (which only the dumped rows name); read back and checked.

    Rows first: a file that a row names exists before the row does. Raises Refused with one sentence.
    """
    if target.exists():
        raise Refused("backup_exists", say("{target} exists already. Choose another name.", target=target), field="out")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.part")
    try:
        with _space(target.parent):
            manifest = _write(beside, database_url, home, secret_key, with_files)
        verify(beside)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
    return manifest


def _write(path: Path, database_url: str, home: Path, secret_key: str, with_files: bool) -> Manifest:
    manifest = Manifest(created_at=datetime.now(UTC).isoformat(timespec="seconds"), has_files=with_files)
    with (
        os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as raw,
        tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive,
        tempfile.TemporaryDirectory(dir=path.parent) as scratch,
    ):
        dump = Path(scratch) / DATABASE
        _dump(database_url, dump)
        manifest.members.append(_add_file(archive, DATABASE, dump))
        manifest.members.append(_add_text(archive, SECRET, secret_key))
        for found in _files(home, path) if with_files else ():
            with contextlib.suppress(FileNotFoundError):  # removed while we walked: its row is gone too
                manifest.members.append(_add_file(archive, f"home/{found.relative_to(home).as_posix()}", found))
        _add_text(archive, MANIFEST, json.dumps(asdict(manifest)))
        archive.close()
        raw.flush()
        os.fsync(raw.fileno())
    return manifest


def _files(home: Path, itself: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(home):
        if Path(folder) == home:
            names[:] = [name for name in names if name not in NOT_KEPT]
            files = [name for name in files if name not in NOT_KEPT and not name.startswith("beat.schedule")]
        for name in sorted(files):
            path = Path(folder) / name
            if path.is_file() and not path.is_symlink() and path != itself and not name.endswith(".part"):
                yield path


class _Hashing:
    """A reader that remembers the hash of what was read."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Like a file's."""
        block = self._source.read(size)
        self.digest.update(block)
        return block


def _add_file(archive: tarfile.TarFile, name: str, path: Path) -> Member:
    with path.open("rb") as source:
        info = tarfile.TarInfo(name)
        info.size, info.mode = os.fstat(source.fileno()).st_size, 0o600
        reader = _Hashing(source)
        archive.addfile(info, reader)  # only reads
    return Member(name, info.size, reader.digest.hexdigest())


def _add_text(archive: tarfile.TarFile, name: str, text: str) -> Member:
    data = text.encode()
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o600
    archive.addfile(info, io.BytesIO(data))
    return Member(name, len(data), hashlib.sha256(data).hexdigest())


def verify(path: Path) -> Manifest:
    """Read the whole archive; raises Refused when anything is missing, changed or unsafe."""
    seen: dict[str, Member] = {}
    text = b""
    try:
        with tarfile.open(path, "r:") as archive:
            for info in archive:
                source = archive.extractfile(info) if info.isfile() and is_safe(info.name) else None
                if source is None:
                    raise _damaged(path, f"{info.name!r} is not a plain file")
                if info.name == MANIFEST:
                    text = source.read()
                else:
                    digest = hashlib.sha256()
                    while block := source.read(BLOCK_BYTES):
                        digest.update(block)
                    seen[info.name] = Member(info.name, info.size, digest.hexdigest())
    except FileNotFoundError as error:
        raise Refused("backup_missing", say("There is no file {path}.", path=path)) from error
    except (tarfile.TarError, EOFError, OSError) as error:
        raise _damaged(path, str(error)) from error
    manifest = _manifest(path, text)
    for member in manifest.members:
        if seen.pop(member.path, None) != member:
            raise _damaged(path, f"{member.path} is missing or changed")
    if seen:
        raise _damaged(path, f"{next(iter(seen))} is not in its list")
    return manifest


def _manifest(path: Path, text: bytes) -> Manifest:
    if not text:
        raise _damaged(path, "its list of contents is missing, so it was cut off")
    try:
        found = json.loads(text)
        members = [Member(**member) for member in found.pop("members")]
        manifest = Manifest(**found, members=members)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(path, "its list of contents cannot be read") from error
    if manifest.format != FORMAT:
        raise Refused(
            "backup_format",
            say(
                "{path} has format {format}; this Lingxi reads format {known}.",
                path=path,
                format=manifest.format,
                known=FORMAT,
            ),
        )
    return manifest


def _damaged(path: Path, why: str) -> Refused:
    return Refused(
        "backup_damaged", say("{path} is not a whole backup: {why}. Nothing was restored.", path=path, why=why)
    )


def is_safe(name: str) -> bool:
    """Whether a member's name stays below the folder it is unpacked into."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in name and str(path) == name


def read_secret(path: Path) -> str:
    """The installation's signing key, so that links and sessions stay valid."""
    with tarfile.open(path, "r:") as archive:
        source = archive.extractfile(SECRET)
        return source.read().decode() if source else ""


def unpack_files(path: Path, home: Path) -> None:
    """Put the archive's files below `home`; call `verify` first."""
    with tarfile.open(path, "r:") as archive, _space(home):
        for info in archive:
            source = archive.extractfile(info)
            if source is None or not info.name.startswith("home/") or not is_safe(info.name):
                continue
            target = home / info.name.removeprefix("home/")
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as handle:
                shutil.copyfileobj(source, handle, BLOCK_BYTES)


def load_database(path: Path, database_url: str) -> None:
    """Load the archive's database beside the present one, then swap their names: all or nothing.

    The former database stays as <name>_before_<time> when it held tables.
    """
    parts = _connection(database_url)
    name = str(parts["dbname"])
    fresh = f"{name}_restoring"
    with _maintenance(parts) as admin:
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(fresh)))
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(fresh)))
    with tarfile.open(path, "r:") as archive:
        source = archive.extractfile(DATABASE)
        if source is None:
            raise _damaged(path, "it has no database")
        _pg("pg_restore", parts, ["--exit-on-error", "--no-owner", "--dbname", fresh], given=source)
    old = f"{name}_before_{datetime.now(UTC):%Y%m%d_%H%M%S}"
    holds_tables = _holds_tables(parts)
    with _maintenance(parts) as admin:
        if holds_tables:
            admin.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(old)))
        else:
            admin.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
        admin.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(fresh), sql.Identifier(name)))


def _holds_tables(parts: dict[str, Any]) -> bool:
    with psycopg.connect(**parts) as connection:
        row = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    return bool(row and row[0])


def _maintenance(parts: dict[str, Any]) -> psycopg.Connection[Any]:
    return psycopg.connect(**{**parts, "dbname": "postgres"}, autocommit=True)


def _dump(database_url: str, target: Path) -> None:
    parts = _connection(database_url)
    _pg("pg_dump", parts, ["--format=custom", "--no-owner", f"--file={target}", "--dbname", str(parts["dbname"])])


def _connection(database_url: str) -> dict[str, Any]:
    return {"dbname": "lingxi", **conninfo_to_dict(database_url)}


def _pg(tool: str, parts: dict[str, Any], words: list[str], given: IO[bytes] | None = None) -> None:
    """Run one of PostgreSQL's tools; the password travels in the environment, never on the command line."""
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "sslmode": "PGSSLMODE"}
    surroundings = {**os.environ, **{names[key]: str(value) for key, value in parts.items() if key in names}}
    with subprocess.Popen(
        [_tool(tool), *words],
        stdin=subprocess.PIPE if given else subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=surroundings,
    ) as child:
        if given and child.stdin:
            with contextlib.suppress(BrokenPipeError):
                shutil.copyfileobj(given, child.stdin, BLOCK_BYTES)
            child.stdin.close()
            child.stdin = None
        _out, said = child.communicate()
    if child.returncode:
        line = next((part for part in said.decode(errors="replace").splitlines() if "error" in part), "no reason given")
        if "No space left" in line:
            raise Refused("disk_full", say("The disk is full. Free some space, then try again."), status=507)
        raise Refused("database_tool_failed", say("{tool} failed: {line}", tool=tool, line=line))


def _tool(name: str) -> str:
    """The embedded tool, else the system's."""
    with contextlib.suppress(StackError):
        return str(binaries(service_user()).postgres / name)
    found = shutil.which(name)
    if found is None:
        raise Refused(
            "database_tool_missing", say("{name} is missing. Install PostgreSQL's client programs.", name=name)
        )
    return found


@contextlib.contextmanager
def _space(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (28, 122):  # ENOSPC, EDQUOT
            raise
        raise Refused(
            "disk_full", say("The disk that holds {place} is full. Free some space, then try again.", place=place)
        ) from error
