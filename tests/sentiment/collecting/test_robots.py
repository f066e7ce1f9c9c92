"""robots.txt as RFC 9309 has it, and manners towards hosts."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from apps.sentiment.collecting.robots import MOST_BYTES, Manners, next_time, read_robots, robots_for_status
from core.outbound import retry_seconds

NOW = datetime(2024, 3, 6, 4, 0, tzinfo=UTC)
FILE = """\ufeffUser-Agent: *
Disallow: /*.gif$
Disallow: /private/   # not this
Disallow:
Crawl-delay: 2.5

user-agent: LingxiBot
User-agent: OtherBot/2.0
Allow: /news
Disallow: /news/drafts
Disallow: /
Allow: /news/drafts/open*end$
Disallow: /文件
Sitemap: https://x.example/map.xml
sitemap: /relative.xml
USER-AGENT: lingxibot
Crawl-delay: 10
Disallow: /late
"""


@pytest.mark.parametrize(
    ("path", "agent", "may"),
    [
        ("/a.gif", "Some", False), ("/a.gif?x", "Some", True), ("/a.gifs", "Some", True), ("/private/x", "Some", False),
        ("/privat", "Some", True), ("/", "Some", True),
        ("/news/1", "LingxiBot/1.0 (+https://x)", True), ("/news/drafts/1", "LingxiBot", False), ("/other", "lingxibot", False),
        ("/other", "OtherBot", False),
        ("/news/drafts/open/the/end", "LingxiBot", True), ("/news/drafts/open/the/end/", "LingxiBot", False),
        ("/robots.txt", "LingxiBot", True),
        ("/%E6%96%87%E4%BB%B6/a", "LingxiBot", False), ("/late", "OtherBot", False), ("/a.gif", "LingxiBotty", False),
        ("/private%2Fx", "Some", True), ("/%70rivate/x", "Some", False),
    ],
)  # fmt: skip
def test_the_longest_rule_of_the_agents_groups_decides(path: str, agent: str, may: bool) -> None:
    assert read_robots(FILE.encode()).allowed(f"https://x.example{path}", agent) is may


def test_allow_wins_a_tie() -> None:
    robots = read_robots(b"User-agent: *\nDisallow: /page\nAllow: /page\n")

    assert robots.allowed("https://x.example/page", "a")


def test_delays_and_sitemaps_are_told() -> None:
    robots = read_robots(FILE.encode())

    assert (robots.crawl_delay("Some"), robots.crawl_delay("LingxiBot"), robots.crawl_delay("OtherBot")) == (
        2.5,
        10,
        None,
    )
    assert robots.sitemaps == ("https://x.example/map.xml",)


@pytest.mark.parametrize(
    ("status", "may"), [(200, False), (404, True), (403, True), (500, False), (503, False), (429, False), (301, True)]
)
def test_a_missing_file_allows_all_and_a_server_in_trouble_nothing(status: int, may: bool) -> None:
    assert robots_for_status(status, b"User-agent: *\nDisallow: /").allowed("https://x.example/a", "a") is may


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 999,
        b"<html>404</html>",
        b"Disallow: /\n",
        b"User-agent\nDisallow /",
        b":" * 9999,
        b"Crawl-delay: inf\nUser-agent: *\nCrawl-delay: nan",
    ],
)
def test_what_is_no_robots_file_allows_all(data: bytes) -> None:
    robots = read_robots(data)

    assert robots.allowed("https://x.example/a", "a") and robots.crawl_delay("a") is None


def test_a_file_without_end_is_read_to_its_bound() -> None:
    start = b"User-agent: *\nDisallow: /a\n"

    robots = read_robots(start + b"# " + b"x" * MOST_BYTES + b"\nDisallow: /b\n")

    assert not robots.allowed("https://x.example/a", "a") and robots.allowed("https://x.example/b", "a")


def test_patterns_of_many_stars_take_no_time() -> None:
    robots = read_robots(b"User-agent: *\nDisallow: /" + b"*a" * 900 + b"b$\n")

    assert robots.allowed("https://x.example/" + "a" * 1_900, "a")


def test_bytes_of_chance_are_read() -> None:
    chance = random.Random(3)
    for _ in range(300):
        robots = read_robots(
            bytes(chance.choices(b"User-agent: *\nDisallow: /\r\n%$*#" + chance.randbytes(3), k=chance.randrange(200)))
        )
        assert robots.allowed(f"https://x.example/{chance.random()}?a", "a") in (True, False)


def wait(**given: object) -> float:
    told = {"now": NOW, "errors": 0, "chance": random.Random(1), **given}
    return (next_time(**told) - NOW).total_seconds()  # type: ignore[arg-type]


def test_a_host_is_asked_at_its_own_pace() -> None:
    assert wait() == 1
    assert wait(crawl_delay=10.0) == 10
    assert wait(crawl_delay=1e9) == 3_600


def test_errors_double_the_pause_with_a_random_part_up_to_a_bound() -> None:
    pauses = [wait(errors=errors) for errors in range(1, 14)]

    assert all(30 * 2 ** (at) / 2 <= pause <= 30 * 2**at for at, pause in enumerate(pauses[:9]))
    assert all(10_800 <= pause <= 21_600 for pause in pauses[10:])
    assert wait(errors=3, chance=random.Random(1)) != wait(errors=3, chance=random.Random(2))
    assert wait(errors=10_000) <= 21_600
    assert wait(errors=1, manners=Manners(first_pause_seconds=4)) <= 4


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("120", 120), ("Wed, 06 Mar 2024 04:10:00 GMT", 600), ("Wed, 06 Mar 2024 03:00:00 GMT", 1), ("999999999", 86_400), ("-5", 1),
    ("soon", 1), ("", 1),
     ("Wed, 06 Mar 2024 04:10:00", 1), ("9" * 500, 1)],
)  # fmt: skip
def test_retry_after_is_waited_for(written: str, seconds: float) -> None:
    assert wait(wait_seconds=retry_seconds(written, NOW)) == seconds
    assert timedelta(seconds=wait(wait_seconds=retry_seconds(written, NOW), errors=1)) >= timedelta(seconds=15)
