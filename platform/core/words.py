"""Columns that keep sentences in no language; who reads a row hears them in their own."""

import json
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast
from django.utils.translation import get_language
from django.utils.translation.trans_real import translation

from words import dump, from_text, revive, text_begins, to_text


class WordsField(models.TextField):  # type: ignore[type-arg]
    """A text column; a sentence of `words.say` comes back as one, a bare text as it is."""

    def get_prep_value(self, value: Any) -> Any:
        """The stored form."""
        value = super().get_prep_value(value)
        return to_text(value) if isinstance(value, str) else value

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        """The sentence or text."""
        return None if value is None else from_text(value)


class _Decoder(json.JSONDecoder):
    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "object_hook": revive})


class WordsJSONField(models.JSONField):
    """A JSON column in which sentences of `words.say` stay sentences."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "decoder": _Decoder})

    def deconstruct(self) -> Any:
        """The decoder belongs to the field, not to a migration."""
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("decoder", None)
        return name, path, args, kwargs

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        """The stored form."""
        if not isinstance(value, Combinable):
            value = dump(value)
        return super().get_db_prep_value(value, connection, prepared)


def holding(rows: "models.QuerySet[Any]", column: str, text: str) -> Any:
    """The rows whose sentence holds `text`: in its values, in English, or as the reader's language says it."""
    wanted = models.Q(**{f"{column}_raw__icontains": text}) | models.Q(
        **{f"{column}_raw__icontains": json.dumps(text, ensure_ascii=False)[1:-1]}
    )
    for template in _said_with(text):
        wanted |= models.Q(**{f"{column}_raw__startswith": text_begins(template)})
    return rows.alias(**{f"{column}_raw": Cast(column, models.TextField())}).filter(wanted)


def _said_with(text: str) -> list[str]:
    """English templates whose translation holds `text`; those of gettext's own %-style are not ours."""
    catalogue: Any = translation(get_language() or settings.LANGUAGE_CODE)
    pairs = [(name, said) for name, said in catalogue._catalog.items() if isinstance(name, str)]
    return [name for name, said in pairs if name and "%" not in name and text.lower() in str(said).lower()]
