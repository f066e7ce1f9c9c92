"""Feeds are read from a real server: under conditions, with back-off, and how it went is kept."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone, translation

from apps.accounts.models import User
from apps.sentiment import services
from apps.sentiment.models import Article, Fetch, Host, Monitor, Source
from apps.sentiment.services.readings import pause_of
from core.access import Actor
from words import say
from workers.collecting import read_source

FEED = """<?xml version="1.0"?><rss version="2.0"><channel><title>Daily</title>
<item><guid>1</guid><title>Harbour opens</title><link>/1</link><pubDate>Mon, 02 Mar 2026 08:00:00 GMT</pubDate></item>
<item><guid>2</guid><title>Rates stay</title><link>/2</link><pubDate>Mon, 02 Mar 2026 09:00:00 GMT</pubDate></item>
</channel></rss>"""


@dataclass
class Paper:
    """A server of one feed: what it answers, and what it was asked."""

    address: str = ""
    status: int = 200
    body: bytes = FEED.encode()
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"one"', "Content-Type": "application/rss+xml"})
    asked: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a server that answers with this."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def paper(settings: Any) -> Iterator[Paper]:
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    made = Paper()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(dict(self.headers.items()))
            same = made.status == 200 and self.headers.get("If-None-Match", "") == made.headers.get("ETag")
            self.send_response(304 if same else made.status)
            for name, value in made.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if not same:
                self.wfile.write(made.body)

        def log_message(self, *_words: Any) -> None:
            """Say nothing."""

    with served(Handler) as address:
        made.address = f"{address}/feed"
        yield made


@pytest.fixture
def feed_source(actor: Actor, brand_monitor: Monitor, paper: Paper) -> Source:
    return services.add_source(actor=actor, monitor=brand_monitor, kind="feed", name="Daily", url=paper.address)


Read = Callable[[], Fetch]


def due() -> None:
    """Time passes: every source is due, and nobody holds a host."""
    Source.objects.update(next_fetch_at=timezone.now())
    Host.objects.update(busy_until=None, next_at=timezone.now())


@pytest.fixture
def read(feed_source: Source) -> Read:
    """Let the source be due, claim and read it."""

    def once() -> Fetch:
        due()
        ((pk, token),) = services.claim_sources()
        read_source(pk, token)
        return Fetch.objects.latest("id")

    return once


def test_what_went_wrong_is_told_in_the_readers_language(
    read: Read, paper: Paper, feed_source: Source, client: Client, alice: User
) -> None:
    client.force_login(alice)
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = "zh-hans"
    paper.body = FEED.replace("</channel>", "<item><guid>3</guid></item></channel>").encode()
    read()
    paper.status = 500
    read()

    page = client.get(f"/w/harbour/monitors/sources/{feed_source.pk}").content.decode()

    with translation.override("zh-hans"):
        assert str(say("The item has neither a title nor a text.")) in page
        assert str(say("The address answers with status {status}.", status=500)) in page
    assert "neither a title" not in page and "answers with status" not in page


def test_what_a_feed_names_first_is_taken_last(read: Read, paper: Paper) -> None:
    items = [("3", "Newest", "10:00"), ("4", "Undated", ""), ("2", "Middle", "09:00"), ("1", "Oldest", "08:00")]
    told = "".join(
        f"<item><guid>{guid}</guid><title>{title}</title>"
        + (f"<pubDate>Mon, 02 Mar 2026 {at}:00 GMT</pubDate>" if at else "")
        + "</item>"
        for guid, title, at in items
    )
    paper.body = f'<?xml version="1.0"?><rss version="2.0"><channel><title>D</title>{told}</channel></rss>'.encode()

    read()

    assert list(Article.objects.order_by("id").values_list("title", flat=True)) == [
        "Oldest", "Middle", "Newest", "Undated",
    ]  # fmt: skip


def test_an_item_without_an_id_that_is_left_out_is_told_by_its_place(read: Read, paper: Paper) -> None:
    paper.headers["Content-Type"] = "application/feed+json"
    paper.body = b'{"version": "https://jsonfeed.org/version/1.1", "items": [{"id": "1", "title": "One"}, "words"]}'

    assert [each["item"] for each in read().problems] == ["#2"]


def test_a_feed_is_read_and_the_second_time_only_asked_whether_it_changed(read: Read, paper: Paper) -> None:
    first, second = read(), read()

    assert (first.status, first.new_count, first.seen_count) == (200, 2, 0)
    assert (second.status, second.item_count) == (304, 0)
    assert paper.asked[1]["If-None-Match"] == '"one"'
    assert set(Article.objects.values_list("title", flat=True)) == {"Harbour opens", "Rates stay"}
    source = Source.objects.get()
    assert source.failure_count == 0
    assert source.next_fetch_at and source.next_fetch_at > timezone.now() + timedelta(minutes=9)


def test_a_changed_feed_brings_only_what_is_new(read: Read, paper: Paper) -> None:
    read()
    paper.headers["ETag"] = '"two"'
    paper.body = FEED.replace("<guid>2</guid><title>Rates stay", "<guid>3</guid><title>Rates rise").encode()

    found = read()

    assert (found.new_count, found.seen_count) == (1, 1)
    assert Article.objects.count() == 3


def test_what_a_source_held_before_and_what_is_old_alarms_nobody(read: Read, paper: Paper) -> None:
    read()
    now = timezone.now()
    item = "<item><guid>{0}</guid><title>{0} of the harbour</title><pubDate>{1}</pubDate></item>"
    fresh, old = (format_datetime(now - timedelta(days=days)) for days in (1, 30))
    paper.headers["ETag"] = '"two"'
    paper.body = FEED.replace(
        "</channel>", item.format("News", fresh) + item.format("Annals", old) + "</channel>"
    ).encode()

    read()

    assert dict(Article.objects.values_list("title", "is_history")) == {
        "Harbour opens": True,
        "Rates stay": True,
        "News of the harbour": False,
        "Annals of the harbour": True,
    }


def test_a_source_that_dies_waits_longer_and_longer_and_comes_back(read: Read, paper: Paper) -> None:
    paper.status = 500
    fetches = [read() for _each in range(3)]

    source = Source.objects.get()
    assert [each.error_code for each in fetches] == ["url_status"] * 3
    assert source.failure_count == 3
    assert source.next_fetch_at and source.next_fetch_at > timezone.now() + timedelta(minutes=79)
    assert "500" in source.last_error

    paper.status = 200
    read()
    assert Source.objects.get().failure_count == 0
    assert Article.objects.count() == 2


def test_a_server_that_asks_for_time_gets_it(read: Read, paper: Paper) -> None:
    paper.status, paper.headers = 429, {"Retry-After": "7200"}

    read()

    due = Source.objects.get().next_fetch_at
    assert due and due > timezone.now() + timedelta(minutes=119)


def test_what_is_no_feed_is_an_error_of_this_source_alone(read: Read, paper: Paper) -> None:
    paper.body, paper.headers = b"<html><body>not a feed</body></html>", {"Content-Type": "text/html"}

    found = read()

    assert found.error_code
    assert found.error_message == Source.objects.get().last_error


def test_a_private_address_is_refused(read: Read, settings: Any) -> None:
    settings.OUTBOUND_ALLOW = []

    assert read().error_code == "address_forbidden"


def test_a_message_that_comes_twice_or_too_late_reads_nothing(feed_source: Source, paper: Paper) -> None:
    ((pk, token),) = services.claim_sources()
    assert services.claim_sources() == []
    due()
    ((_pk, newer),) = services.claim_sources()
    assert newer == token + 1

    read_source(pk, token)

    assert paper.asked == []
    read_source(pk, newer)
    assert len(paper.asked) == 1


def test_pauses_double_and_end_at_six_hours() -> None:
    assert [pause_of(10, count).total_seconds() / 60 for count in (0, 1, 2, 3, 20)] == [10, 20, 40, 80, 360]
    assert pause_of(1_440, 5) == timedelta(days=1)


ARTICLE = """<html><head><title>{title}</title><meta property="article:published_time" content="{at}"></head><body><nav>Home</nav>
<article><h1>{title}</h1><p>The council of the town said on Monday that the plan of the harbour was approved after a long debate.</p>
<p>Work begins in spring, and the first ships are expected two years later, the mayor told reporters at noon.</p></article></body></html>"""
PLACES = {
    "/sitemap.xml": """<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
<url><loc>{host}/a</loc><lastmod>2026-03-02</lastmod></url><url><loc>{host}/b</loc><lastmod>2026-03-03</lastmod></url>
<url><loc>{host}/private/c</loc></url><url><loc>{host}/gone</loc></url></urlset>""",
    "/robots.txt": "User-agent: *\nDisallow: /private/\n",
    "/a": ARTICLE.format(title="Harbour approved", at="2026-03-02T08:00:00Z"),
    "/b": ARTICLE.format(title="Bridge closed for repairs", at="2026-03-03T09:30:00+01:00"),
}


@pytest.fixture
def site(settings: Any) -> Iterator[tuple[str, list[str]]]:
    """(address of a site with a sitemap, paths that were asked)"""
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = PLACES.get(self.path)
            self.send_response(404 if body is None else 200)
            kind = {"/sitemap.xml": "application/xml", "/robots.txt": "text/plain"}.get(self.path, "text/html")
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(
                (body or "").replace("{host}", f"http://127.0.0.1:{self.server.server_address[1]}").encode()
            )

        def log_message(self, *_words: Any) -> None:
            """Say nothing."""

    with served(Handler) as address:
        yield address, asked


def test_pages_of_a_sitemap_are_read_as_their_host_allows(
    actor: Actor, brand_monitor: Monitor, site: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.collecting.LEAST_DELAY_SECONDS", 0.0)
    address, asked = site
    url = f"{address}/sitemap.xml"
    services.add_source(actor=actor, monitor=brand_monitor, kind="sitemap", name="Town", url=url)

    def read() -> Fetch:
        due()
        ((pk, token),) = services.claim_sources()
        read_source(pk, token)
        return Fetch.objects.latest("id")

    first, second = read(), read()

    articles = {row.title: row for row in Article.objects.all()}
    assert set(articles) == {"Harbour approved", "Bridge closed for repairs"}
    harbour = articles["Harbour approved"]
    assert "The council of the town" in harbour.body
    assert (harbour.published_at.isoformat(), harbour.confidence) == ("2026-03-02T08:00:00+00:00", "stated")
    assert (first.new_count, first.item_count) == (2, 4)
    assert [problem["code"] for problem in first.problems] == ["url_status"]
    assert "/private/c" not in asked
    assert (second.new_count, second.seen_count) == (0, 2)
    assert asked.count("/a") == 1
