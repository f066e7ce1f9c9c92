"""The demo's monitor: the sample comments as they came, what they are about, rules, and those rules run over all of it."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.utils import timezone

from apps.sentiment import services
from apps.sentiment.collecting.items import Confidence, Item
from apps.sentiment.models import Article, Entity, Monitor, Replay, Source, Topic
from core.access import Actor

NAME = "Harbourline Bank 澄港银行"
WEEK = timedelta(weeks=1)
PAPERS = ("Tidewater Post", "Lantern Ledger", "灯塔财经")  # first-rate sources
TOPICS = {
    "mobile_app": ("Mobile app 手机银行", ["app", "log in", "login", "手机银行", "登录", "闪退"]),
    "fees": ("Fees 收费", ["fee", "fees", "charge", "月费", "收费", "管理费"]),
    "lending": ("Lending 贷款", ["loan", "mortgage", "贷款", "房贷"]),
    "security": ("Security 安全", ["fraud", "scam", "phishing", "诈骗", "盗刷"]),
}
RULES: tuple[Mapping[str, Any], ...] = (
    {
        "name": "Surge of a topic 主题激增", "kind": "surge", "dimension": "topic", "measure": "article_count",
        "seconds": 86_400, "severity": "critical", "options": {"alpha": 0.001},
    },
    {
        "name": "Three times the usual 平时的三倍", "kind": "ratio", "measure": "article_count", "seconds": 86_400,
        "options": {"ratio": 3, "mean_hours": 336},
    },
    {
        "name": "Surge of complaints 负面激增", "kind": "surge", "measure": "negative_count", "seconds": 86_400,
        "severity": "critical", "options": {"alpha": 0.001},
    },
    {"name": "Fraud 诈骗", "kind": "keyword", "options": {"words": ["fraud", "phishing", "诈骗", "盗刷"]}},
)  # fmt: skip


def make_monitor(actor: Actor, comments: Path, *, model: str = "") -> Monitor:
    """The monitor with its articles, which `model` reads, and its rules. What is there already is not made again."""
    monitor = Monitor.objects.filter(workspace=actor.workspace, name=NAME).first()
    if monitor is None:
        monitor = services.create_monitor(actor=actor, name=NAME, time_zone="Asia/Shanghai", sentiment_model=model)
    rows = [json.loads(line) for line in comments.read_text(encoding="utf-8").split("\n") if line]
    _know(actor)
    _take(actor, monitor, rows)
    for rule in RULES:
        if not monitor.rules.filter(name=rule["name"]).exists():
            services.create_rule(actor=actor, monitor=monitor, **rule)
    return monitor


def replay_rules(actor: Actor, monitor: Monitor) -> Replay | None:
    """The rules over all articles; None where they were run over them before."""
    if monitor.replays.exists():
        return None
    times = Article.objects.filter(monitor=monitor).order_by("received_at").values_list("received_at", flat=True)
    first, last = times[0], times.reverse()[0]
    return services.replay(
        actor=actor, monitor=monitor, begin_at=first, end_at=min(last + timedelta(days=1), timezone.now())
    )


def _know(actor: Actor) -> None:
    """What comments may be about."""
    for key, (name, words) in TOPICS.items():
        if not Topic.objects.filter(workspace=actor.workspace, key=key).exists():
            services.create_topic(actor=actor, key=key, name=name, words=words)
    if not Entity.objects.filter(workspace=actor.workspace, name="Harbourline Bank").exists():
        aliases = [{"text": text} for text in ("Harbourline", "澄港银行")]
        services.create_entity(actor=actor, name="Harbourline Bank", aliases=aliases)


def _take(actor: Actor, monitor: Monitor, rows: list[dict[str, Any]]) -> None:
    """Each comment arrives when it was written; whole weeks later, so that the last of them are of these days."""
    times = [datetime.fromisoformat(row["meta"]["published_at"]) for row in rows]
    later = max(0, (timezone.now() - max(times)) // WEEK) * WEEK
    sources: dict[str, Source] = {}
    for row, written in sorted(zip(rows, times, strict=True), key=lambda pair: pair[1]):
        name = row["meta"]["source"]
        if name not in sources:
            known = Source.objects.filter(monitor=monitor, name=name).first()
            weight = 3 if name in PAPERS else 1
            sources[name] = known or services.add_source(
                actor=actor, monitor=monitor, kind="push", name=name, weight=weight
            )
        at = written + later
        item = Item(row["external_id"], "", row["text"], "", published_at=at, confidence=Confidence.STATED)
        services.ingest(sources[name], [item], now=at)
