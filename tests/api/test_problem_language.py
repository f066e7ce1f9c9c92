"""Problem details of the API are told in the caller's language; codes are the same in every language."""

import json
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User

CHINESE = "zh-CN,zh;q=0.9,en;q=0.5"


@pytest.fixture
def key(api: Any, actor: Any) -> Client:
    """Alice's key."""
    return api(actor)


def tell(client: Client, method: str, path: str, language: str = CHINESE, **options: Any) -> dict[str, Any]:
    answer = getattr(client, method)(path, HTTP_ACCEPT_LANGUAGE=language, **options)
    return dict(json.loads(answer.content))


def has_chinese(text: str) -> bool:
    return any("一" <= character <= "鿿" for character in text)


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("get", "/api/v1/jobs/999999", "not_found"),
        ("get", "/api/v1/no-such-thing", "not_found"),
        ("delete", "/api/v1/jobs", "method_not_allowed"),
        ("post", "/api/v1/datasets", "invalid"),
        ("post", "/api/v1/training-jobs", "invalid"),
    ],
)
def test_title_detail_and_errors_follow_the_caller(key: Client, method: str, path: str, code: str) -> None:
    body = {"data": "{}", "content_type": "application/json"} if method == "post" else {}
    chinese = tell(key, method, path, **body)
    english = tell(key, method, path, "en", **body)

    assert chinese["code"] == english["code"] == code
    assert has_chinese(chinese["title"]) and has_chinese(chinese["detail"])
    assert not has_chinese(english["title"] + english["detail"])
    assert all(has_chinese(error["message"]) for error in chinese["errors"])
    assert [error["code"] for error in chinese["errors"]] == [error["code"] for error in english["errors"]]


def test_who_shows_no_key_is_told_so_in_their_language() -> None:
    found = tell(Client(), "get", "/api/v1/jobs")

    assert has_chinese(found["title"]) and has_chinese(found["detail"])


def test_the_callers_header_is_heard_whatever_the_person_chose(key: Client, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(language="en")

    assert has_chinese(tell(key, "get", "/api/v1/jobs/999999")["detail"])
    assert not has_chinese(tell(key, "get", "/api/v1/jobs/999999", "de")["detail"])
