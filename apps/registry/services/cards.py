"""Write on a model card: every save is a new revision."""

from django.db import transaction
from django.db.models import Max

from apps.accounts.services import audit
from apps.registry.cards import generated_card
from apps.registry.models import CardRevision, ModelVersion
from core.access import Actor


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
    ModelVersion.objects.select_for_update(of=("self",)).get(pk=version.pk)
    last = CardRevision.objects.filter(version=version).aggregate(last=Max("number"))["last"] or 0
    revision = CardRevision.objects.create(
        version=version,
        number=last + 1,
        generated=generated_card(version),
        intended_use=intended_use,
        limits=limits,
        licence=licence,
        privacy=privacy,
        notes=notes,
        created_by=actor.user,
    )
    audit(actor=actor, action="model_card.edit", obj=version, revision=revision.number)
    return revision
