"""The course of an alert: inactive, pending, firing, resolved. One function for what is live, tested back and replayed.

As Prometheus has it: a rule that holds makes its alert pending, and firing once it has held for `hold_seconds`; a firing alert stays
so for `keep_seconds` after it last held. Where nothing can be said (no data) nothing moves: a hole in the data neither fires nor ends.
"""

from dataclasses import dataclass, replace
from datetime import datetime

INACTIVE, PENDING, FIRING, RESOLVED = "inactive", "pending", "firing", "resolved"


@dataclass(frozen=True)
class Course:
    """Where the alert of one series stands."""

    state: str = INACTIVE
    started_at: datetime | None = None
    last_true_at: datetime | None = None
    fired_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is on its way or firing."""
        return self.state in (PENDING, FIRING)


def step(course: Course, holds: bool | None, at: datetime, *, hold_seconds: float, keep_seconds: float) -> Course:
    """Where it stands after one judgement at `at`; None: nothing can be said. A resolved or lapsed one begins anew."""
    if holds is None:
        return course
    if holds:
        return _held(course, at, hold_seconds)
    if course.state == PENDING:
        return Course()
    if course.state == FIRING and (at - (course.last_true_at or at)).total_seconds() >= keep_seconds:
        return replace(course, state=RESOLVED)
    return course


def _held(course: Course, at: datetime, hold_seconds: float) -> Course:
    if not course.is_open:
        course = Course(PENDING, started_at=at)
    course = replace(course, last_true_at=at)
    held = (at - (course.started_at or at)).total_seconds()
    if course.state == PENDING and held >= hold_seconds:
        return replace(course, state=FIRING, fired_at=at)
    return course
