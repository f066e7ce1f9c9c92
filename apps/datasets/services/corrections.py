"""Remember what a person said is right about a text met in another room; what was said before stays as history."""

import hashlib

from django.db import connection, transaction

from apps.datasets.models import Correction
from core.access import Actor
from core.errors import Refused
from words import say

LONGEST_LABEL, LONGEST_NOTE = 200, 500


@transaction.atomic
def correct(
    *,
    actor: Actor,
    text: str,
    label: str,
    source: str,
    source_id: str = "",
    aspect: str = "",
    task: str = "classification",
    previous_label: str = "",
    model_version: str = "",
    model_version_id: int | None = None,
    note: str = "",
) -> Correction:
    """Keep one correction as plain values; annotation offers it as a label later.

    Of one text and aspect the newest counts, whoever said it. An empty label takes back what was said. Saying again what counts
    makes nothing new. `previous_label` is what `model_version` had said.
    """
    label, note = label.strip(), note.strip()
    if len(label) > LONGEST_LABEL or "\0" in label:
        raise Refused("bad_label", say("A label has 1 to 200 characters."), field="label")
    if len(note) > LONGEST_NOTE:
        raise Refused("note_too_long", say("A note has at most {most} characters.", most=LONGEST_NOTE), field="note")
    digest = text_hash(text)
    _hold(f"{actor.workspace.pk}/{digest}/{aspect}")
    current = Correction.objects.filter(
        workspace=actor.workspace, text_hash=digest, aspect=aspect, is_current=True
    ).first()
    if current is not None and (current.label, note) in ((label, current.note), (label, "")):
        return current
    if current is not None:
        Correction.objects.filter(pk=current.pk).update(is_current=False)
    return Correction.objects.create(
        workspace=actor.workspace,
        text_hash=digest,
        text=text,
        task=task,
        aspect=aspect,
        label=label,
        previous_label=previous_label,
        author=str(actor)[:300],
        author_id=actor.user.pk if actor.user else None,
        source=source,
        source_id=source_id,
        model_version=model_version[:160],
        model_version_id=model_version_id,
        note=note,
    )


def forget_aspect(*, actor: Actor, aspect: str) -> None:
    """Nothing that was said of an aspect counts any more, for what it speaks of is gone; it stays as history."""
    Correction.objects.filter(workspace=actor.workspace, aspect=aspect, is_current=True).update(is_current=False)


def text_hash(text: str) -> str:
    """By which a text is the same wherever it was met."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _hold(name: str) -> None:
    """Corrections of one text and aspect come one after the other, until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [_LOCK, name])


_LOCK = 0xC0E1  # of this use among advisory locks
