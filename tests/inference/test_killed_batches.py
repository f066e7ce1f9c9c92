"""kill -9 in the middle of a batch, with the processes that do it in production."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.serving import environment
from workers.bench.kills import batch_of, survive

pytestmark = pytest.mark.django_db(transaction=True)


def test_each_request_has_one_result_although_worker_and_writer_are_killed(
    actor: Any, chat_version: Callable[..., Any]
) -> None:
    batch = batch_of(actor, chat_version(), 100, max_tokens=40)

    found = survive(batch, kills=2, seed=5, surroundings=environment(LINGXI_GENERATION_CACHE_BYTES="10000000"))

    assert set(found.killed.values()) == {1} and len(found.killed) == 2
    assert len(found.results) == found.answered == 100 and found.not_once == []
    assert (batch.state, batch.completed_count, batch.failed_count) == ("completed", 100, 0)
