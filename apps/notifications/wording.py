"""Subject and body of a message in the words of its receiver: templates with named places, and nothing that could run.

A place is {name}; {payload.a.b} reads a value of the payload; {{ and }} stand for braces. A line all of whose places are
empty is left out.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from apps.notifications.models import Dispatch, Receiver
from core.errors import Refused
from words import say, spoken

PLACES = ("title", "body", "facts", "link", "severity", "kind", "workspace", "time")
_PLACE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_DATA = re.compile(r"payload(\.[A-Za-z0-9_-]{1,60}){1,6}")
LONGEST_SUBJECT, LONGEST_TEMPLATE, LONGEST_BODY = 300, 5_000, 50_000


@dataclass(frozen=True)
class Worded:
    """A message as its receiver reads it; `is_own` when its body follows the receiver's template."""

    subject: str
    body: str
    severity: str
    facts: list[tuple[str, str]]
    lines: list[str]
    title: str
    link: str
    is_own: bool


def check_template(template: str, *, field: str) -> None:
    """Refused when a place has no such name or a brace stands alone."""
    for found in _PLACE.finditer(template):
        name = found[1]
        if found[0] in {"{{", "}}"} or (name is not None and (name in PLACES or _DATA.fullmatch(name))):
            continue
        raise Refused(
            "unknown_place",
            say("“{place}” is no place of a template.", place=found[0][:60]),
            field=field,
            hint=say("Places are {names}, and {data}.", names=_listed(), data="{payload.name}"),
        )


def _listed() -> str:
    return ", ".join(f"{{{name}}}" for name in PLACES)


def default_subject() -> str:
    """In the language of the moment."""
    return "[Lingxi] {title}"


def default_body() -> str:
    """In the language of the moment."""
    return "{body}\n\n{facts}\n\n" + _("Open in Lingxi: {link}")


def worded(dispatch: Dispatch, receiver: Receiver) -> Worded:
    """The message in the receiver's language, by its templates or the defaults."""
    with translation.override(receiver.language):
        content = spoken(dispatch.content)
        facts = [(str(name), str(value)) for name, value in content.get("facts", [])]
        lines = [str(line) for line in content.get("lines", [])]
        values = {
            "title": " ".join(str(dispatch.title).split()),
            "body": "\n".join(lines),
            "facts": "\n".join(_("{name}: {value}").format(name=name, value=value) for name, value in facts),
            "link": link_of(receiver, dispatch.page),
            "severity": str(dispatch.get_severity_display()),
            "kind": dispatch.kind,
            "workspace": receiver.workspace.name,
            "time": f"{timezone.localtime(dispatch.created_at):%Y-%m-%d %H:%M %Z}",
            "payload": content.get("payload", {}),
        }
        subject = fill(receiver.subject_template or default_subject(), values)
        return Worded(
            subject=" ".join(subject.split())[:LONGEST_SUBJECT],
            body=fill(receiver.body_template or default_body(), values)[:LONGEST_BODY],
            severity=values["severity"],
            facts=facts,
            lines=lines,
            title=values["title"],
            link=values["link"],
            is_own=bool(receiver.body_template),
        )


def link_of(receiver: Receiver, page: str) -> str:
    """The full address of a page of the receiver's workspace; empty without one."""
    base = f"{settings.SITE_URL.rstrip('/')}/w/{receiver.workspace.slug}/"
    return f"{base}{page.lstrip('/')}" if page else ""


def fill(template: str, values: Mapping[str, Any]) -> str:
    """The template with its places filled, once: what a value holds is never read as a place."""
    lines = [_line(line, values) for line in template.splitlines()]
    text = "\n".join(line for line in lines if line is not None)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _line(line: str, values: Mapping[str, Any]) -> str | None:
    """A line filled in; None when all its places are empty."""
    filled: list[str] = []

    def place(found: re.Match[str]) -> str:
        if found[0] in {"{{", "}}"}:
            return found[0][0]
        if found[1] is None:
            return found[0]
        filled.append(_value(found[1], values))
        return filled[-1]

    said = _PLACE.sub(place, line)
    return None if filled and not any(filled) else said


def _value(name: str, values: Mapping[str, Any]) -> str:
    """What a place says; nothing where the payload lacks it."""
    found: Any = values
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    if found is None or isinstance(found, Mapping | list):
        return ""
    return str(found)
