"""The shape of errors that OpenAI's clients read: {"error": {"message", "type", "param", "code"}}.

It stands alone because it is needed before Django has started.
"""

from typing import Any

TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}

QUOTA = "insufficient_quota"  # OpenAI's type of this error is its code


def error_body(status: int, message: str, *, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """The document of an error, also for one in the middle of a stream."""
    kind = code if code == QUOTA else "server_error" if status >= 500 else TYPES.get(status, "invalid_request_error")
    return {"error": {"message": str(message), "type": kind, "param": param or None, "code": code or None}}
