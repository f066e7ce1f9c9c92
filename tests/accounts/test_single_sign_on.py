"""OpenID Connect against a provider of our own on loopback: whom it lets in, and whom not."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.test import Client

from apps.accounts.models import User
from apps.accounts.services import create_user
from config.settings import base

PASSWORD = "correct horse battery"


class Provider(ThreadingHTTPServer):
    """Discovery, keys, token and userinfo; `person` is who logs in there."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ProviderPages)
        self.issuer = f"http://127.0.0.1:{self.server_port}"
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.person: dict[str, Any] = {}
        self.tokens_asked: list[dict[str, list[str]]] = []
        self.broken = False


class ProviderPages(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        issuer = self.server.issuer
        pages: dict[str, Any] = {
            "/.well-known/openid-configuration": {
                "issuer": issuer,
                "authorization_endpoint": f"{issuer}/authorize",
                "token_endpoint": f"{issuer}/token",
                "userinfo_endpoint": f"{issuer}/userinfo",
                "jwks_uri": f"{issuer}/keys",
                "token_endpoint_auth_methods_supported": ["client_secret_post"],
            },
            "/userinfo": self.server.person,
            "/keys": {"keys": [json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.server.key.public_key()))]},
        }
        self.answer(pages[self.path])

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.tokens_asked.append(parse_qs(body))
        if self.server.broken:
            self.answer({"error": "invalid_grant"}, 400)
            return
        now = int(time.time())
        claims = {"iss": self.server.issuer, "aud": "lingxi", "iat": now, "exp": now + 60, **self.server.person}
        token = jwt.encode(claims, self.server.key, algorithm="RS256", headers={"kid": "k1"})
        self.answer({"access_token": "a", "token_type": "Bearer", "expires_in": 60, "id_token": token})

    def answer(self, data: Any, status: int = 200) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def provider(settings: Any, db: None) -> Iterator[Provider]:
    with Provider() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        app = {
            **base.OIDC_APP,
            "name": "Acme ID",
            "client_id": "lingxi",
            "secret": "s3cret",
            "settings": {**base.OIDC_APP["settings"], "server_url": server.issuer},
        }
        settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"APPS": [app]}}
        yield server
        server.shutdown()
        thread.join()


def sign_on(provider: Provider, **person: Any) -> tuple[Client, Any]:
    """Press the button, come back from the provider as `person`."""
    provider.person = {"sub": "42", **person}
    client = Client()
    away = client.post("/sso/oidc")
    assert away.status_code == 302 and away["Location"].startswith(f"{provider.issuer}/authorize?")
    query = parse_qs(urlsplit(away["Location"]).query)
    assert query["code_challenge_method"] == ["S256"]
    back = client.get("/sso/oidc/callback", {"code": "c", "state": query["state"][0]})
    return client, back


def inside(client: Client) -> bool:
    return "_auth_user_id" in client.session


def test_the_button_is_there_only_when_configured(db: None) -> None:
    assert b"/sso/oidc" not in Client().get("/login").content
    assert Client().post("/sso/oidc").status_code == 404


def test_the_button_names_the_provider(provider: Provider) -> None:
    html = Client().get("/login").content.decode()

    assert "Log in with Acme ID" in html and 'action="/sso/oidc"' in html


def test_a_verified_address_logs_its_user_in(provider: Provider, alice: User) -> None:
    client, back = sign_on(provider, email="alice@example.org", email_verified=True)

    assert back.status_code == 302 and inside(client)
    assert client.session["_auth_user_id"] == str(alice.pk)
    assert provider.tokens_asked[0]["code_verifier"]
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)


@pytest.mark.parametrize("claim", [{"email_verified": False}, {}])
def test_an_address_nobody_verified_opens_nothing(claim: Any, provider: Provider, alice: User) -> None:
    client, back = sign_on(provider, email="alice@example.org", **claim)

    assert not inside(client)
    assert b"invitation" in back.content
    assert User.objects.count() == 1


def test_a_stranger_gets_no_account(provider: Provider, alice: User) -> None:
    client, back = sign_on(provider, email="mallory@example.org", email_verified=True)

    assert not inside(client) and b"invitation" in back.content
    assert User.objects.count() == 1


def test_a_deactivated_user_stays_out(provider: Provider, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)

    client, _back = sign_on(provider, email="alice@example.org", email_verified=True)

    assert not inside(client)


def test_a_password_set_by_someone_who_only_claimed_the_address_ends_with_the_first_sign_on(provider: Provider) -> None:
    claimed = create_user(email="boss@example.org", password=PASSWORD, vouched=False)

    client, _back = sign_on(provider, email="boss@example.org", email_verified=True)

    claimed.refresh_from_db()
    assert inside(client) and not claimed.has_usable_password()


def test_a_reply_nobody_asked_for_is_refused(provider: Provider, alice: User) -> None:
    client = Client()

    answer = client.get("/sso/oidc/callback", {"code": "c", "state": "forged"})

    assert not inside(client) and answer.status_code < 500


def test_a_provider_that_fails_is_a_sentence(provider: Provider, alice: User) -> None:
    provider.broken = True

    client, back = sign_on(provider, email="alice@example.org", email_verified=True)

    assert not inside(client) and back.status_code < 500
    assert b"did not work" in back.content


def test_an_unreachable_provider_is_a_sentence(provider: Provider, settings: Any) -> None:
    app = settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"][0]
    app["settings"] = {**app["settings"], "server_url": "http://127.0.0.1:1"}

    answer = Client(raise_request_exception=False).post("/sso/oidc")

    assert answer.status_code == 502 and b"did not work" in answer.content
