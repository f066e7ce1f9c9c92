"""Start and finish the jobs that pack, take in and verify model folders."""

from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apps.accounts.services import audit
from apps.registry.models import ModelVersion, VersionCheck, VersionExport, VersionImport, VersionState
from core.access import Actor
from core.errors import Refused
from core.jobs import services as jobs
from core.storage import home, require_free_space, workspace_folder

ZIP_START = b"PK\x03\x04"


@transaction.atomic
def start_export(*, actor: Actor, version: ModelVersion) -> VersionExport:
    """Queue packing the version as a zip of its Hugging Face folder."""
    job = jobs.create(
        kind="registry.export",
        workspace=actor.workspace,
        queue="io",
        title=_("Export %s") % version,
        by=actor.user,
        page=f"models/versions/{version.pk}",
        unit="bytes",
    )
    audit(actor=actor, action="model_version.export", obj=version)
    return VersionExport.objects.create(job=job, workspace=actor.workspace, version=version)


def finish_export(*, export: VersionExport, path: Path, sha256: str) -> None:
    """Note where the zip lies; called by the worker under its lease."""
    VersionExport.objects.filter(pk=export.pk).update(
        path=path.relative_to(home()).as_posix(), bytes=path.stat().st_size, sha256=sha256
    )


def start_import(*, actor: Actor, name: str, upload: UploadedFile, description: str = "") -> VersionImport:  # type: ignore[type-arg]
    """Keep the uploaded zip and queue checking, loading and registering it."""
    name = name.strip()
    if not name or len(name) > 80 or "\0" in name:
        raise Refused("bad_name", _("Give the model a name of at most 80 characters."), field="name")
    size = upload.size or 0
    if size > settings.UPLOAD_LIMIT_BYTES:
        raise Refused(
            "file_too_large", _("The file is larger than this installation allows."), field="file", status=413
        )
    require_free_space(2 * size)
    place = workspace_folder(actor.workspace.pk, "uploads") / f"{uuid4().hex}.zip"
    head = _store(upload, place)
    if not head.startswith(ZIP_START):
        place.unlink(missing_ok=True)
        raise Refused(
            "not_a_zip",
            _("This is not a zip file."),
            field="file",
            hint=_("Zip the model folder with config.json, model.safetensors and tokenizer.json."),
        )
    with transaction.atomic():
        job = jobs.create(
            kind="registry.import",
            workspace=actor.workspace,
            queue="infer",
            title=_("Import model %s") % name,
            by=actor.user,
            unit="bytes",
        )
        made = VersionImport.objects.create(
            job=job,
            workspace=actor.workspace,
            name=name,
            filename=(upload.name or "model.zip")[:200],
            upload=place.relative_to(home()).as_posix(),
            description=description,
        )
        job.page = f"models/imports/{made.pk}"
        job.save(update_fields=["page"])
        audit(actor=actor, action="model_version.import", obj=made, name=name, bytes=size)
    return made


def finish_import(*, model_import: VersionImport, version: ModelVersion) -> None:
    """Tie the import to the version it became; called by the worker under its lease."""
    VersionImport.objects.filter(pk=model_import.pk).update(version=version)


@transaction.atomic
def start_check(*, actor: Actor, version: ModelVersion) -> VersionCheck:
    """Queue comparing the version's files with their registered hashes."""
    job = jobs.create(
        kind="registry.verify",
        workspace=actor.workspace,
        queue="io",
        title=_("Verify files of %s") % version,
        by=actor.user,
        page=f"models/versions/{version.pk}",
        unit="bytes",
    )
    audit(actor=actor, action="model_version.verify", obj=version)
    return VersionCheck.objects.create(job=job, workspace=actor.workspace, version=version)


def finish_check(*, check: VersionCheck, problems: Sequence[dict[str, str]]) -> None:
    """Keep what was found; a version with missing or altered files is damaged until it verifies again."""
    bad = any(found["problem"] != "additional" for found in problems)
    VersionCheck.objects.filter(pk=check.pk).update(problems=list(problems))
    ModelVersion.objects.filter(pk=check.version_id).update(
        state=VersionState.DAMAGED if bad else VersionState.READY, verified_at=timezone.now()
    )


def _store(upload: UploadedFile, place: Path) -> bytes:  # type: ignore[type-arg]
    """Write the upload to `place`; returns its first bytes."""
    head = b""
    with place.open("wb") as handle:
        for chunk in upload.chunks():
            head = head or bytes(chunk[:4])
            handle.write(chunk)
    return head
