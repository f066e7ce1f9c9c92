"""Days on which a market trades: no weekend and no holiday, in the market's own time zone."""

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

import holidays
from django.db import models
from django.utils.translation import gettext_lazy as _


class Market(models.TextChoices):
    """Markets by their codes (ISO 10383)."""

    SHANGHAI = "XSHG", _("Shanghai")
    HONG_KONG = "XHKG", _("Hong Kong")
    NEW_YORK = "XNYS", _("New York")


ZONES = {
    Market.SHANGHAI: ZoneInfo("Asia/Shanghai"),
    Market.HONG_KONG: ZoneInfo("Asia/Hong_Kong"),
    Market.NEW_YORK: ZoneInfo("America/New_York"),
}
SATURDAY = 5


def trading(market: str, moments: Iterable[datetime]) -> set[datetime]:
    """Those of the moments that lie on a trading day of a market."""
    zone = ZONES[Market(market)]
    days = {moment: moment.astimezone(zone).date() for moment in moments}
    closed = holidays.financial_holidays(market, years={day.year for day in days.values()})
    return {moment for moment, day in days.items() if day.weekday() < SATURDAY and day not in closed}
