"""Every catalogue is complete: all texts of the sources are in it, translated, with the same placeholders."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parents[1]
CATALOGUES = sorted(
    path for folder in ("apps", "platform") for path in (ROOT / folder).glob("**/locale/*/LC_MESSAGES/django.po")
)
PLACEHOLDER = re.compile(r"%\([a-z_]+\)[a-z]|%[sdif]|\{[a-z_]*\}")
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')


class Entry:
    """One message of a catalogue: its keywords, each with its text, and its flags."""

    def __init__(self, block: str) -> None:
        self.flags = {flag.strip() for line in re.findall(r"^#,(.*)$", block, re.M) for flag in line.split(",")}
        self.texts: dict[str, str] = {}
        keyword = ""
        for line in block.splitlines():
            if line.startswith("#"):
                continue
            if found := re.match(r"(msg\w+(?:\[\d\])?)\s", line):
                keyword = found[1]
            self.texts[keyword] = self.texts.get(keyword, "") + "".join(STRING.findall(line))

    @property
    def name(self) -> str:
        return self.texts["msgid"]

    def faults(self) -> list[str]:
        found = ["fuzzy"] if "fuzzy" in self.flags else []
        wanted = set(PLACEHOLDER.findall(self.texts.get("msgid_plural", self.name)))
        for keyword, text in self.texts.items():
            if not keyword.startswith("msgstr"):
                continue
            if not text:
                found.append("not translated")
            elif set(PLACEHOLDER.findall(text)) != wanted:
                found.append(f"placeholders differ: {text}")
            if self.name.endswith("\\n") != text.endswith("\\n"):
                found.append("line end differs")
        return found


def entries(catalogue: Path) -> list[Entry]:
    blocks = re.split(r"\n\s*\n", catalogue.read_text(encoding="utf-8"))
    live = [block for block in blocks if re.search(r"^msgid ", block, re.M)]
    return [entry for entry in map(Entry, live) if entry.name]


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_text_of_a_catalogue_is_translated_with_its_placeholders(catalogue: Path) -> None:
    faults = {entry.name: entry.faults() for entry in entries(catalogue)}

    assert {name: found for name, found in faults.items() if found} == {}


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_catalogue_has_no_text_twice_and_none_that_is_obsolete(catalogue: Path) -> None:
    names = [(entry.texts.get("msgctxt"), entry.name) for entry in entries(catalogue)]

    assert len(names) == len(set(names))
    assert "\n#~ " not in catalogue.read_text(encoding="utf-8")


MARKERS = {"_", "gettext", "gettext_lazy", "ngettext", "ngettext_lazy"}
MARKED = re.compile(r"""(?:gettext\(u|_\()('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")


def texts_of_room(room: Path) -> Iterator[str]:
    """What the sources of a room give to gettext."""
    for path in room.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and getattr(node.func, "id", "") in MARKERS:
                text = node.args[0]
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    yield text.value
    for path in [*room.rglob("*.html"), *room.rglob("*.txt")]:
        if "templates" in path.parts:
            for found in MARKED.findall(templatize(path.read_text(encoding="utf-8"))):
                yield ast.literal_eval(found)


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_text_of_a_room_stands_in_its_catalogue(catalogue: Path) -> None:
    known = {ast.literal_eval(f'"{entry.name}"') for entry in entries(catalogue)}

    assert sorted(set(texts_of_room(catalogue.parents[3])) - known) == []


def test_there_are_catalogues_to_check() -> None:
    assert CATALOGUES
