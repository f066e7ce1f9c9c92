"""The demo keeps to its own rows, whatever people start while it runs."""

from datetime import date, datetime
from typing import Any

import pyarrow as pa

from apps.datasets.models import Dataset
from apps.sentiment.models import Alert, Article, Rule
from apps.training import services
from workers.demo import DEMO, QUESTIONS, demo_training
from workers.demo_monitor import make_monitor, replay_rules
from workers.loop import run_next


def test_the_demo_goes_on_with_its_own_training_job(
    actor: Any, workspace: Any, chat_version: Any, chat_data: Any, freeze_rows: Any
) -> None:
    dataset = Dataset.objects.create(workspace=workspace, name=QUESTIONS.dataset, kind="classification")
    rows = [{"example_id": at, "text": "x", "labels": ["a"], "split": "train"} for at in range(8)]
    counts = {"splits": {"train": 8}}
    frozen = freeze_rows(dataset, pa.Table.from_pylist(rows), content_hash="d" * 64, counts=counts, labels=["a", "b"])
    own = services.start(
        actor=actor, recipe="classify", spec={}, version=frozen, name=QUESTIONS.model, family_name=QUESTIONS.model
    )
    services.start(actor=actor, recipe="sft", spec={}, version=chat_data, name="Mine")

    assert demo_training(actor) == own


def test_the_demo_monitor_would_have_raised_the_surges_that_its_news_hold(actor: Any) -> None:
    monitor = make_monitor(actor, DEMO / "news_comments.jsonl")
    assert make_monitor(actor, DEMO / "news_comments.jsonl") == monitor
    made = replay_rules(actor, monitor)
    again = replay_rules(actor, monitor)
    run_next("io")

    assert made is not None
    assert again is None
    made.refresh_from_db()
    surges = {
        (each["series"], datetime.fromisoformat(each["fired_at"]).date())
        for each in made.result["alerts"]
        if each["kind"] == "surge"
    }
    first = Article.objects.filter(monitor=made.monitor).earliest("received_at").received_at
    later = first - datetime.fromisoformat("2026-08-20T18:13:52+08:00")
    assert surges == {  # the days after those that the README of the sample data names
        ("Mobile app 手机银行", date(2026, 9, 15) + later),
        ("Fees 收费", date(2026, 10, 22) + later),
    }
    assert Article.objects.count() == 558
    assert Rule.objects.count() == 4
    assert not Alert.objects.exists()
