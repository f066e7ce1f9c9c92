"""What a bench is asked, and one measured number with what was wanted of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any


@dataclass(frozen=True)
class Options:
    """How to measure; each bench reads what concerns it."""

    small: bool = False  # a tenth of the size, to try the bench itself
    data: Path | None = None  # a file of public data, for benches that need one
    test: Path | None = None  # a file of rows that are only measured
    shots: int = 0  # texts a class; 0 takes all
    peer: str = "probe"  # quality: what is beaten, probe or naive_bayes
    seeds: tuple[int, ...] = (17, 18, 19)
    folds: int = 0  # parts of the data that are measured in turn; 0 measures one held-out part
    spec: Mapping[str, Any] = field(default_factory=dict)  # options of a recipe that differ from its defaults
    only: tuple[str, ...] = ()  # parts of a bench; all when empty


@dataclass(frozen=True)
class Measure:
    """`value` in `unit`, the bounds it should keep (None where there is none), and more in `detail`."""

    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    detail: str = ""

    @property
    def kept(self) -> bool | None:
        """Whether its bounds are kept; None without bounds."""
        if self.at_most is None and self.at_least is None:
            return None
        low = self.value if self.at_least is None else self.at_least
        high = self.value if self.at_most is None else self.at_most
        return low <= self.value <= high

    @property
    def wanted(self) -> str:
        """The bounds in words."""
        words = [("at least", self.at_least), ("at most", self.at_most)]
        return ", ".join(f"{name} {bound:g} {self.unit}".rstrip() for name, bound in words if bound is not None)

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


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which that share of them lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
