"""What reading a source gives: articles, and for everything left out the reason."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from words import say

SKEW = timedelta(hours=1)  # clocks of publishers are this much ahead at most
OLDEST = datetime(1971, 1, 1, tzinfo=UTC)  # before it stand only clocks that were never set


class Confidence(StrEnum):
    """How well the time of publication is known, best first."""

    STATED = "stated"  # with time and zone
    ZONE_ASSUMED = (
        "zone_assumed"  # a time without zone, or with a name of several zones: read as the source's zone has it
    )
    DAY = "day"  # only a day: its first moment in the source's zone
    RELATIVE = "relative"  # counted back from the moment of reading: 3小时前
    GUESSED = "guessed"  # from an address, from loose text, without its year, or of a change instead of publication
    NONE = "none"


@dataclass(frozen=True)
class Moment:
    """A point in time (UTC) and how well it is known."""

    at: datetime
    confidence: Confidence


@dataclass(frozen=True)
class Problem:
    """Something that was left out or doubted: a stable code, a sentence, and which item (its position from 0, -1 for the
    whole source; its id or address as far as they are known)."""

    code: str
    message: str
    position: int = -1
    identity: str = ""


@dataclass(frozen=True)
class Item:
    """One article as its source tells it. `published_at` is None exactly when `confidence` is none."""

    external_id: str
    url: str
    title: str
    body: str
    published_at: datetime | None = None
    confidence: Confidence = Confidence.NONE
    author: str = ""
    language: str = ""
    updated_at: datetime | None = None
    categories: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()  # of an article that was read alone; a feed tells those of all its items


@dataclass(frozen=True)
class Dated:
    """What became of a date: the time that may be believed, and why not where none may."""

    at: datetime | None = None
    confidence: Confidence = Confidence.NONE
    problems: tuple[Problem, ...] = field(default=())


def believed(
    moment: Moment | None, *, now: datetime, written: str = "", position: int = -1, identity: str = ""
) -> Dated:
    """The date of an item, or none and the reason: unreadable, in the future, or older than any news on the web."""
    if moment is None:
        if not written.strip():
            return Dated()
        message = say('The date "{written}" could not be read.', written=written.strip()[:80])
        return Dated(problems=(Problem("date_unreadable", message, position, identity),))
    told = moment.at.isoformat(sep=" ", timespec="minutes")
    if moment.at > now + SKEW:
        message = say("The date {date} lies in the future and is not believed.", date=told)
        return Dated(problems=(Problem("date_in_future", message, position, identity),))
    if moment.at < OLDEST:
        message = say("The date {date} is older than the web and is not believed.", date=told)
        return Dated(problems=(Problem("date_too_old", message, position, identity),))
    return Dated(moment.at, moment.confidence)
