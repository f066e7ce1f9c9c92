"""Read settings from the environment and remember each one, so that docs/configuration.md can be checked."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")


@dataclass(frozen=True)
class Setting:
    """One environment variable: its name, default as text and meaning."""

    name: str
    default: str
    meaning: str


SETTINGS: dict[str, Setting] = {}


def env(name: str, default: str, meaning: str) -> str:
    """The variable's text, or its default."""
    SETTINGS[name] = Setting(name, default, meaning)
    return os.environ.get(name, default)


def _converted(name: str, default: str, meaning: str, convert: Callable[[str], T], wanted: str) -> T:
    text = env(name, default, meaning)
    try:
        return convert(text)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must be {wanted}, not {text!r}.") from error


def env_int(name: str, default: int, meaning: str) -> int:
    """A whole number."""
    return _converted(name, str(default), meaning, int, "a whole number")


def env_bool(name: str, default: bool, meaning: str) -> bool:
    """1/true/yes/on or 0/false/no/off."""

    def convert(text: str) -> bool:
        word = text.strip().lower()
        if word in {"1", "true", "yes", "on"}:
            return True
        if word in {"", "0", "false", "no", "off"}:
            return False
        raise ValueError(text)

    return _converted(name, "1" if default else "0", meaning, convert, "1 or 0")


def env_list(name: str, default: str, meaning: str) -> list[str]:
    """Comma-separated words."""
    return [part.strip() for part in env(name, default, meaning).split(",") if part.strip()]
