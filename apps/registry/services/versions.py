"""Register a frozen version, describe it, and delete one that nothing needs."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.accounts.services import audit
from apps.registry.cards import generated_card
from apps.registry.files import KeptFolder, keep_folder
from apps.registry.models import (
    FAMILY_NAME_CHARACTERS,
    Alias,
    BaseModel,
    CardRevision,
    ModelFamily,
    ModelVersion,
    Source,
)
from core.access import Actor
from core.dependents import dependents
from core.errors import Refused, conflict
from words import say

SAMPLES_KEPT = 200


@dataclass(frozen=True)
class Making:
    """How a version was made: all that is needed to make it again."""

    spec: Mapping[str, Any] = field(default_factory=dict)
    spec_hash: str = ""
    seed: int | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    template_hash: str = ""
    timings: Mapping[str, float] = field(default_factory=dict)  # seconds by phase
    parameter_count: int | None = None
    dataset_hash: str = ""


@transaction.atomic
def register_version(
    *,
    workspace: Any,
    name: str,
    folder: Path | KeptFolder,
    recipe: str,
    task: str,
    source: str = Source.TRAINING,
    origin: str = "",
    labels: Sequence[str] = (),
    multi_label: bool = False,
    metrics: Mapping[str, Any] | None = None,
    samples: Sequence[Mapping[str, Any]] = (),
    making: Making | None = None,
    dataset_version: Any = None,
    base_model: BaseModel | None = None,
    parent: ModelVersion | None = None,
    by: Any = None,
    description: str = "",
) -> ModelVersion:
    """The next version of the family `name`, which is made when it is new.

    `folder` is a finished Hugging Face folder (linked into place here) or the result of keep_folder().
    `metrics` maps a split to the figures of engine.evaluate; `samples` are rows of its example table with
    their text; `dataset_version` is what it learned from. With `origin` ("training:12") a second call returns
    the version of the first one.
    Raises Refused("family_task") when the family holds versions of another task.
    """
    if origin:
        earlier = ModelVersion.objects.filter(workspace=workspace, origin=origin).first()
        if earlier is not None:
            return earlier
    family = _next_number(workspace, name.strip(), task, by)
    kept = folder if isinstance(folder, KeptFolder) else keep_folder(workspace_id=workspace.pk, folder=folder)
    making = making or Making()
    version = ModelVersion.objects.create(
        workspace=workspace,
        family=family,
        number=family.last_number,
        source=source,
        origin=origin,
        recipe=recipe,
        task=task,
        labels=list(labels),
        multi_label=multi_label,
        folder=kept.folder,
        files=kept.files,
        content_hash=kept.content_hash,
        size_bytes=kept.size_bytes,
        parameter_count=making.parameter_count,
        metrics=dict(metrics or {}),
        samples=[dict(row) for row in samples[:SAMPLES_KEPT]],
        spec=dict(making.spec),
        spec_hash=making.spec_hash,
        seed=making.seed,
        environment=dict(making.environment),
        template_hash=making.template_hash,
        timings=dict(making.timings),
        dataset_version=dataset_version,
        dataset_hash=making.dataset_hash or (dataset_version.content_hash if dataset_version else ""),
        base_model=base_model,
        parent=parent,
        created_by=by,
        description=description,
    )
    CardRevision.objects.create(
        version=version,
        number=1,
        generated=generated_card(version),
        licence=base_model.licence if base_model else "",
        created_by=by,
    )
    audit(
        actor=None,
        action="model_version.register",
        obj=version,
        workspace=workspace,
        source=source,
        by=by,
        content_hash=version.content_hash,
    )
    return version


def _next_number(workspace: Any, name: str, task: str, by: Any) -> ModelFamily:
    """The family, locked, with its counter moved on."""
    if not name or len(name) > FAMILY_NAME_CHARACTERS or "\0" in name:
        most = FAMILY_NAME_CHARACTERS
        raise Refused("bad_name", say("Give the model a name of at most {most} characters.", most=most), field="name")
    family = ModelFamily.objects.filter(workspace=workspace, name__iexact=name).first()
    if family is None:
        family, _made = ModelFamily.objects.get_or_create(
            workspace=workspace, name=name, defaults={"task": task, "created_by": by}
        )
    family = ModelFamily.objects.select_for_update().get(pk=family.pk)
    if family.task != task:
        raise Refused(
            "family_task",
            say("“{name}” holds versions for {task}. Choose another name.", name=name, task=family.task),
            field="name",
        )
    family.last_number += 1
    family.save(update_fields=["last_number"])
    return family


@transaction.atomic
def describe(*, actor: Actor, version: ModelVersion, description: str) -> ModelVersion:
    """Change the description, the only text of a version that is not frozen."""
    ModelVersion.objects.filter(pk=version.pk).update(description=description)
    version.description = description
    audit(actor=actor, action="model_version.describe", obj=version)
    return version


@transaction.atomic
def delete_version(*, actor: Actor, version: ModelVersion) -> None:
    """Delete a version and its files, unless something was made from it or points to it."""
    ModelVersion.objects.select_for_update().get(pk=version.pk)
    folder, label, users = version.path, str(version), users_of(version)
    if users:
        raise conflict(
            "version_in_use",
            say("{version} is used by {users}.", version=label, users=", ".join(users)),
            hint=say("Move the alias or delete these first, then delete the version."),
        )
    audit(actor=actor, action="model_version.delete", obj=version, content_hash=version.content_hash)
    version.delete()
    transaction.on_commit(lambda: shutil.rmtree(folder, ignore_errors=True))


def users_of(version: ModelVersion) -> list[str]:
    """What forbids deleting `version`, in words: aliases, children, and rows of upper rooms.

    Upper rooms protect a version by a RESTRICT foreign key.
    """
    named = [
        _("alias %s") % alias.name for alias in Alias.objects.filter(version=version).only("name").order_by("name")
    ]
    return named + dependents(version, besides=(Alias,))
