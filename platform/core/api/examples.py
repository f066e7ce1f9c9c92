"""Examples for the API's description: what a view does not show by hand is made from its own schema."""

from collections.abc import Mapping
from typing import Any

WORDS = {
    "name": "Service questions", "text": "Where is my card?", "label": "lost_card", "slug": "harbour",
    "file_name": "questions.csv", "language": "en", "title": "Import questions.csv", "description": "Mails of one month",
}  # fmt: skip
BY_FORMAT = {
    "date-time": "2026-11-23T10:00:00Z",
    "date": "2026-11-23",
    "email": "li@example.org",
    "uri": "https://lingxi.example.org/api/v1/datasets?cursor=cD00MQ%3D%3D",
    "binary": "",
}
BY_TYPE: dict[str, Any] = {"integer": 1, "number": 0.5, "boolean": True, "string": "text", "null": None}
METHODS = ("get", "post", "put", "patch", "delete")


def add_examples(result: dict[str, Any], **_context: Any) -> dict[str, Any]:
    """Hook of drf-spectacular: every JSON body gets an example; in an answer's own one no field is left out."""
    for path in result["paths"].values():
        for method in METHODS:
            operation = path.get(method, {})
            asked = _json_of(operation.get("requestBody", {}))
            if asked and not {"example", "examples"} & asked.keys():
                asked["example"] = example_of(asked["schema"], result)
            for code, body in operation.get("responses", {}).items():
                if code.startswith("2") and (answered := _json_of(body)):
                    _show_answer(answered, example_of(answered["schema"], result))
    return result


def _json_of(body: Mapping[str, Any]) -> Any:
    return body.get("content", {}).get("application/json")


def _show_answer(media: dict[str, Any], made: Any) -> None:
    if "examples" not in media:
        media["example"] = made
    for shown in media.get("examples", {}).values():
        shown["value"] = _completed(shown["value"], made)


def _completed(shown: Any, made: Any) -> Any:
    """`shown` with what it leaves out taken from `made`."""
    if isinstance(shown, dict) and isinstance(made, dict):
        return {**made, **{key: _completed(value, made.get(key)) for key, value in shown.items()}}
    if isinstance(shown, list) and isinstance(made, list) and made:
        return [_completed(value, made[0]) for value in shown]
    return shown


def example_of(schema: Mapping[str, Any], document: Mapping[str, Any], name: str = "") -> Any:
    """A value that fits `schema`; `name` is the field it stands in."""
    if "$ref" in schema:
        return example_of(_resolved(schema["$ref"], document), document, name)
    for several in ("oneOf", "anyOf", "allOf"):
        if several in schema:
            return example_of(schema[several][0], document, name)
    if "enum" in schema:
        return schema["enum"][0]
    if "example" in schema:
        return schema["example"]
    kinds = schema.get("type", "object")
    kind = kinds if isinstance(kinds, str) else next((each for each in kinds if each != "null"), "null")
    if kind == "object":
        return {key: example_of(value, document, key) for key, value in schema.get("properties", {}).items()}
    if kind == "array":
        return [example_of(schema.get("items", {}), document, name.removesuffix("s"))]
    return _plain(kind, kinds, schema, name)


def _plain(kind: str, kinds: Any, schema: Mapping[str, Any], name: str) -> Any:
    if name in ("next", "previous") and "null" in kinds:
        return None
    if kind == "string" and not {"format", "pattern"} & schema.keys() and name in WORDS:
        return WORDS[name]
    if schema.get("format") in BY_FORMAT:
        return BY_FORMAT[schema["format"]]
    return max(BY_TYPE[kind], schema.get("minimum", 0)) if kind in ("integer", "number") else BY_TYPE[kind]


def _resolved(reference: str, document: Mapping[str, Any]) -> Any:
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found
