"""Files to learn from, and the real client against a live server."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from openai import OpenAI
from rest_framework.test import APIClient

from apps.accounts.roles import PERMISSIONS
from apps.accounts.services import create_api_key
from apps.datasets import services as datasets
from apps.datasets.models import ApiFile
from tests.openai.lines import chats
from tests.serving import serving


@pytest.fixture(autouse=True)
def quiet(settings: Any) -> None:
    settings.JOB_BEAT_SECONDS = 3600


@pytest.fixture
def upload(actor: Any) -> Callable[..., ApiFile]:
    """A file to learn from, kept and looked into."""

    def keep(content: bytes = chats(), name: str = "chats.jsonl", purpose: str = "fine-tune") -> ApiFile:
        return datasets.receive_file(actor=actor, upload=SimpleUploadedFile(name, content), purpose=purpose)

    return keep


@pytest.fixture
def v1(api: Callable[..., APIClient], actor: Any) -> APIClient:
    """Alice's key."""
    return api(actor)


@pytest.fixture(scope="session")
def server(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server process on the test database."""
    with serving(tmp_path_factory.mktemp("server") / "uvicorn.log") as address:
        yield address


@pytest.fixture
def secret(transactional_db: None, actor: Any) -> str:
    """A key of alice that the server knows too."""
    return create_api_key(actor=actor, name="client", scopes=[name for name in PERMISSIONS if actor.may(name)])[1]


@pytest.fixture
def strict(server: str, secret: str) -> Iterator[OpenAI]:
    """OpenAI's own client; an answer that does not fit its types is an error."""
    with OpenAI(base_url=f"{server}/v1", api_key=secret, _strict_response_validation=True) as made:
        yield made
