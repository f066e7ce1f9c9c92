"""Which function does which kind of job; each takes the claimed run and returns its result."""

from collections.abc import Callable, Mapping
from typing import Any

from core.jobs.run import Run
from workers import accounts, datasets, evaluation, registry
from workers.backfills import run_backfill
from workers.batches import run_api_batch
from workers.demo import run_demo
from workers.fine_tuning import run_fine_tuning
from workers.inference import run_batch
from workers.preflights import run_preflight
from workers.replaying import run_replay
from workers.sweeps import run_sweep
from workers.training import run_training

Runner = Callable[[Run], Mapping[str, Any] | None]

RUNNERS: dict[str, Runner] = {
    "accounts.delete_workspace": accounts.run_delete_workspace,
    "dashboard.demo": run_demo,
    "datasets.check_file": datasets.run_check_file,
    "datasets.import": datasets.run_import,
    "datasets.freeze": datasets.run_freeze,
    "datasets.export": datasets.run_export,
    "datasets.split": datasets.run_split,
    "datasets.profile": datasets.run_profile,
    "evaluation.compare": evaluation.run_comparison,
    "evaluation.run": evaluation.run_evaluation,
    "inference.api_batch": run_api_batch,
    "inference.batch": run_batch,
    "registry.export": registry.run_export,
    "registry.import": registry.run_import,
    "registry.verify": registry.run_check,
    "sentiment.backfill": run_backfill,
    "sentiment.replay": run_replay,
    "training.fine_tune": run_fine_tuning,
    "training.preflight": run_preflight,
    "training.run": run_training,
    "training.sweep": run_sweep,
}
"""Filled by name in this file only, so that the whole table can be read at once."""
