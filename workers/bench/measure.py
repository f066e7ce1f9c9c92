"""One measured number with what was wanted of it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from time import perf_counter
from typing import Any


@dataclass(frozen=True)
class Measure:
    """`value` in `unit`; `wanted` is the bound it should keep, None where there is none; more in `detail`."""

    name: str
    value: float
    unit: str
    wanted: float | None = None
    detail: str = ""

    @property
    def kept(self) -> bool | None:
        """Whether the bound (an upper one) is kept."""
        return None if self.wanted is None else self.value <= self.wanted

    def as_mapping(self) -> dict[str, Any]:
        """Plain JSON."""
        return {**asdict(self), "kept": self.kept}


def middle_seconds(act: Callable[[], object], times: int = 7) -> float:
    """The median wall time of `act` after one unmeasured run."""
    act()
    taken = []
    for _each in range(times):
        begun = perf_counter()
        act()
        taken.append(perf_counter() - begun)
    return median(taken)
