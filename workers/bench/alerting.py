"""From a pushed article to a delivered alert, one tick of a rule over many series, and the whole way beside the bare model."""

import json
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import close_old_connections, connection
from django.utils import timezone

from apps.notifications.selectors import due_delivery_ids
from apps.notifications.services import create_receiver, deliver
from apps.registry.models import ModelVersion, Task
from apps.sentiment import services
from apps.sentiment.alerting.rule_options import spec_of
from apps.sentiment.collecting.items import Confidence, Item
from apps.sentiment.models import Alert, BucketSize, Grouping, Monitor, Rule, RuleHit, Score, Source, begin_of
from apps.sentiment.selectors_tables import table_of
from core.access import Actor
from workers import judging
from workers.bench.beside import at_work
from workers.bench.measure import Measure, Options
from workers.bench.news import SEED, made_texts
from workers.bench.online import labels_version
from workers.bench.tenant import own_workspace
from workers.memory import Models
from workers.scoring import score, score_next
from workers.watching import watch, watch_rule

RATE, SECONDS = 20, 60
EVERY = 20  # of so many articles one raises an alert
SERIES, TICKS = 1_000, 5
SPANS = ((BucketSize.HOUR, 28), (BucketSize.FIVE_MINUTES, 7))  # days of buckets, all of them counted
ARTICLES, ROUNDS = 600, 5
LOOK_SECONDS = 0.5  # between two looks of a worker that has nothing to do
SETTLE_SECONDS = 90.0
WORD = "breach"
# The same counts every time: a daily course, and noise that is drawn from the numbers of series and bucket.
FILLED = """
    INSERT INTO sentiment_bucket (monitor_id, model_version_id, clock, seconds, dimension, key, start_at, article_count, story_count,
                                  negative_count, neutral_count, positive_count, abstained_count)
    SELECT %(monitor)s, %(version)s, 'received', %(seconds)s, %(dimension)s, key, %(end)s - at * make_interval(secs => %(seconds)s),
           count, 0, count / 2, count - count / 2, 0, 0
    FROM (SELECT CASE WHEN %(series)s = 0 THEN '' ELSE one::text END AS key, at,
                 2 + one %% 5 + abs(hashint8(one * 1000003 + at)) %% 5
                   + (3 * (1 + sin(2 * pi() * at * %(seconds)s / 86400.0)))::int AS count
          FROM generate_series(1, greatest(1, %(series)s)) AS one, generate_series(1, %(buckets)s) AS at) AS made
"""


def measures(options: Options) -> Iterator[Measure]:
    """The ticks, the whole way, and articles that come one after the other."""
    with own_workspace() as actor, tempfile.TemporaryDirectory() as place:
        version = labels_version(actor, Path(place))
        for size, days in SPANS:
            yield from _tick(actor, version, size, days, SERIES // 10 if options.small else SERIES)
        yield _throughput(actor, version, *((100, 1) if options.small else (ARTICLES, ROUNDS)))
        yield from _delays(actor, version, 5 if options.small else SECONDS)


def _tick(actor: Actor, version: ModelVersion, size: int, days: int, series: int) -> Iterator[Measure]:
    """A surge rule over each series at the end of one bucket, by part; medians of several ticks."""
    monitor = services.create_monitor(actor=actor, name=f"Ticks {size}")
    end = begin_of(timezone.now(), size)
    given: dict[str, Any] = {"monitor": monitor.pk, "seconds": int(size), "end": end, "buckets": days * 86_400 // size}
    with connection.cursor() as cursor:
        cursor.execute(FILLED, {**given, "version": None, "dimension": "total", "series": 0})
        cursor.execute(FILLED, {**given, "version": version.pk, "dimension": "language", "series": series})
        cursor.execute("ANALYZE sentiment_bucket")
    rule = services.create_rule(
        actor=actor, monitor=monitor, name="Surge", kind="surge", measure="negative_count", seconds=int(size),
        dimension="language",
    )  # fmt: skip
    taken = [_parts(rule, end) for _time in range(TICKS)]
    whole, judged, read = (statistics.median(each[at] for each in taken) for at in range(3))
    told = f"{days} days of buckets of {size} s: reading {read:.2f} s, judging {judged - read:.2f} s, the rest {whole - judged:.2f} s"
    yield Measure(f"one tick over {series:,} series, buckets of {size} s", whole, "s", at_most=2.0, detail=told)
    monitor.delete()


def _parts(rule: Rule, end: datetime) -> tuple[float, float, float]:
    """Seconds of the whole tick, of judging with what it reads, and of reading alone."""
    Rule.objects.filter(pk=rule.pk).update(evaluated_until=end - timedelta(seconds=rule.seconds))
    rule.refresh_from_db()
    spec, bucket = spec_of(rule.kind, rule.options, rule.seconds), int(end.timestamp()) // rule.seconds - 1
    return (
        _seconds(lambda: watch_rule(rule.pk, end + timedelta(seconds=60))),
        _seconds(lambda: list(judging.judge_span(rule, end, end))),
        _seconds(lambda: table_of(rule, **judging.needed(spec, bucket, bucket + 1))),
    )


def _seconds(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def _monitor(actor: Actor, version: ModelVersion, name: str) -> tuple[Monitor, Source]:
    monitor = services.create_monitor(
        actor=actor, name=name, sentiment_model=str(version.pk), negative_label="card", positive_label=""
    )
    return monitor, services.add_source(actor=actor, monitor=monitor, kind="push", name=name)


def _throughput(actor: Actor, version: ModelVersion, count: int, rounds: int) -> Measure:
    """Rounds in turn: the model alone, then as many other articles taken in, read, counted and judged; medians."""
    monitor, source = _monitor(actor, version, "Whole way")
    for kind, options in (("keyword", {"words": [WORD]}), ("static", {"threshold": 1e6}), ("surge", {})):
        services.create_rule(actor=actor, monitor=monitor, name=kind, kind=kind, options=options)
    models, draw = Models(), random.Random(SEED)  # noqa: S311 - texts, not secrets
    bare = models.get(version, Task.CLASSIFICATION)
    bare.predict(made_texts(draw, 32))
    alone, whole = [], []
    for at in range(rounds):
        texts, others = made_texts(draw, count), made_texts(draw, count)
        alone.append(_seconds(lambda texts=texts: bare.predict(texts)))  # type: ignore[misc]
        whole.append(_seconds(lambda at=at, others=others: _way(source, models, others, at)))  # type: ignore[misc]
    ratio = statistics.median(one / other for one, other in zip(alone, whole, strict=True))
    ours, bare_rate = (count / statistics.median(each) for each in (whole, alone))
    return Measure(
        "articles taken in, scored, counted and judged, of the bare model's speed", ratio, "x", at_least=0.7,
        detail=f"{rounds} rounds of {count} texts, three rules: {ours:.0f}/s, bare {bare_rate:.0f}/s",
    )  # fmt: skip


def _way(source: Source, models: Models, texts: list[str], number: int) -> None:
    services.ingest(source, [_item(f"{number}.{at}", text) for at, text in enumerate(texts)])
    while score_next(models):
        pass
    watch()


def _item(number: str, text: str) -> Item:
    return Item(number, "", text, "", published_at=timezone.now(), confidence=Confidence.STATED)


def _delays(actor: Actor, version: ModelVersion, seconds: int) -> Iterator[Measure]:
    """Articles pushed one by one beside a reader, a judge and a sender at work."""
    monitor, source = _monitor(actor, version, "Stream")
    draw = random.Random(SEED + 1)  # noqa: S311 - texts, not secrets
    taken: dict[int, datetime] = {}
    with _webhook(taken) as address:
        receiver, _secret = create_receiver(actor=actor, name="Program", kind="webhook", url=address, language="en")
        services.create_rule(
            actor=actor, monitor=monitor, name=WORD, kind="new_story", grouping=Grouping.ALERT, repeat_minutes=0,
            options={"words": [WORD], "least_weight": 1}, relations={"receivers": [receiver]},
        )  # fmt: skip
        models, count = Models(), RATE * seconds
        models.get(version, Task.CLASSIFICATION)
        with at_work(lambda stop: score(stop, models)), at_work(_judging), at_work(_sending):
            _push(source, made_texts(draw, count))
            _settle(lambda: len(taken) >= count // EVERY)
    scored = [
        (at - received).total_seconds()
        for at, received in Score.objects.filter(article__source=source).values_list(
            "created_at", "article__received_at"
        )
    ]
    hits = RuleHit.objects.filter(rule__monitor=monitor).values_list("alert", "article__received_at")
    delivered = [(taken[alert] - received).total_seconds() for alert, received in hits if alert in taken]
    told = f"{RATE} a second for {seconds} s, {len(scored)} of {count} scored"
    yield Measure("from push to score, p95", _p95(scored), "s", at_most=30, detail=told)
    raised, middle = Alert.objects.filter(monitor=monitor).count(), statistics.median(delivered or [0])
    told = f"{len(delivered)} of {count // EVERY} alerts, {raised} raised, each waits 10 s for others; median {middle:.1f} s"
    yield Measure("from push to delivered alert, p95", _p95(delivered), "s", at_most=60, detail=told)
    lost = abs(count - len(scored)) + abs(count // EVERY - len(delivered))
    yield Measure("articles not scored once, alerts not delivered", lost, "", at_most=0)


def _push(source: Source, texts: list[str]) -> None:
    begun = time.monotonic()
    for at, text in enumerate(texts):
        time.sleep(max(0.0, begun + at / RATE - time.monotonic()))
        services.ingest(source, [_item(str(at), f"{WORD} {text}" if at % EVERY == 0 else text)])


def _settle(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS
    while not done() and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)


def _judging(stop: threading.Event) -> None:
    while not stop.wait(LOOK_SECONDS):
        close_old_connections()
        watch()


def _sending(stop: threading.Event) -> None:
    while not stop.wait(LOOK_SECONDS):
        close_old_connections()
        for pk in due_delivery_ids():
            deliver(delivery_id=pk)


@contextmanager
def _webhook(taken: dict[int, datetime]) -> Iterator[str]:
    """A program on loopback that notes when it was first told of each alert, by the alert's id."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if body["kind"] == "alert.fired":
                taken.setdefault(int(body["url"].rsplit("/", 1)[1]), datetime.now(UTC))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_words: Any) -> None:
            """Nothing."""

    allowed = settings.OUTBOUND_ALLOW
    settings.OUTBOUND_ALLOW = [*allowed, "127.0.0.1"]
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            settings.OUTBOUND_ALLOW = allowed
            server.shutdown()


def _p95(values: list[float]) -> float:
    """The 95th percentile; endless where nothing came."""
    return statistics.quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else float("inf")
