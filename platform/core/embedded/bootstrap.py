"""Set up the virtual environment on first use, then become manage.py: standard library only, run by path."""

import ast
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
VENV = Path(os.environ.get("LINGXI_VENV") or ROOT / ".venv").absolute()
PYTHON = VENV / "bin" / "python"
STATE = VENV / "lingxi"  # stamps, lock and log of the set-up
LOG = STATE / "install.log"
NEEDED_BYTES = 3_000_000_000  # everything with the CPU build of torch, and what pip unpacks on the way
QUIET_SECONDS = 10.0  # between progress lines where there is no terminal
FULL = re.compile(r"No space left on device|ENOSPC|Errno 28|Errno 122|Disk quota exceeded")
PARTS = re.compile(r"^\s*(?:Collecting|Requirement already satisfied:) (\S+)")


class SetupError(Exception):
    """The set-up cannot go on; one sentence for the person at the terminal."""


@dataclass(frozen=True)
class Step:
    """One thing to install: its name, what decides that it is up to date, and how it is done."""

    name: str
    depends_on: Sequence[Path]
    also: str
    install: Callable[["Progress"], None]

    def stamp(self) -> str:
        """A hash of everything the step depends on."""
        words = [sys.version.split()[0], self.also, *(path.read_text() for path in self.depends_on)]
        return hashlib.sha256("\0".join(words).encode()).hexdigest()

    def done(self) -> bool:
        """Whether the last finished installation was of exactly this."""
        with contextlib.suppress(OSError):
            return (STATE / f"{self.name}.stamp").read_text() == self.stamp()
        return False

    def finish(self) -> None:
        """Say so, as the very last act."""
        beside = STATE / f"{self.name}.stamp.new"
        beside.write_text(self.stamp())
        beside.replace(STATE / f"{self.name}.stamp")


class Progress:
    """One line that says which step, how many packages, how long."""

    def __init__(self, head: str) -> None:
        self.head = head
        self.started = self.printed = time.monotonic()
        self.packages: set[str] = set()
        self.doing = ""
        self.tty = sys.stderr.isatty()
        self.show(force=True)

    def show(self, force: bool = False) -> None:
        """Print when it is time."""
        now = time.monotonic()
        if not force and now - self.printed < (0.2 if self.tty else QUIET_SECONDS):
            return
        self.printed = now
        packages = f", {len(self.packages)} packages" if self.packages else ""
        line = f"{self.head}{packages}, {now - self.started:.0f} s{f', {self.doing}' if self.doing else ''}"
        print(f"\r\x1b[K{line[:100]}" if self.tty else line, file=sys.stderr, end="" if self.tty else "\n", flush=True)

    def end(self) -> None:
        """The last line of the step."""
        self.doing = "done"
        self.show(force=True)
        if self.tty:
            print(file=sys.stderr)

    def run(self, argv: Sequence[str | Path], *, what: str, folder: Path = ROOT) -> None:
        """Run a command, its whole output into the log, its progress onto the line; SetupError when it fails."""
        with (
            LOG.open("a") as log,
            subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                cwd=folder,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            ) as child,
        ):
            tail: list[str] = []
            log.write(f"$ {' '.join(str(word) for word in argv)}\n")
            with ticking(self):
                for line in child.stdout or ():
                    log.write(line)
                    tail = [*tail[-40:], line.strip()]
                    self._hear(line)
            if child.wait() == 0:
                return
        raise SetupError(_why(what, tail))

    def _hear(self, line: str) -> None:
        found = PARTS.match(line)
        if found:
            self.doing = re.split(r"[<>=!~\[;(]", found[1])[0]
            self.packages.add(self.doing.lower())
        elif line.startswith("Installing collected"):
            self.doing = "unpacking"


@contextlib.contextmanager
def ticking(progress: Progress) -> Iterator[None]:
    """Keep the line's seconds moving while a command is silent."""
    over = threading.Event()

    def tick() -> None:
        while not over.wait(0.5):
            progress.show()

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _why(what: str, tail: Sequence[str]) -> str:
    text = "\n".join(tail)
    if FULL.search(text):
        return full_disk()
    errors = [line for line in tail if re.match(r"(ERROR|npm (ERR!|error)|error)", line)]
    said = (errors or [line for line in tail if line] or ["no reason given"])[0]
    return f"{what} could not be installed: {said[:300]} (all of it: {LOG})"


def full_disk() -> str:
    """The sentence about the disk."""
    return (
        f"The disk that holds {VENV.parent} is full: about {NEEDED_BYTES / 1e9:.0f} GB are needed. "
        "Free some space or set LINGXI_VENV to a folder elsewhere, then run the same command again."
    )


def pip(progress: Progress, *words: str | Path, what: str) -> None:
    """pip as the person has configured it."""
    command: list[str | Path] = [
        PYTHON,
        "-m",
        "pip",
        "install",
        "--no-input",
        "--progress-bar",
        "off",
        "--disable-pip-version-check",
    ]
    progress.run([*command, *words], what=what)


def requirements(name: str, *options: str, includes: Sequence[str] = ()) -> Step:
    """A step for requirements/<name>.txt."""
    path = ROOT / "requirements" / f"{name}.txt"
    files = [path, *(ROOT / "requirements" / f"{other}.txt" for other in includes)]
    return Step(name, files, " ".join(options), lambda progress: pip(progress, *options, "-r", path, what=name))


def assets(progress: Progress) -> None:
    """Front-end packages by npm, copied by an allow-list; npm comes from pip where the host has none."""
    npm = usable_npm()
    if npm is None:
        pip(progress, "-r", ROOT / "requirements" / "node.txt", what="node")
        npm = VENV / "bin" / "npm"
    work = STATE / "npm"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(ROOT / name, work / name)
    progress.doing = "downloading"
    progress.run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], what="front-end packages", folder=work)
    progress.doing = "copying"
    frontend = ROOT / "platform" / "core" / "frontend.py"
    progress.run([PYTHON, frontend, work / "node_modules", vendor_folder()], what="front-end files")
    shutil.rmtree(work, ignore_errors=True)


def vendor_folder() -> Path:
    """Where the settings look for the front-end files."""
    return Path(os.environ.get("LINGXI_VENDOR_STATIC") or ROOT / "vendor-static")


def usable_npm() -> Path | None:
    """The host's npm with node 18 or newer."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        return None
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)\.", said)
    return Path(npm) if found and int(found[1]) >= 18 else None


def steps(command: str) -> list[Step]:
    """What `command` needs, in order; torch goes before worker.txt so that its build is yours to choose."""
    index = os.environ.get("LINGXI_TORCH_INDEX_URL", "")
    core = ROOT / "platform" / "core"
    wanted = [
        requirements("embedded", "--no-deps"),
        requirements("torch", *(("--index-url", index) if index else ())),
        requirements("web"),
        requirements("worker", includes=("web",)),
        Step(
            "assets",
            [ROOT / "package.json", ROOT / "package-lock.json", core / "frontend.py", core / "frontend_icons.txt"],
            str(vendor_folder()),
            assets,
        ),
    ]
    if command == "test":
        wanted.append(requirements("dev", includes=("worker", "web")))
    return wanted


def missing(command: str) -> list[Step]:
    """The steps that are not done; front-end files that were deleted count as not done."""
    gone = not vendor_folder().is_dir()
    return [step for step in steps(command) if not step.done() or (step.name == "assets" and gone)]


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Two terminals do not set up at once: the second waits."""
    STATE.mkdir(parents=True, exist_ok=True)
    with (STATE / "lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another terminal is setting Lingxi up; waiting for it.", file=sys.stderr, flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def venv_works() -> bool:
    """Whether the environment was made whole and its Python still starts with pip.

    An environment that somebody else made is used as it is, and remembered as whole.
    """
    stamp = STATE / "venv.stamp"
    found = (
        PYTHON.exists()
        and not subprocess.run([PYTHON, "-c", "import pip"], check=False, capture_output=True).returncode
    )
    if found and not stamp.exists() and not LOG.exists():
        stamp.write_text("made by somebody else")
    return found and stamp.exists()


def make_venv() -> None:
    """Make the environment; what an interrupted attempt left is removed first."""
    progress = Progress("virtual environment")
    others = [path for path in VENV.iterdir() if path != STATE]
    if others and not (VENV / "pyvenv.cfg").exists() and not LOG.exists():
        raise SetupError(f"{VENV} holds other things. Set LINGXI_VENV to a folder that does not exist yet.")
    for path in others:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for stamp in STATE.glob("*.stamp"):
        stamp.unlink()
    LOG.write_text("")
    try:
        progress.run([sys.executable, "-m", "venv", VENV], what="The virtual environment")
    except SetupError as error:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        if "ensurepip" not in LOG.read_text():
            raise
        raise SetupError(
            f"Python {version} has no venv module. On Debian or Ubuntu install it with: "
            f"apt-get install python{version}-venv"
        ) from error
    (STATE / "venv.stamp").write_text(sys.version)
    progress.end()


def set_up(command: str) -> None:
    """Bring the environment to what `command` needs; instant when it is there."""
    if not missing(command):
        return
    with alone():
        if not venv_works():
            if shutil.disk_usage(VENV).free < NEEDED_BYTES:
                raise SetupError(full_disk())
            make_venv()
        todo = missing(command)
        started = time.monotonic()
        for number, step in enumerate(todo, start=1):
            if shutil.disk_usage(VENV).free < NEEDED_BYTES / 10:
                raise SetupError(full_disk())
            progress = Progress(f"[{number}/{len(todo)}] {step.name}")
            step.install(progress)
            step.finish()
            progress.end()
        if todo:
            print(f"Set-up finished in {time.monotonic() - started:.0f} s.", file=sys.stderr)


def overview() -> str:
    """All commands with the first sentence of their help, read from the files that hold them."""
    lines = ["Usage: ./lingxi COMMAND [--help]", ""]
    found = {}
    for room in ("platform/config", "platform/core", "apps/*"):
        for path in ROOT.glob(f"{room}/management/commands/[a-z]*.py"):
            said = ast.get_docstring(ast.parse(path.read_text())) or ""
            found[path.stem] = said.splitlines()[0] if said else ""
    width = max((len(name) for name in found), default=0)
    lines += [f"  {name.ljust(width)}  {said}" for name, said in sorted(found.items())]
    return "\n".join(lines)


def become_manage(arguments: Sequence[str]) -> None:
    """Replace this process; rooms are importable in it and in its children, whatever the folder."""
    paths = [str(ROOT), str(ROOT / "platform"), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    os.execv(PYTHON, [str(PYTHON), str(ROOT / "manage.py"), *arguments])  # noqa: S606


def main(arguments: Sequence[str]) -> int:
    """Set up, then run the command."""
    if not arguments or arguments[0] in {"help", "-h", "--help"}:
        print(overview())
        return 0
    try:
        set_up(arguments[0])
    except SetupError as error:
        print(f"\n{error}" if sys.stderr.isatty() else error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Run the same command again to go on.", file=sys.stderr)
        return 130
    except PermissionError as error:
        print(f"You may not write to {error.filename}. Set LINGXI_VENV to a folder of yours.", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno not in (28, 122):  # ENOSPC, EDQUOT
            raise
        print(full_disk(), file=sys.stderr)
        return 1
    become_manage(arguments)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
