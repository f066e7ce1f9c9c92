"""The registry's REST endpoints."""

from collections.abc import Callable
from typing import Any

import pytest

from apps.registry.models import ModelVersion, VersionExport
from apps.registry.services import Making
from core.access import Actor

Register = Callable[..., ModelVersion]
Api = Callable[[Actor], Any]


def test_versions_are_listed_filtered_and_shown_with_an_etag(register: Register, api: Api, actor: Actor) -> None:
    first, second = register(), register(name="other", description="x")
    client = api(actor)

    listed = client.get("/api/v1/model-versions").json()["results"]
    found = client.get("/api/v1/model-versions", {"name": "oth"}).json()["results"]
    detail = client.get(f"/api/v1/model-versions/{first.pk}")

    assert [row["id"] for row in listed] == [second.pk, first.pk]
    assert [row["id"] for row in found] == [second.pk]
    assert detail.json()["metrics"]["test"]["rows"] == 40
    assert client.get(f"/api/v1/model-versions/{first.pk}", HTTP_IF_NONE_MATCH=detail["ETag"]).status_code == 304


def test_a_change_on_stale_grounds_is_refused(register: Register, api: Api, actor: Actor) -> None:
    address = f"/api/v1/model-versions/{register().pk}"
    client = api(actor)
    tag = client.get(address)["ETag"]

    first = client.patch(address, {"description": "one"}, HTTP_IF_MATCH=tag)
    second = client.patch(address, {"description": "two"}, HTTP_IF_MATCH=tag)

    assert (first.status_code, second.status_code) == (200, 412)


def test_strangers_find_nothing_by_any_method(register: Register, api: Api, stranger: Actor) -> None:
    version = register()
    client = api(stranger)
    base = f"/api/v1/model-versions/{version.pk}"
    body = {"name": "champion", "version": version.pk, "description": "x"}

    for method, address in [
        ("get", base),
        ("patch", base),
        ("delete", base),
        ("get", f"{base}/samples"),
        ("post", f"{base}/export"),
        ("post", f"{base}/verify"),
        ("get", f"{base}/card"),
        ("post", f"{base}/card"),
        ("get", f"{base}/approvals"),
        ("post", f"{base}/approvals"),
        ("get", f"/api/v1/models/{version.family_id}"),
        ("post", f"/api/v1/models/{version.family_id}/aliases"),
        ("get", f"/api/v1/models/{version.family_id}/alias-moves"),
        ("post", f"/api/v1/models/{version.family_id}/aliases/champion/rollback"),
        ("delete", f"/api/v1/models/{version.family_id}/aliases/champion"),
    ]:
        assert getattr(client, method)(address, body).status_code == 404, (method, address)
    assert client.get("/api/v1/model-versions").json()["results"] == []


def test_aliases_by_api(register: Register, api: Api, actor: Actor) -> None:
    first, second = register(), register()
    client, base = api(actor), f"/api/v1/models/{first.family_id}"

    for version in (first, second):
        made = client.post(f"{base}/aliases", {"name": "champion", "version": version.pk})
        assert made.json()["number"] == version.number
    back = client.post(f"{base}/aliases/champion/rollback", {"reason": "worse on refunds"})

    assert back.json()["number"] == 1
    moves = client.get(f"{base}/alias-moves").json()["results"]
    assert [(row["kind"], row["to_number"]) for row in moves] == [("rollback", 1), ("move", 2), ("move", 1)]
    assert client.delete(f"{base}/aliases/champion").status_code == 204


def test_a_used_version_is_a_conflict_with_a_code(register: Register, api: Api, actor: Actor) -> None:
    version = register()
    register(name="child", parent=version)

    answer = api(actor).delete(f"/api/v1/model-versions/{version.pk}")

    assert (answer.status_code, answer.json()["code"]) == (409, "version_in_use")


def test_an_export_sent_twice_with_one_key_is_one_job(register: Register, api: Api, actor: Actor) -> None:
    address = f"/api/v1/model-versions/{register().pk}/export"
    client = api(actor)

    answers = [client.post(address, HTTP_IDEMPOTENCY_KEY="k1") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert VersionExport.objects.count() == 1
    assert client.get(f"/api/v1/model-exports/{answers[0].json()['id']}/file").status_code == 404


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ({"kind": "folder", "reference": "/etc"}, "folder_not_allowed"),
        ({"kind": "hub", "reference": "a b c"}, "bad_name"),
        ({"kind": "wrong", "reference": "x"}, "invalid"),
    ],
)
def test_a_wrong_base_model_is_refused_with_a_code(api: Api, actor: Actor, columns: Any, code: str) -> None:
    answer = api(actor).post("/api/v1/base-models", {"name": "b", "task_family": "encoder", **columns})

    assert (answer.status_code, answer.json()["code"]) == (422, code)


def test_built_in_and_own_base_models_are_listed(api: Api, actor: Actor, stranger: Actor) -> None:
    made = api(actor).post(
        "/api/v1/base-models", {"name": "b", "kind": "hub", "reference": "owner/name", "task_family": "encoder"}
    )

    assert made.status_code == 201
    assert [row["name"] for row in api(actor).get("/api/v1/base-models").json()["results"]] == ["b", "MiniLM L6 v2"]
    assert [row["name"] for row in api(stranger).get("/api/v1/base-models").json()["results"]] == ["MiniLM L6 v2"]


def test_versions_are_compared_side_by_side(register: Register, api: Api, actor: Actor, stranger: Actor) -> None:
    version = register(making=Making(spec={"epochs": 3}, seed=17))
    other = register(making=Making(spec={"epochs": 9}, seed=17))
    path = f"/api/v1/model-versions/compare?version={version.pk}&version={other.pk}"

    answer = api(actor).get(path)

    assert answer.json()["versions"] == [version.pk, other.pk]
    assert [row["name"] for row in answer.json()["settings"]] == ["epochs"]
    assert {row["name"] for row in answer.json()["figures"]} >= set(version.headline)
    assert api(actor).get("/api/v1/model-versions/compare?version=x").json()["code"] == "bad_versions"
    assert api(stranger).get(path).status_code == 404
