"""The shell launcher chooses a Python, or says in one sentence what to install."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OLD = "import sys; sys.version_info = (3, 9, 2, 'final', 0)"
BARE = "import importlib.util as u; find = u.find_spec; u.find_spec = lambda name: None if name == 'ensurepip' else find(name)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A PATH with the few tools the launcher itself needs, and no Python."""
    for tool in ("dirname", "readlink", "sh"):
        found = next(Path(folder) / tool for folder in ("/bin", "/usr/bin") if (Path(folder) / tool).exists())
        (tmp_path / tool).symlink_to(found)
    return tmp_path


def pretend(path: Path, name: str, disguise: str) -> None:
    """A Python that takes itself for something else while it is being probed."""
    program = path / name
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{disguise}; import sys; exec(sys.argv[1])" "$2"\n')
    program.chmod(0o755)


def lingxi(path: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    surroundings = {"PATH": str(path), "LINGXI_VENV": str(path / "venv"), "HOME": str(path)}
    return subprocess.run(
        ["/bin/sh", str(ROOT / "lingxi"), *words], env=surroundings, capture_output=True, text=True, check=False
    )


def test_no_python_is_one_sentence(path: Path) -> None:
    done = lingxi(path, "up")

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "found none" in done.stderr


def test_a_python_that_is_too_old_is_named(path: Path) -> None:
    pretend(path, "python3", OLD)

    done = lingxi(path, "up")

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "needs Python 3.11 or newer; this machine has 3.9" in done.stderr


def test_a_python_without_venv_is_told_with_the_package_to_install(path: Path) -> None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    pretend(path, "python3", BARE)

    done = lingxi(path, "up")

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"apt-get install python{version}-venv" in done.stderr


def test_a_newer_python_beside_an_old_one_is_found(path: Path) -> None:
    pretend(path, "python3.13", OLD)
    (path / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (path / "python3").chmod(0o755)

    done = lingxi(path, "help")

    assert done.returncode == 0, done.stderr
    assert "Usage: ./lingxi COMMAND" in done.stdout
    assert "\n  up " in done.stdout
    assert not (path / "venv").exists()


def test_it_works_through_a_link_from_anywhere(path: Path, tmp_path: Path) -> None:
    (path / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (path / "python3").chmod(0o755)
    link = tmp_path / "lx"
    os.symlink(ROOT / "lingxi", link)

    done = subprocess.run(
        [str(link), "help"],
        env={"PATH": str(path), "LINGXI_VENV": str(path / "venv")},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )

    assert "Usage" in done.stdout, done.stderr
