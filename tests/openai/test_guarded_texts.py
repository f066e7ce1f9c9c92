"""Guards before encoders and before single requests below /api/v1: each API says no in its own shape."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.inference import services
from apps.inference.models import Deployment, Generation, GuardDecision, GuardPolicy, OnlineRequest
from apps.registry.models import ModelVersion
from core.access import Actor
from core.errors import Refused
from workers.memory import Models
from workers.writing import Desk

Version = Callable[..., ModelVersion]
MAIL = "ana@example.com"
GOLD = "sell g.o.l.d"


@pytest.fixture
def guard(actor: Actor, workspace: Any) -> GuardPolicy:
    """Personal data is redacted and a term blocks, wherever no other policy is named."""
    policy = services.create_policy(
        actor=actor, name="House", is_default=True, personal_input="redact", terms=["gold"], terms_input="block"
    )
    workspace.refresh_from_db()
    actor.workspace.refresh_from_db()
    return policy


@pytest.fixture
def versions(
    classifier_version: Version, embedder_version: Version, ranker_version: Version
) -> dict[str, ModelVersion]:
    """One version of each task that a door below /v1 asks."""
    return {"labels": classifier_version(), "vectors": embedder_version(), "ranks": ranker_version()}


@pytest.mark.usefixtures("guard")
@pytest.mark.parametrize(
    ("path", "name", "body"),
    [
        ("embeddings", "vectors", lambda text: {"input": ["card", text]}),
        ("classify", "labels", lambda text: {"input": ["card", text]}),
        ("rerank", "ranks", lambda text: {"query": "card", "documents": [text]}),
        ("score", "ranks", lambda text: {"text_1": "card", "text_2": [text]}),
    ],
)
def test_texts_below_v1_go_by_the_guards(
    v1: Any, versions: dict[str, ModelVersion], path: str, name: str, body: Callable[[str], dict[str, Any]]
) -> None:
    model = f"{versions[name].family.name}:1"

    blocked = v1.post(f"/v1/{path}", {"model": model, **body(GOLD)}, format="json")

    error = blocked.json()["error"]
    assert (blocked.status_code, error["code"], error["type"]) == (400, "content_filter", "invalid_request_error")
    assert "gold" in error["message"] and not OnlineRequest.objects.exists()
    assert list(GuardDecision.objects.values_list("stage", "action", "part")) == [("terms", "block", 1)]


@pytest.mark.usefixtures("guard")
def test_what_is_committed_is_what_the_guards_let_pass(actor: Actor, versions: dict[str, ModelVersion]) -> None:
    def passed(*texts: str) -> services.Guarded | None:
        return services.guard_texts(actor, None, texts)

    texts = ["card", f"from {MAIL}"]
    rows = [
        services.ask(actor=actor, version=versions["labels"], texts=texts, guarded=passed(*texts)),
        services.ask_ranking(
            actor=actor, version=versions["ranks"], query=MAIL, texts=texts, guarded=passed(MAIL, *texts)
        ),
    ]

    assert [row.texts for row in rows] == [["card", "from [EMAIL]"], ["[EMAIL]", "card", "from [EMAIL]"]]
    assert sorted(GuardDecision.objects.values_list("rule", "action", "part")) == [
        ("email", "redact", 0),
        ("email", "redact", 1),
        ("email", "redact", 2),
    ]
    with pytest.raises(Refused) as refused:
        services.ask(actor=actor, version=versions["labels"], texts=texts)
    assert refused.value.code == "not_guarded"


@pytest.mark.usefixtures("guard")
def test_single_requests_below_api_v1_go_by_the_guards(
    api: Any, actor: Actor, versions: dict[str, ModelVersion]
) -> None:
    client = api(actor)
    asks = {
        "classify": ("labels", lambda text: {"texts": [text]}),
        "embed": ("vectors", lambda text: {"texts": [text]}),
        "rank": ("ranks", lambda text: {"query": "card", "texts": [text]}),
    }
    for path, (name, body) in asks.items():
        model = f"{versions[name].family.name}:1"
        blocked = client.post(f"/api/v1/{path}", {"model": model, **body(GOLD)})
        asked = client.post(f"/api/v1/{path}", {"model": model, **body(MAIL)})

        assert (blocked.status_code, blocked.json()["code"]) == (400, "content_filter"), path
        assert asked.status_code == 202, asked.json()
        assert OnlineRequest.objects.get(pk=asked.json()["id"]).texts[-1] == "[EMAIL]"
    assert GuardDecision.objects.filter(action="block").count() == len(asks)


@pytest.mark.usefixtures("guard")
def test_a_chat_answered_at_once_goes_by_the_guards_in_both_directions(
    api: Any, actor: Actor, chat_version: Version, guard: GuardPolicy
) -> None:
    chat_version()
    client = api(actor)

    def ask(content: str) -> Any:
        body = {"model": "bot", "messages": [{"role": "user", "content": content}], "max_new_tokens": 8}
        return client.post("/api/v1/answers", body)

    blocked, asked = ask(GOLD), ask(f"I am {MAIL}")

    assert (blocked.status_code, blocked.json()["code"]) == (400, "content_filter")
    assert asked.status_code == 202, asked.json()
    row = Generation.objects.get()
    assert row.messages == [{"role": "user", "content": "I am [EMAIL]"}] and row.guard_policy == guard
    assert GuardDecision.objects.get(generation=row).action == "redact"

    desk = Desk(Models(10**9))
    while desk.turn():
        pass
    free = client.get(f"/api/v1/answers/{row.pk}").json()["results"][0]["answer"]
    letters = sorted({letter for letter in free if letter.isalnum()})
    services.change_policy(actor=actor, policy=guard, terms=letters, terms_input="off", terms_output="block")
    again = ask(f"I am {MAIL}")
    while desk.turn():
        pass
    [found] = client.get(f"/api/v1/answers/{again.json()['id']}").json()["results"]
    assert letters and found["finish"] == "content_filter"
    assert not any(letter in found["answer"] for letter in letters)


def test_the_policy_of_a_deployment_holds_for_its_labels(
    api: Any, actor: Actor, classifier_version: Version, deploy: Callable[..., Deployment]
) -> None:
    version = classifier_version()
    policy = services.create_policy(actor=actor, name="Door", terms=["gold"], terms_input="block")
    deploy(version, guard_policy=policy)
    client = api(actor)

    by_alias = client.post("/api/v1/classify", {"model": "labels@champion", "texts": [GOLD]})
    by_version = client.post("/api/v1/classify", {"model": "labels:1", "texts": [GOLD]})

    assert (by_alias.status_code, by_version.status_code) == (400, 202)


def test_without_a_policy_guards_cost_no_query(
    api: Any, actor: Actor, classifier_version: Version, tmp_path: Path
) -> None:
    classifier_version()
    client = api(actor)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert client.post("/api/v1/classify", {"model": "labels:1", "texts": ["card"]}).status_code == 202

    assert not [query["sql"] for query in queries if 'FROM "inference_guard' in query["sql"]]
