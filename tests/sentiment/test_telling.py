"""Who is told of alerts, and who is not."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apps.accounts.models import User
from apps.notifications.models import Dispatch, Notice, Receiver
from apps.notifications.services import create_receiver
from apps.sentiment import services
from apps.sentiment.models import Alert, AlertEvent, Dimension, Monitor, Rule, Source
from core.access import Actor
from workers.watching import watch

NOON = datetime(2026, 3, 20, 12, tzinfo=UTC)  # a Friday, 20:00 in Shanghai
HOUR = timedelta(hours=1)
LITTLE = timedelta(seconds=15)
Counted = Callable[..., None]
Ruled = Callable[..., Rule]
STATIC = {"options": {"threshold": 20, "least_count": 0}}


@pytest.fixture
def desk(actor: Actor) -> Receiver:
    """People who are told in the dashboard."""
    return create_receiver(actor=actor, name="Desk", kind="people", language="en", people=[actor.user])[0]


def told(receiver: Receiver | None = None) -> list[str]:
    """Kinds of the messages that were made, in order."""
    rows = Dispatch.objects.filter(receiver=receiver) if receiver else Dispatch.objects.all()
    return list(rows.order_by("id").values_list("kind", flat=True))


def grow(counted: Counted, counts: list[int]) -> Iterator[datetime]:
    """One bucket after the other is counted; a moment after each has closed."""
    for at, count in enumerate(counts):
        end = NOON + (at + 1) * HOUR
        counted([count], end)
        yield end + LITTLE


def test_people_are_told_once_and_once_when_it_is_over(counted: Counted, ruled: Ruled, desk: Receiver) -> None:
    ruled("static", since=NOON, relations={"receivers": [desk]}, **STATIC)

    for now in grow(counted, [30, 40, 5]):
        watch(now)
        watch(now)

    assert told() == ["alert.fired", "alert.resolved"]
    assert Alert.objects.get().told_count == 1


def test_a_rule_without_receivers_tells_whoever_made_it(counted: Counted, ruled: Ruled, alice: User) -> None:
    counted([30], NOON)
    ruled("static", since=NOON - HOUR, **STATIC)

    watch(NOON + LITTLE)

    assert Notice.objects.get().user == alice
    assert told() == []


def test_it_is_told_again_until_somebody_answers(counted: Counted, ruled: Ruled, desk: Receiver, actor: Actor) -> None:
    ruled("static", since=NOON, repeat_minutes=120, relations={"receivers": [desk]}, **STATIC)

    for hours, now in enumerate(grow(counted, [30] * 8)):
        watch(now)
        if hours == 5:
            services.acknowledge(actor=actor, alert=Alert.objects.get())

    assert told() == ["alert.fired", "alert.again", "alert.again"]


def test_it_escalates_once_when_nobody_answers(counted: Counted, ruled: Ruled, desk: Receiver, actor: Actor) -> None:
    boss, _secret = create_receiver(actor=actor, name="Boss", kind="people", language="zh-hans", people=[actor.user])
    relations = {"receivers": [desk], "escalates_to": [boss]}
    ruled("static", since=NOON, repeat_minutes=0, escalate_minutes=90, relations=relations, **STATIC)

    for now in grow(counted, [30] * 5):
        watch(now)

    assert told(desk) == ["alert.fired"]
    assert told(boss) == ["alert.escalated"]
    assert Alert.objects.get().escalated_at is not None


def test_alerts_of_one_rule_are_one_message(
    counted: Counted, ruled: Ruled, desk: Receiver, brand_monitor: Monitor
) -> None:
    counted([100], NOON)
    for name in ("One", "Two", "Three"):
        source = Source.objects.create(monitor=brand_monitor, kind="feed", name=name)
        counted([30], NOON, dimension=Dimension.SOURCE, key=str(source.pk))
    ruled("static", since=NOON - HOUR, dimension="source", relations={"receivers": [desk]}, **STATIC)

    watch(NOON + LITTLE)

    message = Dispatch.objects.get()
    assert Alert.objects.count() == 3
    assert len(message.content["payload"]["alerts"]) == 3


@pytest.mark.parametrize("grouping", ["monitor", "alert"])
def test_groups_are_of_the_monitor_or_single(counted: Counted, ruled: Ruled, desk: Receiver, grouping: str) -> None:
    counted([30], NOON)
    for _rule in range(2):
        ruled("static", since=NOON - HOUR, grouping=grouping, relations={"receivers": [desk]}, **STATIC)

    watch(NOON + LITTLE)

    assert len(told()) == (1 if grouping == "monitor" else 2)


def test_a_silence_tells_nobody_and_its_end_tells_what_still_fires(
    counted: Counted, ruled: Ruled, desk: Receiver, actor: Actor, brand_monitor: Monitor
) -> None:
    ruled("static", since=NOON, relations={"receivers": [desk]}, **STATIC)
    services.add_silence(
        actor=actor, monitor=brand_monitor, begin_at=NOON, end_at=NOON + 2 * HOUR, reason="We know", rule=None
    )

    seen = []
    for now in grow(counted, [30, 30, 30]):
        watch(now)
        seen.append((Alert.objects.get().held_back, len(told())))

    assert seen == [("silenced", 0), ("", 1), ("", 1)]
    assert AlertEvent.objects.filter(kind="held_back").count() == 1


def test_a_mute_time_is_that_of_the_monitor(counted: Counted, ruled: Ruled, desk: Receiver) -> None:
    evening = [{"days": [4], "begin": "20:00", "end": "22:30"}]
    ruled("static", since=NOON, mute_times=evening, relations={"receivers": [desk]}, **STATIC)

    seen = []
    for now in grow(counted, [30, 30, 30]):  # told at 21:00, 22:00 and 23:00 in Shanghai
        watch(now)
        seen.append(Alert.objects.get().held_back)

    assert seen == ["muted", "muted", ""]
    assert told() == ["alert.fired"]


def test_an_alert_is_quiet_while_one_that_inhibits_it_fires(counted: Counted, ruled: Ruled, desk: Receiver) -> None:
    whole = ruled("static", since=NOON, relations={"receivers": [desk]}, options={"threshold": 50, "least_count": 0})
    part = ruled("static", since=NOON, relations={"receivers": [desk], "inhibited_by": [whole]}, **STATIC)

    seen = []
    for now in grow(counted, [60, 30]):
        watch(now)
        seen.append(Alert.objects.get(rule=part).held_back)

    assert seen == ["inhibited", ""]
    assert told() == ["alert.fired", "alert.resolved", "alert.fired"]


def test_others_are_waited_for(counted: Counted, ruled: Ruled, desk: Receiver) -> None:
    counted([30], NOON)
    ruled("static", since=NOON - HOUR, wait_seconds=60, relations={"receivers": [desk]}, **STATIC)

    watch(NOON + LITTLE)
    assert told() == []
    watch(NOON + timedelta(seconds=61 + 15))

    assert told() == ["alert.fired"]


def test_a_message_says_what_was_seen(counted: Counted, ruled: Ruled, desk: Receiver) -> None:
    counted([30], NOON)
    ruled("static", since=NOON - HOUR, name="Too many", relations={"receivers": [desk]}, **STATIC)

    watch(NOON + LITTLE)

    message: Any = Dispatch.objects.get()
    alert = Alert.objects.get()
    assert str(message.title) == "Too many"
    assert "Counted: 30" in [str(line) for line in message.content["lines"]]
    assert message.page == f"monitors/alerts/{alert.pk}"
    assert message.content["payload"]["alerts"][0]["verdict"]["observed"] == 30


def test_many_alerts_are_one_message_that_names_the_first(
    counted: Counted, ruled: Ruled, desk: Receiver, brand_monitor: Monitor
) -> None:
    counted([100], NOON)
    for at in range(60):
        source = Source.objects.create(monitor=brand_monitor, kind="feed", name=f"Source {at}")
        counted([30 + at], NOON, dimension=Dimension.SOURCE, key=str(source.pk))
    ruled("static", since=NOON - HOUR, dimension="source", relations={"receivers": [desk]}, **STATIC)

    watch(NOON + LITTLE)

    payload = Dispatch.objects.get().content["payload"]
    assert (payload["alert_count"], len(payload["alerts"])) == (60, 20)
    whole = Alert.objects.exclude(explanation__has_key="is_brief")
    assert whole.count() == 50
    assert set(whole.values_list("series", flat=True)) == {f"Source {at}" for at in range(10, 60)}
