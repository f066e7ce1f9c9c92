"""Versions made from one base by LoRA stand in memory once, and each answers as itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps.inference import services
from apps.inference.models import Generation, GenerationState
from apps.registry.models import ModelVersion
from apps.registry.services import Making, register_version
from core.events import Teller
from engine.specs.sampling import Sampling
from workers.memory import WRITING, Models
from workers.writing import Desk

pytestmark = pytest.mark.django_db
ASKED = [{"role": "user", "content": "where is my card?"}]


@pytest.fixture
def family(
    workspace: Any, alice: Any, lora_base: Path, lora_tuned: Callable[..., Path]
) -> Callable[..., tuple[ModelVersion, list[ModelVersion]]]:
    """Registers the base and versions made from it, one of each method."""

    def make(*methods: str) -> tuple[ModelVersion, list[ModelVersion]]:
        def kept(folder: Path, **more: Any) -> ModelVersion:
            given = {"name": "bot", "recipe": "sft", "task": "generation", "by": alice, **more}
            return register_version(workspace=workspace, folder=folder, **given)

        base = kept(lora_base)
        spec = {"base_model": {"kind": "version", "name": str(base.pk), "revision": ""}}
        return base, [
            kept(lora_tuned(20 + at, method), parent=base, making=Making(spec=spec))
            for at, method in enumerate(methods)
        ]

    return make


def said(actor: Any, versions: list[ModelVersion], models: Models) -> list[str]:
    """What each says when all are asked at once."""
    rows = [
        services.generate_chat(
            actor=actor,
            version=version,
            reference="x",
            messages=ASKED,
            sampling=Sampling(max_tokens=12, seed=7),
        )
        for version in versions
    ]
    desk = Desk(models, Teller())
    while desk.turn():
        pass
    done = [Generation.objects.get(pk=row.pk) for row in rows]
    assert {row.state for row in done} == {GenerationState.DONE}
    return [row.answers[0]["text"] for row in done]


def test_each_version_answers_as_itself_on_one_base(actor: Any, family: Callable[..., Any]) -> None:
    base, versions = family("lora", "dora", "rslora")
    models = Models(10**9, 2_000_000)

    together = said(actor, [*versions, base], models)

    alone = [said(actor, [version], Models(10**9, 2_000_000))[0] for version in (*versions, base)]
    assert together == alone
    assert len(set(together)) == 4
    loops = {id(models.get(version, WRITING).backend) for version in versions}
    assert len(loops) == 1
    assert models.get(base, WRITING).backend not in [models.get(version, WRITING).backend for version in versions]


def test_a_base_is_in_memory_once_and_goes_with_its_last_adapter(actor: Any, family: Callable[..., Any]) -> None:
    _base, versions = family("lora", "lora")
    models = Models(10**9, 2_000_000)
    first = models.get(versions[0], WRITING)
    one = models.bytes
    models.get(versions[1], WRITING)
    assert 0 < models.bytes - one < one / 4

    models.drop(first)

    assert models.bytes == 0
    assert said(actor, versions, models) == said(actor, versions, Models(10**9, 2_000_000))


def test_a_version_of_another_method_has_a_network_of_its_own(actor: Any, family: Callable[..., Any]) -> None:
    _base, versions = family("lora", "ia3")
    models = Models(10**9, 2_000_000)
    loops = {id(models.get(version, WRITING).backend) for version in versions}
    assert len(loops) == 2
    assert len(set(said(actor, versions, models))) == 2
