"""Rules judged bucket by bucket: what holds becomes an alert, once, and what was missed is judged later."""

import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from django.db import DatabaseError, transaction

from apps.notifications.models import Notice
from apps.registry.models import ModelVersion
from apps.sentiment import services
from apps.sentiment.models import Alert, AlertEvent, Bucket, BucketSize, Dimension, Monitor, Rule, Source
from apps.sentiment.services.watching import rule_in_hand
from core.access import Actor
from workers.judging import judge_span
from workers.watching import watch, watch_rule

NOON = datetime(2026, 3, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
CALM = [4, 6, 5, 7, 5, 4]
Counted = Callable[..., None]
Ruled = Callable[..., Rule]
STATIC = {"threshold": 20, "least_count": 0}


def after(hours: int) -> datetime:
    """Some seconds after so many hours past noon, when the bucket before has closed."""
    return NOON + hours * HOUR + timedelta(seconds=15)


def grow(counted: Counted, counts: list[int | None]) -> Iterator[int]:
    """One bucket after the other is counted; how many have closed."""
    for at, count in enumerate(counts):
        counted([count], NOON + (at + 1) * HOUR)
        yield at + 1


def states() -> list[str]:
    return list(Alert.objects.order_by("id").values_list("state", flat=True))


def test_a_number_that_is_reached_opens_one_alert_and_its_fall_ends_it(counted: Counted, ruled: Ruled) -> None:
    rule = ruled("static", since=NOON, options=STATIC)

    for hours in grow(counted, [5, 30, 40, 3]):
        watch_rule(rule.pk, after(hours))
        watch_rule(rule.pk, after(hours))

    alert = Alert.objects.get()
    assert alert.state == "resolved"
    assert (alert.fired_at, alert.resolved_at) == (NOON + 2 * HOUR, NOON + 4 * HOUR)
    assert alert.bucket_at == NOON + HOUR
    assert [each.kind for each in alert.events.order_by("id")] == ["started", "fired", "resolved"]


def test_a_rule_that_must_hold_is_pending_first_and_lapses(counted: Counted, ruled: Ruled) -> None:
    rule = ruled("static", since=NOON, options=STATIC, hold_minutes=120)

    seen = []
    for hours in grow(counted, [30, 5, 30, 30, 30]):
        watch_rule(rule.pk, after(hours))
        seen.append(states())

    assert seen == [["pending"], [], ["pending"], ["pending"], ["firing"]]


def test_what_was_missed_is_judged_in_order_and_pages_nobody_twice(
    counted: Counted, ruled: Ruled, django_capture_on_commit_callbacks: Any
) -> None:
    counted([5, 30, 5, 5, 40, 41], NOON + 6 * HOUR)
    ruled("static", since=NOON, options=STATIC)

    for _again in range(3):
        watch(after(6))

    first, second = Alert.objects.order_by("id")
    assert (first.state, first.is_late, first.told_count) == ("resolved", True, 0)
    assert (second.state, second.fired_at, second.told_count) == ("firing", NOON + 5 * HOUR, 1)
    assert Notice.objects.count() == 1


def test_a_hole_in_the_data_neither_fires_nor_ends(counted: Counted, ruled: Ruled) -> None:
    rule = ruled("static", since=NOON, options=STATIC)

    for hours in grow(counted, [30, None, None, 30]):
        watch_rule(rule.pk, after(hours))

    assert Alert.objects.get().state == "firing"
    assert Alert.objects.get().last_true_at == NOON + 4 * HOUR


def test_where_programs_push_an_empty_bucket_is_zero(counted: Counted, ruled: Ruled, pushed_source: Source) -> None:
    counted([30, None], NOON + 2 * HOUR)
    rule = ruled("static", since=NOON, options=STATIC)

    watch_rule(rule.pk, after(2))

    assert Alert.objects.get().state == "resolved"


def test_a_surge_fires_with_what_was_expected(counted: Counted, ruled: Ruled) -> None:
    counted([*CALM * 40, 60], NOON)
    rule = ruled("surge", since=NOON - HOUR)

    watch_rule(rule.pk, after(0))

    said = Alert.objects.get().explanation["verdict"]
    assert said["observed"] == 60
    assert 3 < said["expected"] < 8
    assert said["p_value"] < 1e-4
    assert said["low"] <= said["expected"] <= said["high"]


def test_each_series_of_a_dimension_has_its_own_alert(counted: Counted, ruled: Ruled, brand_monitor: Monitor) -> None:
    one = Source.objects.create(monitor=brand_monitor, kind="feed", name="One")
    two = Source.objects.create(monitor=brand_monitor, kind="feed", name="Two")
    counted([40, 40], NOON)
    for source, counts in ((one, [5, 30]), (two, [35, 10])):
        counted(counts, NOON, dimension=Dimension.SOURCE, key=str(source.pk))
    rule = ruled("static", since=NOON - 2 * HOUR, options=STATIC, dimension="source")

    watch_rule(rule.pk, after(0))

    assert list(Alert.objects.order_by("id").values_list("series", "state")) == [("Two", "resolved"), ("One", "firing")]


def test_a_share_that_shifts_is_told_from_volume(
    counted: Counted, ruled: Ruled, named_version: Callable[..., ModelVersion]
) -> None:
    version = named_version(name="tone", task="classification", recipe="classify", labels=["negative", "neutral"])
    counted([20] * 48 + [20], NOON, negatives=[2, 3, 1, 2] * 12 + [15], version=version)
    rule = ruled("share", since=NOON - HOUR)

    watch_rule(rule.pk, after(0))

    found = Alert.objects.get().explanation
    assert found["verdict"]["observed"] == 0.75
    assert found["moved"]["what"] == "share"


def test_of_two_versions_the_one_that_read_most_is_counted(
    counted: Counted, ruled: Ruled, named_version: Callable[..., ModelVersion], brand_monitor: Monitor
) -> None:
    old = named_version(name="tone", task="classification", recipe="classify", labels=["negative"])
    new = named_version(name="tone", task="classification", recipe="classify", labels=["negative"])
    counted([10], NOON, negatives=[4], version=old)
    Bucket.objects.create(
        monitor=brand_monitor,
        clock="received",
        seconds=3_600,
        dimension="total",
        start_at=NOON - HOUR,
        article_count=3,
        negative_count=3,
        model_version=new,
    )
    rule = ruled("static", since=NOON - HOUR, measure="negative_count", options={**STATIC, "threshold": 4})

    (found,) = judge_span(rule, NOON, NOON)

    assert found.verdicts[0].observed == 4


@pytest.mark.parametrize("kind", ["rise", "score"])
def test_a_rule_that_remembers_says_the_same_bucket_by_bucket_and_at_once(
    counted: Counted, ruled: Ruled, kind: str
) -> None:
    day = [3, 2, 1, 1, 2, 4, 6, 8, 9, 9, 8, 7, 8, 9, 9, 8, 7, 6, 6, 5, 5, 4, 4, 3]
    counted([*day * 20, *(3 * count + 6 for count in day)], NOON)
    options = {"run_length": 50} if kind == "rise" else {}
    at_once = ruled(kind, since=NOON - 24 * HOUR, options=options)
    slowly = ruled(kind, since=NOON - 24 * HOUR, options=options)

    watch_rule(at_once.pk, after(0))
    for hours in range(-23, 1):
        watch_rule(slowly.pk, after(hours))

    one, two = (list(Alert.objects.filter(rule=rule).values_list("state", "fired_at")) for rule in (at_once, slowly))
    assert one == two
    assert len(one) == 1
    assert one[0][1] > NOON - 24 * HOUR


def test_a_score_that_was_remembered_in_another_shape_is_built_anew(counted: Counted, ruled: Ruled) -> None:
    counted([*[3, 2, 5, 4] * 120, 90], NOON)
    rule = ruled("score", since=NOON - 2 * HOUR)
    (*_before, last) = judge_span(rule, NOON - 2 * HOUR, NOON - HOUR)
    with np.load(io.BytesIO(last.memory or b"")) as archive:
        known = {name: archive[name] for name in archive.files}
    other = io.BytesIO()
    np.savez(other, **{name: value for name, value in known.items() if name != "squares"})
    rule.memory = other.getvalue()

    (found,) = judge_span(rule, NOON, NOON)

    assert found.verdicts[0].holds is True
    assert found.memory is not None


def test_a_clock_that_is_put_back_judges_nothing_twice(counted: Counted, ruled: Ruled) -> None:
    counted([30] * 4, NOON + 4 * HOUR)
    rule = ruled("static", since=NOON, options=STATIC)

    watch_rule(rule.pk, after(4))
    watch_rule(rule.pk, after(1))  # three hours back
    watch_rule(rule.pk, after(4))

    assert Alert.objects.count() == 1
    assert AlertEvent.objects.filter(kind="fired").count() == 1


def test_a_number_need_not_wait_for_the_end_of_its_bucket(counted: Counted, ruled: Ruled) -> None:
    counted([5, 25], NOON + 2 * HOUR)
    rule = ruled("static", since=NOON + HOUR, options=STATIC)
    now = NOON + HOUR + timedelta(minutes=20)

    watch_rule(rule.pk, now)

    assert Alert.objects.get().fired_at == now
    assert Alert.objects.get().bucket_at == NOON + HOUR


@pytest.mark.django_db(transaction=True)
def test_only_one_worker_judges_a_rule_at_a_time(ruled: Ruled) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from django.db import connection

    rule = ruled("static", since=NOON)

    def other() -> bool:
        with rule_in_hand(rule.pk) as found:
            taken = found is not None
        connection.close()
        return taken

    with rule_in_hand(rule.pk) as mine, ThreadPoolExecutor(1) as threads:
        assert mine is not None
        assert threads.submit(other).result(timeout=20) is False


def test_an_explanation_cannot_be_changed(counted: Counted, ruled: Ruled) -> None:
    counted([30], NOON)
    rule = ruled("static", since=NOON - HOUR, options=STATIC)
    watch_rule(rule.pk, after(0))
    alert = Alert.objects.get()

    with pytest.raises(DatabaseError, match="cannot be changed"), transaction.atomic():
        Alert.objects.filter(pk=alert.pk).update(explanation={"format": 2})

    Alert.objects.filter(pk=alert.pk).update(evidence={"texts": []})
    with pytest.raises(DatabaseError, match="cannot be changed"), transaction.atomic():
        Alert.objects.filter(pk=alert.pk).update(evidence=None)
    alert.refresh_from_db()
    assert alert.explanation["verdict"]["observed"] == 30


def test_an_alert_that_a_person_closed_does_not_open_again_while_it_holds(
    counted: Counted, ruled: Ruled, actor: Actor
) -> None:
    rule = ruled("static", since=NOON, options=STATIC)

    seen = []
    for hours in grow(counted, [30, 30, 30, 5, 30]):
        watch_rule(rule.pk, after(hours))
        seen.append(Alert.objects.count())
        if hours == 1:
            services.close(actor=actor, alert=Alert.objects.get())

    assert seen == [1, 1, 1, 1, 2]


def test_another_rule_goes_on_when_one_cannot_be_judged(
    counted: Counted, ruled: Ruled, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted([30], NOON)
    broken = ruled("static", since=NOON - HOUR, options=STATIC)
    Rule.objects.filter(pk=broken.pk).update(options={"no_such_option": 1})
    well = ruled("static", since=NOON - HOUR, options=STATIC)

    watch(after(0))

    broken.refresh_from_db()
    assert "no_such_option" in broken.error
    assert Alert.objects.get().rule_id == well.pk


def test_many_series_are_held_to_one_rate_of_false_alerts(
    counted: Counted, ruled: Ruled, brand_monitor: Monitor
) -> None:
    for at in range(20):
        source = Source.objects.create(monitor=brand_monitor, kind="feed", name=f"Source {at}")
        counted([*CALM * 5, 14 if at else 200], NOON, dimension=Dimension.SOURCE, key=str(source.pk))
    counted([100] * 31, NOON)
    loose = ruled("surge", since=NOON - HOUR, dimension="source", options={"alpha": 0.02})
    strict = ruled(
        "surge", since=NOON - HOUR, dimension="source", options={"alpha": 0.02, "false_discovery_rate": 1e-4}
    )

    watch_rule(loose.pk, after(0))
    watch_rule(strict.pk, after(0))

    assert Alert.objects.filter(rule=loose).count() == 20
    assert list(Alert.objects.filter(rule=strict).values_list("series", flat=True)) == ["Source 0"]


def test_a_changed_rule_begins_anew_and_its_alert_is_over(counted: Counted, ruled: Ruled, actor: Actor) -> None:
    counted([30], NOON)
    rule = ruled("static", since=NOON - HOUR, options=STATIC)
    watch_rule(rule.pk, after(0))

    services.change_rule(actor=actor, rule=rule, options={"threshold": 100})

    assert Alert.objects.get().state == "resolved"
    rule.refresh_from_db()
    assert rule.evaluated_until is not None
    assert rule.evaluated_until > NOON
    assert rule.seconds == BucketSize.HOUR
