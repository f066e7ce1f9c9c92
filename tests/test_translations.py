"""Every catalogue is complete: all texts of the sources are in it, translated, with the same placeholders."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.utils import translation
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parents[1]
CATALOGUES = sorted(
    path
    for folder in ("apps", "platform", "workers")
    for path in (ROOT / folder).glob("**/locale/*/LC_MESSAGES/django.po")
)
PLACEHOLDER = re.compile(r"%\([a-z_]+\)[a-z]|%[sdif]|\{[a-z_0-9]*(?:[:!][^{}]*)?\}")
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

    @property
    def key(self) -> tuple[str, str]:
        """Context and text as the sources write them."""
        context, text = self.texts.get("msgctxt", ""), self.name
        return ast.literal_eval(f'"{context}"'), ast.literal_eval(f'"{text}"')

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


CONTEXT_MARKERS = {"pgettext", "pgettext_lazy"}


def texts_of_room(room: Path) -> Iterator[tuple[str, str]]:
    """What the sources of a room give to gettext: context ("" for none) and text."""
    for path in room.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        markers = MARKERS | ({"say"} if "from words import" in source else set())
        for node in ast.walk(ast.parse(source)):
            name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            if name in markers | CONTEXT_MARKERS:
                given = [word.value for word in node.args if isinstance(word, ast.Constant)]
                if name in CONTEXT_MARKERS:
                    yield given[0], given[1]
                elif given and isinstance(given[0], str):
                    yield "", given[0]
    for path in [*room.rglob("*.html"), *room.rglob("*.txt")]:
        if "templates" in path.parts:
            for found in MARKED.findall(templatize(path.read_text(encoding="utf-8"))):
                yield "", ast.literal_eval(found)


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_text_of_a_room_stands_in_its_catalogue(catalogue: Path) -> None:
    known = {entry.key for entry in entries(catalogue)}

    assert sorted(set(texts_of_room(catalogue.parents[3])) ^ known) == []


def test_a_text_of_two_rooms_means_the_same_in_both() -> None:
    """Django merges all catalogues into one: the first translation of a text would win in every room."""
    said: dict[tuple[str, str], dict[str, str]] = {}
    for catalogue in CATALOGUES:
        for entry in entries(catalogue):
            for keyword, text in entry.texts.items():
                if keyword.startswith("msgstr"):
                    said.setdefault((*entry.key, keyword), {}).setdefault(text, catalogue.parents[3].name)

    assert {key: found for key, found in said.items() if len(found) > 1} == {}


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda path: str(path.relative_to(ROOT)))
def test_gettext_takes_every_catalogue(catalogue: Path) -> None:
    subprocess.run(["msgfmt", "--check-format", "-o", "/dev/null", catalogue], check=True)


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda path: str(path.relative_to(ROOT)))
def test_readers_get_what_the_catalogue_says_and_not_what_a_package_says(catalogue: Path) -> None:
    wrong = {}
    with translation.override("zh-hans"):
        for entry in entries(catalogue):
            if "msgstr" in entry.texts:
                (context, text), wanted = entry.key, ast.literal_eval(f'"{entry.texts["msgstr"]}"')
                found = translation.pgettext(context, text) if context else translation.gettext(text)
                wrong |= {text: found} if found != wanted else {}

    assert wrong == {}


SENTENCE_CALLS = {
    "Refused", "conflict", "Problem", "RowError", "FileProblem", "Unmappable", "RunFailed", "HandBack", "naming",
    "log", "fail", "hand_back", "progress", "forward_all",
}  # fmt: skip
SENTENCE_NAMES = {"message", "hint", "reason", "phase", "error_message", "error_hint"}


def bare_sentences(path: Path) -> Iterator[str]:
    """Texts for people that are written in English instead of being said: no reader in another language gets them."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        name = getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""
        if name not in SENTENCE_CALLS or ast.unparse(node.func).startswith(("logger", "math", "np.")):
            continue
        given = [*node.args, *(word.value for word in node.keywords if word.arg in SENTENCE_NAMES)]
        for value in given:
            parts = value.values if isinstance(value, ast.JoinedStr) else [value]
            if any(isinstance(p, ast.Constant) and isinstance(p.value, str) and " " in p.value for p in parts):
                yield f"{path.relative_to(ROOT)}:{value.lineno}: {ast.unparse(value)}"


def test_failures_problems_and_log_lines_are_said_in_the_readers_language() -> None:
    rooms = [ROOT / "platform/engine", ROOT / "platform/core", ROOT / "apps", ROOT / "workers"]
    files = [path for room in rooms for path in room.rglob("*.py") if not {"bench", "management"} & {*path.parts}]

    assert [found for path in files for found in bare_sentences(path)] == []


def test_what_is_said_is_a_literal_that_a_catalogue_can_hold() -> None:
    wrong = []
    for path in [*(ROOT / "platform").rglob("*.py"), *(ROOT / "apps").rglob("*.py"), *(ROOT / "workers").rglob("*.py")]:
        source = path.read_text(encoding="utf-8")
        if "from words import" not in source:
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "say":
                literal = isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)
                wrong += [] if literal else [f"{path.relative_to(ROOT)}:{node.lineno}"]
    assert wrong == []


def test_there_are_catalogues_to_check() -> None:
    assert {"engine", "workers", "datasets"} <= {path.parents[3].name for path in CATALOGUES}
