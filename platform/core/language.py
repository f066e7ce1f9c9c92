"""The language of a person, outside their requests."""

import contextlib
from typing import Any

from django.conf import settings
from django.utils import translation


def language_of(user: Any) -> str:
    """The language the person chose, else the installation's."""
    chosen = getattr(user, "language", "") or ""
    return chosen if chosen in dict(settings.LANGUAGES) else str(settings.LANGUAGE_CODE)


def in_language_of(user: Any) -> contextlib.AbstractContextManager[None]:
    """Translate to the person's language inside the block."""
    return translation.override(language_of(user))
