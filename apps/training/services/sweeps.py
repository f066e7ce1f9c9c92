"""Sweeps: start, let children begin, call for the next decision, end with the best, cancel with all children."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.accounts.services import audit
from apps.datasets.models import DatasetVersion
from apps.training.models import Sweep, TrainingJob
from apps.training.services.checks import check
from apps.training.services.runs import queue_run
from core.access import Actor
from core.errors import Problem, Refused
from core.jobs import services as jobs
from core.jobs.models import Job, Stop
from core.jobs.run import Run
from core.jobs.states import ENDED, OPEN, State
from core.queue import wake
from engine import specs
from engine.specs.search import grid, parse_space
from words import say

LARGEST_BUDGET = 500
LARGEST_PARALLEL = 16
PRIORITY = 30  # a decision takes a second, and runs wait for it


def check_sweep(
    *,
    recipe: str,
    spec: Mapping[str, Any],
    version: DatasetVersion,
    space: Any,
    strategy: str,
    budget: int,
    objective: str,
    parallel: int,
) -> list[Problem]:
    """Everything that is wrong with a sweep, fields first."""
    _parsed, problems = check(recipe=recipe, spec=spec, version=version)
    axes, found = parse_space(recipe, spec, space, strategy)
    problems += [Problem(one.code, one.message, one.field, one.hint) for one in found]
    known = specs.RECIPES[recipe].dev_metrics
    if objective not in known:
        problems.append(
            Problem(
                "bad_choice",
                say("“{objective}” is not measured on dev by this recipe.", objective=objective),
                "objective",
                say("Choose one of: {known}.", known=", ".join(known)),
            )
        )
    for field, value, most in (("budget", budget, LARGEST_BUDGET), ("parallel", parallel, LARGEST_PARALLEL)):
        if not 1 <= value <= most:
            problems.append(Problem("out_of_range", say("{field} must be 1 to {most}.", field=field, most=most), field))
    if strategy == "grid" and axes and not found and len(grid(axes)) > LARGEST_BUDGET:
        problems.append(
            Problem(
                "grid_too_large",
                say("The grid has {count} points, more than {most}.", count=len(grid(axes)), most=LARGEST_BUDGET),
                "space",
                say("Take values out, or choose another strategy."),
            )
        )
    return problems


@transaction.atomic
def start_sweep(
    *,
    actor: Actor,
    recipe: str,
    spec: Mapping[str, Any],
    version: DatasetVersion,
    space: Mapping[str, Any],
    strategy: str = "tpe",
    budget: int = 20,
    objective: str = "",
    pruning: bool = True,
    parallel: int = 1,
    seed: int = 17,
    name: str = "",
    family_name: str = "",
) -> Sweep:
    """Queue a sweep; refused with every problem at once. An empty objective is the recipe's first dev metric."""
    objective = objective or specs.RECIPES[recipe].dev_metrics[0]
    problems = check_sweep(
        recipe=recipe,
        spec=spec,
        version=version,
        space=space,
        strategy=strategy,
        budget=budget,
        objective=objective,
        parallel=parallel,
    )
    if problems:
        raise Refused("invalid_sweep", say("This sweep cannot start yet."), problems=problems)
    if strategy == "grid":
        budget = min(budget, len(grid(parse_space(recipe, spec, space, strategy)[0])))
    name = (name.strip() or f"{version.dataset.name} · {recipe}")[:120]
    job = jobs.create(
        kind="training.sweep",
        workspace=actor.workspace,
        queue="infer",
        title=say("Sweep {name}", name=name),
        by=actor.user,
        priority=PRIORITY,
        can_pause=True,
        unit="runs",
    )
    sweep = Sweep.objects.create(
        workspace=actor.workspace,
        job=job,
        name=name,
        recipe=recipe,
        spec=dict(spec),
        space=dict(space),
        strategy=strategy,
        budget=budget,
        objective=objective,
        pruning=pruning,
        parallel=parallel,
        seed=seed,
        dataset_version=version,
        family_name=(family_name.strip() or version.dataset.name)[:80],
        created_by=actor.user,
    )
    job.page = f"training/sweeps/{sweep.pk}"
    job.save(update_fields=["page"])
    audit(actor=actor, action="training.sweep", obj=sweep, strategy=strategy, budget=budget)
    return sweep


def start_trial(*, run: Run, sweep: Sweep, number: int, trial: Mapping[str, Any]) -> TrainingJob:
    """Queue the next run of a sweep; called by the worker. Refused when these options do not go together."""
    parsed, problems = check(recipe=sweep.recipe, spec={**sweep.spec, **trial}, version=sweep.dataset_version)
    if parsed is None:
        raise Refused("invalid_trial", say("These options do not go together."), problems=problems)
    with run.fenced():
        return queue_run(
            workspace=sweep.workspace,
            by=sweep.created_by,
            recipe=sweep.recipe,
            parsed=parsed,
            version=sweep.dataset_version,
            name=f"{sweep.name} #{number + 1}",
            family_name=sweep.family_name,
            sweep=sweep,
            trial_number=number,
            trial=dict(trial),
        )


def call_sweep_of(job: Job) -> None:
    """A training job ended: let its sweep decide what is next."""
    if job.kind != "training.run" or job.state not in ENDED:
        return
    sweep_id = TrainingJob.objects.filter(job=job).values_list("sweep", flat=True).first()
    if sweep_id is not None:
        Sweep.objects.filter(pk=sweep_id).update(calls=F("calls") + 1)
        call(Sweep.objects.select_related("job").get(pk=sweep_id))


def call(sweep: Sweep, *, unless_calls: int | None = None) -> None:
    """Wake the sweep's job now; with `unless_calls` only if somebody has called since that many calls."""
    if unless_calls is not None and Sweep.objects.filter(pk=sweep.pk, calls=unless_calls).exists():
        return
    waiting = Job.objects.filter(pk=sweep.job_id, state=State.QUEUED)
    if waiting.update(run_after=timezone.now()):
        wake(sweep.job.queue)


@transaction.atomic
def cancel_sweep(*, actor: Actor, sweep: Sweep) -> Sweep:
    """Cancel the sweep and every run of it that has not ended."""
    jobs.cancel(job=sweep.job, by=actor.user)
    _cancel_runs(sweep, actor.user)
    audit(actor=actor, action="training.sweep_cancel", obj=sweep)
    return sweep


def stop_orphans() -> int:
    """Cancel what is left of sweeps that were cancelled by their job alone; called by the sweeper."""
    left = Sweep.objects.filter(job__state=State.CANCELLED, runs__job__state__in=OPEN, runs__job__stop_requested="")
    found = list(left.distinct())
    for sweep in found:
        _cancel_runs(sweep, None)
    return len(found)


def _cancel_runs(sweep: Sweep, by: Any) -> None:
    for job in Job.objects.filter(training__sweep=sweep, state__in=OPEN).exclude(stop_requested=Stop.CANCEL):
        jobs.cancel(job=job, by=by)
