"""The only way out: every request to an address a person gave resolves once, is checked, and connects to just that.

Private, loopback and link-local addresses are refused unless LINGXI_OUTBOUND_ALLOW names the host or its range.
Redirects are followed by hand, each checked anew; sizes and times are limited.
"""

import hashlib
import http.client
import ipaddress
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from pathlib import Path
from time import monotonic
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from django.conf import settings

from core.errors import Refused
from words import say

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS: Final = 5
CONNECT_SECONDS: Final = 10.0
READ_SECONDS: Final = 30.0
_CHUNK = 256 * 1024
_SAFE = "%/:?@!$&'()*+,;=-._~[]"  # what an address may hold as it is

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Downloaded:
    """A file that was fetched: where it came from in the end, its name, size and sha256 (hex)."""

    url: str
    name: str
    size_bytes: int
    sha256: str


class _Plain(http.client.HTTPConnection):
    """Connects to one address whatever the name says."""

    def __init__(self, parts: SplitResult, address: str, read_seconds: float) -> None:
        super().__init__(parts.hostname or "", parts.port, timeout=CONNECT_SECONDS)
        self._address, self._read_seconds = address, read_seconds

    def connect(self) -> None:
        """Open the socket to the checked address."""
        self.sock = socket.create_connection((self._address, self.port), CONNECT_SECONDS)
        self.sock.settimeout(self._read_seconds)


class _Secure(http.client.HTTPSConnection):
    """The same over TLS; the certificate must be the name's, not the address's."""

    def __init__(self, parts: SplitResult, address: str, read_seconds: float) -> None:
        self._tls = ssl.create_default_context()
        super().__init__(parts.hostname or "", parts.port, timeout=CONNECT_SECONDS, context=self._tls)
        self._address, self._read_seconds = address, read_seconds

    def connect(self) -> None:
        """Open the socket to the checked address and speak TLS with the name."""
        plain = socket.create_connection((self._address, self.port), CONNECT_SECONDS)
        plain.settimeout(self._read_seconds)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)


def check_url(url: str) -> SplitResult:
    """The parts of an address that may be asked at all; its host is looked up only when it is."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _bad_url() from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise _bad_url()
    if parts.username is not None or parts.password is not None:
        raise Refused("url_credentials", say("Leave user and password out of the address."), field="url")
    if any(c <= " " or c == "\x7f" for c in url):
        raise _bad_url()
    return parts


def _bad_url() -> Refused:
    return Refused("bad_url", say("Give an address that begins with http:// or https://."), field="url")


def resolve(parts: SplitResult) -> str:
    """The one address to connect to: the first of the host's that is public or allowed."""
    host = parts.hostname or ""
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        found = socket.getaddrinfo(host.encode("idna").decode(), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Refused(
            "host_unknown", say("There is no host “{host}”. Check the address.", host=host), field="url"
        ) from error
    for *_rest, target in found:
        address = ipaddress.ip_address(str(target[0]).partition("%")[0])
        if allowed(host, address):
            return str(address)
    raise Refused(
        "address_forbidden",
        say("The host “{host}” lies in a private network, which addresses may not reach.", host=host),
        field="url",
        hint=say("Your administrator can allow it by LINGXI_OUTBOUND_ALLOW."),
    )


def allowed(host: str, address: Address) -> bool:
    """Whether a request may go to `address`, reached by the name `host`."""
    inner = _inner(address)
    if inner.is_global and not inner.is_multicast and not inner.is_reserved:
        return True
    for entry in settings.OUTBOUND_ALLOW:
        if entry.lower() == host.lower():
            return True
        try:
            if inner in ipaddress.ip_network(entry, strict=False):
                return True
        except ValueError:
            continue  # a host name, compared above
    return False


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, where it does (mapped, 6to4, Teredo, NAT64)."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in ipaddress.ip_network("64:ff9b::/96"):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


@contextmanager
def request(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    read_seconds: float = READ_SECONDS,
) -> Iterator[tuple[http.client.HTTPResponse, str]]:
    """(the response, the address it came from). Redirects are followed for GET only.

    Refused with a sentence when the address is forbidden, unreachable, slow or redirects without end.
    """
    for _hop in range(MAX_REDIRECTS + 1):
        parts = check_url(url)
        with ExitStack() as stack:
            connection = (_Secure if parts.scheme == "https" else _Plain)(parts, resolve(parts), read_seconds)
            stack.callback(connection.close)
            response = _ask(connection, parts, method, headers or {}, body)
            stack.callback(response.close)  # it holds the socket after the connection has let go
            target = response.headers.get("Location")
            if method == "GET" and response.status in REDIRECTS and target:
                url = urljoin(url, target)
                continue
            yield response, url
            return
    raise Refused("too_many_redirects", say("The address redirects too often."), field="url")


def _ask(
    connection: http.client.HTTPConnection,
    parts: SplitResult,
    method: str,
    headers: Mapping[str, str],
    body: bytes | None,
) -> http.client.HTTPResponse:
    path = quote(parts.path or "/", safe=_SAFE) + (f"?{quote(parts.query, safe=_SAFE)}" if parts.query else "")
    sent = {"User-Agent": "Lingxi", "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close", **headers}
    try:
        connection.request(method, path, body=body, headers=sent)
        return connection.getresponse()
    except TimeoutError as error:
        raise Refused("host_slow", say("The host does not answer in time. Try again later."), field="url") from error
    except ssl.SSLError as error:
        raise Refused(
            "tls_failed", say("The host's certificate is not valid: {error}", error=error), field="url"
        ) from error
    except (OSError, http.client.HTTPException, UnicodeError, ValueError) as error:
        raise Refused("host_unreachable", say("The host cannot be reached. Check the address."), field="url") from error


def download(
    url: str,
    path: Path,
    *,
    max_bytes: int,
    max_seconds: float = 3600.0,
    tick: Callable[[int, int | None], None] | None = None,
) -> Downloaded:
    """Fetch `url` into `path`; `tick(done, total)` hears of each part. What was begun is removed on failure."""
    digest, size = hashlib.sha256(), 0
    try:
        with request(url) as (response, final), path.open("wb") as file:
            if response.status != 200:
                raise Refused(
                    "url_status", say("The address answers with status {status}.", status=response.status), field="url"
                )
            total = _length(response.headers)
            if total is not None and total > max_bytes:
                raise _too_large(max_bytes)
            for chunk in parts(response, max_bytes=max_bytes, max_seconds=max_seconds):
                size += len(chunk)
                digest.update(chunk)
                file.write(chunk)
                if tick is not None:
                    tick(size, total)
            if total is not None and size != total:
                raise Refused("download_cut", say("The download broke off. Try again."), field="url")
            return Downloaded(final, _name(final, response.headers), size, digest.hexdigest())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def parts(response: http.client.HTTPResponse, *, max_bytes: int, max_seconds: float) -> Iterator[bytes]:
    """The body as it comes; Refused when it is larger, takes longer or breaks off."""
    begun, size = monotonic(), 0
    while chunk := _read(response):
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        if monotonic() - begun > max_seconds:
            raise Refused("host_slow", say("The download takes too long."), field="url")
        yield chunk


def retry_seconds(written: str, now: datetime) -> float:
    """A Retry-After (RFC 9110, 10.2.3): seconds, or the time until a date; 0 for what is neither."""
    written = written.strip()
    if re.fullmatch(r"[0-9]{1,9}", written):
        return float(written)
    try:
        until = parsedate_to_datetime(written)
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise Refused("download_cut", say("The download broke off. Try again."), field="url") from error


def _length(headers: Message) -> int | None:
    text = headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() else None


def _name(url: str, headers: Message) -> str:
    given = headers.get_filename() or unquote(urlsplit(url).path.rsplit("/", 1)[-1])
    plain = given.replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(c for c in plain if c.isprintable())[:255]


def _too_large(max_bytes: int) -> Refused:
    return Refused(
        "download_too_large",
        say("The file is larger than the limit of {megabytes} MB.", megabytes=max_bytes // 1_000_000),
        field="url",
        status=413,
    )
