"""OpenAI's own client, strict about every field, against a live server: sync, async, paging, retries, errors."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from apps.accounts.services import create_api_key
from apps.datasets.models import ApiFile
from apps.registry.models import ModelVersion
from apps.training.models import FineTuningJob
from tests.openai.lines import chats
from tests.serving import in_a_loop_of_its_own
from workers.loop import run_next

pytestmark = pytest.mark.django_db(transaction=True)


class Watched(httpx.HTTPTransport):
    """Counts what goes out; after the first `lost` answers the connection breaks before the client reads them."""

    def __init__(self, lost: int = 0) -> None:
        super().__init__()
        self.lost, self.sent = lost, 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.sent += 1
        response = super().handle_request(request)
        if self.sent <= self.lost:
            response.read()
            raise httpx.ReadError("connection lost", request=request)
        return response


@pytest.fixture
def watched(server: str, secret: str) -> Iterator[Callable[[Watched], OpenAI]]:
    """Makes strict clients whose requests are watched."""
    with ExitStack() as opened:

        def make(transport: Watched) -> OpenAI:
            http = opened.enter_context(httpx.Client(transport=transport))
            address = f"{server}/v1"
            return OpenAI(base_url=address, api_key=secret, http_client=http, _strict_response_validation=True)

        yield make


def test_files_models_and_fine_tuning_jobs_pass_the_strict_client(
    strict: OpenAI, chat_version: Callable[..., ModelVersion]
) -> None:
    chat_version()
    file = strict.files.create(
        file=("chats.jsonl", chats()), purpose="fine-tune", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert strict.files.wait_for_processing(file.id, poll_interval=0.1).status == "processed"
    assert strict.files.content(file.id).read() == chats()
    assert [found.id for found in strict.files.list(purpose="fine-tune", order="asc")] == [file.id]

    job = strict.fine_tuning.jobs.create(
        model="bot", training_file=file.id, suffix="s", seed=1, metadata={"a": "b"},
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1, "batch_size": "auto"}}},
    )  # fmt: skip
    assert strict.fine_tuning.jobs.retrieve(job.id).status == "validating_files"
    while run_next("io"):
        pass
    assert strict.fine_tuning.jobs.pause(job.id).status == "queued"
    assert strict.fine_tuning.jobs.resume(job.id).status == "queued"
    run_next("train")

    done = strict.fine_tuning.jobs.retrieve(job.id)
    assert done.status == "succeeded" and done.fine_tuned_model == "ft:bot:harbour:s:1"
    assert done.trained_tokens and done.method and done.method.type == "supervised"
    result = strict.files.content(done.result_files[0]).text
    assert result.startswith("step,train_loss,full_valid_loss")
    events = list(strict.fine_tuning.jobs.list_events(job.id, limit=2))  # page after page
    assert len({event.id for event in events}) == len(events) > 4
    assert {event.type for event in events} == {"message", "metrics"}
    assert list(strict.fine_tuning.jobs.checkpoints.list(job.id, limit=1)) is not None
    assert [found.id for found in strict.fine_tuning.jobs.list(limit=1)] == [job.id]

    assert strict.models.retrieve(done.fine_tuned_model).owned_by == "harbour"
    assert {"bot", "bot:1", done.fine_tuned_model} <= {model.id for model in strict.models.list()}
    assert strict.models.delete(done.fine_tuned_model).deleted
    assert strict.files.delete(file.id).deleted


def test_the_async_client_pages_through_files(server: str, secret: str) -> None:
    async def ask() -> list[str]:
        address = f"{server}/v1"
        async with AsyncOpenAI(base_url=address, api_key=secret, _strict_response_validation=True) as client:
            made = [(await client.files.create(file=(f"{n}.jsonl", b"{}"), purpose="batch")).id for n in range(5)]
            found = [file.id async for file in client.files.list(limit=2)]
            assert found == made[::-1]
            with pytest.raises(openai.NotFoundError):
                await client.fine_tuning.jobs.cancel("ftjob-1")
            return found

    assert len(in_a_loop_of_its_own(ask())) == 5


def test_errors_become_the_clients_classes(strict: OpenAI, actor: Any) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        strict.models.retrieve("nobody")
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    assert unknown.value.request_id and unknown.value.type == "invalid_request_error"
    with pytest.raises(openai.BadRequestError) as bad:
        strict.files.create(file=("a.jsonl", b"{\n"), purpose="fine-tune")
    assert "Line 1" in bad.value.message and bad.value.param == "file"
    with pytest.raises(openai.BadRequestError) as strange:
        strict.fine_tuning.jobs.create(model="m", training_file="file-1", extra_body={"colour": 1})
    assert strange.value.param == "colour" and "Unrecognized request argument" in strange.value.message
    with pytest.raises(openai.AuthenticationError):
        strict.with_options(api_key="lx_wrong").models.list()
    narrow = create_api_key(actor=actor, name="narrow", scopes=["registry.read"])[1]
    with pytest.raises(openai.PermissionDeniedError):
        strict.with_options(api_key=narrow).files.list()


def test_a_create_whose_answer_was_lost_happens_once(watched: Callable[[Watched], OpenAI]) -> None:
    transport = Watched(lost=2)

    made = watched(transport).files.create(file=("a.jsonl", chats()), purpose="fine-tune")

    assert transport.sent == 3
    assert [f"file-{pk}" for pk in ApiFile.objects.values_list("pk", flat=True)] == [made.id]


def test_two_first_tries_with_equal_bodies_make_two_things(
    watched: Callable[[Watched], OpenAI], chat_version: Callable[..., ModelVersion]
) -> None:
    chat_version()
    client = watched(Watched())
    file = client.files.create(file=("a.jsonl", chats()), purpose="fine-tune")

    for _time in range(2):
        client.fine_tuning.jobs.create(model="bot", training_file=file.id, seed=1)

    assert FineTuningJob.objects.count() == 2


def test_a_conflict_that_lasts_is_not_tried_again(
    watched: Callable[[Watched], OpenAI], chat_version: Callable[..., ModelVersion]
) -> None:
    chat_version()
    transport = Watched()
    client = watched(transport)
    file = client.files.create(file=("a.jsonl", chats()), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(model="bot", training_file=file.id)
    before = transport.sent

    with pytest.raises(openai.ConflictError) as refused:
        client.fine_tuning.jobs.resume(job.id)

    assert refused.value.code == "job_not_paused" and transport.sent == before + 1


def test_bodies_that_are_sent_in_chunks_are_read(server: str, secret: str) -> None:
    """As Node's client sends a file that it reads from disk: without saying how long it is."""
    form = httpx.Request("POST", server, files={"file": ("a.jsonl", b"{}")}, data={"purpose": "batch"})
    headers = {"Authorization": f"Bearer {secret}"}
    kind = {"Content-Type": form.headers["Content-Type"]}

    with httpx.Client(base_url=f"{server}/v1", headers=headers) as client:
        file = client.post("/files", content=iter([form.read()[:9], form.read()[9:]]), headers=kind)
        asked = client.post(
            "/moderations", content=iter([b'{"input": ', b'"hello"}']), headers={"Content-Type": "application/json"}
        )

    assert (file.status_code, file.json().get("bytes")) == (200, 2)
    assert asked.status_code == 200 and asked.json()["results"][0]["flagged"] is False
