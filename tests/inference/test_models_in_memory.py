"""Versions in memory: bounded by bytes, pinned, verified once, tried before traffic, and told to pages."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps.inference import services
from apps.inference.models import EventKind, Generation, GenerationState
from apps.inference.services import route
from apps.registry.models import ModelVersion, Task
from apps.registry.selectors import version_folder
from apps.registry.services import move_alias, register_version
from core.access import Actor
from core.residents import leave, tell, told
from engine.failures import RunFailed
from engine.specs.sampling import Sampling
from workers import keeping, memory
from workers.generation import answer_next
from workers.keeping import attend, facts_of
from workers.memory import WRITING, Models
from workers.writing import Desk

Version = Callable[..., ModelVersion]
CACHE = 1_000_000


@pytest.fixture
def label_version(workspace: Any, alice: Any, tiny_classifier: Callable[..., Path]) -> Version:
    def make(seed: int = 1) -> ModelVersion:
        return register_version(
            workspace=workspace, name="labels", folder=tiny_classifier(("a", "b", "c"), seed), recipe="classify",
            task="classification", labels=("a", "b", "c"), by=alice,
        )  # fmt: skip

    return make


def asked(actor: Actor, **options: Any) -> Generation:
    found = route(actor, "bot")
    return services.generate_chat(
        actor=actor, version=found.version, route=found, reference="bot",
        messages=[{"role": "user", "content": "where is my card?"}],
        sampling=Sampling(**{"max_tokens": 40, "ignore_end": True, "seed": 5, **options}),
    )  # fmt: skip


def write_all(desk: Desk) -> None:
    while desk.turn():
        pass


@pytest.mark.django_db
def test_versions_of_all_kinds_share_one_bound_and_the_pinned_stays(
    chat_version: Version, label_version: Version
) -> None:
    writers, labels = [chat_version(seed=1), chat_version(seed=2)], label_version()
    sizes = Models(10**9, CACHE)
    for version, use in ((writers[0], WRITING), (labels, Task.CLASSIFICATION)):
        sizes.get(version, use)
    one, small = (held.bytes for held in reversed(sizes.all()))
    assert one > CACHE and small >= labels.size_bytes
    models = Models(one + small, CACHE)
    models.pin([(labels.content_hash, Task.CLASSIFICATION)])

    pinned = models.get(labels, Task.CLASSIFICATION)
    first = models.get(writers[0], WRITING)
    models.get(writers[1], WRITING)

    states = {(held.version.pk, held.use): held.state for held in models.all()}
    assert states == {
        (writers[1].pk, WRITING): "ready", (labels.pk, Task.CLASSIFICATION): "ready", (writers[0].pk, WRITING): "evicted",
    }  # fmt: skip
    assert models.get(labels, Task.CLASSIFICATION) is pinned
    assert models.get(writers[0], WRITING) is not first


@pytest.mark.django_db
def test_files_are_verified_once_for_all_uses_and_again_after_the_version_left(
    chat_version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, read = chat_version(), []
    real = memory.damaged_files
    monkeypatch.setattr(memory, "damaged_files", lambda asked: read.append(asked.pk) or real(asked))
    models = Models(10**9, CACHE)

    writer = models.get(version, WRITING)
    chat = models.get(version, Task.GENERATION)
    assert len(read) == 1
    models.drop(writer), models.drop(chat)
    models.get(version, WRITING)

    assert len(read) == 2


@pytest.mark.django_db
def test_an_encoder_with_altered_weights_is_not_loaded(actor: Actor, label_version: Version) -> None:
    version = label_version()
    weights = version_folder(version) / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.unlink()  # a link to a folder that others read
    weights.write_bytes(content)
    row = services.ask(actor=actor, version=version, texts=["my card"])

    assert answer_next(Models(10**9))

    row.refresh_from_db()
    assert row.state == "failed" and "model.safetensors" in row.error_message


@pytest.mark.django_db
def test_who_asks_while_it_loads_waits_for_the_same_model(
    chat_version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, models, got = chat_version(), Models(10**9, CACHE), []
    begun, go = threading.Event(), threading.Event()
    real = models._opened
    loads = []

    def slowly(held: Any) -> Any:
        loads.append(held)
        begun.set()
        assert go.wait(30)
        return real(held)

    monkeypatch.setattr(models, "_opened", slowly)
    threads = [threading.Thread(target=lambda: got.append(models.get(version, WRITING))) for _ in range(2)]
    monkeypatch.setattr(memory, "damaged_files", lambda _version: [])  # which asks the database of this test
    threads[0].start()
    assert begun.wait(30)
    threads[1].start()
    assert [held.state for held in models.all()] == ["loading"]
    go.set()
    for thread in threads:
        thread.join(30)

    assert len(loads) == 1 and len(got) == 2 and got[0] is got[1]


@pytest.mark.django_db
def test_requests_in_flight_finish_on_the_old_version_and_the_next_go_to_the_new_one(
    actor: Actor, chat_version: Version, deploy: Callable[..., Any]
) -> None:
    old, new = chat_version(seed=1), chat_version(seed=2)
    deployment = deploy(old, is_warm=True)
    models = Models(10**9, CACHE)
    desk = Desk(models)
    alone = asked(actor)
    write_all(desk)

    flying = asked(actor)
    desk.turn(), desk.turn()
    move_alias(actor=actor, family=old.family, name="champion", version=new)
    before = asked(actor)
    attend(models)
    after = asked(actor)
    write_all(desk)

    for row in (alone, flying, before, after):
        row.refresh_from_db()
    assert [row.model_version for row in (flying, before, after)] == [old, old, new]
    assert {row.state for row in (flying, before, after)} == {GenerationState.DONE}
    texts = [row.answers[0]["text"] for row in (alone, flying, before, after)]
    assert texts[0] == texts[1] == texts[2] != texts[3]
    assert [event.kind for event in deployment.events.order_by("id")] == [EventKind.CREATED, EventKind.SWITCHED]


@pytest.mark.django_db
def test_answers_go_on_while_their_version_is_let_go(
    actor: Actor, chat_version: Version, deploy: Callable[..., Any]
) -> None:
    deploy(chat_version())
    models = Models(10**9, CACHE)
    desk = Desk(models)
    row = asked(actor)
    desk.turn(), desk.turn()

    models.drop(models.get(row.model_version, WRITING))
    write_all(desk)

    row.refresh_from_db()
    assert row.state == GenerationState.DONE and row.answer_tokens == 40


@pytest.mark.django_db
def test_a_version_that_does_not_answer_gets_no_traffic_and_is_tried_again_later(
    actor: Actor, chat_version: Version, deploy: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = chat_version(seed=1), chat_version(seed=2)
    deployment = deploy(old, is_warm=True, candidate=new, candidate_share=1.0)
    models, tried = Models(10**9, CACHE), []

    def fails(_writer: Any) -> None:
        tried.append(1)
        raise RunFailed("out_of_memory", "No room.", "")

    monkeypatch.setitem(memory.TRY, WRITING, fails)
    times: dict[tuple[int, int], float] = {}
    attend(models, times), attend(models, times)
    assert len(tried) == 1 and route(actor, "bot").version == old
    assert facts_of(models)["versions"][0]["state"] == "failed"
    deployment.refresh_from_db()
    assert "No room." in deployment.warm_error

    monkeypatch.undo()
    times.clear()
    attend(models, times)

    assert route(actor, "bot").version == new
    deployment.refresh_from_db()
    assert deployment.warm_error == ""


def test_caring_goes_on_after_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    stop, looks = threading.Event(), []

    def look(*_given: Any) -> None:
        looks.append(1)
        if len(looks) == 1:
            raise ValueError("nobody foresaw this")
        stop.set()

    monkeypatch.setattr(keeping, "attend", look)
    monkeypatch.setattr(keeping, "IDLE_SECONDS", 0.01)
    monkeypatch.setattr(keeping, "close_old_connections", lambda: None)

    keeping.keep(stop, Models(1))

    assert len(looks) == 2


@pytest.mark.django_db
def test_versions_of_equal_files_are_one_in_memory(tiny_chat: Callable[..., Path], workspace: Any, alice: Any) -> None:
    folder, models = tiny_chat(), Models(10**9, CACHE)
    given = {"workspace": workspace, "folder": folder, "recipe": "sft", "task": "generation", "by": alice}
    one, other = register_version(name="a", **given), register_version(name="b", **given)

    assert models.get(one, WRITING) is models.get(other, WRITING)

    held = models.state_of(other, WRITING)
    assert held is not None and held.state == "ready"


@pytest.mark.django_db
def test_pinned_deployments_keep_their_versions_loaded(
    actor: Actor, label_version: Version, deploy: Callable[..., Any]
) -> None:
    version = label_version()
    deploy(version, is_pinned=True)
    models = Models(1, CACHE)

    attend(models)

    held = models.state_of(version, Task.CLASSIFICATION)
    assert held is not None and held.state == "ready" and held.is_pinned


def test_a_server_that_cannot_be_reached_is_no_version_that_works() -> None:
    from engine.generate.remote import Server, open_remote

    def unreachable(_path: str, _body: Any) -> Any:
        raise OSError("nobody listens")

    writer = open_remote(Server(address="http://localhost:9", model="x"), unreachable)

    with pytest.raises(RunFailed) as failed:
        memory.TRY[WRITING](writer)

    assert failed.value.code == "remote_unreachable" and "nobody listens" in failed.value.message


def test_facts_of_a_process_are_told_and_taken_back() -> None:
    tell("testing", "here:1", {"bytes": 5})
    tell("testing", "here:2", {"bytes": 7})

    assert told("testing") == {"here:1": {"bytes": 5}, "here:2": {"bytes": 7}}
    leave("testing", "here:1")

    assert told("testing") == {"here:2": {"bytes": 7}}
    leave("testing", "here:2")
