"""The runner of checks before a training: problems, lengths, size and time of a run that nobody has started."""

import shutil
from typing import Any

from django.conf import settings

from apps.datasets.selectors import version_file
from apps.training import services
from apps.training.bases import places
from apps.training.earlier import earlier_files
from apps.training.models import Preflight
from core.jobs.run import Run
from core.jobs.work import work_folder
from engine import specs
from workers.engine_task import run_engine


def run_preflight(run: Run) -> dict[str, Any]:
    """Ask the engine, with the threads that a training has: the time it names is the training's."""
    preflight = Preflight.objects.select_related("dataset_version__dataset").get(job=run.job)
    place = work_folder(run)
    version = preflight.dataset_version
    parsed = specs.parse_spec(preflight.recipe, preflight.spec)[0]
    order = {
        "task": "preflight",
        "recipe": preflight.recipe,
        "spec": preflight.spec,
        "data": {"path": str(version_file(version)), "kind": version.dataset.kind, "hash": version.content_hash},
        "out": str(place / "out"),
        "bases": places(parsed, preflight.workspace),
        "earlier": earlier_files(parsed, version),
    }
    try:
        found = run_engine(run, order, place, threads=settings.TRAIN_THREADS)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    result = {name: value for name, value in found.items() if name != "type"}
    with run.fenced():
        services.finish_preflight(preflight=preflight, result=result)
    return {"problems": len(result["problems"])}
