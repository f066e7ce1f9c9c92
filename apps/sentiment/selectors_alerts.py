"""Reading for rules and alerts: names of series, alerts, silences and replays."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import Case, Count, Exists, F, OuterRef, Prefetch, Q, QuerySet, When, Window
from django.db.models.functions import RowNumber, Trunc

from apps.accounts.models import Membership, User
from apps.notifications.models import Severity
from apps.sentiment.models import (
    Alert,
    AlertEvent,
    AlertState,
    Article,
    ArticleEntity,
    ArticleTopic,
    BucketSize,
    Clock,
    Dimension,
    Entity,
    Monitor,
    Replay,
    Rule,
    RuleKind,
    Silence,
    Source,
    Story,
    Topic,
    Usefulness,
)
from apps.sentiment.models.monitors import RUNNING
from core.access import Actor, rows_of


def is_key(monitor: Monitor, dimension: str, key: str) -> bool:
    """Whether a monitor can have such a series."""
    if dimension == Dimension.TOTAL:
        return key == ""
    return bool(series_names(monitor, dimension, [key])) or dimension == Dimension.LANGUAGE


def is_id(key: str) -> bool:
    """Whether a key can be the id of a row."""
    return key.isascii() and key.isdigit() and len(key) < 19


def of_series(dimension: str, keys: Sequence[str]) -> Q:
    """Which articles are counted in one of these series of a dimension."""
    if dimension == Dimension.TOTAL:
        return Q()
    if dimension == Dimension.LANGUAGE:
        return Q(language__in=keys)
    ids = [int(key) for key in keys if is_id(key)]
    if dimension == Dimension.SOURCE:
        return Q(source__in=ids)
    if dimension == Dimension.ENTITY:
        return Q(Exists(ArticleEntity.objects.filter(article=OuterRef("pk"), entity__in=ids)))
    return Q(Exists(ArticleTopic.objects.filter(article=OuterRef("pk"), topic__in=ids, is_current=True)))


def in_language(code: str) -> Q:
    """Rows in a language, however it is written or spoken where: “zh” holds zh-Hans and zh-Hant."""
    return Q(language__iexact=code) | Q(language__istartswith=f"{code}-")


def series_names(monitor: Monitor, dimension: str, keys: Sequence[str]) -> dict[str, str]:
    """Series by key, with the names people know them by; what is gone is not among them."""
    if dimension == Dimension.SOURCE:
        ids = [int(key) for key in keys if is_id(key)]
        rows = Source.objects.filter(monitor=monitor, pk__in=ids).values_list("pk", "name")
        return {str(pk): name for pk, name in rows}
    if dimension == Dimension.LANGUAGE:
        return {key: key for key in keys}
    tables: dict[str, QuerySet[Any]] = {
        Dimension.TOPIC: Topic.objects.filter(Q(monitor=None) | Q(monitor=monitor)),
        Dimension.ENTITY: Entity.objects.all(),
    }
    if dimension not in tables:
        return {}
    ids = [int(key) for key in keys if is_id(key)]
    rows = tables[dimension].filter(workspace=monitor.workspace_id, pk__in=ids)
    return {str(pk): name for pk, name in rows.values_list("pk", "name")}


def names_of(rule: Rule, keys: Sequence[str]) -> dict[str, str]:
    """Series of a rule by key, with the names people know them by; new stories by their titles."""
    if rule.kind != RuleKind.NEW_STORY:
        return series_names(rule.monitor, rule.dimension, keys)
    rows = Story.objects.filter(monitor=rule.monitor_id, pk__in=[int(key) for key in keys if is_id(key)])
    return {str(pk): title for pk, title in rows.values_list("pk", "title")}


def rules_of(monitor: Monitor) -> QuerySet[Rule]:
    """Rules by name, with the alerts that are open and what people said of those before."""
    return (
        Rule.objects.filter(monitor=monitor)
        .defer("memory", "verdicts")
        .annotate(
            open_count=Count("alerts", filter=Q(alerts__state=AlertState.FIRING)),
            fired_count=Count("alerts", filter=Q(alerts__fired_at__isnull=False)),
            useful_count=Count("alerts", filter=Q(alerts__usefulness=Usefulness.USEFUL)),
            noise_count=Count("alerts", filter=Q(alerts__usefulness=Usefulness.NOISE)),
        )
        .order_by("name", "id")
    )


def alerts_of(monitor: Monitor) -> QuerySet[Alert]:
    """Alerts, the newest first."""
    rows = Alert.objects.filter(monitor=monitor).select_related("rule", "assigned_to", "acknowledged_by")
    return rows.defer("explanation", "evidence").order_by("-id")


def gravest_of(monitor: Monitor, most: int) -> list[Alert]:
    """Alerts that fire, the gravest first and of equals the newest."""
    gravity = Case(*(When(severity=each, then=at) for at, each in enumerate(Severity.values)), default=-1)
    rows = alerts_of(monitor).filter(state=AlertState.FIRING)
    return list(rows.order_by(gravity.desc(), "-id")[:most])


def alerts_everywhere(actor: Actor) -> QuerySet[Alert]:
    """Alerts of all monitors that the actor sees, the newest first."""
    rows = rows_of(actor, Alert, "monitor__workspace")
    rows = rows.select_related("rule", "monitor", "assigned_to", "acknowledged_by")
    return rows.defer("explanation", "evidence").order_by("-id")


def with_events(rows: QuerySet[Alert]) -> QuerySet[Alert]:
    """Alerts with the steps of their lives."""
    return rows.prefetch_related(Prefetch("events", AlertEvent.objects.select_related("by").order_by("id")))


def silences_of(monitor: Monitor) -> QuerySet[Silence]:
    """Silences, those that end last first."""
    return Silence.objects.filter(monitor=monitor).select_related("rule", "created_by").order_by("-end_at", "-id")


def is_silenced(alert: Alert, silences: Iterable[Silence], now: datetime) -> bool:
    """Whether one of the silences of its monitor covers an alert now."""
    return any(
        each.begin_at <= now < each.end_at
        and each.rule_id in (None, alert.rule_id)
        and each.dimension in ("", alert.dimension)
        and each.key in ("", alert.key)
        for each in silences
    )


@dataclass(frozen=True)
class Precision:
    """How useful the alerts of a rule or of a kind of rule were, as people said."""

    name: str
    alert_count: int
    useful_count: int
    noise_count: int

    @property
    def share(self) -> float | None:
        """Useful ones among those judged; None where none was."""
        judged = self.useful_count + self.noise_count
        return self.useful_count / judged if judged else None


def precisions(monitor: Monitor) -> list[Precision]:
    """By the kind of rule, of all alerts that fired."""
    rows = (
        Alert.objects.filter(monitor=monitor)
        .exclude(fired_at=None)
        .values("kind")
        .annotate(
            every=Count("pk"),
            useful=Count("pk", filter=Q(usefulness=Usefulness.USEFUL)),
            noise=Count("pk", filter=Q(usefulness=Usefulness.NOISE)),
        )
        .order_by("kind")
    )
    return [Precision(str(RuleKind(row["kind"]).label), row["every"], row["useful"], row["noise"]) for row in rows]


def lately_similar(alert: Alert, *, most: int = 5) -> list[Alert]:
    """Earlier alerts of the same kind and series."""
    rows = Alert.objects.filter(
        monitor_id=alert.monitor_id, kind=alert.kind, dimension=alert.dimension, key=alert.key, within=alert.within
    ).exclude(pk=alert.pk)
    return list(rows.exclude(fired_at=None).defer("explanation", "evidence").order_by("-fired_at")[:most])


def silent_since(rule: Rule) -> dict[str, datetime]:
    """Of a rule that watches for silence: series -> since when nothing arrived. New sources are given time."""
    rows = Source.objects.filter(monitor_id=rule.monitor_id, is_enabled=True)
    if rule.key:
        rows = rows.filter(pk=int(rule.key))
    found = {
        str(source.pk): source.last_article_at or source.created_at
        for source in rows.only("pk", "last_article_at", "created_at")
    }
    if rule.dimension == Dimension.SOURCE or not found:
        return found
    return {"": max(found.values())}


def replays_of(monitor: Monitor) -> QuerySet[Replay]:
    """Replays and back-tests, the newest first."""
    rows = Replay.objects.filter(monitor=monitor).select_related("job", "created_by")
    return rows.order_by("-id")


MOST_OF_A_BUCKET = 3
MOST_OF_A_REPLAY = 1_000


def articles_by(monitor: Monitor, clock: str, begin: datetime, end: datetime) -> QuerySet[Article]:
    """Articles of a span of a clock; by that of arrival without what was brought in later."""
    rows = Article.objects.filter(monitor=monitor, **{f"{clock}_at__gte": begin, f"{clock}_at__lt": end})
    return rows.filter(is_history=False) if clock == Clock.RECEIVED else rows


def first_of_buckets(replay: Replay, *, seconds: int) -> list[Article]:
    """The first articles of each bucket of a replay, by time: enough to see what was written then."""
    at = f"{replay.clock}_at"
    unit = "hour" if seconds == BucketSize.HOUR else "day"
    place = Window(RowNumber(), partition_by=[Trunc(at, unit, tzinfo=UTC)], order_by=[F(at).asc(), F("id").asc()])
    rows = articles_by(replay.monitor, replay.clock, replay.begin_at, replay.end_at)
    rows = rows.annotate(place=place).filter(place__lte=MOST_OF_A_BUCKET).select_related("source")
    return list(rows.only("title", at, "source__name").order_by(at, "id")[:MOST_OF_A_REPLAY])


def people_of(monitor: Monitor) -> QuerySet[User]:
    """Who sees a monitor, and so may answer for its alerts."""
    members = Membership.objects.filter(workspace=monitor.workspace_id)
    if monitor.is_restricted:
        named = monitor.members.through.objects.filter(monitor=monitor).values("user")
        members = members.filter(Q(role__in=RUNNING) | Q(user=monitor.created_by_id) | Q(user__in=named))
    return User.objects.filter(pk__in=members.values("user"), is_active=True).order_by("email")
