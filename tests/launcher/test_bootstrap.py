"""The set-up: instant when done, safe when interrupted, one sentence when it cannot go on."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from core.embedded import bootstrap
from core.embedded.bootstrap import Progress, SetupError, Step

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment's folder with nothing in it but the set-up's own state."""
    folder = tmp_path / "venv"
    (folder / "lingxi").mkdir(parents=True)
    monkeypatch.setattr(bootstrap, "VENV", folder)
    monkeypatch.setattr(bootstrap, "PYTHON", folder / "bin" / "python")
    monkeypatch.setattr(bootstrap, "STATE", folder / "lingxi")
    monkeypatch.setattr(bootstrap, "LOG", folder / "lingxi" / "install.log")
    return folder


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, venv: Path) -> Callable[..., list[str]]:
    """Replace what is installed by steps that only note their names; returns the notes."""
    (tmp_path / "some.txt").write_text("package==1\n")
    monkeypatch.setattr(bootstrap, "vendor_folder", lambda: tmp_path)
    monkeypatch.setattr(bootstrap, "venv_works", lambda: True)

    def make(*names: str, broken: str = "") -> list[str]:
        notes: list[str] = []

        def install(name: str) -> Callable[[Progress], None]:
            def note(progress: Progress) -> None:
                notes.append(name)
                if name == broken:
                    raise SetupError("interrupted")

            return note

        steps = [Step(name, [tmp_path / "some.txt"], "", install(name)) for name in names]
        monkeypatch.setattr(bootstrap, "steps", lambda _command: steps)
        return notes

    return make


def test_a_second_set_up_installs_nothing(plan: Callable[..., list[str]]) -> None:
    notes = plan("first", "second")

    bootstrap.set_up("up")
    bootstrap.set_up("up")

    assert notes == ["first", "second"]


def test_a_changed_requirement_is_installed_again(plan: Callable[..., list[str]], tmp_path: Path) -> None:
    notes = plan("first")
    bootstrap.set_up("up")

    (tmp_path / "some.txt").write_text("package==2\n")
    bootstrap.set_up("up")

    assert notes == ["first", "first"]


def test_an_interrupted_set_up_goes_on_where_it_stopped(plan: Callable[..., list[str]]) -> None:
    plan("first", "second", broken="second")
    with pytest.raises(SetupError):
        bootstrap.set_up("up")

    notes = plan("first", "second")
    bootstrap.set_up("up")

    assert notes == ["second"]


def test_progress_names_step_packages_and_seconds(venv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress("[2/5] web")

    progress.run([sys.executable, "-c", "print('Collecting Django==5.2\\nCollecting redis>=6 (from x)')"], what="web")
    progress.end()

    assert "[2/5] web, 2 packages, 0 s, done" in capsys.readouterr().err
    assert "Collecting Django" in (venv / "lingxi" / "install.log").read_text()


def test_a_full_disk_is_one_sentence_before_and_during_an_installation(
    plan: Callable[..., list[str]], venv: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SetupError, match="is full"):
        Progress("web").run(
            [sys.executable, "-c", "print('ERROR: [Errno 28] No space left on device'); raise SystemExit(1)"],
            what="web",
        )

    plan("first")
    monkeypatch.setattr(bootstrap.shutil, "disk_usage", lambda _path: SimpleNamespace(free=1000))
    capsys.readouterr()
    assert bootstrap.main(["up"]) == 1
    said = capsys.readouterr().err
    assert "is full" in said
    assert said.count("\n") == 1


def test_pips_reason_is_shown_when_an_installation_fails(venv: Path) -> None:
    program = "print('noise\\nERROR: No matching distribution found for nothing==9'); raise SystemExit(1)"

    with pytest.raises(SetupError, match=r"web could not be installed: ERROR: No matching.*install\.log"):
        Progress("web").run([sys.executable, "-c", program], what="web")


def test_a_python_without_ensurepip_is_one_sentence(
    venv: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "python3"
    broken.write_text(
        "#!/bin/sh\necho 'The virtual environment was not created: ensurepip is not available.'\nexit 1\n"
    )
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))

    with pytest.raises(SetupError, match=r"has no venv module.*apt-get install python3\.\d+-venv"):
        bootstrap.make_venv()


def test_a_folder_with_other_things_is_never_emptied(venv: Path) -> None:
    (venv / "thesis.txt").write_text("years of work")

    with pytest.raises(SetupError, match="holds other things"):
        bootstrap.make_venv()
    assert (venv / "thesis.txt").exists()


def test_a_second_terminal_waits_for_the_first(venv: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from core.embedded import bootstrap\n"
        f"bootstrap.STATE = Path({str(venv / 'lingxi')!r})\n"
        "with bootstrap.alone(): print('in', file=sys.stderr)\n"
    )

    with bootstrap.alone():
        other = subprocess.Popen(
            [sys.executable, "-c", program],
            stderr=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": f"{ROOT / 'platform'}", "PATH": "/usr/bin:/bin"},
        )
        waiting = other.stderr.readline() if other.stderr else ""
    _out, rest = other.communicate(timeout=30)

    assert "waiting" in waiting
    assert rest == "in\n"


def test_torch_comes_before_everything_that_needs_it_and_its_index_can_be_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = bootstrap.steps("up")
    monkeypatch.setenv("LINGXI_TORCH_INDEX_URL", "file:///somewhere")
    chosen = bootstrap.steps("test")

    names = [step.name for step in plain]
    assert names.index("torch") < names.index("worker")
    assert "dev" not in names
    assert chosen[-1].name == "dev"
    assert plain[names.index("torch")].stamp() != chosen[names.index("torch")].stamp()


def test_every_command_is_listed_with_its_help() -> None:
    listing = bootstrap.overview()

    for name in ("up", "test", "backup", "restore"):
        assert f"\n  {name} " in listing
