"""The page of a run: what the check of the data found leads to the examples, and curves grow by what is new."""

from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.training import services
from apps.training.models import MetricPoint
from apps.training.selectors import curves
from core.jobs.models import Job


def start(actor: Any, frozen: Any, name: str = "Run") -> Any:
    return services.start(actor=actor, recipe="classify", spec={"epochs": 1}, version=frozen, name=name)


def test_bad_rows_lead_to_their_examples(alice: Any, workspace: Any, actor: Any, frozen: Any, page: Any) -> None:
    run = start(actor, frozen)
    run.problems = [{"code": "leak", "message": "A test text is in train.", "rows": [501], "hint": "Split again."}]
    run.save()
    Job.objects.filter(pk=run.job_id).update(state="failed", error_message="The data cannot be used.")

    text = page(alice).get(f"/w/{workspace.slug}/training/{run.pk}").content.decode()

    assert f"/w/{workspace.slug}/datasets/{frozen.dataset_id}/examples/501" in text


def test_a_curve_is_read_by_its_index_among_many_points(actor: Any, frozen: Any) -> None:
    run, other = start(actor, frozen), start(actor, frozen, name="Other")
    for job, count in ((run, 500), (other, 20_000)):
        MetricPoint.objects.bulk_create(
            MetricPoint(training_job=job, name=("train_loss", "dev_loss")[at % 2], step=at // 2, value=at)
            for at in range(count)
        )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE training_metricpoint")

    with CaptureQueriesContext(connection) as asked:
        found = curves(run)

    assert {name: len(points) for name, points in found.items()} == {"train_loss": 250, "dev_loss": 250}
    (query,) = asked.captured_queries
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {query['sql']}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Index" in plan and "Seq Scan" not in plan


def test_a_chart_asks_only_for_what_is_new(alice: Any, workspace: Any, actor: Any, frozen: Any, page: Any) -> None:
    run = start(actor, frozen)
    MetricPoint.objects.create(training_job=run, name="train_loss", step=10, value=2.0)
    address = f"/w/{workspace.slug}/training/{run.pk}/curves?name=loss"
    first = page(alice).get(address).json()
    MetricPoint.objects.create(training_job=run, name="train_loss", step=20, value=1.0)
    MetricPoint.objects.create(training_job=run, name="dev_loss", step=20, value=1.5)

    news = page(alice).get(f"{address}&since={first['since']}").json()
    Job.objects.filter(pk=run.job_id).update(state="succeeded")
    last = page(alice).get(f"{address}&since={news['since']}").json()

    assert [series["points"] for series in first["series"]] == [[[10, 2.0]]]
    assert {series["name"]: series["points"] for series in news["series"]} == {
        "Training loss": [[20, 1.0]],
        "Dev loss": [[20, 1.5]],
    }
    assert (news["ended"], last["ended"], last["series"]) == (False, True, [])
