"""Events of a fine-tuning job: moves, log lines and measured steps of its jobs as one list, newest first.

They stand in three tables; an event's id names the table by a letter and the row, and a page is merged from as many
rows of each. Nothing is stored twice.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Max, Q, QuerySet

from apps.training.models import FineTuningJob, MetricPoint
from core.jobs.models import JobLog, JobTransition
from core.jobs.states import State
from core.openai.ids import PREFIXES, public_id
from core.openai.paging import bad_cursor
from words import join, say

_ID = re.compile(re.escape(PREFIXES["fine_tuning_event"]) + r"([lmt])(\d{1,18})")
LEVELS = {"warning": "warn", "error": "error"}


@dataclass(frozen=True, order=True)
class Place:
    """Where an event stands among all others: by time, then table, then row."""

    at: datetime
    table: str  # l: log line, m: measured step, t: transition
    number: int


@dataclass(frozen=True)
class Event:
    """One thing that happened."""

    place: Place
    message: str
    level: str = "info"
    data: dict[str, Any] | None = None

    @property
    def public_id(self) -> str:
        """Its id for callers."""
        return public_id("fine_tuning_event", f"{self.place.table}{self.place.number}")


def events_of(fine_tuning: FineTuningJob, *, after: str, limit: int) -> list[Event]:
    """The next `limit` events, newest first, after the one called `after`; Refused when there is no such one."""
    last = _place(fine_tuning, after) if after else None
    found = [
        *_moves(fine_tuning, last, limit),
        *_lines(fine_tuning, last, limit),
        *_measured(fine_tuning, last, limit),
    ]
    return sorted(found, key=lambda event: event.place, reverse=True)[:limit]


def _transitions(fine_tuning: FineTuningJob) -> QuerySet[JobTransition]:
    """All moves of the training; of the chain before it, which waits in its queue between steps, begin and bad ends."""
    chain = Q(job=fine_tuning.job_id) & (Q(from_state="") | Q(to_state__in=[State.FAILED, State.CANCELLED]))
    training = fine_tuning.training
    return JobTransition.objects.filter(chain | Q(job=training.job_id) if training else chain)


def _log(fine_tuning: FineTuningJob) -> QuerySet[JobLog]:
    training = fine_tuning.training
    return JobLog.objects.filter(job__in=[fine_tuning.job_id, *([training.job_id] if training else [])])


def _steps(fine_tuning: FineTuningJob) -> QuerySet[Any, Any]:
    points = MetricPoint.objects.filter(training_job=fine_tuning.training_id or 0)
    return points.values("step").annotate(last=Max("at"))


def _place(fine_tuning: FineTuningJob, text: str) -> Place:
    found = _ID.fullmatch(text)
    if found is None:
        raise bad_cursor()
    table, number = found[1], int(found[2])
    if table == "m":
        times = list(_steps(fine_tuning).filter(step=min(number, 2**31 - 1)).values_list("last", flat=True))
    else:
        rows: QuerySet[Any] = _transitions(fine_tuning) if table == "t" else _log(fine_tuning)
        times = list(rows.filter(pk=number).values_list("at", flat=True))
    if not times:
        raise bad_cursor()
    return Place(times[0], table, number)


def _before(last: Place | None, table: str, at: str, number: str) -> Q:
    """What of a table comes after `last` in a list that begins with the newest."""
    if last is None:
        return Q()
    if table != last.table:
        return Q(**{f"{at}__lte" if table < last.table else f"{at}__lt": last.at})
    return Q(**{f"{at}__lt": last.at}) | Q(**{at: last.at, f"{number}__lt": last.number})


def _moves(fine_tuning: FineTuningJob, last: Place | None, limit: int) -> list[Event]:
    rows = _transitions(fine_tuning).filter(_before(last, "t", "at", "pk")).order_by("-at", "-pk")[:limit]
    return [
        Event(
            Place(row.at, "t", row.pk),
            _moved(row, chain=row.job_id == fine_tuning.job_id),
            "error" if row.to_state == State.FAILED else "info",
        )
        for row in rows
    ]


def _moved(row: JobTransition, *, chain: bool) -> str:
    if chain and not row.from_state:
        return str(say("The files are being read."))
    return str(join([say("Now: {state}.", state=State(row.to_state).label), row.reason]))


def _lines(fine_tuning: FineTuningJob, last: Place | None, limit: int) -> list[Event]:
    rows = _log(fine_tuning).filter(_before(last, "l", "at", "pk")).order_by("-at", "-pk")[:limit]
    return [Event(Place(row.at, "l", row.pk), str(row.message), LEVELS.get(row.level, "info")) for row in rows]


def _measured(fine_tuning: FineTuningJob, last: Place | None, limit: int) -> list[Event]:
    steps = _steps(fine_tuning).filter(_before(last, "m", "last", "step")).order_by("-last", "-step")[:limit]
    places = {row["step"]: row["last"] for row in steps}
    points = MetricPoint.objects.filter(training_job=fine_tuning.training_id or 0, step__in=places).order_by("name")
    values: dict[int, dict[str, float]] = {}
    for point in points:
        values.setdefault(point.step, {})[point.name] = point.value
    return [
        Event(Place(at, "m", step), str(say("Step {step}", step=step)), data={"step": step, **values[step]})
        for step, at in places.items()
    ]
