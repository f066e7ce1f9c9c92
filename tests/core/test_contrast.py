"""Colour tokens keep WCAG AA contrast in both themes: 4.5 for text, 3 for borders of controls and for graphics."""

import re
from pathlib import Path

import pytest

CSS = (Path(__file__).resolve().parents[2] / "platform/core/static/core/lingxi.css").read_text()
TOKENS = {
    name: (light, dark)
    for name, light, dark in re.findall(r"--lx-([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", CSS)
}
GROUNDS = ("paper", "surface", "subtle")
STATES = ("queued", "running", "paused", "succeeded", "failed", "cancelled")

TEXT = [
    *((ink, ground) for ink in ("ink", "ink-2", "ink-3", "link", "primary", "failed") for ground in GROUNDS),
    *((ink, "sunken") for ink in ("ink", "ink-2")),
    *((state, f"{state}-soft") for state in STATES),
    *(("ink", f"{state}-soft") for state in STATES),
    *(("ink-2", f"{state}-soft") for state in ("paused", "failed", "succeeded", "running")),
    ("on-primary", "primary"),
    ("on-primary", "primary-hover"),
    ("on-danger", "danger"),
    ("primary", "primary-soft"),
    ("ink", "primary-soft"),
    ("ink", "mark-bg"),
]
GRAPHICS = [
    ("line-strong", "surface"),
    ("focus", "surface"),
    ("focus", "paper"),
    ("spark", "surface"),
    *((f"series-{number}", "surface") for number in range(1, 9)),
    *((state, "sunken") for state in ("primary", "succeeded", "failed", "paused")),
]


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("pairs", "least"), [(TEXT, 4.5), (GRAPHICS, 3.0)], ids=["text", "graphics"])
def test_token_pairs_have_enough_contrast(pairs: list[tuple[str, str]], least: float, theme: int) -> None:
    weak = [
        f"{front} on {ground}: {found:.2f}"
        for front, ground in pairs
        if (found := contrast(TOKENS[front][theme], TOKENS[ground][theme])) < least
    ]

    assert weak == []
