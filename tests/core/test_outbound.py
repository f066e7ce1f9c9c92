"""Requests to addresses that people give: private networks, redirects, sizes, broken answers."""

import ipaddress
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from core import outbound
from core.errors import Refused


class Handler(BaseHTTPRequestHandler):
    """Answers by path."""

    def do_GET(self) -> None:
        if self.path == "/loop":
            return self.redirect("/loop")
        if self.path == "/away":
            return self.redirect("http://192.168.7.7/secret")
        if self.path == "/file-scheme":
            return self.redirect("file:///etc/passwd")
        if self.path == "/once":
            return self.redirect("/data/%E6%95%B0.csv")
        if self.path == "/missing":
            self.send_error(404)
            return None
        body = b"x" * 5_000 if self.path == "/large" else b"text,label\na,b\n"
        self.send_response(200)
        if self.path == "/cut":
            self.send_header("Content-Length", "999")
        elif self.path != "/large":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return None

    def redirect(self, target: str) -> None:
        self.send_response(302)
        self.send_header("Location", target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: Any) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def open_door(settings: Any) -> None:
    settings.OUTBOUND_ALLOW = ["127.0.0.0/8"]


def refusal(url: str, path: Path, **limits: Any) -> str:
    with pytest.raises(Refused) as caught:
        outbound.download(url, path, max_bytes=limits.pop("max_bytes", 10_000), **limits)
    assert not path.exists()
    return caught.value.code


def test_loopback_is_forbidden_unless_allowed(server: str, tmp_path: Path, settings: Any) -> None:
    assert refusal(server, tmp_path / "a") == "address_forbidden"
    assert refusal(server.replace("127.0.0.1", "localhost"), tmp_path / "a") == "address_forbidden"

    settings.OUTBOUND_ALLOW = ["localhost"]
    assert refusal(server, tmp_path / "a") == "address_forbidden"
    got = outbound.download(server.replace("127.0.0.1", "localhost") + "/d.csv", tmp_path / "a", max_bytes=10_000)
    assert got.size_bytes == 15


@pytest.mark.usefixtures("open_door")
def test_a_redirect_is_followed_and_checked_anew(server: str, tmp_path: Path) -> None:
    got = outbound.download(f"{server}/once", tmp_path / "a", max_bytes=10_000)

    assert (got.name, got.size_bytes) == ("数.csv", 15)
    assert len(got.sha256) == 64
    assert refusal(f"{server}/away", tmp_path / "b") == "address_forbidden"
    assert refusal(f"{server}/file-scheme", tmp_path / "b") == "bad_url"
    assert refusal(f"{server}/loop", tmp_path / "b") == "too_many_redirects"


@pytest.mark.usefixtures("open_door")
def test_sizes_states_and_broken_answers_are_refused_by_name(server: str, tmp_path: Path) -> None:
    assert refusal(f"{server}/large", tmp_path / "a", max_bytes=100) == "download_too_large"
    assert refusal(f"{server}/d.csv", tmp_path / "a", max_bytes=3) == "download_too_large"
    assert refusal(f"{server}/missing", tmp_path / "a") == "url_status"
    assert refusal(f"{server}/cut", tmp_path / "a") == "download_cut"
    assert refusal(f"{server}/large", tmp_path / "a", max_seconds=-1) == "host_slow"


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("ftp://example.org/a", "bad_url"),
        ("file:///etc/passwd", "bad_url"),
        ("http://", "bad_url"),
        ("http://user:word@example.org/", "url_credentials"),
        ("http://example.org:99999/", "bad_url"),
        ("http://exa mple.org/", "bad_url"),
        ("http://no-such-host.invalid/", "host_unknown"),
        ("http://[::1]/", "address_forbidden"),
        ("http://[::ffff:127.0.0.1]/", "address_forbidden"),
        ("http://2130706433/", "address_forbidden"),
        ("http://0.0.0.0/", "address_forbidden"),
        ("http://169.254.169.254/latest/meta-data", "address_forbidden"),
    ],
)
def test_addresses_that_lead_nowhere_or_inside_are_refused(url: str, code: str, tmp_path: Path) -> None:
    assert refusal(url, tmp_path / "a") == code


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1", "172.16.0.1", "192.168.1.1", "127.0.0.1", "169.254.1.1", "100.64.0.1", "0.0.0.0", "224.0.0.1",
     "::1", "fe80::1", "fc00::1", "::ffff:10.0.0.1", "2002:a00:1::", "64:ff9b::a00:1", "ff02::1"],
)  # fmt: skip
def test_addresses_of_private_networks_are_not_public(address: str) -> None:
    assert not outbound.allowed("host", ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_public_addresses_may_be_reached(address: str) -> None:
    assert outbound.allowed("host", ipaddress.ip_address(address))
