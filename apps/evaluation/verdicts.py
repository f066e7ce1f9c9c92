"""The verdict of a suite on a version: each figure held against its threshold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.evaluation.models import Bound, Direction, EvaluationJob, Suite, SuiteCheck
from core.jobs.states import ENDED
from words import say

STATES = PASSED, FAILED, WAITING = ("passed", "failed", "waiting")


@dataclass(frozen=True)
class CheckVerdict:
    """How one check came out; `judged` is the number that was held against the threshold."""

    check: SuiteCheck
    state: str
    evaluation: EvaluationJob | None = None
    figure: Mapping[str, float] | None = None
    judged: float | None = None
    why: str = ""

    def as_evidence(self) -> dict[str, Any]:
        """Plain values that outlive suite and evaluation."""
        check, figure = self.check, self.figure or {}
        return {
            "data": str(check.dataset_version),
            "data_hash": check.dataset_version.content_hash,
            "split": check.split,
            "figure": check.figure,
            "direction": check.direction,
            "threshold": check.threshold,
            "bound": check.bound,
            "value": figure.get("value"),
            "low": figure.get("low"),
            "high": figure.get("high"),
            "state": self.state,
            "evaluation": self.evaluation.pk if self.evaluation else None,
        }


@dataclass(frozen=True)
class Verdict:
    """How a suite came out on a version."""

    suite: Suite
    checks: Sequence[CheckVerdict]

    @property
    def state(self) -> str:
        """Failed as soon as one check is, passed when all are, else waiting."""
        states = {found.state for found in self.checks}
        return FAILED if FAILED in states else PASSED if states == {PASSED} else WAITING

    @property
    def is_measuring(self) -> bool:
        """Whether an evaluation is queued or at work."""
        rows = [found.evaluation for found in self.checks if found.state == WAITING and found.evaluation]
        return any(row.job.state not in ENDED for row in rows)

    def as_evidence(self) -> dict[str, Any]:
        """Plain values for the history of an alias."""
        suite = self.suite
        return {
            "suite": {"id": suite.pk, "name": suite.name, "revision": suite.revision, "hash": suite.content_hash},
            "verdict": self.state,
            "checks": [found.as_evidence() for found in self.checks],
        }


def judge(check: SuiteCheck, evaluation: EvaluationJob | None) -> CheckVerdict:
    """The verdict of one check from its evaluation."""
    if evaluation is None:
        return CheckVerdict(check, WAITING, why=say("It was not measured yet."))
    if not evaluation.is_done:
        ended = evaluation.job.state in ENDED
        why = say("The evaluation did not succeed; run the suite again.") if ended else say("It is being measured.")
        return CheckVerdict(check, WAITING, evaluation, why=why)
    figure = evaluation.headline.get(check.figure)
    if figure is None:
        return CheckVerdict(check, FAILED, evaluation, why=say("The evaluation has no figure of this name."))
    judged = figure[_side(check)]
    good = judged >= check.threshold if check.direction == Direction.AT_LEAST else judged <= check.threshold
    return CheckVerdict(check, PASSED if good else FAILED, evaluation, figure, judged)


def _side(check: SuiteCheck) -> str:
    """Which number of a figure counts: its value, or the end of the interval that is worse for this check."""
    if check.bound == Bound.VALUE:
        return "value"
    return "low" if check.direction == Direction.AT_LEAST else "high"
