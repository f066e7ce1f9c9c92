"""Simplified Chinese is complete: every text of a room is translated, nothing is left over or fuzzy."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = sorted(path.parents[3] for path in ROOT.glob("*/*/locale/zh_Hans/LC_MESSAGES/django.po"))
PO = Path("locale/zh_Hans/LC_MESSAGES/django.po")


def entries(path: Path) -> dict[str, str]:
    """msgid -> the rest of its entry."""
    found = {}
    for block in path.read_text().split("\n\n")[1:]:
        match = re.search(r"^msgid (.*?)^(msgstr.*|msgid_plural.*)", block, re.S | re.M)
        if match and not block.startswith("#~"):
            found["".join(re.findall(r'"((?:[^"\\]|\\.)*)"', match[1]))] = block
    return found


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: str(room.relative_to(ROOT)))
def test_every_text_of_the_room_is_translated(room: Path, tmp_path: Path) -> None:
    copy = tmp_path / room.name
    shutil.copytree(
        room, copy, ignore=lambda _folder, names: [n for n in names if n in {"locale", "static", "migrations"}]
    )
    (copy / "locale").mkdir()
    command = [sys.executable, "-P", "-m", "django", "makemessages", "-l", "zh_Hans", "--no-location", "-v0"]
    subprocess.run(command, cwd=copy, check=True, env={"PATH": "/usr/local/bin:/usr/bin:/bin"})

    wanted, held = entries(copy / PO), entries(room / PO)

    assert sorted(set(wanted) - set(held)) == []
    assert [
        key for key, block in held.items() if 'msgstr ""' in block.replace('\nmsgstr ""\n"', "") or "fuzzy" in block
    ] == []
    subprocess.run(["msgfmt", "--check-format", "-o", "/dev/null", room / PO], check=True)
