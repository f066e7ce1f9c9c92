"""Notices: who is told of which job's end, once, in their language; bell, page and API."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Membership, User
from apps.notifications import selectors
from apps.notifications.models import Notice
from apps.notifications.services import apply_retention, job_ended, notify
from core.errors import Refused
from core.jobs import services as jobs
from core.jobs.models import Job
from core.jobs.run import Run, Stopped
from core.language import in_language_of
from workers import loop
from workers.tasks import sweep


def fail(_run: Run) -> None:
    raise Refused("bad_file", "The file is not valid UTF-8.", hint="Save it as UTF-8.")


def work(_run: Run) -> dict[str, int]:
    return {"rows": 3}


RUNNERS = {"fail": fail, "work": work}


def start(actor: Any, kind: str, title: str = "Import questions.csv") -> Job:
    return jobs.create(kind=kind, workspace=actor.workspace, queue="io", title=title, by=actor.user, page="datasets/3")


def finish(job: Job, **columns: Any) -> Job:
    Job.objects.filter(pk=job.pk).update(**columns)
    return Job.objects.get(pk=job.pk)


def test_the_starter_of_a_failed_job_is_told_why_and_what_to_do(actor: Any) -> None:
    start(actor, "fail")

    loop.run_next("io", RUNNERS)

    notice = Notice.objects.get()
    assert (notice.user, notice.kind, notice.page) == (actor.user, "job.failed", "datasets/3")
    assert notice.title == "Failed: Import questions.csv"
    assert notice.body == "The file is not valid UTF-8.\nSave it as UTF-8."


def test_a_quick_success_is_silent_and_a_long_one_is_told(actor: Any, settings: Any) -> None:
    start(actor, "work")
    loop.run_next("io", RUNNERS)
    assert not Notice.objects.exists()

    settings.NOTICE_SECONDS = 0
    start(actor, "work")
    loop.run_next("io", RUNNERS)

    assert Notice.objects.get().title == "Done: Import questions.csv"


def test_the_words_are_in_the_persons_language(actor: Any) -> None:
    start(actor, "fail")

    loop.run_next("io", RUNNERS)

    User.objects.filter(pk=actor.user.pk).update(language="zh-hans")  # also who changes it afterwards
    notice = Notice.objects.get()
    with in_language_of(User.objects.get(pk=actor.user.pk)):
        assert str(notice.title) == "失败：Import questions.csv"
    assert notice.title == "Failed: Import questions.csv"


def test_ones_own_cancel_is_silent_and_anothers_is_told(actor: Any, bob: User) -> None:
    waiting = [start(actor, "work", title) for title in ("mine", "his")]
    jobs.cancel(job=waiting[0], by=actor.user)
    jobs.cancel(job=waiting[1], by=bob)
    for job in waiting:
        job_ended(job=job)

    assert [notice.title for notice in Notice.objects.all()] == ["Cancelled: his"]


def test_who_cancels_anothers_waiting_job_on_its_page_lets_them_know(actor: Any, page: Any, bob: User) -> None:
    job = start(actor, "work")

    page(bob).post(f"/w/{actor.workspace.slug}/jobs/{job.pk}/cancel")

    assert Notice.objects.get().user == actor.user


@pytest.mark.parametrize("own", [True, False])
def test_cancelling_a_running_job_counts_the_same(own: bool, actor: Any, bob: User) -> None:
    job = start(actor, "stop")

    def cancelled(run: Run) -> None:
        jobs.cancel(job=run.job, by=actor.user if own else bob)
        raise Stopped("cancel")

    loop.run_next("io", {"stop": cancelled})

    job.refresh_from_db()
    assert job.state == "cancelled"
    assert Notice.objects.exists() is not own


def test_one_end_notifies_once_and_a_retry_that_fails_again_notifies_again(actor: Any) -> None:
    job = start(actor, "fail")
    loop.run_next("io", RUNNERS)
    job.refresh_from_db()
    assert job_ended(job=job) is None

    jobs.retry(job=job, by=actor.user)
    loop.run_next("io", RUNNERS)

    assert Notice.objects.count() == 2


def test_jobs_that_have_not_ended_or_are_gone_or_nobodys_tell_nobody(actor: Any) -> None:
    open_job = start(actor, "work")
    nobodys = jobs.create(kind="x", workspace=actor.workspace, queue="io", title="Sweep")
    gone = start(actor, "fail")
    Job.objects.filter(pk=gone.pk).delete()

    assert job_ended(job=open_job) is None
    assert job_ended(job=finish(nobodys, state="failed")) is None
    assert job_ended(job=gone) is None


def test_people_who_left_or_are_locked_out_hear_nothing(actor: Any) -> None:
    left = finish(start(actor, "fail"), state="failed")
    Membership.objects.filter(user=actor.user).delete()

    assert job_ended(job=left) is None


def test_a_job_that_the_sweeper_gives_up_is_told(actor: Any) -> None:
    job = start(actor, "work")
    Job.objects.filter(pk=job.pk).update(max_attempts=1)
    jobs.claim(queue="io", worker="dead")
    Job.objects.filter(pk=job.pk).update(lease_expires_at=timezone.now() - timedelta(minutes=5))

    sweep()

    assert Notice.objects.get().kind == "job.failed"


def notices(actor: Any, count: int) -> None:
    for number in range(count):
        notify(
            workspace=actor.workspace,
            user=actor.user,
            kind="job.failed",
            event_key=f"e{number}",
            title=f"Notice <{number}>",
            page="settings/",
        )


def test_the_bell_shows_a_bounded_count_and_the_newest(
    actor: Any, page: Any, alice: User, django_assert_max_num_queries: Any
) -> None:
    notices(actor, 120)
    client, base = page(alice), f"/w/{actor.workspace.slug}/notices/"
    client.get(f"{base}menu")

    with django_assert_max_num_queries(9):
        html = client.get(f"{base}menu").content.decode()

    assert "99+" in html and "Notice &lt;119&gt;" in html and html.count("<time") == selectors.MENU_SIZE
    assert client.get(f"{base}count").json() == {"unread": 100, "label": "99+"}
    assert "99+" in client.get(f"{base}count", headers={"HX-Request": "true"}).content.decode()


def test_opening_a_notice_reads_it_and_leads_to_its_page(actor: Any, page: Any, alice: User) -> None:
    notices(actor, 3)
    client, base = page(alice), f"/w/{actor.workspace.slug}/notices/"
    notice = Notice.objects.first()
    assert notice is not None

    answer = client.post(f"{base}{notice.pk}/open")

    assert answer["Location"] == f"/w/{actor.workspace.slug}/settings/"
    assert selectors.unread_count(actor) == 2
    assert "Notice" in client.get(f"{base}?unread=1").content.decode()
    part = client.post(f"{base}read", headers={"HX-Request": "true"})
    assert part.status_code == 200 and part["HX-Trigger"] == "notices-read"
    assert client.post(f"{base}read").status_code == 302
    assert selectors.unread_count(actor) == 0
    assert "No notice" in client.get(f"{base}?unread=1").content.decode()


def test_notices_are_private_even_among_members_and_invisible_to_strangers(
    actor: Any, bob: User, charlie: User
) -> None:
    notices(actor, 1)
    notice = Notice.objects.get()
    for user in (bob, charlie):
        client = Client()
        client.force_login(user)
        assert client.post(f"/w/{actor.workspace.slug}/notices/{notice.pk}/open").status_code == 404
    bobs = Client()
    bobs.force_login(bob)

    assert "Notice &lt;" not in bobs.get(f"/w/{actor.workspace.slug}/notices/").content.decode()
    notice.refresh_from_db()
    assert notice.read_at is None


def test_the_api_lists_counts_and_marks(actor: Any, api: Any, stranger: Any) -> None:
    notices(actor, 3)
    client = api(actor)
    pk = client.get("/api/v1/notices").data["results"][0]["id"]

    read = client.post(f"/api/v1/notices/{pk}/read")

    assert read.data["read_at"]
    assert client.get("/api/v1/notices/unread").data == {"unread": 2}
    assert len(client.get("/api/v1/notices", {"unread": "true"}).data["results"]) == 2
    assert client.post("/api/v1/notices/unread").data == {"marked": 2}
    assert api(stranger).post(f"/api/v1/notices/{pk}/read").status_code == 404
    assert api(actor, ["datasets.read"]).get("/api/v1/notices").status_code == 403


def test_old_notices_go(actor: Any) -> None:
    notices(actor, 3)
    first, second, _third = Notice.objects.order_by("id")
    Notice.objects.filter(pk=first.pk).update(read_at=timezone.now() - timedelta(days=91))
    Notice.objects.filter(pk=second.pk).update(created_at=timezone.now() - timedelta(days=366))

    assert apply_retention() == 2
    assert Notice.objects.count() == 1
