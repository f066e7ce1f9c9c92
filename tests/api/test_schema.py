"""The OpenAPI document: sound in itself, with an example for every JSON body."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from django.test import Client

METHODS = ("get", "post", "put", "patch", "delete")
PARSED_BY_GENERATORS = {
    "application/json", "application/problem+json", "application/octet-stream", "multipart/form-data", "text/csv",
    "application/x-ndjson", "application/x-www-form-urlencoded", "text/markdown", "text/plain",
}  # fmt: skip


@pytest.fixture(scope="module")
def document() -> Any:
    return json.loads(Client().get("/api/v1/schema", HTTP_ACCEPT="application/json").content)


def bodies(document: Any) -> Iterator[tuple[str, str, Any]]:
    """(operation, media type, media object) of every request and every good answer."""
    for path, item in document["paths"].items():
        for method in METHODS:
            operation = item.get(method, {})
            good = [body for code, body in operation.get("responses", {}).items() if code.startswith("2")]
            for body in (operation.get("requestBody", {}), *good):
                for kind, media in body.get("content", {}).items():
                    yield f"{method} {path}", kind, media


def faults(value: Any, schema: Any, document: Any) -> list[str]:
    validator = jsonschema.Draft202012Validator(
        {**schema, "components": document["components"]}, format_checker=jsonschema.FormatChecker()
    )
    return [f"{error.json_path}: {error.message}"[:200] for error in validator.iter_errors(value)]


def test_every_json_body_has_an_example_that_fits_its_schema(document: Any) -> None:
    missing, wrong = [], []
    for where, kind, media in bodies(document):
        if kind != "application/json":
            continue
        shown = [each["value"] for each in media.get("examples", {}).values()]
        shown += [media["example"]] if "example" in media else []
        missing += [] if shown else [where]
        wrong += [(where, said) for value in shown for said in faults(value, media["schema"], document)]
    assert missing == []
    assert wrong == []


def test_every_default_fits_its_field(document: Any) -> None:
    def properties(schema: Any) -> Iterator[tuple[str, Any]]:
        for name, field in schema.get("properties", {}).items():
            yield name, field
            yield from properties(field)

    wrong = [
        (component, name, field["default"])
        for component, schema in document["components"]["schemas"].items()
        for name, field in properties(schema)
        if "default" in field and faults(field["default"], field, document)
    ]
    assert wrong == []


def test_media_types_are_ones_that_client_generators_parse(document: Any) -> None:
    assert {kind for _where, kind, _media in bodies(document)} <= PARSED_BY_GENERATORS
