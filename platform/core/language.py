"""The language of a person or a caller, outside Django's requests."""

import contextlib
from typing import Any

from django.conf import settings
from django.utils import translation
from django.utils.translation.trans_real import get_supported_language_variant, parse_accept_lang_header


def language_of(user: Any) -> str:
    """The language the person chose, else the installation's."""
    chosen = getattr(user, "language", "") or ""
    return chosen if chosen in dict(settings.LANGUAGES) else str(settings.LANGUAGE_CODE)


def in_language_of(user: Any) -> contextlib.AbstractContextManager[None]:
    """Translate to the person's language inside the block."""
    return translation.override(language_of(user))


def in_language_of_header(accept: str) -> contextlib.AbstractContextManager[None]:
    """Translate to the first language of an Accept-Language header that we speak, else the installation's."""
    for code, _weight in parse_accept_lang_header(accept):
        with contextlib.suppress(LookupError):
            return translation.override(get_supported_language_variant(code))
    return translation.override(str(settings.LANGUAGE_CODE))
