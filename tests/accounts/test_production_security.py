"""What production settings promise: secure cookies, https, hosts, headers, and no default secret."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

ROOT = Path(__file__).resolve().parents[2]
NAMES = (
    "SESSION_COOKIE_SECURE", "SESSION_COOKIE_HTTPONLY", "SESSION_COOKIE_SAMESITE", "CSRF_COOKIE_SECURE",
    "SECURE_SSL_REDIRECT", "SECURE_HSTS_SECONDS", "SECURE_CONTENT_TYPE_NOSNIFF", "X_FRAME_OPTIONS", "DEBUG",
    "ALLOWED_HOSTS", "ACCOUNT_RATE_LIMITS", "PASSWORD_HASHERS",
)  # fmt: skip


def production(**environment: str) -> subprocess.CompletedProcess[str]:
    """Load production settings in a fresh interpreter and print them as JSON."""
    program = (
        "import json; from django.conf import settings;"
        f"print(json.dumps({{name: getattr(settings, name) for name in {NAMES!r}}}))"
    )
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}",
            "DJANGO_SETTINGS_MODULE": "config.settings.production",
            **environment,
        },
    )


def test_production_cookies_hosts_and_transport_are_strict() -> None:
    done = production(LINGXI_SECRET_KEY="k" * 60, LINGXI_ALLOWED_HOSTS="nlp.example.org")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)

    assert found["SESSION_COOKIE_SECURE"] and found["SESSION_COOKIE_HTTPONLY"] and found["CSRF_COOKIE_SECURE"]
    assert found["SESSION_COOKIE_SAMESITE"] == "Lax" and found["X_FRAME_OPTIONS"] == "DENY"
    assert found["SECURE_SSL_REDIRECT"] and found["SECURE_HSTS_SECONDS"] >= 31_536_000
    assert found["SECURE_CONTENT_TYPE_NOSNIFF"] and not found["DEBUG"]
    assert found["ALLOWED_HOSTS"] == ["nlp.example.org"]
    assert found["ACCOUNT_RATE_LIMITS"]["login_failed"]
    assert "PBKDF2" in found["PASSWORD_HASHERS"][0]


@pytest.mark.parametrize("secret", ["", "short"])
def test_production_does_not_start_without_a_real_secret(secret: str) -> None:
    done = production(LINGXI_SECRET_KEY=secret)

    assert done.returncode != 0 and "LINGXI_SECRET_KEY" in done.stderr


def test_a_foreign_host_header_is_refused(settings: Any, db: None) -> None:
    settings.ALLOWED_HOSTS = ["nlp.example.org"]
    client = Client()

    assert client.get("/login", headers={"host": "evil.example"}).status_code == 400
    assert client.post("/password/reset", {"email": "a@b.c"}, headers={"host": "evil.example"}).status_code == 400
    assert client.get("/login", headers={"host": "nlp.example.org"}).status_code == 200


def test_pages_forbid_inline_scripts_frames_and_foreign_forms(db: None) -> None:
    headers = Client().get("/login").headers
    policy = headers["Content-Security-Policy"]

    assert "script-src 'self'" in policy and "frame-ancestors 'none'" in policy
    assert "form-action 'self'" in policy and "object-src 'none'" in policy
    assert headers["X-Frame-Options"] == "DENY" and headers["X-Content-Type-Options"] == "nosniff"
