"""From the errors of views to those that OpenAI's clients read."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.response import Response

from core.api.problems import problem_response
from core.errors import Refused
from core.openai.shape import error_body
from words import join, say

CODES = {
    "not_authenticated": "invalid_api_key",
    "authentication_failed": "invalid_api_key",
    "throttled": "rate_limit_exceeded",
    "request_too_large": "rate_limit_exceeded",
    "required": "missing_required_parameter",
    "parse_error": "invalid_json",
}
"""Codes of our API that have another name there; all others are the same."""
WORTH_REPEATING = frozenset({"idempotency_in_progress", "still_at_work"})
"""Conflicts that go away by themselves. A client repeats any other 409 twice unless it is told not to."""

NOT_BY_WAITING = frozenset({"insufficient_quota", "request_too_large"})
"""Refusals of 429 that a client must not try again by itself."""


def openai_response(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """DRF's exception handler of views below /v1: what our own API would answer, told in OpenAI's shape."""
    found = problem_response(error, context)
    if found is None:
        return None
    told = found.data
    code, param, message = str(told["code"]), None, str(told["detail"])
    if told["errors"]:
        first = told["errors"][0]
        code, param = first["code"], first.get("field")
        if isinstance(error, exceptions.ValidationError):
            message = " ".join(_said(problem) for problem in told["errors"])
        elif isinstance(error, Refused):
            message = str(whole(error))
    # a value that is refused is a 400 there
    status = 400 if found.status_code == 422 else found.status_code
    answer = Response(error_body(status, message, code=CODES.get(code, code), param=param), status=status)
    for name, value in found.headers.items():
        if name.lower() != "content-type":
            answer[name] = value
    if (status == 409 and code not in WORTH_REPEATING) or status == 507 or code in NOT_BY_WAITING:
        answer["x-should-retry"] = "false"
    answer.exception = True
    return answer


def plain_error(request: HttpRequest, status: int, code: str, message: str) -> JsonResponse:
    """The same document outside DRF: unknown addresses, server errors."""
    return JsonResponse(error_body(status, message, code=code), status=status)


def unknown_model(name: str) -> Refused:
    """The refusal of a model that this workspace does not have (404)."""
    return Refused(
        "model_not_found",
        say("The model “{name}” does not exist in this workspace.", name=name[:100]),
        field="model",
        status=404,
    )


def whole(refused: Refused) -> str:
    """A refusal with all its problems and hints as one text: there is one field for all of it."""
    parts = [refused.message] + [
        text for each in refused.problems for text in (each.message, each.hint) if text != refused.message
    ]
    return join(list(dict.fromkeys(parts)))


def _said(problem: Mapping[str, Any]) -> str:
    """One field's problem; DRF's own sentences do not name the field."""
    if problem["code"] == "unknown_parameter" or not problem.get("field"):
        return str(problem["message"])
    if problem["code"] == "required":
        return str(_("Missing required parameter: '%s'.") % problem["field"])
    return str(_("Invalid value for '%(field)s': %(why)s") % {"field": problem["field"], "why": problem["message"]})
