"""Commands find the servers of their home, and say so when these do not run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.launch import roles
from core.embedded.connect import OWN_SETTINGS, adopt

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "LINGXI_BROKER_URL", "LINGXI_HOME", "LINGXI_SECRET_KEY"):
        monkeypatch.setenv(name, "")  # so that what adopt() sets is taken back afterwards
        monkeypatch.delenv(name)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", OWN_SETTINGS)


def test_up_makes_a_home_and_every_later_command_finds_it(tmp_path: Path) -> None:
    left = adopt(["manage.py", "up", "--home", str(tmp_path / "home"), "--port", "1"], default_home=tmp_path)
    made = os.environ.pop("DATABASE_URL")
    adopt(["manage.py", "apikey", f"--home={tmp_path / 'home'}"], default_home=tmp_path)

    assert left == ["manage.py", "up", "--port", "1"]
    assert os.environ["DATABASE_URL"] == made
    assert os.environ["LINGXI_HOME"] == str(tmp_path / "home")


def test_other_commands_make_no_home(tmp_path: Path) -> None:
    adopt(["manage.py", "configuration"], default_home=tmp_path / "home")

    assert "DATABASE_URL" not in os.environ
    assert not (tmp_path / "home").exists()


def test_servers_that_the_environment_names_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://theirs")

    adopt(["manage.py", "up"], default_home=tmp_path / "home")

    assert os.environ["DATABASE_URL"] == "postgresql://theirs"
    assert not (tmp_path / "home").exists()


def test_words_after_two_dashes_are_not_ours(tmp_path: Path) -> None:
    words = ["manage.py", "test", "--", "--home", "x"]

    assert adopt(words, default_home=tmp_path) == words


def test_a_command_on_a_stopped_home_is_one_sentence(tmp_path: Path) -> None:
    adopt(["manage.py", "up", "--home", str(tmp_path / "home")], default_home=tmp_path)

    done = subprocess.run(
        [sys.executable, "manage.py", "showmigrations", "--home", str(tmp_path / "home")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert (
        done.stderr
        == f"Lingxi does not run in {tmp_path / 'home'}. Start it first: ./lingxi up --home {tmp_path / 'home'}\n"
    )


def test_every_role_can_import_the_rooms_and_takes_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    made = {role.name: role for role in roles(host="127.0.0.1", port=1)}

    assert set(made) == {"web", "worker-io", "worker-train", "worker-infer", "generation", "beat"}
    for role in made.values():
        assert str(ROOT / "platform") in role.environment["PYTHONPATH"].split(os.pathsep)
        assert role.environment["OMP_NUM_THREADS"] == "1"
