"""A reader of sources that is ended by kill -9 in the middle: another goes on, and nothing is twice."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.sentiment import services
from apps.sentiment.collecting.robots import Manners
from apps.sentiment.models import Article, Bucket, Fetch, Host, Monitor, Source, Story
from apps.sentiment.services import hosts
from apps.sentiment.services.readings import READER_DEAD_AFTER
from core.access import Actor
from tests.sentiment.test_reading_feeds import ARTICLE, served
from workers.collecting import read_source

PROGRAM = Path(__file__).with_name("reader_for_test.py")

pytestmark = pytest.mark.django_db(transaction=True)


class Site:
    """Two pages; the second does not answer before it is told to."""

    def __init__(self) -> None:
        self.asked, self.goes_on = threading.Event(), threading.Event()
        self.address = ""


@pytest.fixture
def slow_site(settings: Any) -> Iterator[Site]:
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            places = "".join(
                f"<url><loc>{site.address}/{name}</loc><lastmod>2026-03-0{day}</lastmod></url>"
                for name, day in (("first", 3), ("second", 2))
            )
            if self.path == "/second":
                site.asked.set()
                site.goes_on.wait(60)
            bodies = {
                "/sitemap.xml": f"<urlset>{places}</urlset>",
                "/first": ARTICLE.format(title="Harbour approved", at="2026-03-02T08:00:00Z"),
                "/second": ARTICLE.format(title="Bridge closed", at="2026-03-03T08:00:00Z").replace(
                    "harbour", "bridge"
                ),
            }
            self.send_response(200 if self.path in bodies else 404)
            self.send_header("Content-Type", "application/xml" if self.path == "/sitemap.xml" else "text/html")
            self.end_headers()
            self.wfile.write(bodies.get(self.path, "").encode())

        def log_message(self, *_words: Any) -> None:
            """Say nothing."""

    with served(Handler) as address:
        site.address = address
        yield site
        site.goes_on.set()


def test_a_killed_reader_loses_its_source_and_its_host_and_nothing_is_twice(
    actor: Actor, brand_monitor: Monitor, slow_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.collecting.LEAST_DELAY_SECONDS", 0.0)
    monkeypatch.setattr(hosts, "MANNERS", Manners(delay_seconds=0))
    services.add_source(
        actor=actor, monitor=brand_monitor, kind="sitemap", name="Town", url=f"{slow_site.address}/sitemap.xml"
    )
    ((pk, token),) = services.claim_sources()
    db = connection.settings_dict
    url = f"postgresql://{db['USER']}:{db['PASSWORD']}@/{db['NAME']}?host={db['HOST']}"
    url += f"&port={db['PORT']}" if db["PORT"] else ""

    reader = subprocess.Popen(
        [sys.executable, str(PROGRAM), str(pk), str(token)], env={**os.environ, "DATABASE_URL": url}
    )
    try:
        assert slow_site.asked.wait(60)
    finally:
        reader.send_signal(signal.SIGKILL)
        reader.wait()
    slow_site.goes_on.set()
    half = (Article.objects.count(), Fetch.objects.count(), services.claim_sources())
    later = timezone.now() + READER_DEAD_AFTER
    ((_pk, newer),) = services.claim_sources(later)
    read_source(pk, token)  # a message of the dead one that comes late
    read_source(pk, newer)

    assert (reader.returncode, half) == (-signal.SIGKILL, (1, 0, []))
    assert sorted(Article.objects.values_list("title", flat=True)) == ["Bridge closed", "Harbour approved"]
    fetched = Fetch.objects.get()
    assert (fetched.new_count, fetched.seen_count, fetched.error_code) == (1, 1, "")
    total = Bucket.objects.filter(clock="published", seconds=86_400, dimension="total", model_version=None)
    assert sum(total.values_list("article_count", flat=True)) == 2
    assert sum(Story.objects.values_list("article_count", flat=True)) == 2
    assert Host.objects.get().busy_until is None and Source.objects.get().failure_count == 0
