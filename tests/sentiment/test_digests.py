"""Digests: a period beside the one before it, the same figures on page, in mail and PDF, in both languages, sent once."""

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pypdf import PdfReader

from apps.accounts.models import User
from apps.notifications import services as notifications
from apps.notifications.models import Delivery, Dispatch, Receiver
from apps.registry.models import ModelVersion
from apps.sentiment import services
from apps.sentiment.collecting.items import Item
from apps.sentiment.digest_pdf import pdf_of
from apps.sentiment.digest_words import html_of
from apps.sentiment.digests import Digest, digest_of
from apps.sentiment.models import Alert, Article, Monitor, Score, Source
from apps.sentiment.services.digests import schedule_digest, send_digest
from core.access import Actor
from core.errors import Refused
from core.schedules import services as schedules
from core.schedules.models import Schedule
from tests.fixtures.outside import SmtpServer
from workers import tasks

UNTIL = datetime(2026, 3, 3, 0, 30, tzinfo=UTC)  # 08:30 in Shanghai
Write = Callable[..., Item]


@pytest.fixture
def told_monitor(pushed_source: Source, written: Write, named_version: Any) -> Monitor:
    """Three articles in the day that ends at UNTIL, two of one story; one in the day before; a source in trouble."""
    monitor = pushed_source.monitor
    times = (
        UNTIL - timedelta(hours=2),
        UNTIL - timedelta(hours=3),
        UNTIL - timedelta(hours=20),
        UNTIL - timedelta(hours=30),
    )
    titles = (
        "港口火灾致数百名工人撤离，公司股价大跌",
        "港口火灾致数百名工人撤离，公司股价大跌",
        "Harbour <opens> & shines",
        "Before",
    )
    items = [
        written(at, title, published_at=when, body="" if at > 1 else "同一篇报道的正文，讲述港口火灾。" * 5)
        for at, (title, when) in enumerate(zip(titles, times, strict=True))
    ]
    services.ingest(pushed_source, items)
    Source.objects.create(
        monitor=monitor, kind="feed", name="Dead feed", url="https://x.example", failure_count=3, last_error="gone"
    )
    return monitor


def scored(monitor: Monitor, version: ModelVersion) -> None:
    """All negative but the one about the harbour that opens."""
    for article in Article.objects.filter(monitor=monitor):
        mood = "positive" if "opens" in article.title else "negative"
        Score.objects.create(article=article, model_version=version, sentiment=mood, probability=0.9)


def daily(monitor: Monitor) -> Digest:
    return digest_of(monitor, period="day", until=UNTIL)


def test_a_day_is_counted_beside_the_day_before(told_monitor: Monitor) -> None:
    digest = daily(told_monitor)

    assert (digest.start_at, digest.end_at) == (
        datetime(2026, 3, 2, 8, tzinfo=ZoneInfo("Asia/Shanghai")),
        datetime(2026, 3, 3, 8, tzinfo=ZoneInfo("Asia/Shanghai")),
    )
    assert (digest.articles.value, digest.articles.before, digest.articles.change) == (3, 1, 2.0)
    assert len(digest.bars) == 24 and sum(bar.counts is not None for bar in digest.bars) == 3
    assert digest.negative_share.value is None
    assert [line.source.name for line in digest.sources] == ["Crawler", "Dead feed"]
    assert digest.sources[1].health.state == "failing"


def test_stories_are_told_with_their_sources_and_what_is_worth_reading_is_one_of_each(
    told_monitor: Monitor, named_version: Any
) -> None:
    scored(told_monitor, named_version(task="classification"))

    digest = daily(told_monitor)

    assert [(line.article_count, line.source_count, line.negative_count) for line in digest.top_stories] == [
        (2, 1, 2),
        (1, 1, 0),
    ]
    assert [article.title for article in digest.worth_reading] == ["港口火灾致数百名工人撤离，公司股价大跌"]


def test_a_week_has_days_of_the_monitors_clock_also_when_an_hour_is_missing(brand_monitor: Monitor) -> None:
    Monitor.objects.update(time_zone="Europe/Berlin")
    brand_monitor.refresh_from_db()

    digest = digest_of(brand_monitor, period="week", until=datetime(2026, 3, 30, 6, tzinfo=UTC))

    assert [f"{bar.start_at:%d %H}" for bar in digest.bars] == [f"{day} 00" for day in range(23, 31)]
    assert all(bar.counts is None for bar in digest.bars) and digest.articles.value == 0
    assert (digest.start_at.hour, digest.end_at.hour) == (8, 8)


def in_language(language: str, make: Callable[[], Any]) -> Any:
    from django.utils import translation

    with translation.override(language):
        return make()


@pytest.fixture
def told_alert(told_monitor: Monitor) -> Alert:
    """One that fired within the day; another was over before it began."""
    moments = {"started_at": UNTIL, "last_true_at": UNTIL, "dimension": "total", "kind": "static", "state": "resolved"}
    Alert.objects.create(
        monitor=told_monitor, rule_name="Earlier", severity="info", fired_at=UNTIL - timedelta(days=2), **moments
    )
    return Alert.objects.create(
        monitor=told_monitor,
        rule_name="负面文章激增",
        severity="warning",
        fired_at=UNTIL - timedelta(hours=5),
        **moments,
    )


def test_the_mail_is_whole_in_both_languages_and_escapes_titles(told_monitor: Monitor, told_alert: Alert) -> None:
    digest = daily(told_monitor)

    english, chinese = (
        in_language(language, lambda: html_of(digest, "https://x.example/w/h/")) for language in ("en", "zh-hans")
    )

    assert "Daily digest: Brand" in english and "+200 % against the period before" in english
    assert "每日简报：Brand" in chinese and "值得阅读" in chinese and "负面文章激增" in chinese
    assert "Harbour &lt;opens&gt; &amp; shines" in english and "<style" not in english and "<svg" not in english
    assert f'href="https://x.example/w/h/monitors/alerts/{told_alert.pk}"' in english and "Earlier" not in english


def test_the_pdf_reads_back_in_chinese_with_links(told_monitor: Monitor, told_alert: Alert) -> None:
    data = in_language("zh-hans", lambda: pdf_of(daily(told_monitor), "https://x.example/w/h/"))

    reader = PdfReader(io.BytesIO(data))
    text = "".join(page.extract_text() for page in reader.pages).replace("\n", "")
    assert (
        "每日简报：Brand" in text
        and "港口火灾致数百名工人撤离，公司股价大跌" in text
        and "Harbour <opens> & shines" in text
    )
    assert "热门报道" in text and "负面文章激增" in text
    links = [note.get_object()["/A"]["/URI"] for page in reader.pages for note in page.get("/Annots", [])]
    assert any(link.startswith("https://x.example/w/h/monitors/articles/") for link in links)
    fonts = reader.pages[0]["/Resources"]["/Font"].values()
    embedded = [font.get_object() for font in fonts if "LingxiSans" in str(font.get_object().get("/BaseFont"))]
    assert len({font["/BaseFont"] for font in embedded}) == 2 and all(
        "/FontFile2" in font["/FontDescriptor"] for font in embedded
    )
    assert len(data) < 300_000


def test_a_second_document_has_glyphs_of_its_own(told_monitor: Monitor) -> None:
    first = pdf_of(daily(told_monitor), "https://x.example/w/h/")
    told_monitor.name = "翰林科技"

    second = pdf_of(daily(told_monitor), "https://x.example/w/h/")

    texts = ["".join(page.extract_text() for page in PdfReader(io.BytesIO(data)).pages) for data in (first, second)]
    assert "翰林科技" not in texts[0] and "翰林科技" in texts[1]
    assert "\x00" not in "".join(texts)


@pytest.fixture
def mailbox(actor: Actor) -> Receiver:
    """Somebody who reads Chinese."""
    made, _secret = notifications.create_receiver(
        actor=actor, kind="mail", name="Press", addresses=["press@example.com"], language="zh-hans"
    )
    return made


def test_a_schedule_sends_the_digest_once_with_the_pdf(
    actor: Actor, told_monitor: Monitor, mailbox: Receiver, smtp: SmtpServer
) -> None:
    from datetime import time

    schedule = schedule_digest(
        actor=actor, monitor=told_monitor, period="day", at=time(8, 30), weekday=1, receivers=[mailbox]
    )
    assert schedule.expression == "30 8 * * *" and schedule.time_zone == "Asia/Shanghai"
    for _twice in range(2):
        Schedule.objects.update(planned_at=UNTIL)
        tasks.run_schedule(schedule.pk)
    for delivery in Delivery.objects.all():
        tasks.deliver(delivery.pk)

    schedule.refresh_from_db()
    (mail,) = smtp.mails
    kinds = [part.get_content_type() for part in mail.walk() if not part.is_multipart()]
    assert kinds == ["text/plain", "text/html", "application/pdf"] and schedule.last_error == ""
    assert schedule.last_result == "Sent to 0 of 1 receivers." and Dispatch.objects.count() == 1


def test_a_chat_gets_the_figures_in_a_few_lines(actor: Actor, told_monitor: Monitor, alice: User) -> None:
    receiver, _secret = notifications.create_receiver(actor=actor, kind="people", name="Us", people=[alice])

    assert send_digest(monitor=told_monitor, period="day", until=UNTIL, receivers=[receiver]) == 1

    dispatch = Dispatch.objects.get()
    assert dispatch.content["html"] == "" and not dispatch.attachments.exists()
    assert dispatch.content["facts"][0] == ["Articles", "3 (+200 % against the period before)"]
    assert dispatch.content["payload"]["article_count"] == 3


def test_a_receiver_that_is_gone_leaves_the_others_and_none_is_said(
    actor: Actor, told_monitor: Monitor, mailbox: Receiver, alice: User
) -> None:
    other, _secret = notifications.create_receiver(actor=actor, kind="people", name="Us", people=[alice])
    schedule = schedules.create(
        workspace=actor.workspace, by=actor.user, action_name="sentiment.digest", name="Digest", expression="0 8 * * *",
        arguments={"monitor": told_monitor.pk, "period": "day", "receivers": [mailbox.pk, other.pk]},
    )  # fmt: skip
    notifications.delete_receiver(actor=actor, receiver=mailbox)
    schedules.run_now(schedule=schedule)
    tasks.run_schedule(schedule.pk)
    schedule.refresh_from_db()
    assert schedule.last_result == "Sent to 1 of 1 receivers."

    notifications.delete_receiver(actor=actor, receiver=other)
    schedules.run_now(schedule=schedule)
    tasks.run_schedule(schedule.pk)
    schedule.refresh_from_db()
    assert "Choose others" in schedule.last_error


@pytest.mark.parametrize(
    "wrong",
    [
        {"monitor": 0},
        {"monitor": "1"},
        {"period": "year"},
        {"receivers": []},
        {"receivers": [True]},
        {"receivers": [2**70]},
        {"x": 1},
    ],
)
def test_arguments_are_checked(wrong: Any, actor: Actor, told_monitor: Monitor, mailbox: Receiver) -> None:
    arguments = {"monitor": told_monitor.pk, "period": "day", "receivers": [mailbox.pk], **wrong}

    with pytest.raises(Refused):
        schedules.create(
            workspace=actor.workspace, by=actor.user, action_name="sentiment.digest", name="D", expression="0 8 * * *",
            arguments=arguments,
        )  # fmt: skip


def test_a_strangers_receiver_cannot_be_named(
    actor: Actor, told_monitor: Monitor, stranger: Actor, charlie: User
) -> None:
    theirs, _secret = notifications.create_receiver(actor=stranger, kind="people", name="Us", people=[charlie])

    with pytest.raises(Refused):
        schedules.create(
            workspace=actor.workspace, by=actor.user, action_name="sentiment.digest", name="D", expression="0 8 * * *",
            arguments={"monitor": told_monitor.pk, "period": "day", "receivers": [theirs.pk]},
        )  # fmt: skip


def test_the_page_shows_downloads_and_schedules(
    actor: Actor, told_monitor: Monitor, mailbox: Receiver, page: Any, alice: User, charlie: User
) -> None:
    client, base = page(alice), f"/w/{actor.workspace.slug}/monitors/{told_monitor.pk}/digest"

    shown = client.get(f"{base}?until=2026-03-03").content.decode()
    strange = [client.get(f"{base}?until={day}&period=x").status_code for day in ("2026-99-99", "0001-01-01", "words")]
    file = client.get(f"{base}.pdf?until=2026-03-03&period=week")
    form = {"period": "week", "weekday": "5", "at": "07:15", "receivers": [mailbox.pk]}
    wrong = client.post(f"{base}/schedule", {**form, "receivers": []})
    client.post(f"{base}/schedule", form)
    after = client.get(base).content.decode()

    assert "<rect" in shown and "Harbour &lt;opens&gt;" in shown and strange == [200] * 3
    assert (
        file["Content-Type"] == "application/pdf"
        and file.content.startswith(b"%PDF")
        and "2026-03-03" in file["Content-Disposition"]
    )
    assert (
        wrong.status_code == 422
        and Schedule.objects.get().expression == "15 7 * * 5"
        and "Every Friday at 07:15" in after
    )
    client.force_login(charlie)
    assert {client.get(base).status_code, client.get(f"{base}.pdf").status_code} == {404}


def test_the_api_tells_the_same_figures(actor: Actor, told_monitor: Monitor, api: Any, stranger: Actor) -> None:
    address = f"/api/v1/monitors/{told_monitor.pk}/digest"

    told = api(actor).get(f"{address}?period=week&until=2026-03-04").json()
    wrong = [
        api(actor).get(f"{address}?{asked}").status_code for asked in ("period=year", "until=0001-01-01", "until=x")
    ]

    assert told["article_count"] == 4 and told["end_at"] == "2026-03-04T00:00:00+08:00"
    assert wrong == [422, 422, 422] and api(stranger).get(address).status_code == 404
