"""Gates of a rollout: bounds that a candidate's figures keep, or it is taken back by itself."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from core.errors import Refused
from words import say

FIGURES = {
    "error_share": "at_most",
    "first_p95_seconds": "at_most",
    "whole_p95_seconds": "at_most",
    "thumbs_up_share": "at_least",
}
"""What can be bounded, and from which side; the figures are those of apps.inference.arms.ArmFigures."""
MOST_WINDOW_MINUTES = 7 * 24 * 60


@dataclass(frozen=True)
class Gate:
    """One bound on the candidate's answers of the last minutes, looked at once there are enough of them."""

    figure: str  # a key of FIGURES
    bound: float  # a share, or seconds
    window_minutes: int = 60
    min_count: int = 50

    def holds(self, value: float | None, count: int) -> bool:
        """Whether a figure over `count` answers is within the bound; too few, or none at all, are."""
        if value is None or count < self.min_count:
            return True
        return value <= self.bound if FIGURES[self.figure] == "at_most" else value >= self.bound

    def as_mapping(self) -> dict[str, Any]:
        """As the deployment keeps it."""
        return asdict(self)


def checked_gates(given: Sequence[Mapping[str, Any]]) -> list[Gate]:
    """Gates from outside; Refused with what is wrong with the first bad one."""
    found = [_checked(each) for each in given]
    if len({gate.figure for gate in found}) < len(found):
        raise Refused("double_gate", say("Name each figure once."), field="gates")
    return found


def _checked(given: Mapping[str, Any]) -> Gate:
    gate = Gate(**given)
    if gate.figure not in FIGURES:
        names = ", ".join(FIGURES)
        raise Refused("unknown_figure", say("A gate's figure is one of: {names}.", names=names), field="gates")
    highest = 1.0 if gate.figure.endswith("_share") else float(MOST_WINDOW_MINUTES * 60)
    if not 0 <= gate.bound <= highest:
        raise Refused("bad_bound", say("The bound of a gate lies between 0 and {most:g}.", most=highest), field="gates")
    if not 1 <= gate.window_minutes <= MOST_WINDOW_MINUTES:
        message = say("A gate looks back 1 to {most} minutes.", most=MOST_WINDOW_MINUTES)
        raise Refused("bad_window", message, field="gates")
    if gate.min_count < 1:
        raise Refused("bad_count", say("A gate needs at least one answer."), field="gates")
    return gate
