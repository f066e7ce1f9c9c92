"""Messages between programs, signed as the Standard Webhooks specification writes them: those we send and those we are sent."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

SECRET_BEGINS = "whsec_"  # noqa: S105 - what every secret of the specification begins with
TOLERANCE = timedelta(
    minutes=5
)  # between the clocks of two machines; an older message is a repetition of somebody else


def new_secret() -> str:
    """32 random bytes."""
    return SECRET_BEGINS + base64.b64encode(secrets.token_bytes(32)).decode()


def sign(secret: str, number: str, at: str, body: bytes) -> str:
    """v1,<base64 of HMAC-SHA256 over "id.timestamp.body"> under the key that the secret holds in base64."""
    key = base64.b64decode(secret.removeprefix(SECRET_BEGINS))
    digest = hmac.new(key, f"{number}.{at}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def is_signed(keys: Sequence[str], *, number: str, at: str, body: bytes, signatures: str, now: datetime) -> bool:
    """Whether one of the signatures, which stand with spaces between them, is of one of the keys, and the message is fresh."""
    if not at.isascii() or not at.isdecimal() or len(at) > 12 or not number:
        return False
    if abs(now.timestamp() - int(at)) > TOLERANCE.total_seconds():
        return False
    wanted = [sign(key, number, at, body) for key in keys if key]
    given = signatures.split()[:10]
    return any(hmac.compare_digest(one.encode(), each.encode()) for one in wanted for each in given)
