"""Jobs in the REST API: lists, details with ETags, logs, and every move."""

from typing import Any

import pytest

from apps.accounts.models import AuditEntry
from core.access import Actor
from core.jobs.models import Job, JobLog
from core.jobs.services import create


@pytest.fixture
def job(actor: Actor) -> Job:
    return create(
        kind="training.run", workspace=actor.workspace, queue="train", title="train", by=actor.user, can_pause=True
    )


def test_jobs_are_listed_filtered_and_kept_from_strangers(api: Any, actor: Actor, stranger: Actor, job: Job) -> None:
    create(kind="datasets.import", workspace=actor.workspace, queue="io", title="import")

    found = api(actor).get("/api/v1/jobs?queue=train&state=queued").json()["results"]
    nothing = api(stranger).get("/api/v1/jobs").json()["results"]
    foreign = api(stranger).get(f"/api/v1/jobs/{job.pk}")

    assert [row["id"] for row in found] == [job.pk]
    assert nothing == [] and foreign.status_code == 404


def test_a_job_that_did_not_change_is_not_sent_again(api: Any, actor: Actor, job: Job) -> None:
    client = api(actor)
    first = client.get(f"/api/v1/jobs/{job.pk}")
    again = client.get(f"/api/v1/jobs/{job.pk}", headers={"If-None-Match": first["ETag"]})
    Job.objects.filter(pk=job.pk).update(done_count=5)
    changed = client.get(f"/api/v1/jobs/{job.pk}", headers={"If-None-Match": first["ETag"]})

    assert (first.status_code, again.status_code, changed.status_code) == (200, 304, 200)


def test_logs_moves_and_attempts_are_read_in_pages(api: Any, actor: Actor, job: Job) -> None:
    JobLog.objects.bulk_create(JobLog(job=job, message=f"line {number}") for number in range(8))

    logs = api(actor).get(f"/api/v1/jobs/{job.pk}/logs?limit=5").json()
    found = api(actor).get(f"/api/v1/jobs/{job.pk}/logs?q=line 3").json()
    moves = api(actor).get(f"/api/v1/jobs/{job.pk}/transitions").json()
    tries = api(actor).get(f"/api/v1/jobs/{job.pk}/attempts").json()

    assert [row["message"] for row in logs["results"]] == [f"line {number}" for number in (7, 6, 5, 4, 3)]
    assert logs["next"] and len(found["results"]) == 1
    assert [row["to_state"] for row in moves["results"]] == ["queued"] and tries["results"] == []


def test_a_job_is_paused_resumed_cancelled_and_retried(api: Any, actor: Actor, job: Job) -> None:
    client = api(actor)
    states = [
        client.post(f"/api/v1/jobs/{job.pk}/{verb}").json()["state"]
        for verb in ("pause", "resume", "cancel", "cancel", "retry")
    ]

    assert states == ["paused", "queued", "cancelled", "cancelled", "queued"]
    actions = AuditEntry.objects.filter(object_type="job").order_by("id").values_list("action", flat=True)
    assert list(actions) == ["job.pause", "job.resume", "job.cancel", "job.retry"]


def test_wrong_moves_are_conflicts_with_a_code(api: Any, actor: Actor, job: Job) -> None:
    client = api(actor)
    Job.objects.filter(pk=job.pk).update(state="succeeded")

    for verb, code in (("cancel", "job_ended"), ("resume", "job_not_paused"), ("retry", "job_not_retryable")):
        refused = client.post(f"/api/v1/jobs/{job.pk}/{verb}")
        assert (refused.status_code, refused.json()["code"]) == (409, code)


def test_priority_is_a_number_within_bounds(api: Any, actor: Actor, job: Job) -> None:
    client = api(actor)
    changed = client.post(f"/api/v1/jobs/{job.pk}/priority", {"priority": 7})
    wrong = [
        client.post(f"/api/v1/jobs/{job.pk}/priority", body) for body in ({}, {"priority": "x"}, {"priority": 101})
    ]

    assert changed.json()["priority"] == 7
    assert [answer.status_code for answer in wrong] == [422, 422, 422]


def test_a_key_without_the_scope_may_not_move_jobs(api: Any, actor: Actor, job: Job) -> None:
    reader = api(actor, ["jobs.read"])

    assert reader.get(f"/api/v1/jobs/{job.pk}").status_code == 200
    assert reader.post(f"/api/v1/jobs/{job.pk}/cancel").status_code == 403
