"""A backup holds database and files, is checked before it is used, and never touches what is there."""

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import psycopg
import pytest

from core import backup
from core.embedded.places import environment, secrets_of
from core.embedded.stack import Stack
from core.errors import Refused
from core.management.commands.restore import into_existing, into_fresh


def fill(home: Path, word: str) -> None:
    with psycopg.connect(environment(home)["DATABASE_URL"]) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS note (word text)")
        connection.execute("DELETE FROM note")
        connection.execute("INSERT INTO note VALUES (%s)", [word])
    (home / "files" / "1").mkdir(parents=True, exist_ok=True)
    (home / "files" / "1" / "texts.parquet").write_text(word)
    (home / "files" / "1" / "half.part").write_text("being written")


def read(home: Path) -> list[str]:
    with psycopg.connect(environment(home)["DATABASE_URL"]) as connection:
        found = [str(row[0]) for row in connection.execute("SELECT word FROM note").fetchall()]
    return [*found, (home / "files" / "1" / "texts.parquet").read_text()]


def write(home: Path, target: Path, *, with_files: bool = True) -> backup.Manifest:
    return backup.write(
        target=target,
        database_url=environment(home)["DATABASE_URL"],
        home=home,
        secret_key=secrets_of(home).secret_key,
        with_files=with_files,
    )


@pytest.fixture
def archive(home: Path) -> Path:
    """A backup of a home that holds the word 灵犀, made while the home runs."""
    with Stack(home):
        fill(home, "灵犀")
        write(home, home / "backups" / "first.tar")
    return home / "backups" / "first.tar"


def test_a_backup_of_a_running_home_comes_back_in_a_fresh_one(home: Path, archive: Path, folder: Path) -> None:
    into_fresh(archive, folder / "fresh", backup.verify(archive))

    with Stack(folder / "fresh"):
        assert read(folder / "fresh") == ["灵犀", "灵犀"]
    assert secrets_of(folder / "fresh").secret_key == secrets_of(home).secret_key
    assert secrets_of(folder / "fresh").postgres != secrets_of(home).postgres
    assert not (folder / "fresh" / "files" / "1" / "half.part").exists()
    assert not (folder / "fresh.restoring").exists()


def test_a_damaged_backup_is_refused_before_anything_happens(archive: Path) -> None:
    data = archive.read_bytes()
    middle = data.rindex("灵犀".encode())

    changed = data[:middle] + b"X" + data[middle + 1 :]
    for harmed in (changed, data[: middle + 3], data[: data.rindex(backup.MANIFEST.encode())], data[:5000]):
        archive.write_bytes(harmed)
        with pytest.raises(Refused, match=r"not a whole backup.*Nothing was restored"):
            backup.verify(archive)
    archive.write_bytes(data)
    with tarfile.open(archive, "a") as tar:
        tar.addfile(tarfile.TarInfo("home/extra"), io.BytesIO())
    with pytest.raises(Refused, match="home/extra is not in its list"):
        backup.verify(archive)


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "home/../../outside"])
def test_a_backup_that_points_outside_is_refused(folder: Path, name: str) -> None:
    wrong = folder / "wrong.tar"
    with tarfile.open(wrong, "w") as tar:
        tar.addfile(tarfile.TarInfo(name), io.BytesIO())

    with pytest.raises(Refused, match="not a plain file"):
        backup.verify(wrong)


def test_files_that_are_no_backup_get_a_sentence(folder: Path) -> None:
    (folder / "text").write_text("hello")

    with pytest.raises(Refused, match="not a whole backup"):
        backup.verify(folder / "text")
    with pytest.raises(Refused, match="no file"):
        backup.verify(folder / "absent")


def test_a_newer_format_is_refused_by_name(folder: Path) -> None:
    newer = folder / "newer.tar"
    text = json.dumps({"created_at": "", "has_files": True, "format": 99, "members": []}).encode()
    info = tarfile.TarInfo(backup.MANIFEST)
    info.size = len(text)
    with tarfile.open(newer, "w") as tar:
        tar.addfile(info, io.BytesIO(text))

    with pytest.raises(Refused, match="format 99"):
        backup.verify(newer)


def test_a_home_in_use_or_not_empty_is_left_alone(home: Path, archive: Path) -> None:
    with Stack(home):
        with pytest.raises(Refused, match="Stop it first"):
            into_fresh(archive, home, backup.verify(archive))
        with pytest.raises(Refused, match="exists already"):
            write(home, archive)

    with pytest.raises(Refused, match="is not empty"):
        into_fresh(archive, home, backup.verify(archive))


def test_the_database_before_a_migration_comes_back_and_the_newer_one_is_kept(home: Path, folder: Path) -> None:
    with Stack(home):
        fill(home, "before")
        write(home, folder / "before.tar", with_files=False)
        fill(home, "after")

    into_existing(folder / "before.tar", home)

    with Stack(home):
        assert read(home) == ["before", "after"]
        with psycopg.connect(environment(home)["DATABASE_URL"]) as connection:
            kept = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE '%before%'").fetchall()
    assert len(kept) == 1


def test_the_commands_do_the_same(home: Path, bare_environment: dict[str, str]) -> None:
    manage = Path(__file__).resolve().parents[2] / "manage.py"

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, str(manage), *words], env=bare_environment, capture_output=True, text=True, check=False
        )

    target = home.parent / "by-command.tar"
    written = run("backup", "--home", str(home), "--out", str(target), "--json")
    refused = run("restore", str(target), "--home", str(home))
    restored = run("restore", str(target), "--home", str(home.parent / "second"), "--json")

    assert json.loads(written.stdout)["checked"] is True, written.stderr
    assert refused.returncode == 1
    assert "is not empty" in refused.stderr
    assert json.loads(restored.stdout)["home"] == str(home.parent / "second"), restored.stderr
