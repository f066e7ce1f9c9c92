"""Public ids such as "file-17": a prefix that says what it is, and our row number.

A number can be guessed, so whoever reads an id looks in the caller's workspace only (core.access.fetch): a row of
another one is a 404 like a row that never was.
"""

from typing import Final

from django.http import Http404

PREFIXES: Final = {
    "file": "file-",
    "fine_tuning_job": "ftjob-",
    "fine_tuning_event": "ftevent-",
    "fine_tuning_checkpoint": "ftckpt-",
    "chat_completion": "chatcmpl-",
    "completion": "cmpl-",
    "batch": "batch_",
    "moderation": "modr-",
    "classification": "classify-",
    "embedding": "embd-",
    "rerank": "rerank-",
    "score": "score-",
    "generation": "generation-",
    "online_request": "request-",
    "prediction": "prediction-",
}
"""Kind -> prefix; all public ids are made and read here."""

MOST_DIGITS = 18  # a bigint


def public_id(kind: str, number: int | str) -> str:
    """The id under which callers know row `number` of `kind`."""
    return f"{PREFIXES[kind]}{number}"


def row_number(kind: str, text: str) -> int:
    """The row number in a public id; 404 for anything that is none of this kind."""
    found = text.removeprefix(PREFIXES[kind])
    plain = found.isascii() and found.isdigit() and len(found) <= MOST_DIGITS and not found.startswith("0")
    if not text.startswith(PREFIXES[kind]) or not plain:
        raise Http404
    return int(found)
