"""The tutorial runs: its blocks in order, with the output that stands below them, the same in both languages."""

import ast
import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "tutorial"
LANGUAGES = ["gpt-from-principles.md", "gpt-from-principles.zh-CN.md"]
FENCE = re.compile(r"^```(python|text)\n(.*?)^```$", re.M | re.S)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def blocks(name: str) -> list[tuple[str, str]]:
    """(code, what it printed) of each block of a page."""
    found: list[tuple[str, str]] = []
    for kind, body in FENCE.findall((FOLDER / name).read_text(encoding="utf-8")):
        if kind == "python":
            found.append((body, ""))
        else:
            found[-1] = (found[-1][0], body)
    return found


def differs(printed: str, shown: str) -> bool:
    """Words must be equal; a count too, a fraction may differ by two percent or by one in its last digit."""
    if NUMBER.sub("#", printed) != NUMBER.sub("#", shown):
        return True
    pairs = zip(NUMBER.findall(printed), NUMBER.findall(shown), strict=True)
    return any(_apart(one, other) for one, other in pairs)


def _apart(printed: str, shown: str) -> bool:
    digits = len(shown.partition(".")[2])
    if not digits:
        return printed != shown
    return abs(float(printed) - float(shown)) > max(0.02 * abs(float(shown)), 1.01 * 10**-digits)


@pytest.mark.parametrize("name", LANGUAGES)
def test_the_tutorial_prints_what_it_shows_and_finishes_the_proverb(name: str) -> None:
    known: dict[str, Any] = {}
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    wrong = []

    for code, shown in blocks(name):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, name, "exec"), known)  # the page is ours, and a test of it is the point
        if differs(out.getvalue(), shown):
            wrong.append(f"{code}\nprinted:\n{out.getvalue()}shown:\n{shown}")

    torch.set_num_threads(threads)
    torch.set_rng_state(state)
    assert wrong == []
    assert known["PROMPT"] == "The quick brown fox jumps over"
    assert known["fast"][0] == known["slow"][0] == " the lazy dog."


def test_both_languages_hold_the_same_code_apart_from_comments() -> None:
    english, chinese = ([(ast.dump(ast.parse(code)), shown) for code, shown in blocks(name)] for name in LANGUAGES)

    assert english == chinese


def test_pages_of_the_tutorial_lead_to_each_other_and_to_files_that_are_there() -> None:
    for name in LANGUAGES:
        links = re.findall(r"\]\(([^)#:]+)\)", (FOLDER / name).read_text(encoding="utf-8"))
        assert {other for other in LANGUAGES if other != name} <= set(links)
        assert [link for link in links if not (FOLDER / link).exists()] == []


def test_an_output_that_changed_is_seen() -> None:
    assert not differs("loss 2.08\n", "loss 2.07\n")
    assert differs("loss 2.08\n", "loss 2.30\n")
    assert differs("gain 2.08\n", "loss 2.08\n")
    assert differs("9 tokens\n", "12 tokens\n")
