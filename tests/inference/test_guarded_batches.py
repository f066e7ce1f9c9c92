"""Batch predictions where a policy holds: blocked rows are refused rows, redacted ones are read redacted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps.inference import services
from apps.inference.models import BatchJob, Generation, GuardDecision, Prediction
from apps.registry.models import ModelVersion
from apps.registry.services import move_alias, register_version
from core.access import Actor
from core.jobs.states import State
from workers import batch_guarding, inference, looks
from workers.loop import run_next
from workers.memory import Models
from workers.writing import Desk

LABELS = ["card", "loan"]
MAIL = "ana@example.com"
Version = Callable[..., ModelVersion]


@pytest.fixture(autouse=True)
def no_beats(settings: Any) -> None:
    """A beat comes from another connection, which does not see what a test has not committed."""
    settings.JOB_BEAT_SECONDS = 3600


@pytest.fixture(autouse=True)
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    """The resident role, which writes a step whenever the runner of batches would wait."""
    made = Desk(Models(10**9))
    monkeypatch.setattr(looks, "sleep", lambda _seconds: made.turn())
    return made


def done(batch_job: BatchJob, queue: str = "io") -> list[Prediction]:
    run_next(queue)
    batch_job.refresh_from_db()
    assert batch_job.job.state == State.SUCCEEDED, batch_job.job.error_message
    return list(Prediction.objects.filter(batch_job=batch_job).order_by("position"))


def items(*texts: str) -> list[dict[str, str]]:
    return [{"id": str(at), "text": text} for at, text in enumerate(texts)]


def test_prompts_of_a_batch_go_by_the_guards_and_keep_their_order(
    actor: Actor, workspace: Any, chat_version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = chat_version()
    services.create_policy(
        actor=actor, name="House", is_default=True, personal_input="redact", terms=["gold"], terms_input="block"
    )
    workspace.refresh_from_db()
    monkeypatch.setattr(batch_guarding, "TOGETHER", 2)
    asked = items("where is my card?", f"write to {MAIL}", "sell g.o.l.d", "loan")

    batch_job = services.predict_texts(actor=actor, version=version, items=asked, max_new_tokens=3)
    rows = done(batch_job)

    assert [(row.custom_id, row.text) for row in rows] == [
        ("0", "where is my card?"),
        ("1", "write to [EMAIL]"),
        ("3", "loan"),
    ]
    assert rows[1].messages == [{"role": "user", "content": "write to [EMAIL]"}]
    assert [(bad["number"], bad["code"], bad["snippet"]) for bad in batch_job.bad_rows] == [(3, "content_filter", "")]
    assert "gold" in batch_job.bad_rows[0]["message"]
    assert sorted(GuardDecision.objects.values_list("stage", "action")) == [("personal", "redact"), ("terms", "block")]
    assert Generation.objects.exclude(guard_policy=None).count() == 3


def test_answers_of_a_batch_end_where_they_are_blocked(
    actor: Actor, workspace: Any, chat_version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = chat_version()
    [free] = done(services.predict_texts(actor=actor, version=version, items=items("card"), max_new_tokens=12))
    letters = sorted({each for each in free.answer if each.isalnum()})
    assert letters
    services.create_policy(actor=actor, name="House", is_default=True, terms=letters, terms_output="block")
    workspace.refresh_from_db()

    [row] = done(services.predict_texts(actor=actor, version=version, items=items("card"), max_new_tokens=12))

    assert row.finish == "blocked" and row.answer != free.answer
    assert set(GuardDecision.objects.values_list("direction", "action")) == {("output", "block")}


def test_the_policy_of_a_deployment_holds_for_batches_of_its_alias(
    actor: Actor, workspace: Any, chat_version: Version, api: Any
) -> None:
    version = chat_version()
    policy = services.create_policy(actor=actor, name="Door", personal_input="redact")
    alias = move_alias(actor=actor, family=version.family, name="champion", version=version, reason="first")
    services.create_deployment(actor=actor, alias=alias, guard_policy=policy)
    client = api(actor)

    by_alias = client.post("/api/v1/predictions", {"model": "bot@champion", "texts": items(MAIL), "max_new_tokens": 1})
    by_version = client.post("/api/v1/predictions", {"model": "bot:1", "texts": items(MAIL), "max_new_tokens": 1})

    texts = [done(BatchJob.objects.get(pk=made.json()["id"]))[0].text for made in (by_alias, by_version)]
    assert texts == ["[EMAIL]", MAIL]


def test_texts_that_are_labelled_in_a_batch_are_read_redacted(
    actor: Actor,
    workspace: Any,
    alice: Any,
    tiny_classifier: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = {"name": "intents", "recipe": "classify", "task": "classification", "labels": LABELS, "by": alice}
    version = register_version(workspace=workspace, folder=tiny_classifier(LABELS, 1), **given)
    services.create_policy(actor=actor, name="House", is_default=True, personal_input="redact")
    workspace.refresh_from_db()
    read: list[str] = []

    def perform(_run: Any, _batch_job: Any, source: Path, _scratch: Path) -> None:
        read.extend(row["text"] for row in inference._input_rows(source, 0))

    monkeypatch.setattr(inference, "_perform", perform)
    batch_job = services.predict_texts(actor=actor, version=version, items=items("card", f"card of {MAIL}"))
    run_next("infer")

    batch_job.refresh_from_db()
    assert batch_job.job.state == State.SUCCEEDED, batch_job.job.error_message
    assert read == ["card", "card of [EMAIL]"]
    assert GuardDecision.objects.get().action == "redact"
