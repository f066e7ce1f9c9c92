"""What Prometheus reads: only with the token, in its format, the same from every process, and never counted twice."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpResponse
from django.urls import resolve
from prometheus_client.parser import text_string_to_metric_families

from apps.inference import services
from apps.inference.models import Generation
from core.access import Actor
from core.counters import KEY, Additions, _client, counted
from core.traffic import BOUNDS, COUNT, OTHER, TrafficMiddleware
from engine.specs.sampling import Sampling
from workers.memory import Models
from workers.writing import Desk

TOKEN = "a-token-for-tests"


@pytest.fixture(autouse=True)
def empty(settings: Any) -> None:
    settings.METRICS_TOKEN = TOKEN
    with _client() as redis:
        redis.delete(KEY)


@pytest.fixture
def ask(actor: Actor, chat_version: Callable[..., Any]) -> Callable[..., Generation]:
    version = chat_version()

    def ask_now(content: str = "where is my card?", **options: Any) -> Generation:
        return services.generate_chat(
            actor=actor,
            version=version,
            reference="bot",
            messages=[{"role": "user", "content": content}],
            sampling=Sampling(**{"max_tokens": 8, "seed": 3, "ignore_end": True, **options}),
        )

    return ask_now


def write_all(desk: Desk) -> None:
    for _turn in range(400):
        if not desk.turn():
            break
    desk.leave()


def samples(client: Any) -> dict[tuple[str, str], float]:
    """(name, what tells it from others besides model and version) -> value."""
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    found = {}
    for family in text_string_to_metric_families(answer.content.decode()):
        for one in family.samples:
            apart = [value for name, value in sorted(one.labels.items()) if name not in ("model_name", "version")]
            found[one.name, " ".join(apart)] = one.value
    return found


@pytest.mark.django_db
@pytest.mark.parametrize("sent", ["", "Bearer ", "Bearer wrong", TOKEN + "x"])
def test_nobody_reads_figures_without_the_token(client: Any, sent: str) -> None:
    assert client.get("/metrics", headers={"Authorization": sent} if sent else {}).status_code == 404


@pytest.mark.django_db
def test_without_a_token_there_are_no_figures(client: Any, settings: Any) -> None:
    settings.METRICS_TOKEN = ""
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404


@pytest.mark.django_db
def test_answers_are_counted_under_the_names_of_vllm(client: Any, ask: Callable[..., Generation]) -> None:
    rows = [ask(f"question {at}") for at in range(3)]
    waiting = samples(client)
    write_all(Desk(Models(10**9)))
    for row in rows:
        row.refresh_from_db()

    found = samples(client)

    assert waiting["vllm:num_requests_waiting", ""] == 3
    assert found["vllm:num_requests_waiting", ""] == found["vllm:num_requests_running", ""] == 0
    assert found["vllm:prompt_tokens_total", ""] == sum(row.prompt_tokens for row in rows)
    assert found["vllm:generation_tokens_total", ""] == sum(row.answer_tokens for row in rows) == 24
    assert found["vllm:prefix_cache_queries_total", ""] == sum(row.prompt_tokens for row in rows)
    assert found["vllm:prefix_cache_hits_total", ""] == sum(row.cached_tokens for row in rows)
    assert found["vllm:request_success_total", "length"] == 3
    for name in ("time_to_first_token_seconds", "e2e_request_latency_seconds", "request_queue_time_seconds"):
        assert found[f"vllm:{name}_count", ""] == found[f"vllm:{name}_bucket", "+Inf"] == 3
        assert found[f"vllm:{name}_sum", ""] > 0
    assert found["vllm:inter_token_latency_seconds_count", ""] == 3 * 7
    assert found["vllm:request_generation_tokens_bucket", "5.0"] == 0
    assert found["vllm:request_generation_tokens_bucket", "10.0"] == 3


@pytest.mark.django_db
def test_what_another_worker_stored_is_counted_there_and_not_here(client: Any, ask: Callable[..., Generation]) -> None:
    row = ask()
    late, second = Desk(Models(10**9)), Desk(Models(10**9))
    late.turn()
    Generation.objects.filter(pk=row.pk).update(state="waiting")
    write_all(second)
    write_all(late)

    found = samples(client)

    assert found["vllm:request_success_total", "length"] == 1
    assert found["vllm:generation_tokens_total", ""] == 8


@pytest.mark.django_db
def test_additions_are_sent_once_and_survive_who_sent_them(client: Any) -> None:
    first = Additions()
    first.add("prompt_tokens", ("1",), 5)
    first.send()
    first.send()
    second = Additions()
    second.add("prompt_tokens", ("1",), 2)
    second.observe("latency", ("1",), 0.5, (0.1, 1.0))
    second.observe("latency", ("1",), 9, (0.1, 1.0))
    second.send()

    assert counted() == {
        ("prompt_tokens", ("1",)): 7,
        ("latency_bucket", ("1", "1.0")): 1,
        ("latency_bucket", ("1", "+Inf")): 1,
        ("latency_sum", ("1",)): 9.5,
    }


def test_without_redis_additions_are_let_go_and_nothing_fails(settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    away = Additions()
    away.add("prompt_tokens", ("1",), 5)
    away.send()
    assert away._waiting == {} and counted() == {}


def counted_by_web(client: Any) -> dict[str, dict[tuple[str, ...], float]]:
    """Name -> labels in their order -> value, of what web processes count."""
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(answer.content.decode()):
        for one in family.samples:
            if one.name.startswith("lingxi_http"):
                labels = tuple(one.labels[name] for name in ("route", "method", "status", "le") if name in one.labels)
                found.setdefault(one.name, {})[labels] = one.value
    return found


@pytest.mark.django_db
def test_web_requests_count_by_route_of_all_processes_together(client: Any, rf: Any) -> None:
    route = "/w/<slug:workspace>/deployments/<int:pk>"
    processes = [TrafficMiddleware(answered) for _ in range(2)]
    for at in range(3):
        for process in processes:
            process(rf.get(f"/w/shop/deployments/{at}"))
    processes[0](rf.post("/w/shop/deployments/9"))
    for process in processes:
        process.tally.send()
        process.tally.send()

    found = counted_by_web(client)

    assert found["lingxi_http_requests_total"] == {(route, "GET", "2xx"): 6, (route, "POST", "4xx"): 1}
    seconds = found["lingxi_http_request_seconds_bucket"]
    assert seconds[route, "GET", "+Inf"] == found["lingxi_http_request_seconds_count"][route, "GET"] == 6
    assert len(seconds) == 2 * (len(BOUNDS) + 1)


def test_addresses_and_methods_that_nobody_knows_make_no_series(rf: Any, empty: None) -> None:
    process = TrafficMiddleware(lambda _request: HttpResponse(status=404))
    for at in range(50):
        process(rf.generic(f"BREW{at}", f"/nowhere/{at}"))
    process.tally.send()

    assert {counter: value for counter, value in counted().items() if counter[0] == COUNT} == {
        (COUNT, (OTHER, OTHER, "4xx")): 50
    }


def test_without_a_token_nothing_is_noted(settings: Any) -> None:
    settings.METRICS_TOKEN = ""
    with pytest.raises(MiddlewareNotUsed):
        TrafficMiddleware(answered)


def answered(request: Any) -> HttpResponse:
    """A page as the handler leaves it behind: with the route that its address matched."""
    request.resolver_match = resolve(request.path)
    return HttpResponse(status=200 if request.method == "GET" else 403)
