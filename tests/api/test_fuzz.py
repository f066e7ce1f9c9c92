"""The API as its own schema describes it, fuzzed: no request may make a server error."""

import json
from typing import Any

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
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


@pytest.mark.django_db
def test_no_request_that_fits_the_schema_makes_a_server_error(actor: Any) -> None:
    _key, secret = create_api_key(actor=actor, name="fuzz", scopes=list(PERMISSIONS))
    schema = schemathesis.openapi.from_dict(schema_document())
    schema.app = WSGIHandler()
    broken: list[str] = []
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
            answer = case.call(headers={"Authorization": f"Bearer {secret}"})
            if answer.status_code >= 500 and answer.status_code != 507:
                broken.append(f"{case.method} {case.formatted_path} {case.body!r}"[:500])

        ask()

    assert operations
    assert broken == []
