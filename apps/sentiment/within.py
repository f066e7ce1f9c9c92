"""Which articles are looked at, whatever they are split by: only those of one topic, entity, source or language."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.sentiment.models import Dimension

NAMES = ("topic", "entity", "source", "language")
"""Each is a dimension too."""


@dataclass(frozen=True)
class Within:
    """Ids, and the code of a language; 0 and empty: any."""

    topic: int = 0
    entity: int = 0
    source: int = 0
    language: str = ""

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> "Within":
        """As `plain` gave it."""
        return cls(**{name: kept[name] for name in NAMES if kept.get(name)})

    @classmethod
    def told(cls, kept: Any) -> "Within":
        """As a person or program gives it.

        Raises:
            TypeError: it has other names, or other values than ids and the code of a language.
            ValueError: an id or code that nothing can have.
        """
        if not isinstance(kept, dict) or set(kept) - set(NAMES):
            raise TypeError
        for name, value in kept.items():
            if not isinstance(value, str if name == "language" else int) or isinstance(value, bool):
                raise TypeError
            if (len(value) > 10 or "\0" in value) if isinstance(value, str) else not 0 <= value < 2**63:
                raise ValueError
        return cls.of(kept)

    def __bool__(self) -> bool:
        return bool(self.plain())

    def plain(self) -> dict[str, int | str]:
        """What is asked for, by name."""
        return {name: value for name in NAMES if (value := getattr(self, name))}

    def margin(self) -> tuple[str, str] | None:
        """(dimension, key) of the one bucket that counts the same; None where two or more are asked for, or none."""
        asked = list(self.plain().items())
        return (str(Dimension(asked[0][0])), str(asked[0][1])) if len(asked) == 1 else None
