"""Jobs of the registry: pack or convert a version, take one in, verify files."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from django.conf import settings

from apps.registry import archives, services
from apps.registry.cards import full_card
from apps.registry.files import compare_with_manifest, keep_folder
from apps.registry.model_folders import check_model_folder
from apps.registry.models import ExportKind, ModelVersion, Source, VersionCheck, VersionExport, VersionImport
from apps.registry.selectors import base_folder, card_of, version_folder
from core.errors import Refused
from core.jobs.run import Run
from core.jobs.work import work_folder
from core.storage import home, require_free_space, sha256_of, whole_file, workspace_folder
from words import say
from workers.engine_task import run_engine

PROBE_TOKENS = 8
PROBE_TEXTS = ("Where is my card?", "我的卡在哪里")


def run_export(run: Run) -> dict[str, Any]:
    """Pack the version as a deterministic zip: files by name, fixed times, the card as README."""
    rows = VersionExport.objects.select_related("version__family", "version__base_model")
    export = rows.get(job=run.job)
    place = work_folder(run)
    try:
        folder, files = version_folder(export.version), export.version.files
        if export.kind != ExportKind.ARCHIVE:
            folder, files = _converted(run, export, folder, place)
        return _packed(run, export, folder, [file for file in files if file["path"] != "README.md"])
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _converted(run: Run, export: VersionExport, model: Path, place: Path) -> tuple[Path, list[dict[str, Any]]]:
    """The converted folder and its files; Refused when it is not the trained model any more."""
    require_free_space(2 * export.version.size_bytes)
    order: dict[str, Any] = {"task": "export", "kind": export.kind, "model": str(model), "out": str(place / "out")}
    if export.kind == ExportKind.ADAPTER:
        order["bases"] = base_folder(export.version)
    found = run_engine(run, order, place, threads=settings.INFER_THREADS)
    parity = found["parity"]
    with run.fenced():
        services.keep_parity(export=export, parity=parity)
    if not parity["passed"]:
        raise Refused(
            "parity_failed",
            say("The converted files do not give what the version gives, so they were thrown away."),
            hint=say("The measured difference stands beside the export. Report it, and export another kind."),
        )
    folder = Path(found["folder"])
    return folder, [{"path": name, "bytes": (folder / name).stat().st_size} for name in found["files"]]


def _packed(run: Run, export: VersionExport, folder: Path, files: list[dict[str, Any]]) -> dict[str, Any]:
    version, total = export.version, sum(int(file["bytes"]) for file in files)
    require_free_space(total)
    target = workspace_folder(export.workspace_id, "exports") / f"model-{version.pk}-{export.pk}.zip"
    extra = {"README.md": full_card(version, card_of(version))}
    with whole_file(target) as beside:
        archives.pack(
            beside,
            folder,
            files,
            extra,
            lambda done: run.progress(done, total, unit="bytes", phase=say("packing")),
        )
    digest = sha256_of(target)
    with run.fenced():
        services.finish_export(export=export, path=target, sha256=digest)
    return {"bytes": target.stat().st_size, "sha256": digest}


def run_import(run: Run) -> dict[str, Any]:
    """Unpack, check and load an uploaded model, then register it."""
    row = VersionImport.objects.select_related("workspace", "job__requested_by").get(job=run.job)
    place = work_folder(run)
    model, probe = place / "model", place / "probe"
    if not row.upload or not (home() / row.upload).is_file():
        raise Refused("file_gone", say("The file of this import is gone. Upload it again."))
    try:
        model.mkdir()
        limit = settings.UPLOAD_LIMIT_BYTES * 2
        left_out = archives.unpack(
            home() / row.upload,
            model,
            limit_bytes=limit,
            progress=lambda done: run.progress(done, None, unit="bytes", phase=say("unpacking")),
        )
        if left_out:
            run.log(say("Left out: {files}", files=", ".join(left_out[:20])))
        found = check_model_folder(model)
        probe.mkdir()
        texts = {"example_id": [0, 1], "text": list(PROBE_TEXTS), "context": list(PROBE_TEXTS)}
        pq.write_table(pa.table(texts), probe / "probe.parquet")
        order = {
            "task": "predict",
            "model": str(model),
            "data": {"path": str(probe / "probe.parquet"), "column": "text"},
            "out": str(probe / "out"),
            "max_new_tokens": PROBE_TOKENS,
        }
        probed = run_engine(run, order, probe, threads=settings.INFER_THREADS)
        kept = keep_folder(workspace_id=row.workspace_id, folder=model)
        with run.fenced():
            version = services.register_version(
                workspace=row.workspace,
                name=row.name,
                folder=kept,
                recipe="import",
                task=found.task,
                source=Source.IMPORT,
                origin=f"import:{row.pk}",
                labels=found.labels,
                multi_label=found.multi_label,
                making=services.Making(
                    parameter_count=found.parameters,
                    environment={"architecture": found.architecture},
                    template_hash=probed.get("template_hash", ""),
                ),
                by=row.job.requested_by,
                description=row.description,
            )
            services.finish_import(model_import=row, version=version)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    (home() / row.upload).unlink(missing_ok=True)
    return {"model_version": version.pk}


def run_check(run: Run) -> dict[str, Any]:
    """Compare a version's files with the hashes it was registered with."""
    check = VersionCheck.objects.select_related("version__family").get(job=run.job)
    version: ModelVersion = check.version
    problems = compare_with_manifest(
        version.path,
        version.files,
        lambda done: run.progress(done, version.size_bytes, unit="bytes", phase=say("reading")),
    )
    with run.fenced():
        services.finish_check(check=check, problems=problems)
    return {"problems": problems}
