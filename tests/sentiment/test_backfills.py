"""History from files: rows become articles with their own times, nothing twice, whatever dies meanwhile."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from apps.sentiment import services
from apps.sentiment.models import Article, Backfill, Bucket, Monitor, Source
from core.access import Actor
from core.errors import Refused
from core.storage import home
from workers.loop import run_next

ROWS = """编号,标题,正文,发布时间
1,股价大跌,投资者担忧,2024-03-05 08:00
2,净利润增长,,2024年3月6日
3,,,2024-03-07
4,未来的消息,,2999-01-01
5,Rates stay,Nobody was surprised.,not a time
"""


@pytest.fixture
def no_beating(settings: Any) -> None:
    settings.JOB_BEAT_SECONDS = 3600


def upload(text: str = ROWS, name: str = "history.csv") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, text.encode())


def test_rows_become_articles_of_their_own_times_and_alarm_nobody(
    actor: Actor, brand_monitor: Monitor, no_beating: None
) -> None:
    made = services.receive_backfill(actor=actor, monitor=brand_monitor, upload=upload())
    started = services.start_backfill(actor=actor, backfill=made)
    twice = services.start_backfill(actor=actor, backfill=made)
    path = home() / made.file_path
    run_next("io")

    made.refresh_from_db()
    first = Article.objects.get(title="股价大跌")
    assert (started.job_id, path.exists(), made.file_path) == (twice.job_id, False, "")
    assert (made.row_count, made.new_count, made.refused_count) == (5, 2, 3)
    assert [each["row"] for each in made.problems] == [3, 4, 5]
    assert first.published_at == datetime(2024, 3, 5, 0, 0, tzinfo=UTC)  # the monitor's zone is Shanghai
    assert Article.objects.get(title="净利润增长").confidence == "day"
    assert all(article.is_history for article in Article.objects.all())
    assert not Bucket.objects.filter(clock="received").exists()
    assert Bucket.objects.filter(clock="published").exists()
    assert made.job is not None and made.job.state == "succeeded"


def test_a_file_that_is_sent_again_adds_nothing(actor: Actor, brand_monitor: Monitor, no_beating: None) -> None:
    for _each in range(2):
        made = services.receive_backfill(actor=actor, monitor=brand_monitor, upload=upload())
        services.start_backfill(actor=actor, backfill=made)
        run_next("io")

    made.refresh_from_db()
    assert (made.new_count, made.seen_count) == (0, 2)
    assert (Source.objects.count(), Article.objects.count()) == (1, 2)


def test_reading_goes_on_where_it_died(
    actor: Actor, brand_monitor: Monitor, no_beating: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.backfills.BATCH_ROWS", 2)
    lines = "\n".join(json.dumps({"title": f"Report {at} of harbour {at}", "date": "2024-03-05"}) for at in range(7))
    made = services.receive_backfill(actor=actor, monitor=brand_monitor, upload=upload(lines, "a.jsonl"))
    services.start_backfill(actor=actor, backfill=made)
    whole, calls = services.backfills.store_rows, []

    def dies(**given: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("the machine is gone")
        whole(**given)

    monkeypatch.setattr("workers.backfills.backfills.store_rows", dies)
    run_next("io")
    made.refresh_from_db()
    assert made.row_count == 4
    job: Any = made.job
    type(job).objects.filter(pk=job.pk).update(state="queued", finished_at=None)

    run_next("io")

    made.refresh_from_db()
    assert (made.row_count, made.new_count, made.seen_count) == (7, 7, 0)
    assert Article.objects.count() == 7


def test_columns_are_chosen_and_looked_at_on_the_page(
    actor: Actor, brand_monitor: Monitor, page: Any, alice: Any, charlie: Any, no_beating: None
) -> None:
    browser, base = page(alice), f"/w/{actor.workspace.slug}/monitors"
    text = "a,b\nPrices fall,2024-03-05T08:00:00Z\nPrices rise,2024-03-06T08:00:00Z\n"
    sent = browser.post(f"{base}/{brand_monitor.pk}/backfills/new", {"file": upload(text), "name": "Archive"})
    made = Backfill.objects.get()
    place = f"{base}/backfills/{made.pk}"

    without = browser.post(place, {"title": "", "body": ""})
    seen = browser.get(f"{place}?title=a&published_at=b").content.decode()
    started = browser.post(place, {"title": "a", "published_at": "b"})
    run_next("io")
    done = browser.get(place).content.decode()

    assert (sent.status_code, sent["Location"]) == (302, place)
    assert without.status_code == 422 and "Prices fall" in seen
    assert (started.status_code, Article.objects.count(), Source.objects.get().name) == (302, 2, "Archive")
    assert "hx-get" not in done.split('id="backfill"')[1].split(">")[0]
    for path in (place, f"{place}/live", f"{base}/{brand_monitor.pk}/backfills/new"):
        assert page(charlie).get(path).status_code == 404


def test_programs_bring_history_in(
    actor: Actor, brand_monitor: Monitor, api: Any, stranger: Any, no_beating: None
) -> None:
    client = api(actor)
    made = client.post(f"/api/v1/monitors/{brand_monitor.pk}/backfills", {"file": upload()}, format="multipart")
    held = client.post(
        f"/api/v1/monitors/{brand_monitor.pk}/backfills", {"file": upload(), "start": "false"}, format="multipart"
    )
    wrong = client.post(f"/api/v1/backfills/{held.json()['id']}/start", {"mapping": {"title": "nowhere"}})
    right = client.post(f"/api/v1/backfills/{held.json()['id']}/start", {"mapping": {"title": "正文"}})
    run_next("io")

    found = client.get(f"/api/v1/backfills/{made.json()['id']}").json()
    assert (made.status_code, made.json()["job"] is not None, held.json()["job"]) == (202, True, None)
    assert (wrong.status_code, wrong.json()["code"], right.status_code) == (422, "no_column", 202)
    assert (found["new_count"], found["mapping"]["title"]) == (2, "标题")
    assert api(stranger).get(f"/api/v1/backfills/{made.json()['id']}").status_code == 404
    kind = client.post(f"/api/v1/monitors/{brand_monitor.pk}/sources", {"kind": "file", "name": "x"})
    assert kind.json()["code"] == "unknown_value"


def test_files_that_nobody_starts_go_and_what_is_no_table_is_refused(actor: Actor, brand_monitor: Monitor) -> None:
    made = services.receive_backfill(actor=actor, monitor=brand_monitor, upload=upload())
    path = home() / made.file_path
    with pytest.raises(Refused):
        services.receive_backfill(actor=actor, monitor=brand_monitor, upload=upload("", "empty.csv"))

    kept = services.forget_backfill_files(before=timezone.now() - timedelta(days=1))
    gone = services.forget_backfill_files(before=timezone.now() + timedelta(seconds=1))

    assert (kept, gone, path.exists(), Backfill.objects.exists()) == (0, 1, False, False)
