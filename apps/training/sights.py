"""What the model sees, cut into pieces for a page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Piece:
    """One token."""

    text: str
    learnt: bool
    special: bool

    @property
    def kind(self) -> str:
        """Its CSS classes."""
        return " ".join(name for name, is_so in (("learnt", self.learnt), ("special", self.special)) if is_so)


@dataclass(frozen=True)
class Sight:
    """One training row as the model reads it."""

    example_id: int
    pieces: list[Piece]
    labels: list[str]
    token_count: int
    learnt_count: int
    is_cut: bool

    @property
    def left_out(self) -> int:
        """Tokens that are not shown."""
        return self.token_count - len(self.pieces)


def sights_of(seen: Mapping[str, Any]) -> list[Sight]:
    """The rows of `seen` as engine.seen tells them."""
    return [_sight(row) for row in seen.get("rows", [])]


def _sight(row: Mapping[str, Any]) -> Sight:
    learnt = {at for start, end in row["learnt"] for at in range(start, end)}
    special = set(row["special"])
    pieces = [Piece(text.replace("\n", "⏎\n"), at in learnt, at in special) for at, text in enumerate(row["tokens"])]
    names = ("example_id", "labels", "token_count", "learnt_count", "is_cut")
    return Sight(pieces=pieces, **{name: row[name] for name in names})
