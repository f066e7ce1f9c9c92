"""Requests become examples: which are taken, what corrects them, what is replaced, and that nothing comes twice."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from apps.datasets.models import Dataset, Example, ImportJob
from apps.inference import services
from apps.inference.models import Generation, GenerationState, OnlineRequest, OnlineState
from apps.inference.sampling import Wanted, sampled
from apps.registry.services import register_version
from core.access import Actor
from core.errors import Refused
from engine.specs.sampling import Sampling
from workers.loop import run_next

Talk = Callable[..., Generation]


@pytest.fixture(autouse=True)
def no_beats(settings: Any) -> None:
    """A beat comes from another connection, which does not see what a test has not committed."""
    settings.JOB_BEAT_SECONDS = 3600


@pytest.fixture
def talk(actor: Actor, chat_version: Callable[..., Any]) -> Talk:
    """Makes an answered chat."""
    version = chat_version()

    def make(asked: str, *answers: str, is_stored: bool = True) -> Generation:
        row = services.generate_chat(
            actor=actor,
            version=version,
            reference="bot",
            messages=[{"role": "user", "content": asked}],
            sampling=Sampling(max_tokens=4),
            extras=services.Extras(is_stored=is_stored),
        )
        told: dict[str, Any] = {"finish": "stop", "stopped_by": None, "tokens": 4, "logprobs": [], "prompt": []}
        row.state, row.finished_at = GenerationState.DONE, timezone.now()
        row.answers = [{"text": answer, **told} for answer in answers]
        row.save()
        return row

    return make


def say_so(actor: Actor, name: str, index: int = 0, **said: Any) -> None:
    target = services.feedback_target(actor, name, index, "inference.write")
    services.give_feedback(actor=actor, target=target, said=said)


def brought(made: ImportJob) -> list[dict[str, Any]]:
    """The examples of the dataset after the import has run."""
    run_next("io")
    made.refresh_from_db()
    assert made.job and made.job.state == "succeeded", made.job and made.job.error_message
    assert made.bad_count == 0
    return [row.whole_record for row in Example.objects.filter(dataset=made.dataset).order_by("external_id")]


@pytest.mark.django_db
def test_corrections_replace_answers_texts_are_redacted_and_provenance_is_kept(actor: Actor, talk: Talk) -> None:
    one = talk("write to ann@example.org", "no", "well")
    two = talk("where?", "over there, call +49 30 1234567")
    say_so(actor, one.public_id, 1, thumb="down", corrected_answer="I wrote to ann@example.org.")

    made = services.sample_requests(actor=actor, wanted=Wanted("chat", seed=3), name="Talks")

    first, second = brought(made)
    assert first["messages"] == [
        {"role": "user", "content": "write to [EMAIL]"},
        {"role": "assistant", "content": "I wrote to [EMAIL]."},
    ]
    assert second["messages"][-1]["content"] == "over there, call [PHONE]"
    assert first["meta"]["request"] == one.public_id and second["meta"]["request"] == two.public_id
    assert (first["meta"]["corrected"], first["meta"]["thumb"]) == (True, "down")
    assert first["meta"]["model_version"] == one.model_version_id
    assert (made.source, made.origin["seed"], made.origin["redacted"]) == ("requests", 3, True)


@pytest.mark.django_db
def test_what_is_not_stored_or_not_over_is_never_taken(actor: Actor, talk: Talk) -> None:
    kept, gone, open_one = talk("a", "b"), talk("c", "d", is_stored=False), talk("e", "f")
    Generation.objects.filter(pk=open_one.pk).update(state=GenerationState.RUNNING)

    assert [row.request for row in sampled(actor, Wanted("chat"))] == [kept.public_id]
    Generation.objects.filter(pk=kept.pk).delete()
    with pytest.raises(Refused, match="No request matches"):
        services.sample_requests(actor=actor, wanted=Wanted("chat"), name="Nothing")
    assert gone.pk and not Dataset.objects.exists()


@pytest.mark.django_db
def test_a_second_run_brings_nothing_twice_and_changes_what_was_corrected_since(actor: Actor, talk: Talk) -> None:
    rows = [talk(f"question {at}", f"answer {at}") for at in range(3)]
    first = services.sample_requests(actor=actor, wanted=Wanted("chat", seed=1), name="Talks")
    brought(first)
    say_so(actor, rows[1].public_id, corrected_answer="better")

    second = services.sample_requests(actor=actor, wanted=Wanted("chat", seed=2), dataset=first.dataset)

    texts = {record["messages"][-1]["content"] for record in brought(second)}
    assert texts == {
        "answer 0",
        "better",
        "answer 2",
    }  # in which order they are drawn is the seed's and the rows' keys'
    assert (second.new_count, second.updated_count, second.unchanged_count) == (0, 1, 2)


@pytest.mark.django_db
def test_the_seed_alone_decides_which_are_drawn(actor: Actor, talk: Talk) -> None:
    for at in range(12):
        talk(f"question {at}", f"answer {at}")

    def drawn(seed: int) -> list[str]:
        return [row.request for row in sampled(actor, Wanted("chat", most=5, seed=seed))]

    assert drawn(1) == drawn(1) and len(set(drawn(1))) == 5
    assert len({tuple(drawn(seed)) for seed in range(6)}) > 1


@pytest.mark.django_db
def test_filters_hold_for_the_answer_not_only_for_its_request(
    actor: Actor, tiny_classifier: Callable[..., Path]
) -> None:
    version = register_version(
        workspace=actor.workspace,
        name="intents",
        folder=tiny_classifier(),
        recipe="classify",
        task="classification",
        labels=("refund", "card", "loan"),
        by=actor.user,
    )
    asked = services.ask(actor=actor, version=version, texts=["my card", "a loan", "money back"])
    results = [{"labels": [label], "probabilities": []} for label in ("card", "card", "card")]
    OnlineRequest.objects.filter(pk=asked.pk).update(state=OnlineState.DONE, results=results)
    say_so(actor, f"classify-{asked.pk}", 1, corrected_labels=["loan"], thumb="down")
    say_so(actor, f"classify-{asked.pk}", 2, corrected_labels=["refund", "card"])

    corrected = sampled(actor, Wanted("classification", {"corrected": "true"}))
    disliked = sampled(actor, Wanted("classification", {"thumb": "down"}))
    made = services.sample_requests(actor=actor, wanted=Wanted("classification"), name="Intents")

    assert [row.said["labels"] for row in corrected] == [["loan"], ["refund", "card"]]
    assert [row.id for row in disliked] == [f"classify-{asked.pk}#1"]
    assert [record["labels"] for record in brought(made)] == [["card"], ["loan"], ["refund", "card"]]
    assert made.dataset.multi_label
    with pytest.raises(Refused):
        services.sample_requests(actor=actor, wanted=Wanted("chat"), dataset=made.dataset)


@pytest.mark.django_db
def test_programs_look_and_then_import(actor: Actor, stranger: Actor, api: Any, talk: Talk) -> None:
    talk("write to ann@example.org", "yes")
    client, body = api(actor), {"kind": "chat", "name": "Talks", "preview": True}

    seen = client.post("/api/v1/samples", body, format="json")
    made = client.post("/api/v1/samples", {**body, "preview": False}, format="json")

    assert (seen.status_code, seen.json()["findings"], seen.json()["dataset"]) == (200, {"email": 1}, None)
    assert seen.json()["rows"][0]["messages"][0]["content"] == "write to [EMAIL]"
    assert made.status_code == 201 and len(brought(ImportJob.objects.get(pk=made.json()["import_job"]))) == 1
    foreign = api(stranger).post("/api/v1/samples", {**body, "dataset": made.json()["dataset"]}, format="json")
    assert foreign.json()["code"] == "nothing_found"
    wrong = client.post("/api/v1/samples", {**body, "filters": {"thumb": "sideways"}}, format="json")
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "thumb")


@pytest.mark.django_db
def test_a_page_shows_what_is_replaced_before_anything_is_made(
    page: Any, alice: Any, charlie: Any, workspace: Any, talk: Talk
) -> None:
    talk("write to <b>ann@example.org</b>", "yes")
    path, client = f"/w/{workspace.slug}/predictions/requests/sample", page(alice)

    empty = client.get(path).content.decode()
    seen = client.get(f"{path}?kind=chat&most=10&seed=1&redacts=on").content.decode()
    nothing = Dataset.objects.exists()
    made = client.post(path, {"kind": "chat", "most": 10, "seed": 1, "redacts": "on", "name": "Talks"})

    assert "Import the examples" not in empty
    assert "[EMAIL] × 1" in seen and "write to &lt;b&gt;[EMAIL]" in seen and "<b>ann" not in seen
    assert not nothing and made.status_code == 302
    assert made["Location"].endswith(f"/imports/{ImportJob.objects.get().pk}")
    assert page(charlie).get(path).status_code == 404
