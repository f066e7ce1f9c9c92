"""Single requests to one version that are read together: equal answers, bounds, turns, and faults that stay with their own."""

from collections.abc import Callable
from typing import Any

import pytest

from apps.accounts.models import Workspace
from apps.inference import services
from apps.inference.models import OnlineRequest, OnlineState
from apps.inference.services import Turns, claim_online, claiming
from core.access import Actor
from workers.generation import Models, answer_next

Version = Callable[..., Any]
TEXTS = [["my card is lost"], ["where is the rate", "my loan please back"], ["the"], ["my card is lost", "我 的 卡"]]


def done(row: OnlineRequest) -> Any:
    row.refresh_from_db()
    assert row.state == OnlineState.DONE, row.error_message
    return row.results


def asked(actor: Actor, version: Any, texts: list[list[str]] = TEXTS) -> list[OnlineRequest]:
    return [services.ask(actor=actor, version=version, texts=each) for each in texts]


def test_vectors_are_those_of_single_requests(actor: Actor, embedder_version: Version) -> None:
    version, models = embedder_version(), Models()
    alone = []
    for texts in TEXTS:
        row = services.ask(actor=actor, version=version, texts=texts)
        assert answer_next(models)
        alone.append(row)
    together = asked(actor, version)

    assert answer_next(models)

    assert not OnlineRequest.objects.filter(state=OnlineState.WAITING).exists()
    for one, other in zip(alone, together, strict=True):
        for mine, theirs in zip(done(one), done(other), strict=True):
            assert theirs["vector"] == pytest.approx(mine["vector"], abs=1e-6)
        assert other.token_count == one.token_count > 0


def test_labels_and_orders_are_those_of_single_requests(
    actor: Actor, tiny_classifier: Any, ranker_version: Version, workspace: Workspace, alice: Any
) -> None:
    from apps.registry.services import register_version

    classifier = register_version(
        workspace=workspace,
        folder=tiny_classifier(),
        name="intents",
        recipe="classify",
        task="classification",
        by=alice,
    )
    ranker, models = ranker_version(), Models()
    queries = [("where is my card", ["the card", "the rate", "a loan"]), ("rate", ["my loan", "the rate"])]

    def ask_all(*, answered: bool) -> list[OnlineRequest]:
        rows = []
        for whole, texts in zip((False, True, False, True), TEXTS, strict=True):
            rows.append(services.ask(actor=actor, version=classifier, texts=texts, is_whole=whole))
            assert not answered or answer_next(models)
        for query, texts in queries:
            rows.append(services.ask_ranking(actor=actor, version=ranker, query=query, texts=texts))
            assert not answered or answer_next(models)
        return rows

    alone, together = ask_all(answered=True), ask_all(answered=False)
    assert answer_next(models)
    assert answer_next(models)
    assert not answer_next(models)

    for one, other in zip(alone, together, strict=True):
        for mine, theirs in zip(done(one), done(other), strict=True):
            assert theirs.keys() == mine.keys()
            assert theirs.get("labels") == mine.get("labels") and theirs.get("index") == mine.get("index")
            for name in ("all", "probabilities"):
                assert dict(theirs.get(name, [])) == pytest.approx(dict(mine.get(name, [])), abs=2e-6)
            assert theirs.get("score", 0) == pytest.approx(mine.get("score", 0), abs=2e-6)


class Fragile:
    """An embedder that some texts break."""

    def __init__(self, embedder: Any) -> None:
        self._embedder = embedder
        self.tokenizer, self.max_length_tokens = embedder.tokenizer, embedder.max_length_tokens

    def embed(self, texts: list[str]) -> Any:
        if "poison" in texts:
            raise ValueError("this text cannot be read")
        return self._embedder.embed(texts)


def test_a_request_that_cannot_be_answered_fails_alone(actor: Actor, embedder_version: Version) -> None:
    class Fragiles(Models):
        def get(self, *args: Any) -> Any:
            return Fragile(super().get(*args))

    rows = asked(actor, embedder_version(), [["my card"], ["poison"], ["the rate"]])

    assert answer_next(Fragiles())

    for row in rows:
        row.refresh_from_db()
    assert [row.state for row in rows] == [OnlineState.DONE, OnlineState.FAILED, OnlineState.DONE]
    assert rows[1].error_message


def test_a_batch_is_bounded_and_of_one_version(
    actor: Actor, embedder_version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "CHARACTERS_TOGETHER", 10)
    first, second = embedder_version(1), embedder_version(2)
    rows = [*asked(actor, first, [["card"], ["loan"]]), *asked(actor, second, [["rate"]])]
    rows += asked(actor, first, [["back"], ["a text beyond the bound"]])
    turns, claims = Turns(), []

    while claimed := claim_online(turns):
        claims.append([rows.index(row) for row in claimed])

    assert claims == [[0, 1], [2], [3], [4]]


def test_workspaces_take_turns(actor: Actor, stranger: Actor, embedder_version: Version, tiny_embedder: Any) -> None:
    from apps.registry.services import register_version

    given = {"name": "theirs", "recipe": "embed", "task": "embedding", "by": stranger.user}
    theirs = register_version(workspace=stranger.workspace, folder=tiny_embedder(3), **given)
    mine = [embedder_version(1), embedder_version(2)]
    for version in mine:
        asked(actor, version, [["card"], ["loan"]])
    asked(stranger, theirs, [["rate"]])
    turns = Turns()

    claims = [claim_online(turns) for _ in range(3)]

    assert [rows[0].model_version for rows in claims] == [mine[0], theirs, mine[1]]
    assert [len(rows) for rows in claims] == [2, 1, 2]
    assert claim_online(turns) == []


def test_a_request_that_was_lost_before_is_claimed_alone(actor: Actor, embedder_version: Version) -> None:
    rows = asked(actor, embedder_version(), [["card"], ["loan"], ["rate"]])
    OnlineRequest.objects.filter(pk=rows[0].pk).update(attempt_count=1)
    turns = Turns()

    assert claim_online(turns) == rows[:1]
    assert claim_online(turns) == rows[1:]


def test_a_lone_request_waits_for_others_no_longer_than_it_is_told(
    actor: Actor, embedder_version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = embedder_version()
    first = asked(actor, version, [["card"]])
    slept: list[float] = []

    def meanwhile(seconds: float) -> None:
        slept.append(seconds)
        first.extend(asked(actor, version, [["loan"]]))

    monkeypatch.setattr(claiming.time, "sleep", meanwhile)
    hour_ago = first[0].created_at.replace(year=2000)

    claimed = claim_online(Turns(), gather_seconds=3600.0)
    OnlineRequest.objects.all().update(state=OnlineState.WAITING, lease_expires_at=None, attempt_count=0)
    OnlineRequest.objects.filter(pk=first[0].pk).update(created_at=hour_ago)
    claim_online(Turns(), gather_seconds=3600.0)

    assert claimed == first[:2]
    assert 0 < slept[0] <= 3600
    assert slept[1] == 0
