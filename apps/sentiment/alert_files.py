"""Alerts as rows of a file: where each stands, who answered for it, and what was seen when it fired."""

from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import F, QuerySet

from apps.sentiment.models import Alert
from core.rows_out import as_text

VERDICT = ("observed", "expected", "low", "high", "p_value", "method")
OWN = (
    "id",
    "rule_name",
    "kind",
    "severity",
    "dimension",
    "key",
    "series",
    "state",
    "usefulness",
    "strength",
    "held_back",
)
TIMES = ("started_at", "fired_at", "resolved_at", "acknowledged_at", "judged_at")
PEOPLE = ("resolved_by", "acknowledged_by", "assigned_to", "judged_by")
COLUMNS = (
    "id", "monitor", "monitor_name", "rule", "rule_name", "kind", "severity", "dimension", "key", "series", "within", "state",
    "started_at", "fired_at", "resolved_at", "resolved_by", "acknowledged_at", "acknowledged_by", "assigned_to",
    "usefulness", "judged_at", "judged_by", *VERDICT, "strength", "is_late", "held_back",
)  # fmt: skip


def written(rows: QuerySet[Alert], form: str) -> Iterator[str]:
    """Pieces of a file of alerts by ascending id, in `form`: csv, spreadsheet or jsonl."""
    found = rows.select_related(None).select_related("monitor", *PEOPLE).defer("explanation", "evidence")
    found = found.annotate(
        verdict=F("explanation__verdict"), limits=F("explanation__within")
    )  # not all of what is long
    return as_text(found, form, COLUMNS, lambda row: _record(row, form))


def _record(row: Any, form: str) -> dict[str, Any]:
    """One alert in plain values; times are those of its monitor's zone."""
    zone, verdict = ZoneInfo(row.monitor.time_zone), row.verdict or {}
    times = {name: getattr(row, name) for name in TIMES}
    people = {name: getattr(row, name) for name in PEOPLE}
    return {
        **{name: getattr(row, name) for name in OWN},
        **{name: at and at.astimezone(zone).isoformat() for name, at in times.items()},
        **{name: str(user) if user else None for name, user in people.items()},
        **{name: verdict.get(name) for name in VERDICT},
        "within": row.limits or None,
        "monitor": row.monitor_id,
        "monitor_name": row.monitor.name,
        "rule": row.rule_id,
        "is_late": row.is_late if form == "jsonl" else str(row.is_late).lower(),
    }
