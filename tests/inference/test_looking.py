"""Rows that many callers look at together."""

import asyncio
from typing import Any

import pytest

from apps.inference import looking
from apps.inference.looking import Looks
from apps.inference.models import Generation, GenerationState


@pytest.mark.django_db(transaction=True)
def test_everybody_who_looks_at_once_is_served_by_one_query(
    workspace: Any, chat_version: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = chat_version()
    rows = [
        Generation.objects.create(
            workspace=workspace, model_version=version, reference="bot", kind="text", seed=at, state=state
        )
        for at, state in enumerate((GenerationState.RUNNING, GenerationState.DONE, GenerationState.FAILED))
    ]
    pks = [row.pk for row in rows]
    asked: list[set[int]] = []
    going = looking._going
    monkeypatch.setattr(looking, "_going", lambda wanted: asked.append(set(wanted)) or going(wanted))

    async def look() -> tuple[list[bool], bool]:
        looks = Looks()
        first = await asyncio.gather(*(looks.has_ended(pk) for pk in [*pks, pks[0], pks[-1] + 1000]))
        return first, await looks.has_ended(pks[1])

    assert asyncio.run(look()) == ([False, True, True, False, True], True)
    assert asked == [{*pks, pks[-1] + 1000}, {pks[1]}]
