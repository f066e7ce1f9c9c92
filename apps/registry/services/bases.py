"""Add and remove base models of a workspace."""

from collections.abc import Sequence
from pathlib import Path

from django.conf import settings
from django.db import IntegrityError, transaction

from apps.accounts.services import audit
from apps.registry.models import BaseKind, BaseModel
from core.access import Actor
from core.errors import Refused, conflict
from engine.specs.base_models import BaseModel as Reference
from words import say


@transaction.atomic
def add_base_model(
    *,
    actor: Actor,
    name: str,
    kind: str,
    reference: str,
    task_family: str,
    revision: str = "",
    languages: Sequence[str] = (),
    licence: str = "",
    note: str = "",
) -> BaseModel:
    """Make a base model known to the workspace.

    A folder must lie in one of settings.BASE_MODEL_FOLDERS, so that nobody reaches files of other workspaces.
    """
    reference = reference.strip()
    _read, problems = Reference.read("reference", {"kind": kind, "name": reference, "revision": revision})
    if problems:
        raise Refused(problems[0].code, problems[0].message, field="reference", hint=problems[0].hint)
    if kind == BaseKind.FOLDER:
        reference = str(_allowed_folder(reference))
    try:
        with transaction.atomic():
            base = BaseModel.objects.create(
                workspace=actor.workspace,
                name=name.strip() or reference,
                kind=kind,
                reference=reference,
                revision=revision,
                task_family=task_family,
                languages=list(languages),
                licence=licence,
                note=note,
                created_by=actor.user,
            )
    except IntegrityError as error:
        raise conflict("base_model_known", say("This base model is in the list already.")) from error
    audit(actor=actor, action="base_model.add", obj=base, kind=kind, reference=reference)
    return base


@transaction.atomic
def delete_base_model(*, actor: Actor, base_model: BaseModel) -> None:
    """Remove a base model that no version was made from; built-in ones stay."""
    if base_model.is_built_in:
        raise conflict("built_in", say("A built-in base model cannot be removed."))
    made = [str(version) for version in base_model.versions.select_related("family").order_by("id")[:5]]
    if made:
        raise conflict(
            "base_model_in_use",
            say("These versions were made from it: {made}.", made=", ".join(made)),
            hint=say("Delete the versions first."),
        )
    audit(actor=actor, action="base_model.delete", obj=base_model)
    base_model.delete()


def _allowed_folder(reference: str) -> Path:
    folder = Path(reference).resolve()
    roots = [Path(root).resolve() for root in settings.BASE_MODEL_FOLDERS]
    if not any(folder.is_relative_to(root) and folder != root for root in roots):
        raise Refused(
            "folder_not_allowed",
            say("Base models may only be read from: {root}.", root=", ".join(str(root) for root in roots)),
            field="reference",
            hint=say("Put the folder there, or ask your administrator to allow its place."),
        )
    if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
        raise Refused(
            "folder_unusable",
            say("This folder holds no config.json with safetensors weights."),
            field="reference",
            hint=say("Give the folder of a Hugging Face model."),
        )
    return folder
