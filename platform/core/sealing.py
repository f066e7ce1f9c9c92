"""Columns that keep secrets which must be read again: sealed with the installation's key, so that a copy of the database tells none."""

import base64
import hashlib
import logging
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models

logger = logging.getLogger(__name__)


class SealedField(models.TextField):  # type: ignore[type-arg]
    """A text that is encrypted (Fernet: AES-128-CBC with HMAC-SHA256) under SECRET_KEY; those of SECRET_KEY_FALLBACKS still open it.

    What no key opens reads as an empty text: its owner has to give it again.
    """

    def get_prep_value(self, value: Any) -> Any:
        """The sealed form; an empty text stays empty."""
        value = super().get_prep_value(value)
        return _keys().encrypt(value.encode()).decode() if value else value

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        """The text."""
        if not value:
            return value
        try:
            return _keys().decrypt(value.encode()).decode()
        except InvalidToken:
            logger.error("a sealed value of %s cannot be opened: the secret key has changed", self)
            return ""


def _keys() -> MultiFernet:
    return MultiFernet([_fernet(str(key)) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


def _fernet(key: str) -> Fernet:
    digest = hashlib.sha256(b"lingxi.core.sealing:" + key.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(digest))
