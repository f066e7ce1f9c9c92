"""The API as its own schema describes it, fuzzed: no request may make a server error."""

import json
from typing import Any

import pytest
import requests
import schemathesis
from django.db import transaction
from django.test import Client
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as limits

from apps.accounts.roles import PERMISSIONS
from apps.accounts.services import create_api_key

EXAMPLES = 12


def schema_document() -> dict[str, Any]:
    answer = Client().get("/api/v1/schema", HTTP_ACCEPT="application/json")
    assert answer.status_code == 200
    found: dict[str, Any] = json.loads(answer.content)
    return found


def send(client: Client, case: Any, secret: str) -> Any:
    """The case through Django's test client, in the test's own transaction."""
    ready = requests.Request(**case.as_transport_kwargs(base_url="http://testserver")).prepare()
    headers = {name: value for name, value in ready.headers.items() if name.lower() != "content-type"}
    headers["Authorization"] = f"Bearer {secret}"  # the generator makes up keys of its own
    return client.generic(
        ready.method or "GET",
        ready.path_url,
        ready.body or b"",
        content_type=ready.headers.get("Content-Type", ""),
        headers=headers,
    )


@pytest.mark.django_db
def test_no_request_that_fits_the_schema_makes_a_server_error(actor: Any) -> None:
    schema = schemathesis.openapi.from_dict(schema_document())
    client = Client(raise_request_exception=False)
    _key, secret = create_api_key(actor=actor, name="fuzz", scopes=list(PERMISSIONS))
    broken: list[str] = []
    good = 0
    operations = [found.ok() for found in schema.get_all_operations()]
    for operation in operations:

        @seed(20261123)
        @limits(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            nonlocal good
            with transaction.atomic():  # a case that revokes the key or leaves the workspace harms no other
                answer = send(client, case, secret)
                transaction.set_rollback(True)
            good += answer.status_code < 300
            if answer.status_code >= 500 and answer.status_code != 507:
                broken.append(f"{case.method} {case.formatted_path} {case.body!r}"[:500])

        ask()

    assert good > len(operations)
    assert broken == []
