"""Rules of the house that linters cannot see."""

import ast
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import LONG

ROOT = Path(__file__).resolve().parents[1]
PYTHON_FILES = [
    path
    for folder in ("platform", "apps", "workers")
    for path in (ROOT / folder).rglob("*.py")
    if "migrations" not in path.parts
]


def test_platform_is_a_folder_of_packages_and_the_standard_library_keeps_its_name() -> None:
    assert platform.system()
    assert not [path.name for path in (ROOT / "platform").iterdir() if path.suffix == ".py"]


def test_every_file_says_first_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in PYTHON_FILES
        if path.read_text().strip() and not re.match(r'(#!.*\n)?"""\S', path.read_text())
    ]
    assert silent == []


@pytest.mark.parametrize("process", ["config.asgi, config.urls", "workers.tasks, workers.training, workers.child"])
def test_web_and_training_workers_never_load_torch_that_is_left_to_each_runs_own_interpreter(process: str) -> None:
    program = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'torch', 'transformers', 'peft'}:\n"
        "            raise ImportError(name + ' is not for this process')\n"
        "sys.meta_path.insert(0, Block())\n"
        "import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'config.settings.test'\n"
        "import django; django.setup()\n"
        f"import {process}\n"
        "assert not {'torch', 'transformers', 'peft'} & set(sys.modules)\n"
    )
    subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}"},
    )


def test_the_files_that_tests_begin_with_are_there() -> None:
    assert [name for name in LONG if not (ROOT / name).is_file()] == []


def test_tests_have_no_packages_that_could_shadow_rooms() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_a_shared_fixture_has_its_name_alone() -> None:
    """Of two plugins that define one name the later wins without a word, for every test."""
    found: dict[str, list[str]] = {}
    for path in [ROOT / "tests" / "conftest.py", *(ROOT / "tests" / "fixtures").glob("*.py")]:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and any(
                "fixture" in ast.unparse(mark) for mark in node.decorator_list
            ):
                found.setdefault(node.name, []).append(path.name)
    assert found
    assert {name: files for name, files in found.items() if len(files) > 1} == {}


def test_no_page_carries_an_inline_script_or_a_foreign_address() -> None:
    wrong = []
    for path in [*ROOT.glob("platform/**/*.html"), *ROOT.glob("apps/**/*.html")]:
        text = path.read_text()
        if re.search(r"<script(?![^>]*\bsrc=)[^>]*>", text) or re.search(r"\son[a-z]+=\"", text):
            wrong.append(f"{path.relative_to(ROOT)}: inline script")
        if re.search(r"(src|href)=\"(https?:)?//", text):
            wrong.append(f"{path.relative_to(ROOT)}: foreign address")
    assert wrong == []


def test_downloads_stream_by_the_one_way_that_holds_no_file_in_memory() -> None:
    """Under ASGI Django collects the plain iterator of such an answer whole before it sends the first byte."""
    wrong = [
        str(path.relative_to(ROOT))
        for path in PYTHON_FILES
        if re.search(r"\b(FileResponse|StreamingHttpResponse)\(", path.read_text())
        and path.relative_to(ROOT).as_posix() != "platform/core/streaming.py"
    ]
    assert wrong == []
