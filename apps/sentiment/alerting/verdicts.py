"""What a rule said of one series at one time, as plain values."""

import math
from dataclasses import asdict, dataclass
from typing import Any

DIGITS = 9


@dataclass(frozen=True)
class Verdict:
    """`holds` None: nothing can be said. Counts, or shares where the rule looks at a share."""

    key: str
    holds: bool | None
    observed: float | None = None
    expected: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    strength: float | None = None  # 1 where the rule just holds
    method: str = ""
    thin: bool = False  # too little history for the usual baseline

    def plain(self) -> dict[str, Any]:
        """As JSON; numbers to nine significant digits, so that the same counts give the same text."""
        return {name: _rounded(value) for name, value in asdict(self).items()}


def number(value: float) -> float | None:
    """A finite number, or None."""
    return float(value) if math.isfinite(value) else None


def _rounded(value: Any) -> Any:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
