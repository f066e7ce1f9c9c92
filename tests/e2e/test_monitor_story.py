"""A monitor from the first click to a judged alert: a feed, a mail server and a program on loopback, and only the browser."""

import re
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from email.message import Message
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from apps.accounts.models import User
from apps.notifications.models import Delivery
from apps.notifications.services import deliver
from apps.registry.models import ModelVersion
from apps.sentiment import services
from apps.sentiment.models import Alert, Article, Replay, Source
from core.api.idempotency import IdempotencyKey
from core.webhooks import is_signed
from tests.fixtures.outside import Hook, SmtpServer
from workers.collecting import read_source
from workers.loop import run_next
from workers.memory import Models
from workers.scoring import score_next
from workers.watching import watch

TONES = ("negative", "neutral", "positive")
ORDINARY = [
    *(
        f"{who} {what}"
        for who in ("Northgate Bank", "The old harbour", "A school in Mill Street", "The fish market", "Our ferry")
        for what in (
            "opens again after the winter",
            "names a new director",
            "plans a summer feast",
            "has had a quiet month",
        )
    ),
    "北门银行在港口开设新网点",
]
BREAKING = [
    "Data breach at Northgate Bank, customers locked out of their cards",
    "Northgate Bank admits a data breach that began in spring",
    "Minister asks how the data breach could stay unseen",
    "北门银行发生数据泄露，数万客户无法登录",
]
PHONE = {"width": 390, "height": 844}
WATCHED = "data breach\n数据泄露"


class Daily:
    """A feed on loopback; what is published stands in it from the next reading on."""

    def __init__(self) -> None:
        self.titles: list[str] = list(ORDINARY)
        self.address = ""

    def body(self) -> bytes:
        """As RSS, the last published first."""
        now = timezone.now()
        items = "".join(
            f"<item><guid>{at}</guid><title>{title}</title><link>/{at}</link>"
            f"<pubDate>{format_datetime(now - timedelta(minutes=len(self.titles) - at))}</pubDate></item>"
            for at, title in reversed(list(enumerate(self.titles)))
        )
        return f'<?xml version="1.0"?><rss version="2.0"><channel><title>Daily</title>{items}</channel></rss>'.encode()


@pytest.fixture
def daily() -> Iterator[Daily]:
    made = Daily()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/rss+xml; charset=utf-8")
            self.end_headers()
            self.wfile.write(made.body())

        def log_message(self, *_words: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        made.address = f"http://127.0.0.1:{server.server_port}/feed.xml"
        yield made
        server.shutdown()


def test_negative_news_is_collected_told_explained_answered_and_replayed(
    visit: Callable[..., Any],
    alice: User,
    classifier_version: Callable[..., ModelVersion],
    daily: Daily,
    smtp: SmtpServer,
    hook: Hook,
) -> None:
    version = classifier_version(TONES)
    page = visit(alice, "/w/harbour/receivers/new")
    page.set_default_timeout(10_000)

    secret = make_receivers(page, hook.address)
    monitor = make_monitor(page, f"{version.family.name}:{version.number}", daily.address)
    make_rule(page, monitor)
    work()
    assert not Alert.objects.exists()
    daily.titles += BREAKING
    read_again(page, monitor)
    work()
    expect_messages(smtp.mails, hook, secret)
    read_the_alert(page, monitor)
    replay_twice(page, monitor)
    watch_the_time_lapse(page)


def make_receivers(page: Any, address: str) -> str:
    """A mailbox and a program; returns the secret of the program, which is shown once."""
    page.get_by_label("Kind").select_option("mail")
    page.get_by_label("Name", exact=True).fill("Press desk")
    page.get_by_label("Mail addresses").fill("press@example.org")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Press desk")
    page.goto("/w/harbour/receivers/new")
    page.get_by_label("Kind").select_option("webhook")
    page.get_by_label("Name", exact=True).fill("Program")
    page.get_by_label("Web address").fill(f"{address}/alerts")
    page.get_by_role("button", name="Save").click()
    return str(page.get_by_role("textbox", name="Secret").input_value())


def make_monitor(page: Any, version: str, feed: str) -> str:
    """A monitor with one feed; returns its address."""
    page.goto("/w/harbour/monitors/new")
    page.get_by_label("Name", exact=True).fill("Northgate Bank")
    page.get_by_label("Sentiment model", exact=True).select_option(version)
    page.get_by_role("button", name="Save").click()
    page.get_by_label("Kind").select_option("feed")
    page.get_by_label("Name", exact=True).fill("Daily")
    page.get_by_label("Web address").fill(feed)
    page.get_by_role("button", name="Add").click()
    page.wait_for_url(re.compile(r"/monitors/(sources/)?\d+$"))
    page.goto("/w/harbour/monitors/")
    page.get_by_role("link", name="Northgate Bank").first.click()
    page.wait_for_url(re.compile(r"/monitors/\d+$"))
    return str(page.url)


def make_rule(page: Any, monitor: str) -> None:
    """Words that raise an alert, of which both receivers are told."""
    page.goto(f"{monitor}/rules/new")
    page.get_by_role("link", name=re.compile("^Words")).click()
    page.get_by_label("Name", exact=True).fill("Breaches")
    page.get_by_label("Severity").select_option("critical")
    page.get_by_label("Words or phrases").fill(WATCHED)
    for receiver in ("Press desk", "Program"):
        page.get_by_role("checkbox", name=receiver).check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("link", name="Breaches")).to_be_visible()


def read_again(page: Any, monitor: str) -> None:
    """Ask for the feed before its time."""
    page.goto(monitor)
    page.get_by_role("link", name="Daily").first.click()
    page.get_by_role("button", name="Read now").click()
    expect(page.locator("#messages")).to_contain_text("as soon as a worker is free")


def work() -> None:
    """What the workers do: read what is due, score, judge, tell, deliver."""
    for pk, token in services.claim_sources():
        read_source(pk, token)
    models = Models()
    while score_next(models):
        pass
    watch()
    watch(timezone.now() + timedelta(seconds=11))  # others were waited for
    for pk in Delivery.objects.order_by("id").values_list("pk", flat=True):
        deliver(delivery_id=pk)


def expect_messages(mails: list[Message], hook: Hook, secret: str) -> None:
    """One mail and one signed request, and both lead to the alert."""
    alert = Alert.objects.get()
    assert alert.hits.count() == len(BREAKING)
    assert Article.objects.filter(scores__isnull=False).distinct().count() == len(ORDINARY + BREAKING)
    (mail,) = mails
    assert mail["To"] == "press@example.org"
    text = "".join(str(part.get_payload(decode=True).decode()) for part in mail.walk() if not part.is_multipart())
    assert "Breaches" in text and f"/monitors/alerts/{alert.pk}" in text
    (taken,) = hook.taken
    told = {name.lower(): value for name, value in taken.headers.items()}
    given = {
        "number": told["webhook-id"], "at": told["webhook-timestamp"], "signatures": told["webhook-signature"]
    }  # fmt: skip
    assert is_signed([secret], body=taken.body, now=timezone.now(), **given)
    assert not is_signed([secret], body=taken.body + b" ", now=timezone.now(), **given)
    assert taken.json["kind"] == "alert.fired"
    assert taken.json["severity"] == "critical"
    assert taken.json["url"].endswith(f"/monitors/alerts/{alert.pk}")


def read_the_alert(page: Any, monitor: str) -> None:
    """Found in the inbox, understood, acknowledged, judged."""
    page.goto(f"{monitor}/alerts")
    page.get_by_role("link", name="Breaches").first.click()
    expect(page.get_by_role("heading", name="Stories")).to_be_visible()
    expect(page.locator(".lx-terms")).to_contain_text("breach")
    samples = page.locator(".card", has=page.get_by_role("heading", name="Sample articles"))
    expect(samples.get_by_role("link")).to_have_count(len(BREAKING))
    expect(samples).to_contain_text("数据泄露")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)
    page.get_by_role("button", name="Useful").click()
    expect(page.get_by_role("button", name="Useful")).to_have_attribute("aria-pressed", "true")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.set_viewport_size({"width": 1440, "height": 900})


def replay_twice(page: Any, monitor: str) -> None:
    """The same week says the same, however often it is asked."""
    seen = []
    for _time in range(2):
        IdempotencyKey.objects.all().delete()  # nobody presses so fast
        page.goto(f"{monitor}/replays")
        page.get_by_role("button", name=re.compile("Replay")).click()
        page.wait_for_url(re.compile(r"/replays/\d+$"))
        run_next("io")
        expect(page.locator(".lx-lead")).to_contain_text("It would have fired once")
        seen.append(page.locator("#replay code").text_content())
    one, two = Replay.objects.order_by("id")
    assert one.digest == two.digest
    assert seen == [one.digest[:16]] * 2


def watch_the_time_lapse(page: Any) -> None:
    """The cursor goes by keyboard and by itself; the alert appears when its moment has come."""
    page.get_by_role("link", name="Watch it in time-lapse").click()
    place, alerts = page.get_by_role("slider"), page.locator("[data-alerts] [data-at]")
    expect(alerts).to_be_hidden()
    place.press("End")
    expect(alerts).to_be_visible()
    expect(alerts).to_contain_text("Breaches")
    expect(page.locator("[data-articles]")).to_contain_text("data breach")
    expect(page.locator("[data-told]")).to_contain_text(f"Articles: {len(BREAKING)}")  # the first reading is history
    place.press("ArrowLeft")
    expect(alerts).to_be_hidden()
    page.get_by_role("button", name="Play").click()
    expect(alerts).to_be_visible()
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_a_view_is_saved_changed_and_deleted_on_a_phone(
    visit: Callable[..., Any], alice: User, pushed_source: Source, written: Callable[..., Any]
) -> None:
    services.ingest(pushed_source, [written(1, "Harbour opens"), written(2, "School closes")])
    page = visit(alice, f"/w/harbour/monitors/{pushed_source.monitor_id}/articles?q=harbour", viewport=PHONE)
    page.set_default_timeout(10_000)
    views = page.get_by_role("navigation", name="Saved views")
    differ = page.get_by_text("The filters differ from the view")

    page.get_by_text("Save view").click()
    page.get_by_label("Name", exact=True).fill("About the harbour")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(views.get_by_role("link", name="About the harbour")).to_have_attribute("aria-current", "true")
    expect(differ).to_have_count(0)

    page.get_by_label("Words").fill("school")
    page.get_by_role("button", name="Filter").click()
    expect(differ).to_be_visible()
    page.get_by_role("button", name="Save changes").click()
    page.wait_for_url(re.compile(r"\?view=\d+$"))
    expect(page.get_by_role("link", name="School closes")).to_be_visible()
    expect(page.get_by_role("link", name="Harbour opens")).to_have_count(0)

    page.get_by_text("Edit view").click()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(views).to_have_count(0)
    expect(page.get_by_role("link", name="Harbour opens")).to_be_visible()
