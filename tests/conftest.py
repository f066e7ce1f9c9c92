"""The cast of every test: alice owns the workspace, bob is a teammate, charlie is a stranger."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.accounts.access import actor_of_member
from apps.accounts.models import Membership, User, Workspace
from apps.accounts.roles import PERMISSIONS
from apps.accounts.services import create_api_key, create_user, create_workspace
from core.access import Actor

PASSWORD = "correct horse battery"


@pytest.fixture
def alice(db: None) -> User:
    return create_user(email="alice@example.org", password=PASSWORD, name="Alice")


@pytest.fixture
def bob(db: None) -> User:
    return create_user(email="bob@example.org", password=PASSWORD, name="Bob")


@pytest.fixture
def charlie(db: None) -> User:
    stranger = create_user(email="charlie@example.org", password=PASSWORD, name="Charlie")
    create_workspace(name="Elsewhere", owner=stranger)
    return stranger


@pytest.fixture
def workspace(alice: User, bob: User) -> Workspace:
    """Alice's workspace, in which bob is an analyst."""
    made = create_workspace(name="Harbour", owner=alice)
    Membership.objects.create(workspace=made, user=bob, role="analyst")
    return made


@pytest.fixture
def actor(alice: User, workspace: Workspace) -> Actor:
    """Alice acting in her workspace."""
    return actor_of_member(alice, workspace.slug)


@pytest.fixture
def stranger(charlie: User) -> Actor:
    """Charlie acting in his own workspace."""
    return actor_of_member(charlie, "elsewhere")


@pytest.fixture
def api() -> Callable[[Actor], APIClient]:
    """An API client with a key of the actor that holds every scope of its role."""

    def client(actor: Actor, scopes: list[str] | None = None) -> APIClient:
        made = APIClient()
        wanted = scopes if scopes is not None else [name for name in PERMISSIONS if actor.may(name)]
        _key, secret = create_api_key(actor=actor, name="test", scopes=wanted)
        made.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
        return made

    return client


@pytest.fixture
def page(client: Any) -> Callable[[User], Any]:
    """A browser-like client logged in as the user."""

    def log_in(user: User) -> Any:
        client.force_login(user)
        return client

    return log_in
