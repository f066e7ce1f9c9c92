"""What the sides of a deployment did: requests, errors and times, from the rows themselves."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.utils import timezone

from apps.inference.models import Arm, Deployment
from apps.inference.selectors import side_thumbs

CALLERS_FAULTS = frozenset(
    {
        "context_length_exceeded",
        "invalid_grammar",
        "remote_refused",
        "template_refused",
        "unknown_token",
        "unsupported_by_server",
    }
)
"""Codes of failures that the request brought with it: no version would have answered."""
CHART_POINTS = 48

ENDED = """
    SELECT arm, finished_at AS at, (state = 'failed' AND NOT error_code = ANY(%(faults)s)) AS failed,
        CASE WHEN state = 'done' THEN EXTRACT(EPOCH FROM first_token_at - created_at) END AS first,
        CASE WHEN state = 'done' THEN EXTRACT(EPOCH FROM finished_at - created_at) END AS whole
    FROM inference_generation
    WHERE deployment_id = %(deployment)s AND finished_at >= %(since)s AND state IN ('done', 'failed')
    UNION ALL
    SELECT arm, answered_at, state = 'failed', NULL,
        CASE WHEN state = 'done' THEN EXTRACT(EPOCH FROM answered_at - created_at) END
    FROM inference_onlinerequest
    WHERE deployment_id = %(deployment)s AND answered_at >= %(since)s AND state IN ('done', 'failed')
"""


@dataclass(frozen=True)
class ArmFigures:
    """One side over a while; times in seconds, of answers that were given; None where there were none."""

    arm: Arm
    count: int = 0
    error_count: int = 0
    first_p50_seconds: float | None = None
    first_p95_seconds: float | None = None
    whole_p50_seconds: float | None = None
    whole_p95_seconds: float | None = None
    thumbs_count: int = 0  # given in that while to what the side said
    thumbs_up_share: float | None = None

    def count_of(self, figure: str) -> int:
        """How many answers, or thumbs, a figure rests on."""
        return self.thumbs_count if figure == "thumbs_up_share" else self.count

    @property
    def error_share(self) -> float | None:
        """Failures that the caller had no part in, of all that ended."""
        return self.error_count / self.count if self.count else None


def arm_figures(deployment: Deployment, since: datetime) -> dict[str, ArmFigures]:
    """Arm -> its figures over everything that ended since then; every arm is there. One query, and one for the thumbs."""
    shares = "ARRAY[0.5, 0.95]::float8[]"
    rows = _rows(
        f"""SELECT arm, count(*), count(*) FILTER (WHERE failed),
            percentile_cont({shares}) WITHIN GROUP (ORDER BY first::float8),
            percentile_cont({shares}) WITHIN GROUP (ORDER BY whole::float8)
        FROM ({ENDED}) ended GROUP BY arm""",  # noqa: S608 - only constants of this file
        deployment,
        since,
    )
    found = {arm: ArmFigures(Arm(arm)) for arm in Arm.values}
    for arm, count, errors, firsts, wholes in rows:
        found[arm] = ArmFigures(Arm(arm), count, errors, *(firsts or (None, None)), *(wholes or (None, None)))
    for arm, thumbs in side_thumbs(deployment, since=since).items():
        found[arm] = replace(found[arm], thumbs_count=thumbs.up + thumbs.down, thumbs_up_share=thumbs.share)
    return found


def traffic_chart(deployment: Deployment, *, hours: int) -> dict[str, Any]:
    """How many requests each side ended, over time, in the shape that the chart module draws. One query."""
    now = timezone.now()
    since, width = now - timedelta(hours=hours), timedelta(hours=hours) / CHART_POINTS
    rows = _rows(
        f"""SELECT arm, floor(EXTRACT(EPOCH FROM at - %(since)s) / %(width)s)::int, count(*)
        FROM ({ENDED}) ended GROUP BY 1, 2""",  # noqa: S608 - only constants of this file
        deployment,
        since,
        width=width.total_seconds(),
    )
    counts = {(arm, min(place, CHART_POINTS - 1)): count for arm, place, count in rows}
    starts = [timezone.localtime(since + width * at) for at in range(CHART_POINTS)]
    arms = [arm for arm in Arm if any(name == arm for name, _place in counts)]
    return {
        "categories": [f"{start:%m-%d %H:%M}" for start in starts],
        "series": [
            {"name": str(arm.label), "values": [counts.get((arm, at), 0) for at in range(CHART_POINTS)]} for arm in arms
        ],
        "stacked": True,
    }


def _rows(query: str, deployment: Deployment, since: datetime, **more: Any) -> Sequence[Any]:
    values = {"deployment": deployment.pk, "since": since, "faults": list(CALLERS_FAULTS), **more}
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        found: Sequence[Any] = cursor.fetchall()
    return found
