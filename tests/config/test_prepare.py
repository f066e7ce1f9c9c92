"""Before a migration the database is written away; the first owner is made once."""

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from apps.accounts.models import Membership, User
from config import prepare as preparing
from core import backup


@pytest.fixture
def migrated(monkeypatch: pytest.MonkeyPatch, settings: LazySettings, tmp_path: Path) -> list[Any]:
    """The commands that were called instead of migrating for real."""
    called: list[Any] = []
    monkeypatch.setattr(preparing, "call_command", lambda *words, **_options: called.append(words))
    settings.HOME = tmp_path
    settings.STATIC_ROOT = tmp_path / "static"
    return called


def test_nothing_is_written_when_nothing_changes(db: None, migrated: list[Any], tmp_path: Path) -> None:
    preparing.prepare(lambda _line: None)

    assert migrated == []
    assert not (tmp_path / "backups").exists()


def test_the_database_is_backed_up_before_it_is_migrated(db: None, migrated: list[Any], tmp_path: Path) -> None:
    last = MigrationLoader(connection).graph.leaf_nodes("accounts")[0]
    MigrationRecorder(connection).record_unapplied(*last)
    for number in range(7):
        (tmp_path / "backups").mkdir(exist_ok=True)
        (tmp_path / "backups" / f"before-migration-2000010{number}-000000.tar").touch()
    said: list[str] = []

    preparing.prepare(said.append)

    kept = sorted((tmp_path / "backups").iterdir())
    assert migrated == [("migrate",)]
    assert "Backing up" in said[0]
    assert len(kept) == preparing.BACKUPS_KEPT
    assert not backup.verify(kept[-1]).has_files


@pytest.fixture
def thresholds() -> Iterator[tuple[int, int, int]]:
    """Python's own of 3.11, in force during the test."""
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield (700, 10, 10)
    gc.set_threshold(*before)


def test_after_a_failed_migration_garbage_is_looked_for_as_before(thresholds: tuple[int, int, int]) -> None:
    def fail() -> None:
        with preparing.seldom_collecting():
            during.append(gc.get_threshold())
            raise ValueError("no such column")

    during: list[tuple[int, int, int]] = []
    with pytest.raises(ValueError, match="no such column"):
        fail()

    assert during[0] > thresholds
    assert gc.get_threshold() == thresholds


def test_the_first_owner_is_made_once(db: None) -> None:
    first = preparing.first_owner()
    second = preparing.first_owner()

    owner = User.objects.get()
    assert first is not None and owner.check_password(first.password) and first.password in first.lines()[-1]
    assert Membership.objects.get(user=owner).role == "owner"
    assert second is None
