"""The training form: every option has words that can be translated, every problem stands at its field."""

import re
from typing import Any

import pytest

from apps.registry.options import LABELS, VALUES
from apps.training.bases import named_versions
from apps.training.options import MEANINGS
from engine import specs


@pytest.mark.parametrize("recipe", list(specs.RECIPES))
def test_every_option_of_a_recipe_can_be_translated(recipe: str) -> None:
    fields = specs.spec_fields(recipe)

    assert [info.name for info in fields if info.name not in LABELS] == []
    assert [name for info in fields for name in info.choices if name not in VALUES] == []
    assert [info.meaning for info in fields if info.meaning not in {str(words) for words in MEANINGS}] == []


def test_a_version_that_the_spec_does_not_look_at_is_no_base_of_the_run() -> None:
    base = specs.BaseModel("version", "7")

    assert named_versions(specs.PretrainSpec(base_model=base)) == {}
    assert named_versions(specs.PretrainSpec(base_model=base, vocabulary="base_model")) == {"base_model": "7"}


def test_a_wrong_spec_is_refused_with_every_problem_at_its_field(actor: Any, frozen: Any, api: Any) -> None:
    answer = api(actor).post(
        "/api/v1/training-jobs",
        {"recipe": "classify", "dataset_version": frozen.pk, "spec": {"epochs": 0, "learning_rat": 1, "seed": "x"}},
    )

    assert answer.status_code == 422
    assert {item["field"] for item in answer.json()["errors"]} == {"spec.epochs", "spec.learning_rat", "spec.seed"}


def test_the_page_shows_problems_and_keeps_what_was_typed(alice: Any, workspace: Any, frozen: Any, page: Any) -> None:
    answer = page(alice).post(
        f"/w/{workspace.slug}/training/new",
        {"recipe": "classify", "version": frozen.pk, "spec-epochs": "100000", "name": "My run"},
    )

    assert answer.status_code == 422
    assert "My run" in answer.content.decode()


def test_a_dry_run_gives_the_whole_spec(actor: Any, frozen: Any, api: Any) -> None:
    answer = api(actor).post(
        "/api/v1/training-jobs/validate", {"recipe": "classify", "dataset_version": frozen.pk, "spec": {"epochs": 2}}
    )

    assert answer.json()["valid"] is True
    assert answer.json()["spec"]["epochs"] == 2
    assert answer.json()["spec"]["seed"] == 17


def test_a_strangers_dataset_version_is_refused(stranger: Any, frozen: Any, api: Any) -> None:
    answer = api(stranger).post("/api/v1/training-jobs", {"recipe": "classify", "dataset_version": frozen.pk})

    assert answer.status_code == 422
    assert answer.json()["code"] == "unknown_dataset_version"


def test_a_viewer_may_look_but_not_train(actor: Any, bob: Any, workspace: Any, frozen: Any, page: Any) -> None:
    bob.memberships.filter(workspace=workspace).update(role="viewer")
    client = page(bob)

    assert client.get(f"/w/{workspace.slug}/training/").status_code == 200
    assert client.get(f"/w/{workspace.slug}/training/new").status_code == 403


def test_an_option_of_one_method_is_shown_with_that_method(alice: Any, workspace: Any, frozen: Any, page: Any) -> None:
    answer = page(alice).get(f"/w/{workspace.slug}/training/new?recipe=classify").content.decode()

    shown = re.findall(r'data-shown-when="spec-method" data-shown-values="([^"]*)".*?name="spec-(\w+)"', answer, re.S)
    assert ("lora rslora dora adalora", "adapter_rank") in shown
    assert ("bottleneck", "bottleneck_width") in shown
    assert "epochs" not in {name for _, name in shown}


def test_a_recipe_that_needs_a_base_offers_none_where_there_is_none(
    alice: Any, workspace: Any, chat_version: Any, page: Any
) -> None:
    address = f"/w/{workspace.slug}/training/new?recipe="
    before = page(alice).get(address + "prefer").content.decode()
    version = chat_version("own")

    after = page(alice).get(address + "prefer").content.decode()

    assert "There is no model to start from yet" in before and "A new network" not in before
    assert f'value="version:{version.pk}"' in after
    assert 'value="0.00001"' in after and "1e-05" not in after  # numbers as a person writes them
    assert "A new network" in page(alice).get(address + "sft").content.decode()
