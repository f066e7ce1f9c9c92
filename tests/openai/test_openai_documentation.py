"""The examples of the documentation run as they stand, against a live server."""

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from apps.inference.models import Generation
from tests.openai.lines import chats
from workers.bench.beside import at_work
from workers.loop import run_next

TEXT = (Path(settings.ROOT) / "docs/openai-compatibility.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.S)


def run(code: str, server: str, secret: str) -> str:
    code = code.replace("http://127.0.0.1:8000", server).replace("lx_...", secret)
    said: list[str] = []
    exec(compile(code, "example", "exec"), {"print": lambda *words, **_: said.append(" ".join(map(str, words)))})
    return "\n".join(said)


def test_the_documentation_has_an_example_of_each_kind() -> None:
    assert len(EXAMPLES) == 3


def test_the_examples_of_the_readmes(server: str, secret: str, writer: None, chat_version: Callable[..., Any]) -> None:
    chat_version(name="Support")
    for name in ("README.md", "README.zh-CN.md"):
        (code,) = re.findall(r"```python\n(.*?)```", (Path(settings.ROOT) / name).read_text(encoding="utf-8"), re.S)
        run(code, server, secret)
    assert set(Generation.objects.values_list("state", "reference")) == {("done", "Support")}
    assert Generation.objects.count() == 2


def test_the_example_of_a_chat(server: str, secret: str, writer: None, chat_version: Callable[..., Any]) -> None:
    chat_version(name="Support")
    (code,) = [each for each in EXAMPLES if "chat.completions.create" in each]
    assert run(code, server, secret)
    assert Generation.objects.count() == 2


def test_the_example_of_a_batch(server: str, secret: str, writer: None, chat_version: Callable[..., Any]) -> None:
    chat_version(name="Support")
    (code,) = [each for each in EXAMPLES if "batches" in each]

    with at_work(work):
        said = run(code, server, secret)

    assert said.startswith("mail-0 ") and "\nmail-1 " in said


def work(stop: threading.Event) -> None:
    """A worker of the queue io."""
    while not stop.wait(0.1):
        run_next("io")


def test_the_example_of_fine_tuning(
    server: str, secret: str, chat_version: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat_version(name="Support")
    (tmp_path / "chats.jsonl").write_bytes(chats())
    monkeypatch.chdir(tmp_path)
    (code,) = [each for each in EXAMPLES if "fine_tuning" in each]
    assert run(code, server, secret)
