"""What was used is counted once for each request, whatever dies meanwhile; quotas hold."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from apps.accounts.models import Workspace
from apps.accounts.services import create_api_key
from apps.inference import services
from apps.inference.models import Generation, GenerationState, Usage
from apps.inference.services import metering
from apps.inference.usage import month_of
from apps.registry.models import ModelVersion
from core.access import Actor
from core.errors import Refused
from engine.specs.sampling import Sampling

Version = Callable[..., ModelVersion]
COUNTS = {"prompt_tokens": 7, "cached_tokens": 2, "answer_tokens": 5}


@pytest.fixture
def ask(actor: Actor, chat_version: Version) -> Callable[[], Generation]:
    version = chat_version()

    def ask_now() -> Generation:
        return services.generate_chat(
            actor=actor,
            version=version,
            reference="bot",
            messages=[{"role": "user", "content": "where?"}],
            sampling=Sampling(),
        )

    return ask_now


def counted() -> list[tuple[int, ...]]:
    return list(
        Usage.objects.order_by("id").values_list(
            "requests", "errors", "prompt_tokens", "cached_tokens", "answer_tokens"
        )
    )


def test_a_finished_request_counts_once(db: None, ask: Callable[[], Generation]) -> None:
    ask()
    (row,) = services.claim_generations(1)

    ended = [services.finish_generation(row, state=GenerationState.DONE, **COUNTS) for _ in range(2)]

    assert ended == [True, False]
    assert counted() == [(1, 0, 7, 2, 5)]
    usage = Usage.objects.get()
    assert (usage.key_id, usage.version_name, usage.day) == (0, "bot:1", timezone.now().date())
    assert 0 <= usage.seconds < 60


def test_failures_and_cancels_count_too(db: None, ask: Callable[[], Generation]) -> None:
    services.cancel_generation(ask().pk)
    ask()
    (row,) = services.claim_generations(1)
    services.finish_generation(row, state=GenerationState.FAILED, error_code="x")
    tired = ask()
    Generation.objects.filter(pk=tired.pk).update(attempt_count=services.generations.GENERATION_ATTEMPTS)
    services.claim_generations(1)

    assert counted() == [(3, 2, 0, 0, 0)]


def test_a_connection_that_dies_while_counting_counts_nothing_and_the_next_end_once(
    transactional_db: None, ask: Callable[[], Generation], monkeypatch: Any
) -> None:
    ask()
    (row,) = services.claim_generations(1)

    def die(statement: str, pks: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement, [list(pks)])
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with monkeypatch.context() as patched:
        patched.setattr(metering, "_count", die)
        with pytest.raises(OperationalError):
            services.finish_generation(row, state=GenerationState.DONE, **COUNTS)
    connection.close()
    assert counted() == []
    assert Generation.objects.get().state == GenerationState.RUNNING

    Generation.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    (again,) = services.claim_generations(1)
    assert services.finish_generation(again, state=GenerationState.DONE, **COUNTS)
    assert not services.finish_generation(row, state=GenerationState.DONE, **COUNTS)

    assert counted() == [(1, 0, 7, 2, 5)]


def test_keys_count_apart_and_their_rows_outlive_them(db: None, actor: Actor, ask: Callable[[], Generation]) -> None:
    key, _secret = create_api_key(actor=actor, name="shop", scopes=["inference.write"])
    ask()
    services.generate_chat(
        actor=replace(actor, key=key),
        version=ModelVersion.objects.get(),
        reference="bot",
        messages=[{"role": "user", "content": "where?"}],
        sampling=Sampling(),
    )
    for row in services.claim_generations(2):
        services.finish_generation(row, state=GenerationState.DONE, **COUNTS)
    number = key.pk
    key.delete()

    assert sorted(Usage.objects.values_list("key_id", "key_name")) == [(0, ""), (number, "shop")]


def test_single_requests_count_too(db: None, actor: Actor, embedder_version: Any) -> None:
    services.ask(actor=actor, version=embedder_version(), texts=["a b"])
    (request,) = services.claim_online(services.Turns())

    ended = [services.answer(request=request, results=[{"vector": [1.0]}], token_count=4) for _ in range(2)]

    assert ended == [True, False]
    assert counted() == [(1, 0, 4, 0, 0)]


def test_a_shadow_is_counted_apart_and_quotas_leave_it_out(
    db: None, actor: Actor, named_version: Version, deploy: Any
) -> None:
    old, new = named_version(), named_version()
    deploy(old, candidate=new, candidate_share=1.0, is_shadow=True)
    key, _secret = create_api_key(actor=actor, name="shop", scopes=["inference.write"])
    caller = replace(actor, key=key)

    def ask_bot() -> None:
        found = services.route(caller, "bot")
        services.generate_chat(
            actor=caller,
            version=found.version,
            route=found,
            reference="bot",
            messages=[{"role": "user", "content": "where?"}],
            sampling=Sampling(),
        )

    ask_bot()
    for row in services.claim_generations(2):
        services.finish_generation(row, state=GenerationState.DONE, **COUNTS)

    rows = Usage.objects.order_by("kind").values_list("kind", "key_name", "version_id", "requests", "answer_tokens")
    assert list(rows) == [("request", "shop", old.pk, 1, 5), ("shadow", "shop", new.pk, 1, 5)]
    actor.workspace.requests_per_month = 2
    ask_bot()
    assert month_of(actor.workspace)["requests"] == 1


@pytest.mark.parametrize("quota", [{"requests_per_month": 1}, {"tokens_per_month": 12}])
def test_a_quota_that_is_used_up_refuses(
    db: None, actor: Actor, ask: Callable[[], Generation], workspace: Workspace, quota: dict[str, int]
) -> None:
    for name, value in quota.items():
        setattr(actor.workspace, name, value)
    ask()
    (row,) = services.claim_generations(1)
    services.finish_generation(row, state=GenerationState.DONE, **COUNTS)

    with pytest.raises(Refused) as refused:
        ask()
    assert (refused.value.code, refused.value.status) == ("insufficient_quota", 429)

    Usage.objects.update(day=timezone.now().date().replace(day=1) - timedelta(days=1))
    assert ask().pk
