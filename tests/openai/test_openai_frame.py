"""The frame of /v1: who gets in, what is refused and how, pages, and creates that come twice."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from rest_framework.test import APIClient

from apps.datasets.models import ApiFile
from core.api.idempotency import IdempotencyKey
from core.openai.ids import public_id, row_number

JOBS = "/v1/fine_tuning/jobs"


def error_of(answer: Any) -> Any:
    told = answer.json()
    assert set(told) == {"error"} and set(told["error"]) == {"message", "type", "param", "code"}
    return told["error"]


def post(client: APIClient, body: Any, **headers: str) -> Any:
    return client.post(JOBS, body, format="json", headers=headers)


def send(client: APIClient, content: bytes, **headers: str) -> Any:
    upload = SimpleUploadedFile("a.jsonl", content)
    return client.post("/v1/files", {"file": upload, "purpose": "batch"}, format="multipart", headers=headers)


@pytest.mark.django_db
def test_without_a_key_nothing_opens_and_the_error_says_so_in_openais_shape() -> None:
    answer = Client().get("/v1/models")

    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == 'Bearer realm="lingxi"' and answer["x-request-id"]
    assert error_of(answer)["code"] == "invalid_api_key"


@pytest.mark.django_db
def test_an_unknown_key_opens_nothing() -> None:
    answer = Client().get("/v1/models", headers={"Authorization": "Bearer lx_nobody"})

    assert answer.status_code == 401 and error_of(answer)["type"] == "authentication_error"


def test_the_session_of_a_page_opens_nothing(page: Callable[..., Any], alice: Any, workspace: Any) -> None:
    assert page(alice).get("/v1/models").status_code == 401


def test_a_key_without_the_scope_is_not_allowed(api: Callable[..., APIClient], actor: Any) -> None:
    answer = api(actor, ["registry.read"]).get("/v1/files")

    assert answer.status_code == 403 and error_of(answer)["type"] == "permission_error"


def test_unknown_addresses_and_methods_are_told_in_the_same_shape(v1: APIClient) -> None:
    assert error_of(v1.get("/v1/nothing"))["code"] == "not_found"
    answer = v1.put("/v1/models")
    assert answer.status_code == 405 and error_of(answer)["type"] == "invalid_request_error"


def test_messages_are_in_the_callers_language(v1: APIClient) -> None:
    english = error_of(post(v1, {}))["message"]
    chinese = error_of(post(v1, {}, **{"Accept-Language": "zh-CN"}))["message"]

    assert english == "Missing required parameter: 'model'. Missing required parameter: 'training_file'."
    assert "缺少必需的参数" in chinese


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"training_file": "file-1"}, "model", "missing_required_parameter"),
        ({"model": "m", "training_file": "file-1", "colour": 1}, "colour", "unknown_parameter"),
        ({"model": "m", "training_file": 7}, "training_file", "invalid"),
        ({"model": "m", "training_file": "file-1", "seed": "7"}, "seed", "invalid"),
        ({"model": "m", "training_file": "file-1", "seed": True}, "seed", "invalid"),
        ({"model": "m", "training_file": "file-1", "suffix": "x" * 65}, "suffix", "max_length"),
        ({"model": "m", "training_file": "file-1", "metadata": {"a": 1}}, "metadata", "value"),
        ({"model": "m", "training_file": "file-1", "metadata": {"a" * 65: "1"}}, "metadata", "key"),
        ({"model": "m", "training_file": "file-1", "metadata": {"a": "1" * 513}}, "metadata", "value"),
        ({"model": "m", "training_file": "file-1", "metadata": {str(n): "" for n in range(17)}}, "metadata", "pairs"),
        ({"model": "m", "training_file": "file-1", "method": {"type": "dpo", "x": 1}}, "method.x", "unknown_parameter"),
    ],
)
def test_a_bad_value_is_a_400_that_names_the_parameter(v1: APIClient, body: Any, param: str, code: str) -> None:
    answer = post(v1, body)

    assert answer.status_code == 400
    assert (error_of(answer)["param"], error_of(answer)["code"]) == (param, code)


@pytest.mark.parametrize("text", ["{", "[]", '"text"', "7", "null", '{"a": ' * 2000, "\udcff"])
def test_a_body_that_is_no_object_is_a_400(v1: APIClient, text: str) -> None:
    body = text.encode(errors="surrogateescape")

    answer = v1.generic("POST", JOBS, body, content_type="application/json")

    assert answer.status_code == 400 and error_of(answer)["type"] == "invalid_request_error"


def test_a_body_of_another_kind_is_a_415(v1: APIClient) -> None:
    answer = v1.generic("POST", JOBS, b"<a/>", content_type="application/xml")

    assert answer.status_code == 415 and error_of(answer)


def test_null_is_as_good_as_nothing(v1: APIClient) -> None:
    answer = post(v1, {"model": "m", "training_file": "file-1", "seed": None, "metadata": None})

    assert error_of(answer)["code"] == "file_not_found"


def test_too_many_requests_tell_when_to_come_back(v1: APIClient, settings: Any) -> None:
    settings.API_RATE_PER_MINUTE = 1
    first, second = v1.get("/v1/models"), v1.get("/v1/models")

    assert first["x-ratelimit-limit-requests"] == "1" and first["x-ratelimit-remaining-requests"] == "0"
    assert second.status_code == 429 and int(second["Retry-After"]) > 0
    assert error_of(second)["code"] == "rate_limit_exceeded"


def test_a_file_beyond_the_limit_is_a_413(v1: APIClient, settings: Any) -> None:
    settings.UPLOAD_LIMIT_BYTES = 10

    answer = send(v1, b"x" * 11)

    assert answer.status_code == 413 and error_of(answer)["code"] == "upload_too_large"


def test_a_server_error_has_the_shape_too(v1: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.registry.openai.served_names", lambda _workspace: 1 / 0)

    answer = v1.get("/v1/models")

    assert answer.status_code == 500 and error_of(answer)["type"] == "server_error"


def test_lists_go_on_with_the_last_id(v1: APIClient) -> None:
    made = [send(v1, b"x" * (n + 1)).json()["id"] for n in range(5)]

    first = v1.get("/v1/files?limit=2").json()
    second = v1.get(f"/v1/files?limit=2&after={first['last_id']}").json()
    third = v1.get(f"/v1/files?limit=2&after={second['last_id']}").json()
    rising = v1.get(f"/v1/files?order=asc&limit=3&after={made[0]}").json()

    assert [row["id"] for page in (first, second, third) for row in page["data"]] == made[::-1]
    assert [page["has_more"] for page in (first, second, third)] == [True, True, False]
    assert first["first_id"] == made[-1] and first["last_id"] == made[-2]
    assert [row["id"] for row in rising["data"]] == made[1:4]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "limit=10001", "limit=x", "order=up", "after=file-x", "after=7"]
)
def test_a_bad_page_is_a_400(v1: APIClient, query: str) -> None:
    answer = v1.get(f"/v1/files?{query}")

    assert answer.status_code == 400 and error_of(answer)["param"] == query.split("=")[0]


@pytest.mark.parametrize("text", ["file-", "file-x", "file-07", "file--1", "7", "ftjob-7", "file-" + "9" * 19])
def test_what_is_no_id_is_a_404(v1: APIClient, text: str) -> None:
    assert v1.get(f"/v1/files/{text}").status_code == 404


def test_an_id_reads_back() -> None:
    assert row_number("batch", public_id("batch", 17)) == 17


def test_an_idempotency_key_makes_one_thing(v1: APIClient) -> None:
    first = send(v1, b"{}", **{"Idempotency-Key": "mine"})
    second = send(v1, b"{}", **{"Idempotency-Key": "mine"})

    assert second["Idempotency-Replayed"] == "true" and first.json() == second.json()
    assert ApiFile.objects.count() == 1


def test_a_client_that_says_it_tries_again_gets_the_first_answer(v1: APIClient) -> None:
    first = send(v1, b"{}", **{"X-Stainless-Retry-Count": "0"})
    again = send(v1, b"{}", **{"X-Stainless-Retry-Count": "1"})
    new = send(v1, b"{}", **{"X-Stainless-Retry-Count": "0"})

    assert first.json() == again.json() != new.json()
    assert ApiFile.objects.count() == 2


def test_equal_bodies_of_a_client_that_says_nothing_count_once_within_seconds(v1: APIClient) -> None:
    first, again, other = send(v1, b"{}"), send(v1, b"{}"), send(v1, b"[]")

    assert first.json() == again.json() and other.json() != first.json()


def test_what_was_deleted_may_be_made_again_at_once(v1: APIClient) -> None:
    first = send(v1, b"{}").json()
    v1.delete(f"/v1/files/{first['id']}")

    assert send(v1, b"{}").json()["id"] != first["id"]


def test_a_refused_create_may_be_sent_again(v1: APIClient) -> None:
    body = {"model": "m", "training_file": "file-1"}

    assert post(v1, body).status_code == post(v1, body).status_code == 400
    assert not IdempotencyKey.objects.exists()


def test_two_keys_do_not_share_a_create(v1: APIClient, api: Callable[..., APIClient], actor: Any) -> None:
    assert send(v1, b"{}").json() != send(api(actor), b"{}").json()


def test_the_second_of_two_equal_creates_at_work_is_told_to_come_back(v1: APIClient) -> None:
    send(v1, b"{}")
    IdempotencyKey.objects.update(status=None, body=None)

    answer = send(v1, b"{}")

    assert answer.status_code == 409 and "x-should-retry" not in answer
    assert error_of(answer)["code"] == "idempotency_in_progress"
