"""Sweeps: what is tried next, what is given up, how children begin and end, and who may see them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.training import services
from apps.training.models import MetricPoint, Sweep, TrainingJob
from apps.training.sweep_plot import plot_of
from apps.training.trials import best_of, trials_of
from core.errors import Refused
from core.jobs import services as jobs
from core.jobs.models import Job
from core.jobs.run import Run
from workers.loop import run_next
from workers.runners import RUNNERS
from workers.sweeps import falls_behind, propose
from workers.tasks import sweep as sweep_task

SPACE = {"learning_rate": {"low": 1e-5, "high": 1e-2, "log": True}, "epochs": [2, 3]}


@pytest.fixture(autouse=True)
def quiet(settings: Any) -> None:
    settings.JOB_BEAT_SECONDS = 3600


@pytest.fixture
def begin(actor: Any, frozen: Any, spec: dict[str, Any]) -> Callable[..., Sweep]:
    def started(**more: Any) -> Sweep:
        given = {"space": SPACE, "budget": 4, "objective": "accuracy", **more}
        options = {**spec, **given.pop("spec", {})}
        return services.start_sweep(actor=actor, recipe="classify", spec=options, version=frozen, **given)

    return started


def add_trial(sweep: Sweep, values: list[float], *, state: str = "succeeded", **options: Any) -> TrainingJob:
    """A run of the sweep with the objective after each epoch, each later than all before."""
    number = sweep.runs.count()
    trial = {"learning_rate": 1e-3, "epochs": 3, **options}
    run = services.queue_run(
        workspace=sweep.workspace,
        by=None,
        recipe=sweep.recipe,
        parsed=services.check(recipe="classify", spec={**sweep.spec, **trial}, version=sweep.dataset_version)[0],
        version=sweep.dataset_version,
        name=f"run {number}",
        family_name="Run",
        sweep=sweep,
        trial_number=number,
        trial=trial,
    )
    start = timezone.now() + timedelta(minutes=number)
    for epoch, value in enumerate(values):
        MetricPoint.objects.create(
            training_job=run,
            name="dev_accuracy",
            step=10 * epoch,
            value=value,
            at=start + timedelta(seconds=epoch),
        )
    Job.objects.filter(pk=run.job_id).update(state=state)
    return run


def by_learning_rate(run: Run) -> dict[str, Any]:
    """Stands for a training: the larger the rate, the better."""
    training_job = TrainingJob.objects.get(job=run.job)
    for epoch in range(training_job.spec["epochs"]):
        value = training_job.spec["learning_rate"] * (epoch + 1)
        MetricPoint.objects.create(training_job=training_job, name="dev_accuracy", step=epoch, value=value)
    return {}


def work(**runners: Any) -> None:
    """Both queues until nothing is due."""
    known = {**RUNNERS, "training.run": by_learning_rate, **runners}
    while run_next("infer", known) or run_next("train", known):
        pass


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("strategy", ["tpe", "random"])
def test_a_sweep_uses_its_budget_and_ends_with_the_best_run(begin: Any, strategy: str) -> None:
    sweep = begin(strategy=strategy, parallel=2)

    work()

    sweep.job.refresh_from_db()
    trials = trials_of(sweep)
    best = max(trials, key=lambda one: one.value)
    assert sweep.job.state == "succeeded", sweep.job.error_message
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    assert len({repr(trial.options) for trial in trials}) == 4
    assert sweep.job.result["training_job"] == best.run.pk
    assert all(trial.run.spec["learning_rate"] == trial.options["learning_rate"] for trial in trials)


@pytest.mark.django_db(transaction=True)
def test_a_sweep_starts_no_more_runs_at_once_than_it_may(begin: Any) -> None:
    sweep = begin(parallel=2)

    run_next("infer")

    sweep.job.refresh_from_db()
    assert sweep.runs.count() == 2
    assert (sweep.job.state, sweep.job.attempt_count) == ("queued", 0)
    assert run_next("infer") is None


@pytest.mark.django_db(transaction=True)
def test_a_run_that_ends_while_the_sweep_decides_is_not_overheard(begin: Any) -> None:
    sweep = begin(parallel=1)

    def decide(run: Run) -> Any:
        try:
            return RUNNERS["training.sweep"](run)
        finally:
            child = sweep.runs.get()
            Job.objects.filter(pk=child.job_id).update(state="failed", error_message="Broken.")
            services.call_sweep_of(Job.objects.get(pk=child.job_id))

    run_next("infer", {"training.sweep": decide})

    assert Job.objects.get(pk=sweep.job_id).run_after <= timezone.now()


def test_a_grid_tries_every_combination_that_goes_together(begin: Any) -> None:
    space = {"multi_label": [False, True], "consistency": [0, 1.0]}
    sweep = begin(strategy="grid", space=space, budget=9)
    tried = []

    while (options := propose(sweep, trials_of(sweep))) is not None:
        tried.append(options)
        add_trial(sweep, [0.5], **options)

    assert sweep.budget == 4
    assert tried == [
        {"multi_label": False, "consistency": 0},
        {"multi_label": False, "consistency": 1.0},
        {"multi_label": True, "consistency": 0},
    ]


@pytest.mark.parametrize("strategy", ["tpe", "random"])
def test_the_next_options_depend_on_rows_and_seed_alone(begin: Any, strategy: str) -> None:
    sweep = begin(strategy=strategy)
    for value in (0.5, 0.7, 0.6):
        add_trial(sweep, [value], learning_rate=value / 100)

    first, again = propose(sweep, trials_of(sweep)), propose(sweep, trials_of(sweep))
    add_trial(sweep, [0.1])
    then = propose(sweep, trials_of(sweep))

    assert first == again
    assert then != first
    assert first is not None and 1e-5 <= first["learning_rate"] <= 1e-2 and first["epochs"] in (2, 3)


def test_tpe_looks_where_it_was_good(begin: Any) -> None:
    sweep = begin(space={"learning_rate": {"low": 0.0001, "high": 1.0, "log": True}}, budget=40)
    for at in range(16):
        rate = 10 ** (-4 + at / 4)
        add_trial(sweep, [1 - abs(at - 12) / 16], learning_rate=rate)

    drawn = []
    for _draw in range(6):
        options = propose(sweep, trials_of(sweep))
        assert options is not None
        drawn.append(options["learning_rate"])
        add_trial(sweep, [0.9], **options)

    assert sum(0.02 < rate < 0.6 for rate in drawn) >= 4


def test_of_runs_at_the_same_epoch_the_worse_ones_fall_behind(begin: Any) -> None:
    sweep = begin()
    for value in (0.8, 0.7, 0.9):
        add_trial(sweep, [value, value])
    poor, good = add_trial(sweep, [0.2], state="running"), add_trial(sweep, [0.95], state="running")

    assert falls_behind(poor)
    assert not falls_behind(good)


def test_of_losses_the_higher_ones_fall_behind(begin: Any) -> None:
    sweep = begin(objective="loss")
    runs = [add_trial(sweep, []) for _each in range(4)]
    for at, (run, value) in enumerate(zip(runs, (0.3, 0.4, 0.2, 2.0), strict=True)):
        moment = timezone.now() + timedelta(seconds=at)
        MetricPoint.objects.create(training_job=run, name="dev_loss", step=1, value=value, at=moment)

    assert falls_behind(runs[3])
    assert not falls_behind(runs[2])
    best = best_of(trials_of(sweep))
    assert best is not None and best.run == runs[2]


@pytest.mark.django_db(transaction=True)
def test_a_run_that_falls_behind_is_pruned_and_says_why(begin: Any, api: Any, actor: Any) -> None:
    sweep = begin(budget=5, space={"learning_rate": [0.001, 0.002]}, spec={"checkpoint_every_steps": 0})
    for value in (1.5, 1.6, 1.7):  # no real accuracy comes near
        add_trial(sweep, [value, value, value])
    run_next("infer")

    run_next("train")

    child = TrainingJob.objects.get(sweep=sweep, trial_number=3)
    assert (child.job.state, child.pruned_at_epoch) == ("cancelled", 1), child.job.error_message
    assert "pruned" in str(child.job.transitions.latest("id").reason)
    told = api(actor).get(f"/api/v1/sweeps/{sweep.pk}/trials").json()
    assert [(one["state"], one["pruned_at_epoch"]) for one in told][3] == ("pruned", 1)
    assert sweep.runs.count() == 4
    assert Job.objects.get(pk=sweep.job_id).run_after <= timezone.now()


@pytest.mark.django_db(transaction=True)
def test_a_sweep_whose_runs_all_fail_stops_and_says_why(begin: Any) -> None:
    def broken(run: Run) -> dict[str, Any]:
        raise Refused("bad_data", "The rows cannot be used.")

    sweep = begin(budget=9)

    work(**{"training.run": broken})

    sweep.job.refresh_from_db()
    assert (sweep.job.state, sweep.job.error_code) == ("failed", "all_failed")
    assert "The rows cannot be used." in sweep.job.error_message
    assert sweep.runs.count() == 3


@pytest.mark.django_db(transaction=True)
def test_cancelling_a_sweep_cancels_its_runs(begin: Any, actor: Any) -> None:
    sweep = begin(parallel=3)
    run_next("infer")

    services.cancel_sweep(actor=actor, sweep=Sweep.objects.get(pk=sweep.pk))

    assert {run.job.state for run in sweep.runs.all()} == {"cancelled"}
    assert Job.objects.get(pk=sweep.job_id).state == "cancelled"


@pytest.mark.django_db(transaction=True)
def test_runs_of_a_sweep_that_was_cancelled_by_its_job_are_swept_up(begin: Any, alice: Any) -> None:
    sweep = begin(parallel=2)
    run_next("infer")
    jobs.cancel(job=Job.objects.get(pk=sweep.job_id), by=alice)

    sweep_task()

    assert {run.job.state for run in sweep.runs.all()} == {"cancelled"}


def test_a_wrong_sweep_is_refused_with_every_problem_at_its_field(actor: Any, api: Any, frozen: Any) -> None:
    answer = api(actor).post(
        "/api/v1/sweeps",
        {
            "recipe": "classify",
            "dataset_version": frozen.pk,
            "spec": {"seed": "x"},
            "space": {"epochs": [0]},
            "objective": "beauty",
        },
    )

    assert answer.status_code == 422
    assert {item["field"] for item in answer.json()["errors"]} == {"spec.seed", "space.epochs", "objective"}


def test_a_sweep_by_api(actor: Any, api: Any, frozen: Any, stranger: Any) -> None:
    body = {"recipe": "classify", "dataset_version": frozen.pk, "space": SPACE, "budget": 3}

    made = api(actor).post("/api/v1/sweeps", body).json()

    assert (made["state"], made["objective"], made["best"]) == ("queued", "accuracy", {})
    assert [one["id"] for one in api(actor).get("/api/v1/sweeps").json()["results"]] == [made["id"]]
    assert api(actor).post(f"/api/v1/sweeps/{made['id']}/cancel").json()["state"] == "cancelled"
    assert api(stranger).get(f"/api/v1/sweeps/{made['id']}").status_code == 404


def test_the_form_starts_a_sweep(alice: Any, workspace: Any, frozen: Any, page: Any) -> None:
    address = f"/w/{workspace.slug}/training/sweeps/new"
    form = {
        "recipe": "classify", "version": frozen.pk, "strategy": "tpe", "objective": "macro_f1", "budget": "5",
        "parallel": "2", "pruning": "on", "vary-1": "learning_rate", "low-1": "0.0001", "high-1": "0.01", "log-1": "on",
        "vary-2": "epochs", "values-2": "2, 3", "vary-3": "multi_label", "values-3": "no",
    }  # fmt: skip
    wrong = page(alice).post(address, {**form, "values-2": "2, many"})

    answer = page(alice).post(address, form)

    sweep = Sweep.objects.get()
    assert wrong.status_code == 422 and "epochs must be" in wrong.content.decode()
    assert answer["Location"].endswith(f"/training/sweeps/{sweep.pk}")
    assert sweep.space == {
        "learning_rate": {"low": 0.0001, "high": 0.01, "log": True},
        "epochs": [2, 3],
        "multi_label": [False],
    }


def test_the_page_of_a_sweep_shows_the_best_and_all_runs(begin: Any, alice: Any, workspace: Any, page: Any) -> None:
    sweep = begin()
    best = add_trial(sweep, [0.5, 0.9], learning_rate=0.002)
    add_trial(sweep, [0.4, 0.7])
    pruned = add_trial(sweep, [0.1], state="cancelled")
    TrainingJob.objects.filter(pk=pruned.pk).update(pruned_at_epoch=1)

    text = page(alice).get(f"/w/{workspace.slug}/training/sweeps/{sweep.pk}").content.decode()
    plot = plot_of(sweep, trials_of(sweep))

    assert "0.9000" in text and f"/training/{best.pk}" in text and "<polyline" in text
    assert plot is not None
    assert [line.kind for line in plot.lines] == ["done", "pruned", "best"]
    tops = [float(line.points.rsplit(",", 1)[1]) for line in plot.lines]
    assert tops[2] < tops[0] < tops[1]  # the best ends on top


def test_a_viewer_may_look_at_sweeps_but_not_start_or_cancel(
    begin: Any, bob: Any, charlie: Any, workspace: Any, page: Any
) -> None:
    sweep = begin()
    bob.memberships.filter(workspace=workspace).update(role="viewer")
    address = f"/w/{workspace.slug}/training/sweeps"

    assert page(bob).get(address).status_code == 200
    assert page(bob).get(f"{address}/new").status_code == 403
    assert page(bob).post(f"{address}/{sweep.pk}/cancel").status_code == 403
    assert page(charlie).get(f"{address}/{sweep.pk}").status_code == 404
