"""The file of a batch, line by line in bounded memory: each line is a request that can be asked, or a fault with its number."""

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rest_framework.exceptions import ValidationError

from apps.inference.openai.endpoints import ENDPOINTS, checked_body
from apps.inference.services import Route
from apps.registry.models import ModelVersion
from core.api.problems import flatten
from core.errors import Problem, Refused
from core.nesting import DepthGuard, NestedTooDeeply
from core.openai.errors import CODES
from words import say

MOST_REQUESTS = 50_000
MOST_BYTES = 200_000_000
MOST_LINE_BYTES = 10_000_000
FAULTS_TOLD = 100
CUSTOM_ID_CHARACTERS = 512
MOST_INPUTS = 50_000  # texts of all requests together, where an encoder reads them
FIELDS = {"custom_id", "method", "url", "body"}


@dataclass(frozen=True)
class Line:
    """A request."""

    number: int  # from 1
    custom_id: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """Why a file cannot be worked on; `line` is None where it is about the whole of it."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None

    def as_mapping(self) -> dict[str, Any]:
        """As OpenAI shows it."""
        return {"code": self.code, "message": self.message, "param": self.param, "line": self.line}


class _Wrong(Exception):
    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.param = code, message, param


class BatchFile:
    """A file that is read once: `reference` and `route` are what its first line asks for, once that was read."""

    def __init__(self, path: Path, endpoint: str, resolve: Callable[[str], Route]) -> None:
        self._path, self._url, self._endpoint, self._resolve = path, endpoint, ENDPOINTS[endpoint], resolve
        self._ids: dict[bytes, int] = {}
        self._inputs = 0
        self.reference = ""
        self.route: Route | None = None

    def read(self) -> Iterator[Line | Fault]:
        """Requests and faults in the order of the file, until there are FAULTS_TOLD of them."""
        faults = count = 0
        for number, raw in _lines(self._path):
            try:
                if count >= MOST_REQUESTS:
                    raise _Wrong("too_many_requests", say("A batch has at most {most:,} requests.", most=MOST_REQUESTS))
                found: Line | Fault = self._line(number, raw)
                count += 1
            except _Wrong as wrong:
                found = Fault(wrong.code, wrong.message, number, wrong.param)
                faults += 1
            yield found
            if count >= MOST_REQUESTS and faults:
                return
            if faults >= FAULTS_TOLD:
                yield Fault("not_looked_at", say("Later lines were not looked at."))
                return
        if not count and not faults:
            yield Fault("empty_file", say("The file has no lines."))

    def _line(self, number: int, raw: bytes) -> Line:
        found = _object(raw)
        if unknown := found.keys() - FIELDS:
            name = sorted(unknown)[0]
            raise _Wrong("unknown_parameter", say("A line has no field “{name}”.", name=name[:100]), name[:100])
        custom_id = self._custom_id(found.get("custom_id"), number)
        if found.get("method") != "POST":
            raise _Wrong("invalid_method", say("method is POST."), "method")
        if found.get("url") != self._url:
            raise _Wrong("invalid_url", say("url is that of the batch: {endpoint}", endpoint=self._url), "url")
        body = found.get("body")
        if not isinstance(body, dict):
            raise _Wrong("missing_required_parameter", say("A line has a body, an object."), "body")
        self._check(body)
        return Line(number, custom_id, body)

    def _custom_id(self, given: Any, number: int) -> str:
        if not isinstance(given, str) or not given.strip():
            raise _Wrong("missing_custom_id", say("Each line has a custom_id, a text."), "custom_id")
        if len(given) > CUSTOM_ID_CHARACTERS:
            raise _Wrong(
                "invalid_custom_id",
                say("A custom_id has at most {most} characters.", most=CUSTOM_ID_CHARACTERS),
                "custom_id",
            )
        digest = hashlib.blake2b(given.encode(), digest_size=16).digest()
        first = self._ids.setdefault(digest, number)
        if first != number:
            raise _Wrong(
                "duplicate_custom_id",
                say("The custom_id “{name}” stands in line {line} already.", name=given[:100], line=first),
                "custom_id",
            )
        return given

    def _check(self, body: dict[str, Any]) -> None:
        """A body as the endpoint itself would check it, and of the one model."""
        try:
            asked = checked_body(self._endpoint, body)
            version = self._version(asked["model"])
            self._endpoint.check(version, asked)
        except ValidationError as error:
            first = flatten(error.detail)[0]
            raise _Wrong(CODES.get(first.code, first.code), _told(first), _within(first.field)) from error
        except Refused as refused:
            raise _Wrong(refused.code, refused.message, _within(refused.problems[0].field)) from refused
        self._inputs += len(asked["input"]) if isinstance(asked.get("input"), list) else 1
        if self._url == "/v1/embeddings" and self._inputs > MOST_INPUTS:
            raise _Wrong("too_many_inputs", say("All requests together have at most {most:,} texts.", most=MOST_INPUTS))

    def _version(self, reference: str) -> ModelVersion:
        if self.route is None:
            self.route, self.reference = self._resolve(reference), reference
        elif reference != self.reference:
            raise _Wrong(
                "mismatched_model",
                say("All requests of a batch ask for one model, this one for “{model}”.", model=self.reference),
                "body.model",
            )
        return self.route.version


def _told(problem: Problem) -> str:
    """A problem of a field, for a column that is read in any language."""
    if problem.code == "unknown_parameter":
        return say("This endpoint knows no “{name}”.", name=problem.field[:100])
    if problem.code == "required":
        return say("“{name}” is missing.", name=problem.field)
    return say("“{name}” cannot be used: {why}", name=problem.field or "body", why=problem.message)


def _within(field: str) -> str:
    return f"body.{field}" if field else "body"


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(number, line) of all lines that are not blank; a line beyond the limit comes cut to one byte more than it."""
    with path.open("rb") as source:
        number = 0
        while raw := source.readline(MOST_LINE_BYTES + 1):
            number += 1
            rest = raw
            while not rest.endswith(b"\n") and len(rest) > MOST_LINE_BYTES:
                rest = source.readline(MOST_LINE_BYTES + 1)
            if number == 1:
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            if raw.strip():
                yield number, raw


def _object(raw: bytes) -> dict[str, Any]:
    if len(raw) > MOST_LINE_BYTES:
        raise _Wrong("line_too_long", say("A line has at most {most:,} bytes.", most=MOST_LINE_BYTES))
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise _Wrong("invalid_encoding", say("The line is not UTF-8.")) from error
    if "\0" in text:
        raise _Wrong("nul", say("A text holds no NUL."))
    try:
        DepthGuard(io.BytesIO(raw)).read()
        found = json.loads(text)
    except NestedTooDeeply as error:
        raise _Wrong("nested_too_deeply", error.args[0]) from error
    except ValueError as error:
        raise _Wrong("invalid_json_line", say("The line is not JSON: {why}", why=str(error)[:200])) from error
    if not isinstance(found, dict):
        raise _Wrong("invalid_json_line", say("A line is a JSON object."))
    _require_storable(found)
    return found


def _require_storable(found: Mapping[str, Any]) -> None:
    """No NUL, half of a surrogate pair or number without end, which JSON can spell and no database keeps."""
    try:
        plain = json.dumps(found, ensure_ascii=False, allow_nan=False)
        plain.encode()
    except ValueError as error:  # UnicodeEncodeError is one
        raise _Wrong("invalid_json_line", say("The line holds what no text or number is.")) from error
    if "\\u0000" in plain and _holds_nul(found):
        raise _Wrong("nul", say("A text holds no NUL."))


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, Mapping):
        return any(_holds_nul(each) for pair in value.items() for each in pair)
    return isinstance(value, list) and any(map(_holds_nul, value))
