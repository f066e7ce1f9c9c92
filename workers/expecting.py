"""Hours and days that have closed get their expected counts, by the detector of statistical surges."""

import logging
from collections import defaultdict
from datetime import datetime

from django.db import OperationalError

from apps.sentiment.services import expectations
from apps.sentiment.services.expectations import Due, Said
from workers.judging import judge_span

logger = logging.getLogger(__name__)


def expect(now: datetime) -> None:
    """All that is due; a monitor whose counts cannot be judged keeps no other from it."""
    for wanted in expectations.due(now):
        try:
            _one(wanted)
        except OperationalError:
            raise
        except Exception:
            logger.exception("the counts of monitor %s have no expectation", wanted.monitor.pk)


def _one(wanted: Due) -> None:
    said: dict[datetime, list[Said]] = defaultdict(list)
    for rule in expectations.questions(wanted):
        for found in judge_span(rule, wanted.first_end, wanted.last_end):
            said[found.at] += [(rule, verdict) for verdict in found.verdicts]
    for end_at in sorted(said):
        expectations.record_expectations(wanted, end_at, said[end_at])
