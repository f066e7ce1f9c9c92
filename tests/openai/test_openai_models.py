"""/v1/models: every name that resolves, and deleting one version."""

from collections.abc import Callable
from typing import Any

from rest_framework.test import APIClient

from apps.registry.models import ModelVersion, VersionState
from apps.registry.selectors import resolve_version
from apps.registry.services import move_alias


def names(client: APIClient) -> list[str]:
    return [row["id"] for row in client.get("/v1/models").json()["data"]]


def test_every_listed_name_resolves_to_the_version_it_stands_for(
    v1: APIClient, actor: Any, chat_version: Callable[..., ModelVersion], workspace: Any
) -> None:
    first, second = chat_version(), chat_version(seed=2)
    tuned = chat_version(name="ft:bot:harbour:short")
    move_alias(actor=actor, family=first.family, name="champion", version=first)

    listed = names(v1)

    expected = {
        "bot": first, "bot@champion": first, "bot:1": first, "bot:2": second,
        "ft:bot:harbour:short": tuned, "ft:bot:harbour:short:1": tuned,
    }  # fmt: skip
    assert set(listed) == set(expected) and len(listed) == len(expected)
    assert {name: resolve_version(workspace, name) for name in listed} == expected


def test_one_model_has_openais_fields(v1: APIClient, chat_version: Callable[..., ModelVersion]) -> None:
    version = chat_version()

    shown = v1.get("/v1/models/bot:1").json()

    assert shown == {
        "id": "bot:1", "object": "model", "created": int(version.created_at.timestamp()), "owned_by": "harbour",
        "task": "generation",
    }  # fmt: skip


def test_damaged_versions_are_left_out(v1: APIClient, chat_version: Callable[..., ModelVersion]) -> None:
    ModelVersion.objects.filter(pk=chat_version().pk).update(state=VersionState.DAMAGED)

    assert names(v1) == []
    assert v1.get("/v1/models/bot").status_code == 404


def test_an_unknown_model_is_a_404_that_names_it(v1: APIClient, chat_version: Callable[..., ModelVersion]) -> None:
    answer = v1.get("/v1/models/none of mine/x")

    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found" and answer.json()["error"]["param"] == "model"
    assert "none of mine/x" in answer.json()["error"]["message"]


def test_models_of_another_workspace_are_not_there(
    api: Callable[..., APIClient], stranger: Any, chat_version: Callable[..., ModelVersion]
) -> None:
    version = chat_version()
    client = api(stranger)

    assert names(client) == []
    assert client.get("/v1/models/bot").status_code == client.delete(f"/v1/models/{version.pk}").status_code == 404


def test_only_the_name_of_one_version_deletes(v1: APIClient, chat_version: Callable[..., ModelVersion]) -> None:
    chat_version()

    moving = v1.delete("/v1/models/bot")
    fixed = v1.delete("/v1/models/bot:1")

    assert moving.status_code == 400 and moving.json()["error"]["code"] == "name_moves"
    assert fixed.json() == {"id": "bot:1", "object": "model", "deleted": True}
    assert not ModelVersion.objects.exists()


def test_a_version_in_use_stays_and_the_client_is_told_not_to_try_again(
    v1: APIClient, actor: Any, chat_version: Callable[..., ModelVersion]
) -> None:
    version = chat_version()
    move_alias(actor=actor, family=version.family, name="live", version=version)

    answer = v1.delete("/v1/models/bot:1")

    assert answer.status_code == 409 and answer["x-should-retry"] == "false"
    assert answer.json()["error"]["code"] == "version_in_use"


def test_a_reader_deletes_nothing(
    api: Callable[..., APIClient], actor: Any, chat_version: Callable[..., ModelVersion]
) -> None:
    chat_version()

    assert api(actor, ["registry.read"]).delete("/v1/models/bot:1").status_code == 403
