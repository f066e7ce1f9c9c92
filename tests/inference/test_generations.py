"""Answers that are written: claimed, written together by the real engine, told, stored, cancelled, taken over."""

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from redis import Redis

from apps.inference import services
from apps.inference.models import Generation, GenerationState
from apps.registry.models import ModelVersion
from apps.registry.selectors import version_folder
from core.access import Actor
from core.errors import Refused
from core.events import Teller
from engine.chat_model import load_chat_model
from engine.generate.opening import open_writer
from engine.specs.sampling import Grammar, Sampling
from workers.memory import WRITING, Models, graphs_folder
from workers.writing import Desk, drop_old_graphs

Version = Callable[..., ModelVersion]


class Heard(Teller):
    """A teller that only remembers."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def tell(self, events: Any) -> None:
        self.events += events

    def close(self) -> None:
        pass

    def of(self, row: Generation) -> list[dict[str, Any]]:
        return [event for name, event in self.events if name == f"generation:{row.pk}"]


@pytest.fixture
def desk() -> Desk:
    return Desk(Models(10**9), Heard())


@pytest.fixture
def ask(actor: Actor, chat_version: Version) -> Callable[..., Generation]:
    version = chat_version()

    def ask_now(
        content: str = "where is my card?", *, extras: Any = None, by: Actor = actor, **options: Any
    ) -> Generation:
        return services.generate_chat(
            actor=by,
            version=version,
            reference="bot",
            messages=[{"role": "user", "content": content}],
            sampling=Sampling(**{"max_tokens": 12, "seed": 3, **options}),
            extras=extras,
        )

    return ask_now


def write_all(desk: Desk, most: int = 400) -> None:
    for _ in range(most):
        if not desk.turn():
            return
    raise AssertionError("it does not end")


def heard(desk: Desk) -> Heard:
    assert isinstance(desk.teller, Heard)
    return desk.teller


@pytest.mark.django_db
def test_answers_are_stored_and_told_piece_by_piece(ask: Callable[..., Generation], desk: Desk) -> None:
    rows = [ask(f"question {at}") for at in range(5)]
    write_all(desk)
    for row in rows:
        row.refresh_from_db()
        assert row.state == GenerationState.DONE
        (answer,) = row.answers
        assert answer["finish"] in {"stop", "length"} and answer["tokens"] == row.answer_tokens
        assert row.prompt_tokens > 5
        assert row.created_at <= row.started_at <= row.first_token_at <= row.finished_at
        events = heard(desk).of(row)
        assert [event["id"] for event in events] == [f"1.{at + 1}" for at in range(len(events))]
        assert "".join(event.get("text", "") for event in events) == answer["text"]
        assert events[-1]["last"] and events[-1]["state"] == "done"
        begin = 0
        for event in events[1:-1]:
            assert event["begin"] == begin
            begin += len(event["text"])


@pytest.mark.django_db
def test_a_greedy_answer_is_that_of_an_evaluation(ask: Callable[..., Generation], desk: Desk) -> None:
    row = ask(temperature=0.0)
    write_all(desk)
    row.refresh_from_db()
    whole = load_chat_model(version_folder(row.model_version)).answers([row.messages], max_new_tokens=12)
    assert row.answers[0]["text"].strip() == whole[0].text
    assert row.answers[0]["tokens"] == whole[0].tokens


@pytest.mark.django_db
def test_several_answers_of_one_request_differ_and_come_again_with_its_seed(
    ask: Callable[..., Generation], desk: Desk
) -> None:
    rows = [ask(extras=services.Extras(answers_per_prompt=3)) for _ in range(2)]
    write_all(desk)
    texts = []
    for row in rows:
        row.refresh_from_db()
        texts.append([answer["text"] for answer in row.answers])
    assert texts[0] == texts[1]
    assert len(set(texts[0])) == 3


@pytest.mark.django_db
def test_a_worker_that_died_is_followed_by_one_that_writes_the_same(ask: Callable[..., Generation], desk: Desk) -> None:
    """Only the lease's end makes the row free; what the dead one may still store is refused."""
    row = ask(max_tokens=20, ignore_end=True)
    for _ in range(6):
        desk.turn()
    dead = desk
    second = Desk(Models(10**9), Heard())
    assert not second.turn(), "nobody takes what is leased"
    Generation.objects.filter(pk=row.pk).update(lease_expires_at=timezone.now() - timedelta(hours=1))
    write_all(second)
    row.refresh_from_db()
    stored = row.answers[0]["text"]
    partly = "".join(event.get("text", "") for event in heard(dead).of(row))
    assert 0 < len(partly) < len(stored) and stored.startswith(partly)
    assert heard(second).of(row)[0]["id"] == "2.1"
    write_all(dead)
    row.refresh_from_db()
    assert row.answers[0]["text"] == stored and row.token == 2


@pytest.mark.django_db
def test_who_leaves_gives_back_at_once(ask: Callable[..., Generation], desk: Desk) -> None:
    row = ask()
    desk.turn()
    desk.leave()
    row.refresh_from_db()
    assert (row.state, row.attempt_count) == (GenerationState.WAITING, 0)
    write_all(Desk(Models(10**9), Heard()))
    row.refresh_from_db()
    assert row.state == GenerationState.DONE


@pytest.mark.django_db
def test_what_was_tried_too_often_is_given_up(ask: Callable[..., Generation], desk: Desk) -> None:
    row = ask()
    Generation.objects.filter(pk=row.pk).update(attempt_count=3)
    desk.turn()
    row.refresh_from_db()
    assert (row.state, row.error_code) == (GenerationState.FAILED, "given_up")


@pytest.mark.django_db
def test_cancelling_ends_one_answer_and_no_other(ask: Callable[..., Generation], desk: Desk) -> None:
    unwanted, kept, waiting = ask(max_tokens=40, ignore_end=True), ask(max_tokens=40, ignore_end=True), None
    for _ in range(4):
        desk.turn()
    assert services.cancel_generation(unwanted.pk)
    desk.turn(unwanted={unwanted.pk})
    unwanted.refresh_from_db()
    assert unwanted.state == GenerationState.CANCELLED
    assert 0 < unwanted.answer_tokens < 40, "what was written is kept"
    waiting = ask()
    assert services.cancel_generation(waiting.pk)
    write_all(desk)
    kept.refresh_from_db(), waiting.refresh_from_db()
    assert (kept.state, kept.answer_tokens) == (GenerationState.DONE, 40)
    assert (waiting.state, waiting.answer_tokens) == (GenerationState.CANCELLED, 0)
    assert not services.cancel_generation(kept.pk)


@pytest.mark.django_db
def test_a_cancellation_that_redis_lost_is_found_with_the_next_beat(
    ask: Callable[..., Generation], desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ask(max_tokens=60, ignore_end=True)
    desk.turn()
    services.cancel_generation(row.pk)
    desk._beat_at = 0
    desk.turn()
    desk.turn()
    row.refresh_from_db()
    assert row.state == GenerationState.CANCELLED


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("content", "options", "code"),
    [
        ("long " * 200, {}, "context_length_exceeded"),
        ("hello", {"grammar": Grammar("regex", "[")}, "invalid_grammar"),
        ("hello", {"logit_bias": {100_000: 1.0}}, "unknown_token"),
    ],
)
def test_what_cannot_be_answered_fails_with_a_reason_and_harms_no_other(
    ask: Callable[..., Generation], desk: Desk, content: str, options: dict[str, Any], code: str
) -> None:
    bad, good = ask(content, **options), ask()
    write_all(desk)
    bad.refresh_from_db(), good.refresh_from_db()
    assert (bad.state, bad.error_code) == (GenerationState.FAILED, code)
    assert bad.error_message
    assert heard(desk).of(bad)[-1]["state"] == "failed"
    assert good.state == GenerationState.DONE


@pytest.mark.django_db
def test_a_damaged_folder_fails_its_requests_only(
    ask: Callable[..., Generation], desk: Desk, chat_version: Version, actor: Actor
) -> None:
    other = chat_version(seed=2)
    (version_folder(other) / "model.safetensors").write_bytes(b"nonsense")
    bad = services.generate_texts(actor=actor, version=other, reference="bot", prompts=["x"], sampling=Sampling())
    good = ask()
    write_all(desk)
    bad.refresh_from_db(), good.refresh_from_db()
    assert (bad.state, good.state) == (GenerationState.FAILED, GenerationState.DONE)
    assert bad.error_code == "version_damaged" and "model.safetensors" in bad.error_message


@pytest.mark.django_db
def test_an_unforeseen_error_fails_its_requests_and_the_next_ones_are_answered(
    ask: Callable[..., Generation], desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a version is opened, and in the middle of a step."""
    monkeypatch.setattr("engine.generate.opening.read_frame", lambda _folder: 1 / 0)
    unopened = ask()
    desk.turn()
    monkeypatch.undo()
    broken = ask(max_tokens=40, ignore_end=True)
    desk.turn()
    writer = desk.models.get(broken.model_version, WRITING)
    monkeypatch.setattr(writer.backend.network, "logits", lambda *_: 1 / 0)
    desk.turn()
    good = ask()
    write_all(desk)
    for row in (unopened, broken, good):
        row.refresh_from_db()
    assert [row.error_code for row in (unopened, broken)] == ["unexpected"] * 2
    assert good.state == GenerationState.DONE
    assert heard(desk).of(broken)[-1]["state"] == "failed"


@pytest.mark.django_db
def test_texts_and_token_ids_are_continued(actor: Actor, chat_version: Version, desk: Desk) -> None:
    version = chat_version()
    row = services.generate_texts(
        actor=actor,
        version=version,
        reference="bot",
        prompts=["where is", [5, 6, 7]],
        sampling=Sampling(max_tokens=4, temperature=0, logprobs=2, prompt_logprobs=1, ignore_end=True),
        extras=services.Extras(answers_per_prompt=2),
    )
    write_all(desk)
    row.refresh_from_db()
    assert len(row.answers) == 4
    assert row.answers[2]["text"] == row.answers[3]["text"]
    assert [len(answer["logprobs"]) for answer in row.answers] == [4] * 4
    assert [told[0] for told in row.answers[2]["prompt"]] == [5, 6, 7]
    assert [told[2] is None for told in row.answers[2]["prompt"]] == [True, False, False]
    assert "".join(told[1] for told in row.answers[0]["prompt"]) == "where is"
    assert all(told[2] < 0 for told in row.answers[0]["prompt"]), "the first token stands behind the end token"
    token, text, logprob, top = row.answers[0]["logprobs"][0]
    assert top[0] == [token, text, logprob] and len(top) == 2


@pytest.mark.django_db
def test_rows_are_claimed_by_urgency_and_workspace_by_workspace(
    ask: Callable[..., Generation], stranger: Actor
) -> None:
    many = [ask() for _ in range(4)]
    later = ask(extras=services.Extras(priority=10))
    other = ask()
    Generation.objects.filter(pk=other.pk).update(workspace=stranger.workspace)
    first = services.claim_generations(3)
    assert {row.pk for row in first} == {many[0].pk, many[1].pk, other.pk}
    rest = services.claim_generations(10)
    assert [row.pk for row in rest] == [many[2].pk, many[3].pk, later.pk]
    assert services.claim_generations(5) == []


@pytest.mark.django_db
def test_the_oldest_unused_version_leaves_when_memory_ends(chat_version: Version, desk: Desk) -> None:
    versions = [chat_version(seed=seed) for seed in range(3)]
    size = open_writer(version_folder(versions[0]), cache_bytes=10_000_000).memory_bytes
    models = Models(int(size * 2.5), cache_bytes=10_000_000)
    first = [models.get(version, WRITING) for version in versions]
    assert models.get(versions[1], WRITING) is first[1] and models.get(versions[2], WRITING) is first[2]
    assert models.get(versions[0], WRITING) is not first[0]


@pytest.mark.django_db
def test_texts_that_are_not_to_be_stored_go_once_they_were_read(ask: Callable[..., Generation], desk: Desk) -> None:
    row, kept = ask(extras=services.Extras(is_stored=False, end_user="u1")), ask()
    services.forget_texts(row.pk)
    row.refresh_from_db()
    assert row.messages, "not before it ended"
    write_all(desk)
    for one in (row, kept):
        services.forget_texts(one.pk)
        one.refresh_from_db()
    assert (row.messages, row.answers, row.end_user) == ([], [], "")
    assert row.answer_tokens > 0 and kept.messages and kept.answers


@pytest.mark.django_db
def test_what_nobody_came_back_for_goes_as_well(ask: Callable[..., Generation], desk: Desk) -> None:
    row, cancelled = (ask(extras=services.Extras(is_stored=False), max_tokens=40, ignore_end=True) for _ in range(2))
    desk.turn()
    services.cancel_generation(cancelled.pk)
    desk.turn(unwanted={cancelled.pk})
    cancelled.refresh_from_db()
    assert (cancelled.state, cancelled.messages) == (GenerationState.CANCELLED, [])
    write_all(desk)
    assert services.expire_unread() == {"unread_answers": 0}
    assert services.expire_unread(now=timezone.now() + timedelta(minutes=11)) == {"unread_answers": 1}
    row.refresh_from_db()
    assert row.answers == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages"),
        ({"sampling": Sampling(temperature=3)}, "temperature"),
        ({"extras": services.Extras(answers_per_prompt=17)}, "n"),
        ({"messages": [{"role": "user", "content": "x" * 1_000_001}]}, "messages"),
    ],
)
def test_bad_requests_are_refused_at_the_door(
    actor: Actor, chat_version: Version, change: dict[str, Any], field: str
) -> None:
    given = {"messages": [{"role": "user", "content": "x"}], "sampling": Sampling(), **change}
    with pytest.raises(Refused) as caught:
        services.generate_chat(actor=actor, version=chat_version(), reference="bot", **given)
    assert caught.value.problems[0].field.startswith(field)
    assert not Generation.objects.exists()


@pytest.mark.django_db
def test_graphs_of_versions_that_are_gone_are_dropped(chat_version: Version) -> None:
    version = chat_version()
    origins = {"kept": version.content_hash, "gone": "0" * 64, "young": "1" * 64, "broken": None}
    for name, origin in origins.items():
        place = graphs_folder() / name
        place.mkdir(parents=True)
        (place / "lingxi.json").write_text(json.dumps({"content_hash": origin}) if origin else "{")
        if name != "young":
            os.utime(place, (0, 0))
    assert sorted(drop_old_graphs()) == ["broken", "gone"]
    assert sorted(path.name for path in graphs_folder().iterdir()) == ["kept", "young"]


def test_events_are_kept_in_order_and_end_by_themselves(settings: Any) -> None:
    teller = Teller()
    teller.tell([("t:1", {"id": "1.1", "text": "a"}), ("t:1", {"id": "1.2", "text": "b", "last": True})])
    with Redis.from_url(settings.REDIS_URL) as redis:
        assert len(redis.xrange("lingxi:events:t:1")) == 2
        assert 0 < redis.ttl("lingxi:events:t:1") <= 600
    teller.close()


def test_folders_of_others_answer_as_transformers_does(tiny_chat: Callable[..., Path]) -> None:
    """Llama with ChatML and GPT-2 without a template, greedy, against transformers' generate."""
    messages = [{"role": "user", "content": "where is my card?"}]
    for kind in ("llama", "gpt2"):
        folder = tiny_chat(kind)
        writer = open_writer(folder, cache_bytes=10_000_000)
        prompt = writer.chat_tokens(messages)
        writer.backend.add(writer.request("a", prompt, Sampling(max_tokens=10, temperature=0), tenant="t"))
        text = ""
        while writer.is_busy:
            text += "".join(delta.text for delta in writer.backend.step())
        expected = load_chat_model(folder).answers([messages], max_new_tokens=10)[0]
        assert text.strip() == expected.text


def test_requests_that_nobody_waits_for_leave_seats_free(ask: Callable[..., Generation]) -> None:
    """A batch may have thousands of rows at the door; who comes to talk still finds a seat."""
    patient = [ask(extras=services.Extras(priority=10)) for _ in range(4)]
    urgent = [ask() for _ in range(2)]
    flexible = ask(extras=services.Extras(priority=5))

    first = services.claim_generations(5, patient=2)
    second = services.claim_generations(5, patient=0)

    assert first == [*urgent, flexible, patient[0]]
    assert second == []


def test_after_a_step_longer_than_its_lease_a_writer_does_not_claim_its_own_rows(
    desk: Desk, ask: Callable[..., Generation]
) -> None:
    row = ask(max_tokens=3)
    desk.turn()
    Generation.objects.update(lease_expires_at=timezone.now() - timedelta(hours=1))
    desk._beat_at = 0.0  # the clock of the same step

    while desk.turn():
        pass

    row.refresh_from_db()
    assert (row.state, row.token, row.attempt_count) == (GenerationState.DONE, 1, 1)
