"""Runs beside each other: only what differs, figures with their distance from the first, and a paired test of two."""

from collections.abc import Callable
from typing import Any

import pytest

from apps.registry.services import register_version
from apps.training import services
from apps.training.models import TrainingJob


def figure(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.02, "high": value + 0.02}


@pytest.fixture
def run(
    actor: Any, frozen: Any, workspace: Any, alice: Any, tiny_classifier: Callable[..., Any]
) -> Callable[..., TrainingJob]:
    def made(accuracy: float, **options: Any) -> TrainingJob:
        job = services.start(actor=actor, recipe="classify", spec=options, version=frozen, name=f"Run {accuracy}")
        version = register_version(
            workspace=workspace,
            name="intents",
            folder=tiny_classifier(seed=int(100 * accuracy)),
            recipe="classify",
            task="classification",
            labels=["card", "loan", "refund"],
            metrics={"test": {"headline": {"accuracy": figure(accuracy), "loss": figure(1 - accuracy)}}},
            by=alice,
        )
        job.model_version = version
        job.save()
        return job

    return made


def test_the_api_tells_options_that_differ_and_deltas_to_the_first(run: Any, api: Any, actor: Any) -> None:
    first, second = run(0.8, epochs=2, seed=5), run(0.85, epochs=3, seed=5)

    told = api(actor).get(f"/api/v1/training-jobs/compare?id={second.pk}&id={first.pk}").json()

    assert told["ids"] == [second.pk, first.pk]
    assert told["options"] == [{"option": "epochs", "values": [3, 2]}]
    assert [(row["split"], row["name"]) for row in told["figures"]] == [("test", "accuracy"), ("test", "loss")]
    assert told["figures"][0]["cells"][1]["delta"] == pytest.approx(-0.05)
    assert told["figures"][1]["cells"][0]["delta"] == 0
    assert api(actor).get(f"/api/v1/training-jobs/compare?id={first.pk}&id=x").status_code == 422


def test_the_page_shows_deltas_and_leads_to_the_paired_test(run: Any, page: Any, alice: Any, workspace: Any) -> None:
    first, second, third = run(0.8, epochs=2), run(0.85, epochs=3), run(0.9, epochs=4)
    address = f"/w/{workspace.slug}/training/compare?id={first.pk}&id={second.pk}&id={third.pk}"

    text = page(alice).get(f"{address}&first={third.pk}&second={first.pk}").content.decode()

    assert "+5.00 points" in text and "-0.1000" in text
    part = f"/evaluations/pair?first={third.model_version_id}&amp;second={first.model_version_id}"
    assert part in text or part.replace("&amp;", "&") in text


def test_the_pair_says_what_a_paired_test_still_needs(
    run: Any, page: Any, alice: Any, charlie: Any, workspace: Any
) -> None:
    first, second = run(0.8), run(0.9)
    query = f"first={first.model_version_id}&second={second.model_version_id}"

    text = page(alice).get(f"/w/{workspace.slug}/evaluations/pair?{query}").content.decode()

    assert f"compare-versions?{query}" in text
    assert page(charlie).get(f"/w/{workspace.slug}/evaluations/pair?{query}").status_code == 404


def test_runs_of_strangers_are_not_compared(run: Any, api: Any, stranger: Any) -> None:
    first, second = run(0.8), run(0.9)

    assert api(stranger).get(f"/api/v1/training-jobs/compare?id={first.pk}&id={second.pk}").status_code == 422
