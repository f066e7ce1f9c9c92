"""The verdict of a suite on a version: each figure held against its threshold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.evaluation.models import Bound, Direction, EvaluationJob, Suite, SuiteCheck
from apps.evaluation.remembering import Remembering
from core.jobs.states import ENDED
from words import say

STATES = PASSED, FAILED, WAITING = ("passed", "failed", "waiting")


@dataclass(frozen=True)
class CheckVerdict:
    """How one check came out; `judged` is the number that was held against the threshold."""

    check: SuiteCheck
    state: str
    evaluation: EvaluationJob | None = None
    figure: Mapping[str, float | None] | None = None
    judged: float | None = None
    why: str = ""
    is_at_work: bool = False

    def as_evidence(self) -> dict[str, Any]:
        """Plain values that outlive suite and evaluation."""
        check, figure = self.check, self.figure or {}
        return {
            "data": str(check.dataset_version or ""),
            "data_hash": check.dataset_version.content_hash if check.dataset_version else "",
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
        return any(found.is_at_work for found in self.checks)

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
        return CheckVerdict(check, WAITING, evaluation, why=why, is_at_work=not ended)
    figure = evaluation.headline.get(check.figure)
    if figure is None:
        return CheckVerdict(check, FAILED, evaluation, why=say("The evaluation has no figure of this name."))
    return _held(check, figure, evaluation)


def judge_forgetting(check: SuiteCheck, found: Remembering | None) -> CheckVerdict:
    """The verdict of a check that bounds forgetting; a version of one task has nothing to forget."""
    if found is None or len(found.steps) < 2:
        why = say("It goes on from no version that was trained here.")
        return CheckVerdict(check, PASSED, figure={"value": 0.0, "low": None, "high": None}, judged=0.0, why=why)
    worst = found.most_forgotten
    if worst.value is not None:
        return _held(check, {"value": worst.value, "low": worst.low, "high": worst.high})
    gone = next((cell for cell in found.lost if cell.value is None), None)
    if gone is None or gone.can_be_measured:
        return CheckVerdict(check, WAITING, why=gone.why if gone else worst.why, is_at_work=found.is_measuring)
    return CheckVerdict(check, FAILED, why=gone.why)


def _held(
    check: SuiteCheck, figure: Mapping[str, float | None], evaluation: EvaluationJob | None = None
) -> CheckVerdict:
    """The verdict of a figure: by the number that counts for the check, or by the value where it has no interval."""
    judged = figure[_side(check)]
    judged = figure["value"] if judged is None else judged
    assert judged is not None
    good = judged >= check.threshold if check.direction == Direction.AT_LEAST else judged <= check.threshold
    return CheckVerdict(check, PASSED if good else FAILED, evaluation, figure, judged)


def _side(check: SuiteCheck) -> str:
    """Which number of a figure counts: its value, or the end of the interval that is worse for this check."""
    if check.bound == Bound.VALUE:
        return "value"
    return "low" if check.direction == Direction.AT_LEAST else "high"
