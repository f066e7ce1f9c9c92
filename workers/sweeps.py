"""Decisions of a sweep: which options are tried next, and which runs are given up; the study is made anew from our rows."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from apps.training import services
from apps.training.models import Sweep, TrainingJob
from apps.training.trials import PRUNED, Trial, best_of, trials_of
from core.errors import Refused
from core.jobs.run import Run, Waits
from core.jobs.states import State
from engine.specs import parse_spec
from engine.specs.search import Axis, grid, parse_space
from words import say

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)

LOOK_SECONDS = 300.0  # runs that end call; this is for calls that were lost
FIRST_AT_RANDOM = 8  # trials before TPE has something to go by
KEPT_SHARE = 3  # ASHA: of the runs at a rung about one in three goes on, to three times as many epochs
TRIES = 50  # draws until the options go together
ENDS = {
    State.SUCCEEDED.value: TrialState.COMPLETE,
    State.FAILED.value: TrialState.FAIL,
    State.CANCELLED.value: TrialState.FAIL,
    PRUNED: TrialState.PRUNED,
}


def run_sweep(run: Run) -> dict[str, Any]:
    """Start the next runs; the job waits in its queue while they work and ends with the best of them."""
    sweep = Sweep.objects.select_related("workspace", "dataset_version__dataset", "created_by").get(job=run.job)
    calls = sweep.calls
    trials = trials_of(sweep)
    _give_up_if_all_fail(sweep, trials)
    while len(trials) < sweep.budget and sum(trial.is_open for trial in trials) < sweep.parallel:
        options = propose(sweep, trials)
        if options is None:
            break
        services.start_trial(run=run, sweep=sweep, number=len(trials), trial=options)
        trials = trials_of(sweep)
    ended = sum(not trial.is_open for trial in trials)
    run.progress(ended, sweep.budget, unit="runs", phase=say("waiting for runs"), now=True)
    if ended < len(trials):
        raise Waits(LOOK_SECONDS, lambda: services.call(sweep, unless_calls=calls))
    best = best_of(trials)
    if best is None:
        raise Refused("no_result", say("No run of this sweep ended with a result."), hint=say("Look at its runs."))
    return {"training_job": best.run.pk, "objective": sweep.objective, "value": best.value, "options": best.options}


def propose(sweep: Sweep, trials: Sequence[Trial]) -> dict[str, Any] | None:
    """The options of the next trial by the sweep's strategy and seed; None when nothing is left to try."""
    axes, _problems = parse_space(sweep.recipe, sweep.spec, sweep.space, sweep.strategy)
    if sweep.strategy == "grid":
        points = [point for point in grid(axes) if _go_together(sweep, point)]
        return points[len(trials)] if len(trials) < len(points) else None
    for attempt in range(TRIES):
        # a study made anew draws from the start of its seed: each draw has its own
        study = study_of(sweep, axes, trials, seed=(sweep.seed * 1_000_003 + len(trials) * TRIES + attempt) % 2**32)
        drawn = study.ask(_distributions(axes)).params
        options = {axis.name: _value(axis, drawn[axis.name]) for axis in axes}
        if _go_together(sweep, options):
            return options
    return None


def falls_behind(training_job: TrainingJob) -> bool:
    """Whether the newest value of this run is among those that the sweep gives up (asynchronous successive halving).

    L. Li et al., A System for Massively Parallel Hyperparameter Tuning, 2020: at rungs of 1, 3, 9, ... epochs the best
    third of all that came so far goes on.
    """
    sweep = training_job.sweep
    assert sweep is not None
    axes, _problems = parse_space(sweep.recipe, sweep.spec, sweep.space, sweep.strategy)
    trials = trials_of(sweep)
    return training_job.trial_number in _given_up(_study(sweep, seed=0), axes, trials)


def study_of(sweep: Sweep, axes: Sequence[Axis], trials: Sequence[Trial], *, seed: int) -> optuna.Study:
    """An Optuna study in memory that knows the given trials; open ones count as poor, so that nobody repeats them."""
    study = _study(sweep, seed=seed)
    distributions = _distributions(axes)
    for trial in trials:
        done = ENDS.get(trial.state, TrialState.RUNNING)
        if done == TrialState.COMPLETE and trial.value is None:
            done = TrialState.FAIL
        study.add_trial(
            optuna.trial.create_trial(
                state=done,
                value=trial.value if done == TrialState.COMPLETE else None,
                params={axis.name: _coded(axis, trial.options[axis.name]) for axis in axes},
                distributions=distributions,
                intermediate_values=dict(enumerate(trial.values, 1)),
            )
        )
    return study


def _given_up(study: optuna.Study, axes: Sequence[Axis], trials: Sequence[Trial]) -> set[int]:
    """Numbers of trials whose newest report the pruner would not let go on, all reports told again in their order."""
    distributions = _distributions(axes)
    asked = {}
    for trial in trials:
        study.enqueue_trial({axis.name: _coded(axis, trial.options[axis.name]) for axis in axes})
        asked[trial.number] = study.ask(distributions)
    reports = sorted(
        (at, trial.number, epoch, value)
        for trial in trials
        for epoch, (value, at) in enumerate(zip(trial.values, trial.times, strict=True), 1)
    )
    given_up: set[int] = set()
    for _at, number, epoch, value in reports:
        asked[number].report(value, epoch)
        (given_up.add if asked[number].should_prune() else given_up.discard)(number)
    return given_up


def _study(sweep: Sweep, *, seed: int) -> optuna.Study:
    sampler: optuna.samplers.BaseSampler = optuna.samplers.RandomSampler(seed=seed)
    if sweep.strategy == "tpe":
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=FIRST_AT_RANDOM, constant_liar=True)
    return optuna.create_study(
        direction="minimize" if sweep.lower_is_better else "maximize",
        sampler=sampler,
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=KEPT_SHARE),
    )


def _distributions(axes: Sequence[Axis]) -> dict[str, BaseDistribution]:
    return {axis.name: _distribution(axis) for axis in axes}


def _distribution(axis: Axis) -> BaseDistribution:
    if axis.values:
        return CategoricalDistribution(range(len(axis.values)))  # any JSON may be a value: its place is drawn
    if axis.whole:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log, step=int(axis.step or 1))
    return FloatDistribution(axis.low, axis.high, log=axis.log, step=axis.step)


def _coded(axis: Axis, value: Any) -> Any:
    return axis.values.index(value) if axis.values else value


def _value(axis: Axis, drawn: Any) -> Any:
    return axis.values[drawn] if axis.values else drawn


def _go_together(sweep: Sweep, options: Mapping[str, Any]) -> bool:
    return parse_spec(sweep.recipe, {**sweep.spec, **options})[0] is not None


def _give_up_if_all_fail(sweep: Sweep, trials: Sequence[Trial]) -> None:
    """A sweep whose first runs all fail would fail to its end."""
    ended = [trial for trial in trials if not trial.is_open]
    if len(ended) >= 3 and all(trial.state == State.FAILED for trial in ended):
        said = ended[-1].run.job
        raise Refused(
            "all_failed",
            say("All runs of this sweep fail: {message}", message=said.error_message),
            hint=said.error_hint,
        )
