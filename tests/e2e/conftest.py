"""A real browser on a real server: uvicorn serves config.asgi on the test database, Chromium looks at it.

Pages are given by `visit(user)`; every console error, page error or CSP violation fails the test that caused it.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore

from tests.serving import serving

os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # Playwright's loop runs in the thread of the tests

ROOT = Path(__file__).resolve().parents[2]
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1440, "height": 900}


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """The system's Chromium; inside a container it has no sandbox of its own."""
    path = os.environ.get("LINGXI_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    found = {"executable_path": path} if path else {}
    return {**browser_type_launch_args, **found, "args": ["--no-sandbox", "--disable-dev-shm-usage"]}


@pytest.fixture(scope="session")
def server(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server process on the test database."""
    with serving(tmp_path_factory.mktemp("server") / "uvicorn.log") as address:
        yield address


@pytest.fixture
def page_errors() -> Iterator[list[str]]:
    """What the browser complained of; must be empty at the end. A test may remove what it provoked."""
    complaints: list[str] = []
    yield complaints
    assert complaints == []


@pytest.fixture
def visit(transactional_db: None, browser: Any, server: str, page_errors: list[str]) -> Iterator[Callable[..., Any]]:
    """`visit(user, "/w/harbour/")` opens a page in a new browser window, logged in as the user (None: as nobody)."""
    windows: list[Any] = []

    def open_page(user: Any, path: str, *, viewport: dict[str, int] | None = None, **options: Any) -> Any:
        window = browser.new_context(base_url=server, viewport=viewport or DESKTOP, locale="en-GB", **options)
        windows.append(window)
        if user is not None:
            window.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session_of(user), "url": server}])
        page = window.new_page()
        page.on("console", lambda said: page_errors.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: page_errors.append(str(error)))
        page.goto(path)
        page.wait_for_selector("html[data-ready]", state="attached")
        return page

    yield open_page
    for window in windows:
        window.close()


def session_of(user: Any) -> str:
    """A session of the user, as log-in would make it."""
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return str(session.session_key)
