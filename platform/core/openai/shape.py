"""The shape of errors that OpenAI's clients read: {"error": {"message", "type", "param", "code"}}.

It stands alone because it is needed before Django has started.
"""

from typing import Any

TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}

QUOTA = "insufficient_quota"  # OpenAI's type of this error is its code


def error_body(status: int, message: str, *, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """The document of an error, also for one in the middle of a stream."""
    kind = code if code == QUOTA else "server_error" if status >= 500 else TYPES.get(status, "invalid_request_error")
    param = _sendable(param) if param else None
    return {"error": {"message": _sendable(str(message)), "type": kind, "param": param, "code": code or None}}


def _sendable(text: str) -> str:
    """What a caller sent may be half a surrogate pair, which UTF-8 does not know."""
    return text.encode(errors="replace").decode()
