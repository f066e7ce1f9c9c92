"""A waiting job knows its place: who goes before it, what its workspace may run at once, when it may begin."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from core.jobs import services as jobs
from core.jobs.models import Job
from core.jobs.places import place_of


@pytest.fixture
def queue(workspace: Any, alice: Any) -> Any:
    def made(priority: int = 0, where: Any = workspace, **columns: Any) -> Job:
        job = jobs.create(kind="test", workspace=where, queue="train", title="Job", by=alice, priority=priority)
        Job.objects.filter(pk=job.pk).update(**columns)
        job.refresh_from_db()
        return job

    return made


def runs_since(seconds: float, **more: Any) -> dict[str, Any]:
    return {"state": "running", "started_at": timezone.now() - timedelta(seconds=seconds), **more}


def ended_after(seconds: float) -> dict[str, Any]:
    now = timezone.now()
    return {"state": "succeeded", "started_at": now - timedelta(seconds=seconds), "finished_at": now}


def test_places_follow_the_order_of_claims(queue: Any, settings: Any) -> None:
    settings.JOBS_RUNNING_PER_WORKSPACE = {"train": 5}
    first, second, urgent = queue(), queue(), queue(priority=5)

    places = [place_of(job) for job in (urgent, first, second)]

    assert [(place.position, place.waiting) for place in places if place] == [(1, 3), (2, 3), (3, 3)]
    assert [jobs.claim(queue="train", worker="w").job.pk for _each in range(3)] == [urgent.pk, first.pk, second.pk]


def test_a_busy_workspace_stands_behind_an_idle_one(queue: Any, stranger: Any) -> None:
    queue(**runs_since(5))
    mine, theirs = queue(), queue(where=stranger.workspace)

    place = place_of(mine)

    assert place is not None and (place.position, place.running, place.limit) == (2, 1, 1)
    assert place.is_capped
    assert place_of(theirs).position == 1  # type: ignore[union-attr]


def test_the_time_comes_from_progress_and_from_what_such_jobs_take(queue: Any) -> None:
    queue(**ended_after(100))
    queue(**runs_since(30, done_count=40, total_count=100, rate_per_second=2.0))
    next_one, later = queue(), queue()

    first, second = place_of(next_one), place_of(later)

    assert first is not None and first.seconds == pytest.approx(30)
    assert second is not None and second.seconds == pytest.approx(130)


def test_nothing_is_promised_that_is_not_known(queue: Any) -> None:
    idle = queue()
    at_once = place_of(idle)
    queue(**runs_since(5))

    unknown = place_of(idle)

    assert at_once is not None and at_once.seconds == 0
    assert unknown is not None and unknown.seconds is None
    assert place_of(queue(**runs_since(1))) is None


def test_the_page_and_the_api_tell_the_place(
    queue: Any, page: Any, alice: Any, workspace: Any, api: Any, actor: Any
) -> None:
    queue(**runs_since(5))
    job = queue()

    text = page(alice).get(f"/w/{workspace.slug}/jobs/{job.pk}/progress").content.decode()
    told = api(actor).get(f"/api/v1/jobs/{job.pk}/place").json()

    assert "place 1 of 1 in the queue" in text and "1 of 1 at once in this workspace" in text
    assert told["place"] == {"position": 1, "waiting": 1, "running": 1, "limit": 1, "seconds": None}
