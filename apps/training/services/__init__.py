"""What people and workers do with training: start, check before the start, keep what runs report, finish."""

from apps.training.services.checks import check
from apps.training.services.preflights import ask_preflight, finish_preflight
from apps.training.services.runs import (
    Outcome,
    finish,
    fix_threads,
    halve_micro_batch,
    keep_checkpoint,
    keep_estimate,
    keep_metrics,
    keep_problems,
    keep_seen,
    prune,
    queue_run,
    reproduce,
    run_folder,
    start,
)
from apps.training.services.sweeps import (
    call,
    call_sweep_of,
    cancel_sweep,
    start_sweep,
    start_trial,
    stop_orphans,
)

__all__ = [
    "Outcome",
    "ask_preflight",
    "call",
    "call_sweep_of",
    "cancel_sweep",
    "check",
    "finish",
    "finish_preflight",
    "fix_threads",
    "halve_micro_batch",
    "keep_checkpoint",
    "keep_estimate",
    "keep_metrics",
    "keep_problems",
    "keep_seen",
    "prune",
    "queue_run",
    "reproduce",
    "run_folder",
    "start",
    "start_sweep",
    "start_trial",
    "stop_orphans",
]
