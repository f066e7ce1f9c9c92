"""What the quality benches share: rows as a frozen version, then one training job and one evaluation job on it."""

import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from apps.datasets import services as datasets
from apps.datasets.models import Dataset, DatasetVersion
from apps.evaluation import services as evaluation
from apps.evaluation.models import EvaluationJob
from apps.training import services as training
from core.access import Actor
from core.jobs.models import Job
from workers.bench.tenant import as_upload, finish


def frozen(actor: Actor, name: str, kind: str, rows: Iterable[Mapping[str, Any]]) -> DatasetVersion:
    """The frozen version of these rows (each with id and split); made once in an installation."""
    found = DatasetVersion.objects.filter(dataset__workspace=actor.workspace, dataset__name=name).first()
    if found is not None:
        return found
    dataset = datasets.create(actor=actor, name=name, kind=kind, language="")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        with path.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        received = datasets.receive(actor=actor, dataset=dataset, upload=as_upload(path))
    finish(_job(datasets.start(actor=actor, import_job=received).job))
    made = datasets.freeze(actor=actor, dataset=Dataset.objects.get(pk=dataset.pk))
    finish(_job(made.job))
    return DatasetVersion.objects.get(pk=made.pk)


def learn_and_measure(
    actor: Actor, version: DatasetVersion, recipe: str, spec: dict[str, Any], name: str
) -> tuple[EvaluationJob, str]:
    """The evaluation of a fresh training run on the test split, and in words how it was made."""
    run = training.start(actor=actor, recipe=recipe, spec=spec, version=version, name=name, family_name=name)
    finish(run.job)
    run.refresh_from_db()
    assert run.model_version is not None
    found = evaluation.start_evaluation(actor=actor, model_version=run.model_version, dataset_version=version)
    finish(found.job)
    found.refresh_from_db()
    return found, (
        f"{found.row_count} texts, training job {run.pk}, spec {run.spec_hash[:12]}, "
        f"{run.summary['seconds'] / 60:.1f} min, {run.threads} thread(s)"
    )


def _job(job: Job | None) -> Job:
    assert job is not None
    return job
