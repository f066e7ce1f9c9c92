"""Hosts are asked by one reader at a time; pages that fail are tried less often; texts that change are noticed."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from django.db import close_old_connections
from django.utils import timezone

from apps.sentiment import services
from apps.sentiment.collecting.robots import Manners
from apps.sentiment.models import Article, ArticleRevision, Fetch, Host, Monitor, Source, UnreadPage
from apps.sentiment.services import hosts
from apps.sentiment.services.pages import MOST_FAILURES, MOST_REVISIONS
from apps.sentiment.services.readings import READER_DEAD_AFTER, Reading, record_reading
from core.access import Actor
from tests.sentiment.test_reading_feeds import served
from workers.collecting import read_source

NEWS = "https://news.example.com"


@pytest.fixture
def feeds(actor: Actor, brand_monitor: Monitor, monkeypatch: pytest.MonkeyPatch) -> list[Source]:
    """Three feeds of one host, and one of another."""
    monkeypatch.setattr("apps.sentiment.services.sources.check_url", lambda _url: None)
    places = [f"{NEWS}/a", f"{NEWS}:443/b", f"{NEWS.upper()}/c", "https://other.example.com/"]
    return [
        services.add_source(actor=actor, monitor=brand_monitor, kind="feed", name=f"Feed {at}", url=place)
        for at, place in enumerate(places)
    ]


def claimed(now: Any) -> dict[str, tuple[int, int]]:
    """Name of the source -> its claim."""
    names = dict(Source.objects.values_list("pk", "name"))
    return {names[pk]: (pk, token) for pk, token in services.claim_sources(now)}


def ended(claim: tuple[int, int], **columns: Any) -> None:
    source = services.claim_source(*claim)
    assert source is not None
    record_reading(source, Reading(**{"status": 200, **columns}))


def test_of_one_host_one_source_is_read_at_a_time(feeds: list[Source]) -> None:
    now = timezone.now()

    first = claimed(now)
    meanwhile = claimed(now + timedelta(seconds=30))
    ended(first["Feed 0"])
    soon = claimed(timezone.now() + timedelta(seconds=2))

    assert set(first) == {"Feed 0", "Feed 3"}
    assert meanwhile == {}
    assert set(soon) == {"Feed 1"}


def test_a_reader_that_dies_loses_the_host_and_cannot_let_go_of_it_for_the_next(feeds: list[Source]) -> None:
    now = timezone.now()
    first = claimed(now)
    dead = services.claim_source(*first["Feed 0"])
    later = claimed(now + READER_DEAD_AFTER + timedelta(seconds=1))
    assert dead is not None

    record_reading(dead, Reading(status=200))

    assert "Feed 1" in later  # it was due before the one that was lost
    assert Host.objects.get(name="news.example.com:443").busy_until is not None


def test_a_host_in_trouble_and_one_that_asks_for_time_are_left_alone_by_all_of_its_sources(
    feeds: list[Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "MANNERS", Manners(first_pause_seconds=100))
    first = claimed(timezone.now())
    ended(first["Feed 0"], status=503, error_code="url_status", error_message="503")
    ended(first["Feed 3"], status=200, crawl_delay=40.0)
    trouble, slow = Host.objects.get(name="news.example.com:443"), Host.objects.get(name="other.example.com:443")
    now = timezone.now()

    early = claimed(now + timedelta(seconds=45))

    assert early == {}
    assert timedelta(seconds=45) < trouble.next_at - now <= timedelta(seconds=101)
    assert timedelta(seconds=35) < slow.next_at - now <= timedelta(seconds=41)
    again = claimed(now + timedelta(seconds=110))
    ended(again["Feed 1"], status=429, wait_seconds=3_600.0, error_code="url_status", error_message="429")
    host = Host.objects.get(name="news.example.com:443")
    assert host.failure_count == 2 and host.next_at - timezone.now() > timedelta(minutes=55)


def test_a_host_that_no_source_names_any_more_is_forgotten(feeds: list[Source]) -> None:
    now = timezone.now()
    claimed(now)
    feeds[3].delete()

    kept = [hosts.forget_hosts(now=now), hosts.forget_hosts(now=now + READER_DEAD_AFTER + timedelta(seconds=1))]

    assert kept == [0, 1]
    assert Host.objects.get().name == "news.example.com:443"


def test_an_address_that_is_gone_says_nothing_of_its_host(feeds: list[Source]) -> None:
    ended(claimed(timezone.now())["Feed 0"], status=404, error_code="url_status", error_message="404")

    assert Host.objects.get(name="news.example.com:443").failure_count == 0


@pytest.mark.django_db(transaction=True)
def test_threads_that_claim_at_once_never_read_one_host_beside_one_another(
    actor: Actor, brand_monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.sentiment.services.sources.check_url", lambda _url: None)
    monkeypatch.setattr("apps.sentiment.services.readings.enqueue", lambda *_words: None)
    for at in range(8):
        services.add_source(
            actor=actor, monitor=brand_monitor, kind="feed", name=str(at), url=f"https://host{at % 2}.example.com/{at}"
        )

    def claim(_number: int) -> list[tuple[int, int]]:
        try:
            return services.claim_sources()
        finally:
            close_old_connections()

    with ThreadPoolExecutor(8) as pool:
        found = [each for claims in pool.map(claim, range(8)) for each in claims]

    held = Source.objects.filter(pk__in=[pk for pk, _token in found]).values_list("host", flat=True)
    assert sorted(held) == ["host0.example.com:443", "host1.example.com:443"]


@pytest.fixture
def broken_site(settings: Any) -> Iterator[tuple[str, dict[str, str], list[str]]]:
    """(address, page -> what it answers, paths that were asked)"""
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    pages: dict[str, str] = {}
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = pages.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", "application/xml" if self.path == "/sitemap.xml" else "text/html")
            self.end_headers()
            self.wfile.write((body or "").encode())

        def log_message(self, *_words: Any) -> None:
            """Say nothing."""

    with served(Handler) as address:
        yield address, pages, asked


def test_a_page_that_cannot_be_read_is_tried_less_and_less_and_given_up_until_asked_again(
    actor: Actor, brand_monitor: Monitor, broken_site: Any, monkeypatch: pytest.MonkeyPatch, page: Any, alice: Any
) -> None:
    monkeypatch.setattr("workers.collecting.LEAST_DELAY_SECONDS", 0.0)
    monkeypatch.setattr(hosts, "MANNERS", Manners(delay_seconds=0))
    address, pages, asked = broken_site
    pages["/sitemap.xml"] = f"<urlset><url><loc>{address}/gone</loc></url></urlset>"
    source = services.add_source(
        actor=actor, monitor=brand_monitor, kind="sitemap", name="Town", url=f"{address}/sitemap.xml"
    )

    def read(*, tried: bool) -> Fetch:
        Source.objects.update(next_fetch_at=timezone.now(), etag="", last_modified="")
        if tried:
            UnreadPage.objects.filter(next_at__isnull=False).update(next_at=timezone.now())
        ((pk, token),) = services.claim_sources()
        read_source(pk, token)
        return Fetch.objects.latest("id")

    read(tried=False)
    waiting = UnreadPage.objects.get()
    read(tried=False)
    assert asked.count("/gone") == 1
    assert timedelta(minutes=59) < waiting.next_at - timezone.now() < timedelta(minutes=61)
    for _each in range(MOST_FAILURES + 1):
        read(tried=True)
    given_up = UnreadPage.objects.get()
    assert (asked.count("/gone"), given_up.failure_count, given_up.next_at) == (MOST_FAILURES, MOST_FAILURES, None)
    browser, slug = page(alice), actor.workspace.slug
    shown = browser.get(f"/w/{slug}/monitors/sources/{source.pk}").content.decode()
    assert f"{address}/gone" in shown and "Given up" in shown

    pages["/gone"] = (
        f"<html><body><article><h1>Back</h1><p>{'The harbour is open again for ships. ' * 9}</p></article></body>"
    )
    browser.post(f"/w/{slug}/monitors/sources/{source.pk}/try-pages")
    read(tried=False)

    assert Article.objects.get().title == "Back"
    assert not UnreadPage.objects.exists()


def test_a_text_that_changes_at_its_source_is_kept_beside_the_first_one(
    pushed_source: Source, written: Any, page: Any, alice: Any, actor: Actor
) -> None:
    services.ingest(pushed_source, [written(1, "Profit rises", body="By ten per cent.")])

    seen = services.ingest(pushed_source, [written(1, "Profit falls", body="By ten per cent.")])
    services.ingest(pushed_source, [written(1, "Profit falls", body="By ten per cent.")])
    services.ingest(pushed_source, [written(1, "Profit rises", body="By ten per cent."), written(1, "Only a title")])

    article, revision = Article.objects.get(), ArticleRevision.objects.get()
    assert [each.state for each in seen] == ["seen"]
    assert (article.title, revision.title, article.changed_at is not None) == ("Profit rises", "Profit falls", True)
    shown = page(alice).get(f"/w/{actor.workspace.slug}/monitors/articles/{article.pk}").content.decode()
    assert "Profit falls" in shown and "Changed at its source" in shown
    for at in range(MOST_REVISIONS + 3):
        services.ingest(pushed_source, [written(1, f"Profit {at}", body="By ten per cent.")])
    assert ArticleRevision.objects.count() == MOST_REVISIONS
    Article.objects.update(received_at=timezone.now() - timedelta(days=400))
    services.forget_bodies()
    assert not ArticleRevision.objects.exists()
