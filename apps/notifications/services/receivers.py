"""Receivers: made, changed, given another secret and taken away, each with an entry in the trail that tells no secret."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts.models import Membership
from apps.accounts.services import audit
from apps.notifications.channels import apprise
from apps.notifications.models import Dispatch, Receiver, ReceiverKind, Severity
from apps.notifications.wording import LONGEST_SUBJECT, LONGEST_TEMPLATE, Worded, check_template, worded
from core.access import Actor
from core.errors import Refused, conflict
from core.outbound import check_url
from core.webhooks import new_secret
from words import say

FIELDS = ("name", "language", "is_enabled", "addresses", "url", "people", "subject_template", "body_template")
TOLD = ("name", "language", "is_enabled", "addresses", "shown_url", "subject_template", "body_template")
BY_ADDRESS = (ReceiverKind.WEBHOOK, ReceiverKind.APPRISE)
MOST_ADDRESSES, MOST_PEOPLE, MOST_RECEIVERS, LONGEST_URL = 50, 200, 200, 2_000
OVERLAP = timedelta(hours=24)  # that an old secret signs beside the new one


@transaction.atomic
def create_receiver(*, actor: Actor, kind: str, **columns: Any) -> tuple[Receiver, str]:
    """(the receiver, the secret that signs its webhooks, shown this once; empty for other kinds)"""
    if Receiver.objects.filter(workspace=actor.workspace).count() >= MOST_RECEIVERS:
        raise conflict(
            "too_many_receivers", say("A workspace has at most {most} receivers.", most=f"{MOST_RECEIVERS:,}")
        )
    receiver = Receiver(workspace=actor.workspace, kind=kind, created_by=actor.user, language=settings.LANGUAGE_CODE)
    if kind not in ReceiverKind.values:
        raise Refused("unknown_kind", say("There is no such kind of receiver."), field="kind")
    people = _set(receiver, columns)
    _require_address(receiver, people)
    if kind == ReceiverKind.WEBHOOK:
        receiver.secret = new_secret()
    _save(receiver, people)
    audit(actor=actor, action="receiver.create", obj=receiver, after=_told(receiver, TOLD))
    return receiver, receiver.secret


@transaction.atomic
def change_receiver(*, actor: Actor, receiver: Receiver, **columns: Any) -> Receiver:
    """Change what is given; an address that is left empty stays."""
    found = Receiver.objects.select_for_update().get(pk=receiver.pk)
    before, url = _told(found, TOLD), found.url
    if not columns.get("url"):
        columns.pop("url", None)
    people = _set(found, columns)
    _require_address(found, people if people is not None else list(found.people.all()))
    _save(found, people)
    changed = [name for name in TOLD if getattr(found, name) != before[name]]
    if changed or url != found.url or people is not None:
        audit(
            actor=actor,
            action="receiver.change",
            obj=found,
            before={name: before[name] for name in changed},
            after=_told(found, changed),
            address_changed=url != found.url,
        )
    return found


@transaction.atomic
def rotate_secret(*, actor: Actor, receiver: Receiver) -> str:
    """Another secret, shown this once; the old one signs beside it for a day."""
    found = Receiver.objects.select_for_update().get(pk=receiver.pk)
    if found.kind != ReceiverKind.WEBHOOK:
        raise conflict("no_secret", say("Only webhooks are signed."))
    found.previous_secret, found.previous_until = found.secret, timezone.now() + OVERLAP
    secret = found.secret = new_secret()
    found.save(update_fields=["secret", "previous_secret", "previous_until", "updated_at"])
    audit(actor=actor, action="receiver.rotate", obj=found)
    return secret


@transaction.atomic
def delete_receiver(*, actor: Actor, receiver: Receiver) -> None:
    """With its messages."""
    audit(actor=actor, action="receiver.delete", obj=receiver, before=_told(receiver, TOLD))
    receiver.delete()


def preview(*, actor: Actor, language: str, subject_template: str, body_template: str) -> Worded:
    """How an example would read by these templates; nothing is stored."""
    receiver = Receiver(workspace=actor.workspace, name="", kind=ReceiverKind.MAIL)
    _set(receiver, {"language": language, "subject_template": subject_template, "body_template": body_template})
    example = Dispatch(
        receiver=receiver,
        kind="alert.fired",
        severity=Severity.WARNING,
        title=say("Negative articles about “{name}” surge", name="Harbour"),
        content={
            "lines": [say("In the last hour there were {count} negative articles, {expected} were expected.", count=42, expected=9)],
            "facts": [[say("Negative share"), "61 %"], [say("Stories"), "5"]],
            "payload": {"observed": 42, "expected": 9},
        },
        page="monitors/1",
    )  # fmt: skip
    return worded(example, receiver)


def _set(receiver: Receiver, columns: Mapping[str, Any]) -> Sequence[Any] | None:
    """Set what is given and check it; returns the people, who are kept in a table of their own, when they are given."""
    for name, value in columns.items():
        if name not in FIELDS:
            raise TypeError(name)
        if name != "people":
            setattr(receiver, name, value)
    if receiver.language not in dict(settings.LANGUAGES):
        raise Refused("unknown_language", say("There is no such language."), field="language")
    if len(receiver.subject_template) > LONGEST_SUBJECT or len(receiver.body_template) > LONGEST_TEMPLATE:
        raise Refused("template_too_long", say("The template is too long."), field="body_template")
    check_template(receiver.subject_template, field="subject_template")
    check_template(receiver.body_template, field="body_template")
    receiver.addresses = _addresses(receiver.addresses)
    if columns.get("url") and receiver.kind in BY_ADDRESS:
        receiver.shown_url = _shown(receiver)
    people = columns.get("people")
    return None if people is None else list(people)


def _require_address(receiver: Receiver, people: Sequence[Any] | None) -> None:
    """Each kind has its own address, and no other's."""
    if receiver.kind not in BY_ADDRESS and receiver.url:
        raise Refused("no_address", say("This kind of receiver has no web address."), field="url")
    if receiver.kind != ReceiverKind.MAIL and receiver.addresses:
        raise Refused("no_mail", say("Only receivers by mail have mail addresses."), field="addresses")
    if receiver.kind != ReceiverKind.PEOPLE and people:
        raise Refused("no_people", say("Only receivers in the workspace name people."), field="people")
    if receiver.kind in BY_ADDRESS and not receiver.url:
        raise Refused("address_missing", say("Give the address."), field="url")
    if receiver.kind == ReceiverKind.MAIL and not receiver.addresses:
        raise Refused("address_missing", say("Give at least one mail address."), field="addresses")
    if receiver.kind == ReceiverKind.PEOPLE:
        _require_members(receiver, people or ())


def _require_members(receiver: Receiver, people: Sequence[Any]) -> None:
    if not 1 <= len(people) <= MOST_PEOPLE:
        raise Refused("people_missing", say("Choose 1 to {most} people.", most=MOST_PEOPLE), field="people")
    members = Membership.objects.filter(workspace=receiver.workspace, user__in=people)
    if members.count() != len({person.pk for person in people}):
        raise Refused("not_a_member", say("Choose members of the workspace."), field="people")


def _addresses(given: Sequence[str]) -> list[str]:
    """Each once, in order; Refused when one is no mail address."""
    found = list(dict.fromkeys(address.strip() for address in given if address.strip()))
    if len(found) > MOST_ADDRESSES:
        raise Refused(
            "too_many_addresses", say("Give at most {most} addresses.", most=MOST_ADDRESSES), field="addresses"
        )
    for address in found:
        try:
            validate_email(address)
        except ValidationError as error:
            message = say("“{address}” is no mail address.", address=address[:100])
            raise Refused("bad_address", message, field="addresses") from error
        if len(address) > 254:
            raise Refused("bad_address", say("A mail address is too long."), field="addresses")
    return found


def _shown(receiver: Receiver) -> str:
    """What people may see of the address; Refused when it is none."""
    if len(receiver.url) > LONGEST_URL:
        raise Refused("bad_url", say("The address is too long."), field="url")
    if receiver.kind == ReceiverKind.APPRISE:
        return apprise.shown(receiver.url)
    check_url(receiver.url)
    parts = urlsplit(receiver.url)
    return f"{parts.scheme}://{parts.netloc}/{apprise.HIDDEN}"


def _save(receiver: Receiver, people: Sequence[Any] | None) -> None:
    try:
        with transaction.atomic():
            receiver.save()
            if people is not None:
                receiver.people.set(people)
    except IntegrityError as error:
        raise conflict("name_taken", say("There is a receiver of this name already.")) from error


def _told(receiver: Receiver, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(receiver, name) for name in names}
