"""The words a text is found by: lower-cased words, and Chinese or Japanese runs as single characters and pairs.

PostgreSQL knows no Chinese words and pg_trgm cannot find one or two characters. So the index of an example holds each
CJK character and each pair of neighbours; a query asks for the pairs of its runs, or for the character where a run is
only one. All tokens of a query must be in the index (AND): `to_tsvector` is not needed, `array_to_tsvector` is.
"""

import re
import unicodedata
from typing import TypeVar

from django.db.models import BooleanField, Model, QuerySet
from django.db.models.expressions import RawSQL

from core.characters import CJK

M = TypeVar("M", bound=Model)
SEARCHED_CHARACTERS = 20_000
_MAX_TOKEN = 100  # a longer word is cut: nobody types it, and a lexeme has a limit
_PARTS = re.compile(f"(?P<cjk>[{CJK}]+)|(?P<word>(?:(?![{CJK}])\\w)+)")


def search_tokens(text: str) -> list[str]:
    """Tokens to index a text by: sorted, each once, of its first 20,000 characters."""
    found: set[str] = set()
    for run, cjk in _runs(text):
        if cjk:
            found.update(run)
            found.update(run[at : at + 2] for at in range(len(run) - 1))
        else:
            found.add(run[:_MAX_TOKEN])
    return sorted(found)


def query_tokens(text: str) -> list[str]:
    """Tokens that all must be in the index of a text that is found; [] where the query holds no word."""
    found: dict[str, None] = {}
    for run, cjk in _runs(text):
        if cjk and len(run) > 1:
            found.update(dict.fromkeys(run[at : at + 2] for at in range(len(run) - 1)))
        else:
            found[run[:_MAX_TOKEN]] = None
    return list(found)


def search_vector(text: str) -> str:
    """The literal of a tsvector that holds the search tokens of `text`; tokens are word characters only."""
    tokens = search_tokens(text)
    return "'" + "' '".join(tokens) + "'" if tokens else ""


def found_by(rows: QuerySet[M], query: str, column: str) -> QuerySet[M]:
    """Rows whose `column`, a tsvector of ours, holds every word of `query`; the last word may be a beginning.

    A query without words finds none, an empty one all.
    """
    tokens = query_tokens(query)
    if not tokens:
        return rows.none() if query.strip() else rows
    parts = [f"'{token}'" for token in tokens]
    if tokens[-1].isascii() and query[-1:].isalnum():
        parts[-1] += ":*"
    name = f'"{rows.model._meta.db_table}"."{column}"'
    condition = f"{name} @@ %s::tsquery"
    return rows.filter(RawSQL(condition, [" & ".join(parts)], output_field=BooleanField()))  # noqa: S611 - our own names


def _runs(text: str) -> list[tuple[str, bool]]:
    """(run, whether it is CJK) in compatibility form without case: Ａ finds a, ｶ finds カ."""
    folded = unicodedata.normalize("NFKC", text[:SEARCHED_CHARACTERS]).casefold().replace("\0", " ")
    return [(match.group(), match.lastgroup == "cjk") for match in _PARTS.finditer(folded)]
