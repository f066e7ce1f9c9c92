"""A form that is sent twice makes one thing."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.messages.storage.fallback import FallbackStorage
from django.http import HttpResponse
from django.shortcuts import redirect
from django.test import RequestFactory
from django.utils import timezone

from core.api.idempotency import IdempotencyKey
from core.errors import Refused
from core.once import once


@pytest.fixture
def send(actor: Any) -> Any:
    """Sends a form to a view as alice."""

    def post(view: Any, **fields: str) -> HttpResponse:
        request: Any = RequestFactory().post("/w/harbour/training/new", {"csrfmiddlewaretoken": "x", **fields})
        request.actor, request.user, request.session = actor, actor.user, {}
        request._messages = FallbackStorage(request)
        return view(request)

    return post


@pytest.fixture
def counted() -> Any:
    """A view that makes something and leads to it; `made` says how often."""

    @once(seconds=30)
    def view(request: Any) -> HttpResponse:
        view.made += 1
        return redirect(f"/made/{view.made}")

    view.made = 0
    return view


def test_an_equal_form_is_led_to_what_the_first_one_made(send: Any, counted: Any) -> None:
    first, second = send(counted, name="a"), send(counted, name="a")

    assert counted.made == 1
    assert first["Location"] == second["Location"] == "/made/1"


def test_another_form_makes_something_else(send: Any, counted: Any) -> None:
    send(counted, name="a")
    send(counted, name="b")

    assert counted.made == 2


def test_after_a_while_an_equal_form_counts_again(send: Any, counted: Any) -> None:
    send(counted, name="a")
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(seconds=31))

    assert send(counted, name="a")["Location"] == "/made/2"


def test_a_form_with_errors_may_be_sent_again_at_once(send: Any) -> None:
    answers = [HttpResponse(status=422), redirect("/made/1")]
    view = once()(lambda _request: answers.pop(0))

    assert send(view, name="a").status_code == 422
    assert send(view, name="a").status_code == 302


def test_a_refusal_frees_the_form(send: Any) -> None:
    def refuse(request: Any) -> HttpResponse:
        raise Refused("no", "Not now.")

    for _ in range(2):
        with pytest.raises(Refused, match="Not now"):
            send(once()(refuse), name="a")


@pytest.mark.django_db(transaction=True)
def test_two_at_the_same_time_make_one_thing(send: Any, actor: Any) -> None:
    inside, go_on = threading.Event(), threading.Event()
    made, answers = [], []

    @once()
    def slow(request: Any) -> HttpResponse:
        inside.set()
        go_on.wait(10)
        made.append(1)
        return redirect("/made")

    def run() -> None:
        from django.db import connection

        answers.append(send(slow, name="a")["Location"])
        connection.close()

    first, second = threading.Thread(target=run), threading.Thread(target=run)
    first.start()
    inside.wait(10)
    second.start()
    go_on.set()
    first.join(20)
    second.join(20)

    assert (made, answers) == ([1], ["/made", "/made"])
