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
    reproduce,
    run_folder,
    start,
)

__all__ = [
    "Outcome",
    "ask_preflight",
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
    "reproduce",
    "run_folder",
    "start",
]
