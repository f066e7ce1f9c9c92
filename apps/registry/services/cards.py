"""Write on a model card: every save is a new revision."""

from django.db import transaction
from django.db.models import Max

from apps.accounts.services import audit
from apps.registry.cards import generated_card
from apps.registry.models import CardRevision, ModelVersion
from core.access import Actor

WRITTEN = ("intended_use", "limits", "licence", "privacy", "notes")


@transaction.atomic
def edit_card(
    *,
    actor: Actor,
    version: ModelVersion,
    intended_use: str = "",
    limits: str = "",
    licence: str = "",
    privacy: str = "",
    notes: str = "",
) -> CardRevision:
    """The next revision of the card; what the platform knows is written anew beside it."""
    texts = {"intended_use": intended_use, "limits": limits, "licence": licence, "privacy": privacy, "notes": notes}
    return _next_revision(actor, version, texts)


@transaction.atomic
def renew_card(*, actor: Actor, version: ModelVersion) -> CardRevision:
    """The next revision with what people wrote kept: the platform knows something new of the version."""
    last = CardRevision.objects.filter(version=version).latest("number")
    return _next_revision(actor, version, {name: getattr(last, name) for name in WRITTEN})


def _next_revision(actor: Actor, version: ModelVersion, texts: dict[str, str]) -> CardRevision:
    ModelVersion.objects.select_for_update(of=("self",)).get(pk=version.pk)
    last = CardRevision.objects.filter(version=version).aggregate(last=Max("number"))["last"] or 0
    revision = CardRevision.objects.create(
        version=version,
        number=last + 1,
        generated=generated_card(version),
        **texts,
        created_by=actor.user,
    )
    audit(actor=actor, action="model_card.edit", obj=version, revision=revision.number)
    return revision
