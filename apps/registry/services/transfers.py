"""Start and finish the jobs that pack, take in and verify model folders."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.utils import timezone

from apps.accounts.services import audit
from apps.registry.models import ExportKind, ModelVersion, VersionCheck, VersionExport, VersionImport, VersionState
from apps.registry.selectors import export_kinds, reads_case
from core.access import Actor
from core.errors import Refused
from core.jobs import services as jobs
from core.jobs.states import ENDED
from core.storage import home, require_free_space, workspace_folder
from words import say

ZIP_START = b"PK\x03\x04"
UPLOAD_KEPT = timedelta(days=7)  # for a retry of an import that failed


@transaction.atomic
def start_export(*, actor: Actor, version: ModelVersion, kind: str = ExportKind.ARCHIVE) -> VersionExport:
    """Queue packing the version as a zip: its own files, or converted and measured."""
    offered = export_kinds(version)
    if kind not in offered:
        raise Refused(
            "export_not_offered",
            _unlike(version, kind) or say("{version} cannot be exported as {kind}.", version=version, kind=kind),
            field="kind",
            hint=say("Choose one of: {kinds}.", kinds=", ".join(offered)),
        )
    job = jobs.create(
        kind="registry.export",
        workspace=actor.workspace,
        queue="io" if kind == ExportKind.ARCHIVE else "infer",
        title=say("Export {version} ({kind})", version=version, kind=kind),
        by=actor.user,
        page=f"models/versions/{version.pk}",
        unit="bytes",
    )
    audit(actor=actor, action="model_version.export", obj=version, kind=kind)
    return VersionExport.objects.create(job=job, workspace=actor.workspace, version=version, kind=kind)


def _unlike(version: ModelVersion, kind: str) -> str:
    """Why a folder that transformers reads alone would be another model; "" where that is not the reason."""
    if kind != ExportKind.MERGED or not reads_case(version):
        return ""
    return say(
        "{version} also reads how each word is written, which transformers' own class leaves out.", version=version
    )


def keep_parity(*, export: VersionExport, parity: Mapping[str, Any]) -> None:
    """Keep what was measured, also when it does not pass; called by the worker under its lease."""
    VersionExport.objects.filter(pk=export.pk).update(parity=dict(parity))


def finish_export(*, export: VersionExport, path: Path, sha256: str) -> None:
    """Note where the zip lies; called by the worker under its lease."""
    VersionExport.objects.filter(pk=export.pk).update(
        path=path.relative_to(home()).as_posix(), bytes=path.stat().st_size, sha256=sha256
    )


def start_import(*, actor: Actor, name: str, upload: UploadedFile, description: str = "") -> VersionImport:  # type: ignore[type-arg]
    """Keep the uploaded zip and queue checking, loading and registering it."""
    name = name.strip()
    if not name or len(name) > 80 or "\0" in name:
        raise Refused("bad_name", say("Give the model a name of at most 80 characters."), field="name")
    size = upload.size or 0
    if size > settings.UPLOAD_LIMIT_BYTES:
        raise Refused(
            "file_too_large", say("The file is larger than this installation allows."), field="file", status=413
        )
    require_free_space(2 * size)
    place = workspace_folder(actor.workspace.pk, "uploads") / f"{uuid4().hex}.zip"
    head = _store(upload, place)
    if not head.startswith(ZIP_START):
        place.unlink(missing_ok=True)
        raise Refused(
            "not_a_zip",
            say("This is not a zip file."),
            field="file",
            hint=say("Zip the model folder with config.json, model.safetensors and tokenizer.json."),
        )
    with transaction.atomic():
        job = jobs.create(
            kind="registry.import",
            workspace=actor.workspace,
            queue="infer",
            title=say("Import model {name}", name=name),
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
        title=say("Verify files of {version}", version=version),
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


def expire_files(*, now: datetime | None = None) -> dict[str, int]:
    """Let go of exports past the workspace's retention, and of uploads whose import ended a week ago.

    The rows stay and say that their file is gone; a file that outlives this is an unnamed one and is swept.
    """
    now = now or timezone.now()
    ended = VersionImport.objects.filter(job__state__in=ENDED, job__finished_at__lt=now - UPLOAD_KEPT)
    done = {"model_exports": 0, "model_uploads": 0}
    for model_import in ended.exclude(upload=""):
        path = home() / model_import.upload
        VersionImport.objects.filter(pk=model_import.pk).update(upload="")
        path.unlink(missing_ok=True)
        done["model_uploads"] += 1
    exports = VersionExport.objects.exclude(path="").filter(job__state__in=ENDED)
    for export in exports.select_related("workspace", "job"):
        days, ended_at = export.workspace.file_retention_days, export.job.finished_at
        if days is None or ended_at is None or ended_at > now - timedelta(days=days):
            continue
        path = home() / export.path
        VersionExport.objects.filter(pk=export.pk).update(path="")
        path.unlink(missing_ok=True)
        done["model_exports"] += 1
    return done
