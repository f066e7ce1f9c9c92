"""How versions that write are doing, on a page for owners: from what processes say and from the rows."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.inference import services
from apps.inference.measures import ROLE
from apps.inference.models import Generation, GenerationState
from apps.inference.operations import WINDOWS, curves, figures
from core import residents
from core.access import Actor
from engine.specs.sampling import Sampling
from workers.memory import Models
from workers.writing import Desk

QUARTER = WINDOWS["15m"][1]


@pytest.fixture
def answered(actor: Actor, chat_version: Callable[..., Any]) -> Callable[..., Generation]:
    """Makes requests that were answered a while ago, the first token after `first` seconds."""
    version = chat_version()

    def make(first: float, minutes_ago: int = 1, **columns: Any) -> Generation:
        row = services.generate_chat(
            actor=actor,
            version=version,
            reference="bot",
            messages=[{"role": "user", "content": "where?"}],
            sampling=Sampling(max_tokens=11, ignore_end=True, seed=1),
        )
        end = timezone.now() - timedelta(minutes=minutes_ago)
        values = {
            "created_at": end - timedelta(seconds=first + 1),
            "first_token_at": end - timedelta(seconds=1),
            "finished_at": end,
            "prompt_tokens": 90,
            "cached_tokens": 30,
            "answer_tokens": 11,
            "state": GenerationState.DONE,
            **columns,
        }
        Generation.objects.filter(pk=row.pk).update(**values)
        return row

    return make


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk(Models(10**9))
    yield made
    residents.leave(ROLE, made.meter.process)


@pytest.mark.django_db
def test_figures_follow_from_the_rows_of_the_window(actor: Actor, answered: Callable[..., Generation]) -> None:
    for first in (1.0, 2.0, 3.0):
        answered(first)
    answered(9.0, minutes_ago=30)
    answered(0.5, state=GenerationState.FAILED, first_token_at=None, answer_tokens=0)

    total, only = figures(actor.workspace, QUARTER, now=timezone.now())

    assert (total.requests, total.failed, only.requests) == (4, 1, 4)
    assert (total.prompt_tokens, total.answer_tokens) == (360, 33) and total.cached_share == pytest.approx(1 / 3)
    assert only.first == [2.0, pytest.approx(2.9)] and only.each == [0.1, 0.1]
    assert only.out_rate == pytest.approx(33 / 900)
    hour = figures(actor.workspace, WINDOWS["1h"][1], now=timezone.now())
    assert hour[0].requests == 5


@pytest.mark.django_db
def test_curves_keep_every_token_of_the_window(actor: Actor, answered: Callable[..., Generation]) -> None:
    for ago in (0, 5, 14):
        answered(1.0, minutes_ago=ago)

    found = curves(actor.workspace, QUARTER, now=timezone.now())

    written = found["rates"]["series"][1]["points"]
    assert len(written) == 30 and written[-1][0] == 0
    assert sum(rate * 30 for _minute, rate in written) == pytest.approx(33, abs=0.5)
    assert len(found["firsts"]["series"][0]["points"]) == 3


@pytest.mark.django_db
def test_what_is_written_now_is_told_within_a_second(
    actor: Actor, stranger: Actor, answered: Callable[..., Generation], desk: Desk
) -> None:
    rows = [answered(1.0) for _ in range(2)]
    blank = {"state": GenerationState.WAITING, "finished_at": None, "first_token_at": None}
    Generation.objects.filter(pk__in=[row.pk for row in rows]).update(**blank)
    (before, *_rest) = figures(actor.workspace, QUARTER, now=timezone.now())

    desk.turn()  # tells as it begins
    desk.meter._told_at = 0.0
    desk.turn()

    now, version = figures(actor.workspace, QUARTER, now=timezone.now())
    assert (before.busy.running, before.busy.waiting) == (0, 2)
    assert (now.busy.running, now.busy.waiting) == (2, 0) == (version.busy.running, version.busy.waiting)
    assert 0 < version.busy.used_blocks < version.busy.blocks and version.busy.step_seconds > 0
    assert figures(stranger.workspace, QUARTER, now=timezone.now())[0].busy.running == 0
    desk.leave()
    assert figures(actor.workspace, QUARTER, now=timezone.now())[0].busy.running == 0


@pytest.mark.django_db
def test_only_who_manages_the_workspace_sees_the_page(
    page: Any, alice: Any, bob: Any, charlie: Any, workspace: Any, answered: Callable[..., Generation]
) -> None:
    version = answered(2.0).model_version
    path = f"/w/{workspace.slug}/predictions/operations"

    shown = page(alice).get(f"{path}?window=1h").content.decode()
    part = page(alice).get(path, headers={"HX-Request": "true"}).content.decode()

    assert str(version) in shown and "2.0 / 2.0 s" in shown and 'data-chart="line"' in shown
    assert "<html" not in part and "2.0 / 2.0 s" in part and "data-chart" not in part
    assert page(bob).get(path).status_code == 403
    assert page(charlie).get(path).status_code == 404
