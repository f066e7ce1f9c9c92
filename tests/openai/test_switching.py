"""No request fails while aliases move between versions, and each answer comes from one that was current."""

from pathlib import Path
from typing import Any

import pytest

from core.access import Actor
from workers.bench.beside import at_work
from workers.bench.switch import KINDS, Reign, hammer, make_versions
from workers.generation import Models, serve


def test_a_version_is_current_from_its_move_until_the_next_was_seen() -> None:
    reign = Reign([(0.0, 1), (10.0, 2), (20.0, 1)], [11.0, 21.0])

    assert reign.allowed(5, 9) == {1}
    assert reign.allowed(5, 10.5) == reign.allowed(10.5, 12) == {1, 2}
    assert reign.allowed(12, 19) == {2}
    assert reign.allowed(22, 30) == {1}


def test_requests_are_answered_while_aliases_move(
    server: str, actor: Actor, settings: Any, tmp_path: Path, secrets_of_many: list[str]
) -> None:
    settings.GENERATION_CACHE_BYTES = 1_000_000
    versions = make_versions(actor, tmp_path)
    models = Models(10**9)
    with at_work(lambda stop: serve(stop, models)):
        found = hammer(actor, server, secrets_of_many, versions, count=60, switches=3)

    assert (found.switches, list(found.problems), found.strays) == (3, [], 0)
    assert len(found.replies) >= 60
    assert {reply.kind for reply in found.replies} == set(KINDS)
    assert len({reply.said for reply in found.replies}) == 4


@pytest.fixture
def secrets_of_many(transactional_db: None, actor: Actor) -> list[str]:
    from apps.accounts.services import create_api_key

    return [create_api_key(actor=actor, name=f"caller {at}", scopes=["inference.write"])[1] for at in range(4)]
