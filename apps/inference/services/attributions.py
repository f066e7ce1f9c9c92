"""Ask which words of a text a version gives a label by: a committed row that the resident role answers beside all others."""

from django.db import transaction

from apps.inference.models import OnlineKind, OnlineRequest
from apps.inference.services.asking import require_usable
from apps.inference.services.guarding import Guarded
from apps.inference.services.online import make_request
from apps.inference.services.routes import Route
from apps.registry.models import ModelVersion, Task
from apps.registry.selectors import version_folder
from core.access import Actor
from core.errors import Refused
from words import say

MOST_ATTRIBUTED_CHARACTERS = 20_000  # far more than the tokens that can be explained


@transaction.atomic
def ask_attribution(
    *, actor: Actor, version: ModelVersion, text: str, label: str = "", guarded: Guarded | None = None
) -> OnlineRequest:
    """Ask why a version gives a text a label: the one it predicts, or `label`. Guards let the text pass as for a single label."""
    if guarded:
        [text] = guarded.texts
    require_usable(version)
    if version.task != Task.CLASSIFICATION:
        raise Refused(
            "wrong_task",
            say("“{version}” does something else. Choose a version that labels texts.", version=version),
            field="model",
        )
    version_folder(version)
    if not text.strip() or "\0" in text:
        raise Refused("empty", say("Write a text."), field="text")
    if len(text) > MOST_ATTRIBUTED_CHARACTERS:
        raise Refused(
            "text_too_long",
            say("A text that is explained has at most {most:,} characters.", most=MOST_ATTRIBUTED_CHARACTERS),
            field="text",
        )
    return make_request(actor, Route(version), guarded, kind=OnlineKind.ATTRIBUTE, texts=[text], label=label)
