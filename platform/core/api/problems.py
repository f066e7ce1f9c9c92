"""Errors of the API in the shape of RFC 9457 (application/problem+json) with stable codes."""

import logging
import uuid
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, JsonResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import exceptions, serializers, status
from rest_framework.response import Response
from rest_framework.views import set_rollback

from core.errors import Problem, Refused
from core.storage import disk_full, for_want_of_space

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"


class ProblemItemSerializer(serializers.Serializer[Any]):
    """One thing that is wrong."""

    code = serializers.CharField(help_text="Stable machine-readable code.")
    message = serializers.CharField()
    field = serializers.CharField(required=False, help_text="The field concerned, dotted when nested.")
    hint = serializers.CharField(required=False)


class ProblemSerializer(serializers.Serializer[Any]):
    """Every error of this API (RFC 9457)."""

    type = serializers.CharField(help_text="URI of the kind of problem, about:blank when the status says all.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField(help_text="Stable machine-readable code.")
    detail = serializers.CharField()
    request_id = serializers.CharField()
    errors = ProblemItemSerializer(many=True)  # type: ignore[assignment]


TITLES = {
    400: gettext_lazy("Bad request"),
    401: gettext_lazy("Not authenticated"),
    403: gettext_lazy("Not allowed"),
    404: gettext_lazy("Not found"),
    405: gettext_lazy("Method not allowed"),
    406: gettext_lazy("Not acceptable"),
    409: gettext_lazy("Conflict"),
    412: gettext_lazy("Precondition failed"),
    413: gettext_lazy("Too large"),
    415: gettext_lazy("Unsupported media type"),
    422: gettext_lazy("Cannot be processed"),
    429: gettext_lazy("Too many requests"),
    500: gettext_lazy("Server error"),
    503: gettext_lazy("Busy"),
    507: gettext_lazy("Out of space"),
}


def body(
    status_code: int, code: str, detail: str, request: Any, problems: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """The problem document."""
    return {
        "type": "about:blank",
        "title": str(TITLES.get(status_code, "Error")),
        "status": status_code,
        "code": code,
        "detail": str(detail),
        "request_id": getattr(getattr(request, "_request", request), "request_id", ""),
        "errors": problems or [],
    }


def problem_response(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """DRF's exception handler: every error becomes a problem document; the unknown is logged with its id."""
    set_rollback()
    request = context.get("request")
    headers: dict[str, str] = {}
    problems: list[dict[str, Any]] = []
    if for_want_of_space(error):
        error = disk_full()
    if isinstance(error, Refused):
        status_code, code, detail = error.status, error.code, str(error.message)
        problems = [item.as_dict() for item in error.problems]
        if error.wait_seconds:
            headers["Retry-After"] = str(error.wait_seconds)
    elif isinstance(error, Http404 | exceptions.NotFound):
        status_code, code, detail = 404, "not_found", _("There is no such thing in this workspace.")
    elif isinstance(error, PermissionDenied | exceptions.PermissionDenied):
        status_code, code = 403, "not_allowed"
        detail = _("Your role or API key does not allow this.")
    elif isinstance(error, exceptions.ValidationError):
        status_code, code, detail = 422, "invalid", _("Some fields are not valid.")
        problems = [problem.as_dict() for problem in flatten(error.detail)]
    elif isinstance(error, exceptions.APIException):
        status_code = error.status_code
        code = str(error.default_code)
        detail = str(error.detail)
        if wait := getattr(error, "wait", None):
            headers["Retry-After"] = str(int(wait) + 1)
        if challenge := getattr(error, "auth_header", None):
            headers["WWW-Authenticate"] = challenge
    else:
        number = uuid.uuid4().hex[:12]
        logger.exception("unexpected error %s", number, exc_info=error)
        status_code, code = 500, "unexpected"
        detail = _("Something went wrong on our side. Tell your administrator this number: %s") % number
    response = Response(
        body(status_code, code, detail, request, problems),
        status=status_code,
        headers=headers,
        content_type=CONTENT_TYPE,
    )
    response.exception = True
    return response


def flatten(detail: Any, path: str = "") -> list[Problem]:
    """DRF's nested validation detail as a flat list with dotted field names."""
    if isinstance(detail, Mapping):
        found: list[Problem] = []
        for name, value in detail.items():
            below = path if name == "non_field_errors" else f"{path}.{name}".strip(".")
            found.extend(flatten(value, below))
        return found
    if isinstance(detail, list):
        found = []
        for index, value in enumerate(detail):
            nested = isinstance(value, Mapping | list)
            found.extend(flatten(value, f"{path}.{index}".strip(".") if nested else path))
        return found
    return [Problem(code=str(getattr(detail, "code", "invalid")), message=str(detail), field=path)]


def plain_problem(request: HttpRequest, status_code: int, code: str, detail: str) -> JsonResponse:
    """The same document outside DRF (unknown addresses, server errors)."""
    return JsonResponse(body(status_code, code, detail, request), status=status_code, content_type=CONTENT_TYPE)


class PreconditionFailed(exceptions.APIException):
    """If-Match named another version."""

    status_code = status.HTTP_412_PRECONDITION_FAILED
    default_code = "changed_meanwhile"
    default_detail = gettext_lazy("Someone changed this meanwhile. Load it again, then repeat your change.")
