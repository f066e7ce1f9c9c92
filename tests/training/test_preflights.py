"""A check before the start: asked by page or API, made once by a worker, kept with the run and compared at its end."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from apps.training import services
from apps.training.models import Preflight, TrainingJob
from core.errors import Refused
from core.jobs.models import Job
from core.storage import home
from workers.loop import run_next

FOUND = {
    "problems": [],
    "rows": {"train": 84, "dev": 18, "test": 18},
    "lengths": {
        "mean": 7.0,
        "p50": 7,
        "p95": 11,
        "p99": 12,
        "max": 12,
        "histogram": [{"from": 3, "to": 12, "count": 9}],
    },
    "truncated_share": 0.0,
    "parameters": {"total": 5000, "trainable": 5000},
    "estimate": {"steps": 33, "memory_bytes": 500_000_000, "seconds": 2.5},
    "seen": {
        "template": {"name": "text", "hash": "a" * 64},
        "rows": [
            {
                "example_id": 501,
                "tokens": ["[CLS]", "card", "[SEP]"],
                "special": [0, 2],
                "learnt": [[1, 2]],
                "labels": ["card"],
                "token_count": 9,
                "learnt_count": 1,
                "is_cut": True,
            }
        ],
    },
}


@pytest.fixture(autouse=True)
def quiet(settings: Any) -> None:
    settings.JOB_BEAT_SECONDS = 3600


@pytest.fixture
def ask(actor: Any, frozen: Any, spec: dict[str, Any]) -> Callable[..., Preflight]:
    def asked(**more: Any) -> Preflight:
        options = {**spec, **more.pop("spec", {})}
        return services.ask_preflight(actor=actor, recipe="classify", spec=options, version=frozen, **more)

    return asked


def make_done(preflight: Preflight, **changed: Any) -> None:
    services.finish_preflight(preflight=preflight, result={**FOUND, **changed})
    Job.objects.filter(pk=preflight.job_id).update(state="succeeded")


@pytest.mark.django_db(transaction=True)
def test_a_check_by_api_tells_figures_and_what_the_model_sees(
    actor: Any, api: Any, frozen: Any, spec: dict[str, Any]
) -> None:
    body = {"recipe": "classify", "dataset_version": frozen.pk, "spec": spec}
    asked = api(actor).post("/api/v1/training-preflights", body).json()
    assert (asked["state"], asked["can_start"], asked["result"]) == ("queued", None, {})

    run_next("infer")

    told = api(actor).get(f"/api/v1/training-preflights/{asked['id']}").json()
    assert (told["state"], told["can_start"]) == ("succeeded", True), told["error_message"]
    assert told["result"]["estimate"]["steps"] == 33
    assert told["result"]["parameters"]["trainable"] == told["result"]["parameters"]["total"] > 0
    assert told["result"]["seen"]["rows"][0]["tokens"][0] == "[CLS]"
    assert api(actor).post("/api/v1/training-preflights", body).json()["id"] == asked["id"]


@pytest.mark.django_db(transaction=True)
def test_bad_rows_are_named_before_the_start_and_forbid_it(ask: Any, actor: Any, frozen: Any, spec: Any) -> None:
    path = home() / frozen.path
    rows = pq.read_table(path).to_pylist()
    rows[3]["text"] = " "
    pq.write_table(pa.Table.from_pylist(rows), path)
    preflight = ask()

    run_next("infer")

    preflight.refresh_from_db()
    assert [(found["code"], found["rows"]) for found in preflight.errors] == [("empty_text", [503])]
    with pytest.raises(Refused) as refused:
        services.start(actor=actor, recipe="classify", spec=spec, version=frozen)
    assert [problem.code for problem in refused.value.problems] == ["empty_text"]


def test_equal_questions_are_asked_once_and_a_failed_one_again(ask: Any) -> None:
    first = ask()

    assert ask() == first
    assert ask(spec={"epochs": 4}) != first
    Job.objects.filter(pk=first.job_id).update(state="failed")
    again = ask()
    assert again.pk != first.pk and not Preflight.objects.filter(pk=first.pk).exists()


def test_a_form_that_moved_on_takes_its_waiting_check_back(ask: Any) -> None:
    first = ask()

    second = ask(spec={"epochs": 4}, instead=True)

    assert Job.objects.get(pk=first.job_id).state == "cancelled"
    assert Job.objects.get(pk=second.job_id).state == "queued"


def test_a_run_keeps_what_its_check_said(ask: Any, actor: Any, frozen: Any, spec: dict[str, Any]) -> None:
    make_done(ask())

    run = services.start(actor=actor, recipe="classify", spec=spec, version=frozen)

    assert run.estimate["estimate"] == FOUND["estimate"]
    assert run.seen == FOUND["seen"]


@pytest.mark.django_db(transaction=True)
def test_a_run_that_nobody_checked_estimates_itself_and_compares_at_the_end(
    actor: Any, frozen: Any, spec: dict[str, Any], api: Any
) -> None:
    run = services.start(actor=actor, recipe="classify", spec=spec, version=frozen)

    run_next("train")

    done = TrainingJob.objects.get(pk=run.pk)
    assert done.job.state == "succeeded", done.job.error_message
    assert [(line.name, line.measured is not None) for line in done.compared] == [
        ("memory_bytes", True),
        ("seconds", True),
        ("steps", True),
    ]
    assert done.compared[2].error_share == 0
    told = api(actor).get(f"/api/v1/training-jobs/{run.pk}").json()
    assert told["estimate"]["estimate"]["steps"] == told["measured"]["steps"] == 33
    seen = api(actor).get(f"/api/v1/training-jobs/{run.pk}/seen").json()
    assert len(seen["rows"]) == 8 and seen["rows"][0]["labels"]


def test_the_form_asks_and_shows_the_answer(
    alice: Any, workspace: Any, frozen: Any, page: Any, spec: dict[str, Any]
) -> None:
    client, address = page(alice), f"/w/{workspace.slug}/training"
    form = {"recipe": "classify", "version": frozen.pk, "spec-epochs": "3"}
    waiting = client.post(f"{address}/new/check", form).content.decode()
    preflight = Preflight.objects.get()
    assert f"{address}/preflights/{preflight.pk}?part=1" in waiting
    make_done(preflight, problems=[{
        "code": "truncated", "field": "max_length_tokens", "message": "Some texts are cut.", "hint": "Raise it.",
        "severity": "warning", "rows": [501],
    }])  # fmt: skip

    answer = client.get(f"{address}/preflights/{preflight.pk}?part=1").content.decode()

    assert "500 MB" in answer and "Can start" in answer
    assert f"/datasets/{frozen.dataset_id}/examples/501" in answer
    assert '<span class="learnt">card</span>' in answer and "hx-get" not in answer
    assert "and 6 more" in answer


def test_the_form_says_what_is_wrong_with_options_and_waits_without_data(
    alice: Any, workspace: Any, frozen: Any, page: Any
) -> None:
    address = f"/w/{workspace.slug}/training/new/check"

    wrong = page(alice).post(address, {"recipe": "classify", "version": frozen.pk, "spec-epochs": "0"})
    without = page(alice).post(address, {"recipe": "classify", "spec-epochs": "3"})

    assert "alert-danger" in wrong.content.decode()
    assert "Choose a dataset version" in without.content.decode()
    assert not Preflight.objects.exists()


def test_the_page_of_a_run_shows_what_the_model_sees(
    alice: Any, workspace: Any, actor: Any, frozen: Any, page: Any
) -> None:
    run = services.start(actor=actor, recipe="classify", spec={"epochs": 1}, version=frozen)
    address = f"/w/{workspace.slug}/training/{run.pk}"
    assert f'hx-get="{address}/seen"' in page(alice).get(address).content.decode()

    TrainingJob.objects.filter(pk=run.pk).update(seen=FOUND["seen"])

    answer = page(alice).get(f"{address}/seen").content.decode()
    assert '<span class="special">[CLS]</span>' in answer and "hx-get" not in answer


def test_a_stranger_sees_no_check(ask: Any, charlie: Any, workspace: Any, stranger: Any, api: Any, page: Any) -> None:
    preflight = ask()

    assert page(charlie).get(f"/w/{workspace.slug}/training/preflights/{preflight.pk}").status_code == 404
    assert api(stranger).get(f"/api/v1/training-preflights/{preflight.pk}").status_code == 404
