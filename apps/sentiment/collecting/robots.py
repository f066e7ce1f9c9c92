"""robots.txt (RFC 9309) and manners: what may be fetched, and when a host may be asked again."""

import random
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import unquote_to_bytes, urlsplit

MOST_BYTES = 500_000  # RFC 9309, 2.5: at least 500 KiB must be read; what follows is not looked at
MOST_RULES = 20_000
MOST_DELAY_SECONDS = 3_600.0  # a longer Crawl-delay would mean never
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_AGENT = re.compile(r"[A-Za-z_-]+")


@dataclass(frozen=True)
class Rule:
    """One Allow or Disallow; `pattern` is percent-encoded as RFC 9309 compares it, with * and a final $."""

    pattern: str
    allow: bool


@dataclass
class _Group:
    agents: set[str] = field(default_factory=set)
    rules: list[Rule] = field(default_factory=list)
    delay: float | None = None


@dataclass(frozen=True)
class Robots:
    """A robots.txt that was read."""

    groups: tuple[_Group, ...]
    sitemaps: tuple[str, ...]

    def allowed(self, url: str, agent: str) -> bool:
        """Whether `agent` may fetch `url`: the longest matching rule decides, Allow wins a tie, no rule allows."""
        path = _path(url)
        if path == "/robots.txt":
            return True
        matching = [rule for rule in self._of(agent)[0] if _matches(rule.pattern, path)]
        best = max(matching, key=lambda rule: (len(rule.pattern), rule.allow), default=None)
        return best is None or best.allow

    def crawl_delay(self, agent: str) -> float | None:
        """Seconds between two requests, where the file asks for them."""
        return self._of(agent)[1]

    def _of(self, agent: str) -> tuple[list[Rule], float | None]:
        """All groups that name the agent taken as one (2.2.1), else those of *."""
        found = _AGENT.match(agent)
        token = found[0].lower() if found else ""
        groups = [group for group in self.groups if token and token in group.agents]
        groups = groups or [group for group in self.groups if "*" in group.agents]
        delays = [group.delay for group in groups if group.delay is not None]
        return [rule for group in groups for rule in group.rules], max(delays, default=None)


def read_robots(data: bytes) -> Robots:
    """A robots.txt from its bytes; lines that say nothing known are passed over. Never raises."""
    text = data[:MOST_BYTES].decode("utf-8-sig", "replace")
    groups: list[_Group] = []
    sitemaps: list[str] = []
    heading, count = False, 0
    for written in re.split(r"[\r\n]+", text):
        name, colon, value = written.partition("#")[0].partition(":")
        name, value = name.strip().lower(), value.strip()
        if not colon:
            continue
        if name == "user-agent":
            if not heading:
                groups.append(_Group())
            token = _AGENT.match(value)
            groups[-1].agents.add("*" if value.startswith("*") else token[0].lower() if token else "")
            heading = True
        elif name == "sitemap" and value.startswith(("http://", "https://")) and len(sitemaps) < 1_000:
            sitemaps.append(value[:2_000])
        elif name in ("allow", "disallow") and groups:
            heading, count = False, count + 1
            if value and count <= MOST_RULES:
                groups[-1].rules.append(Rule(_encoded(value[:2_000]), name == "allow"))
        elif name == "crawl-delay" and groups:
            heading = False
            if re.fullmatch(r"\d{1,6}(?:\.\d{1,6})?", value):
                groups[-1].delay = min(float(value), MOST_DELAY_SECONDS)
    return Robots(tuple(groups), tuple(dict.fromkeys(sitemaps)))


def robots_for_status(status: int, data: bytes) -> Robots:
    """What an answer means (2.3.1): a file that is not there (4xx) allows all, a server in trouble (5xx) nothing."""
    if 200 <= status < 300:
        return read_robots(data)
    return NOTHING_ALLOWED if status >= 500 or status == 429 else ALL_ALLOWED


ALL_ALLOWED = Robots((), ())
NOTHING_ALLOWED = Robots((_Group({"*"}, [Rule("/", False)]),), ())


def _path(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "/"
    return _encoded((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


def _encoded(path: str) -> str:
    """Percent-encoding in one form: unreserved characters bare, all beyond ASCII encoded, reserved ones as written."""
    parts = re.split(r"(%[0-9A-Fa-f]{2})", path)
    return "".join(_triple(part) if at % 2 else _bare(part) for at, part in enumerate(parts))


def _triple(part: str) -> str:
    byte = unquote_to_bytes(part)[0]
    return chr(byte) if byte in _UNRESERVED else part.upper()


def _bare(part: str) -> str:
    return "".join(
        char if "!" <= char <= "~" else "".join(f"%{b:02X}" for b in char.encode("utf-8", "replace")) for char in part
    )


def _matches(pattern: str, path: str) -> bool:
    """* stands for any characters, a final $ for the end; each piece is found once, so the time is linear."""
    anchored = pattern.endswith("$")
    first, *pieces = (pattern[:-1] if anchored else pattern).split("*")
    if not path.startswith(first):
        return False
    at = len(first)
    if not pieces:
        return not anchored or at == len(path)
    last = pieces.pop() if anchored else ""
    for piece in pieces:
        if (found := path.find(piece, at)) < 0:
            return False
        at = found + len(piece)
    return not anchored or (len(path) - len(last) >= at and path.endswith(last))


# --- manners ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Manners:
    """How a host is treated. Seconds."""

    delay_seconds: float = 1.0  # between two requests
    first_pause_seconds: float = 30.0  # after the first error
    longest_pause_seconds: float = 21_600.0  # after many
    longest_obeyed_seconds: float = 86_400.0  # of a Retry-After


def next_time(
    *, now: datetime, errors: int, chance: random.Random, crawl_delay: float | None = None, wait_seconds: float = 0.0,
    manners: Manners | None = None,
) -> datetime:  # fmt: skip
    """When the host may be asked again. After `errors` errors in a row the pause doubles each time and is drawn between
    its half and its whole, so sources that fell together do not come back together; `wait_seconds`, which a Retry-After
    asked for, are waited for at least."""
    manners = manners or Manners()
    wait = max(manners.delay_seconds, min(crawl_delay or 0.0, MOST_DELAY_SECONDS))
    if errors > 0:
        pause = min(manners.longest_pause_seconds, manners.first_pause_seconds * 2.0 ** min(errors - 1, 30))
        wait = max(wait, pause * (0.5 + 0.5 * chance.random()))
    return now + timedelta(seconds=max(wait, min(wait_seconds, manners.longest_obeyed_seconds)))
