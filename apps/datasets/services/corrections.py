"""Remember what a person said is right about a text met in another room."""

import hashlib

from apps.datasets.models import Correction
from core.access import Actor


def correct(*, actor: Actor, text: str, label: str, source: str, source_id: str = "") -> Correction:
    """Keep one correction as plain values; annotation offers it as a label later."""
    return Correction.objects.create(
        workspace=actor.workspace,
        text_hash=hashlib.sha256(text.encode()).hexdigest(),
        text=text,
        label=label,
        author=str(actor)[:300],
        source=source,
        source_id=source_id,
    )
