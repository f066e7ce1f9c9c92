"""Jobs on pages: who sees and moves them, what twice means, and how much is asked of the database."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.access import actor_of_member
from apps.accounts.models import AuditEntry, Membership, User, Workspace
from apps.accounts.services import create_user
from apps.dashboard.kinds import KINDS
from core.jobs.models import Job, JobLog
from core.jobs.services import create
from workers.runners import RUNNERS


@pytest.fixture
def job(workspace: Workspace, alice: User) -> Job:
    return create(kind="datasets.import", workspace=workspace, queue="io", title="Import <b>mails</b>", by=alice)


@pytest.fixture
def viewer(workspace: Workspace) -> User:
    dave = create_user(email="dave@example.org", password=None, name="Dave")
    Membership.objects.create(workspace=workspace, user=dave, role="viewer")
    return dave


def test_a_teammate_sees_jobs_and_a_stranger_sees_nothing(page: Any, bob: User, charlie: User, job: Job) -> None:
    for path in ("/w/harbour/", "/w/harbour/jobs", f"/w/harbour/jobs/{job.pk}", f"/w/harbour/jobs/{job.pk}/progress"):
        assert page(bob).get(path).status_code == 200, path
        assert page(charlie).get(path).status_code == 404, path
        assert page(charlie).get(path.replace("harbour", "elsewhere", 1)).status_code in {200, 404}
    assert page(charlie).get(f"/w/elsewhere/jobs/{job.pk}").status_code == 404


def test_a_viewer_may_look_but_not_cancel(page: Any, viewer: User, job: Job) -> None:
    shown = page(viewer).get(f"/w/harbour/jobs/{job.pk}")
    refused = page(viewer).post(f"/w/harbour/jobs/{job.pk}/cancel")

    assert b"/cancel" not in shown.content
    assert refused.status_code == 403
    assert Job.objects.get(pk=job.pk).state == "queued"


def test_cancelling_twice_is_harmless_and_on_record_once(page: Any, bob: User, job: Job) -> None:
    first = page(bob).post(f"/w/harbour/jobs/{job.pk}/cancel")
    second = page(bob).post(f"/w/harbour/jobs/{job.pk}/cancel")

    assert (first.status_code, second.status_code) == (302, 302)
    assert Job.objects.get(pk=job.pk).state == "cancelled"
    assert AuditEntry.objects.filter(action="job.cancel", object_id=str(job.pk)).count() == 1


def test_a_running_job_is_asked_to_stop(page: Any, bob: User, job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(state="running")

    page(bob).post(f"/w/harbour/jobs/{job.pk}/cancel")
    shown = page(bob).get(f"/w/harbour/jobs/{job.pk}")

    assert Job.objects.get(pk=job.pk).stop_requested == "cancel"
    assert b"Stopping" in shown.content


def test_a_refused_action_is_explained_on_the_page(page: Any, bob: User, job: Job) -> None:
    shown = page(bob).post(f"/w/harbour/jobs/{job.pk}/resume", follow=True)

    assert shown.status_code == 200
    assert "Only a paused job can be resumed." in shown.content.decode()


def test_a_failed_job_says_why_and_can_be_tried_again(page: Any, bob: User, job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(
        state="failed", error_code="bad", error_message="Row 3 is bad.", error_hint="Repair row 3.", attempt_count=3
    )

    shown = page(bob).get(f"/w/harbour/jobs/{job.pk}").content.decode()
    page(bob).post(f"/w/harbour/jobs/{job.pk}/retry")

    assert "Row 3 is bad." in shown and "Repair row 3." in shown
    assert Job.objects.values_list("state", "attempt_count").get(pk=job.pk) == ("queued", 0)


def test_the_place_in_the_queue_can_be_changed(page: Any, bob: User, charlie: User, job: Job) -> None:
    page(bob).post(f"/w/harbour/jobs/{job.pk}/priority", {"priority": "10"})
    wrong = page(bob).post(f"/w/harbour/jobs/{job.pk}/priority", {"priority": "999999"})

    foreign = page(charlie).post(f"/w/elsewhere/jobs/{job.pk}/priority", {"priority": "999999"})

    assert Job.objects.get(pk=job.pk).priority == 10
    assert (wrong.status_code, foreign.status_code) == (422, 404)


def test_the_progress_part_stops_asking_when_the_job_has_ended(page: Any, bob: User, job: Job) -> None:
    path = f"/w/harbour/jobs/{job.pk}/progress"
    while_open = page(bob).get(path).content.decode()
    Job.objects.filter(pk=job.pk).update(state="succeeded")
    at_the_end = page(bob).get(path)

    assert "hx-trigger" in while_open
    assert at_the_end.status_code == 200 and "hx-trigger" not in at_the_end.content.decode()


def test_titles_and_log_lines_are_shown_as_text(page: Any, bob: User, job: Job) -> None:
    JobLog.objects.create(job=job, message="<script>alert(1)</script>")

    shown = page(bob).get(f"/w/harbour/jobs/{job.pk}").content.decode()

    assert "<script>alert" not in shown and "<b>mails" not in shown
    assert "&lt;script&gt;" in shown


def test_the_log_is_searched_paged_and_downloaded(page: Any, bob: User, job: Job) -> None:
    JobLog.objects.bulk_create(JobLog(job=job, message=f"line {number}") for number in range(250))

    first = page(bob).get(f"/w/harbour/jobs/{job.pk}").content.decode()
    found = page(bob).get(f"/w/harbour/jobs/{job.pk}?q=line 7").content.decode()
    whole = page(bob).get(f"/w/harbour/jobs/{job.pk}/log")

    assert "line 249<" in first and "line 149<" not in first and "before=" in first
    assert "line 77<" in found and "line 80<" not in found
    assert whole.content.decode().count("\n") == 250
    assert "attachment" in whole["Content-Disposition"]


def test_the_list_is_filtered_and_its_links_keep_the_filter(page: Any, bob: User, workspace: Workspace) -> None:
    for number in range(60):
        create(kind="datasets.import", workspace=workspace, queue="io", title=f"import {number}")
    create(kind="training.run", workspace=workspace, queue="train", title="a training")

    shown = page(bob).get("/w/harbour/jobs?queue=io").content.decode()
    odd = page(bob).get("/w/harbour/jobs?state=nonsense&queue=%00")

    assert "a training" not in shown and "queue=io&amp;before=" in shown
    assert odd.status_code == 200


@pytest.mark.parametrize("path", ["/w/harbour/", "/w/harbour/jobs"])
def test_pages_ask_a_bounded_number_of_queries(
    path: str, page: Any, bob: User, workspace: Workspace, alice: User, django_assert_max_num_queries: Any
) -> None:
    states = ["queued", "running", "paused", "succeeded", "failed", "cancelled"]
    for number in range(60):
        made = create(kind=f"kind.{number % 7}", workspace=workspace, queue="io", title=str(number), by=alice)
        Job.objects.filter(pk=made.pk).update(state=states[number % 6], finished_at=timezone.now())
    client = page(bob)

    with django_assert_max_num_queries(20):
        shown = client.get(path)

    assert shown.status_code == 200


def test_a_queue_that_nobody_serves_is_named(page: Any, bob: User, job: Job) -> None:
    assert "No worker is running" not in page(bob).get("/w/harbour/").content.decode()
    Job.objects.filter(pk=job.pk).update(run_after=timezone.now() - timedelta(minutes=5))

    home = page(bob).get("/w/harbour/").content.decode()

    assert "No worker is running for queue io" in home


def test_a_busy_worker_is_no_missing_worker(page: Any, bob: User, job: Job, workspace: Workspace) -> None:
    Job.objects.filter(pk=job.pk).update(run_after=timezone.now() - timedelta(minutes=5))
    other = create(kind="t", workspace=workspace, queue="io", title="busy")
    Job.objects.filter(pk=other.pk).update(state="running", lease_expires_at=timezone.now() + timedelta(minutes=1))

    assert "No worker is running" not in page(bob).get("/w/harbour/").content.decode()


def test_an_annotator_without_right_to_jobs_still_has_a_home(page: Any, workspace: Workspace, job: Job) -> None:
    erin = create_user(email="erin@example.org", password=None)
    Membership.objects.create(workspace=workspace, user=erin, role="annotator")

    home = page(erin).get("/w/harbour/")

    assert home.status_code == 200
    assert "mails" not in home.content.decode()
    assert page(erin).get("/w/harbour/jobs").status_code == 403
    assert not actor_of_member(erin, "harbour").may("jobs.read")


def test_every_kind_of_job_has_a_name_for_people() -> None:
    assert {name for name in RUNNERS if not name.startswith("test.")} == set(KINDS)
