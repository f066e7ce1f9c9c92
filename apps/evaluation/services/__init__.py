"""What people and workers do in the evaluation room; each verb lives in the file of its subject."""

from apps.evaluation.services.evaluations import (
    LARGEST_ANSWER_TOKENS,
    clear_results,
    delete_evaluation,
    finish_comparison,
    finish_evaluation,
    start_comparison,
    start_evaluation,
)
from apps.evaluation.services.gate import approve, move_alias, set_gate
from apps.evaluation.services.remembering import measure_tasks
from apps.evaluation.services.suites import (
    CheckPlan,
    create_suite,
    delete_suite,
    plans_of,
    revise_suite,
    run_suite,
    set_checks,
    suite_hash,
)

__all__ = [
    "LARGEST_ANSWER_TOKENS",
    "CheckPlan",
    "approve",
    "clear_results",
    "create_suite",
    "delete_evaluation",
    "delete_suite",
    "finish_comparison",
    "finish_evaluation",
    "measure_tasks",
    "move_alias",
    "plans_of",
    "revise_suite",
    "run_suite",
    "set_checks",
    "set_gate",
    "start_comparison",
    "start_evaluation",
    "suite_hash",
]
