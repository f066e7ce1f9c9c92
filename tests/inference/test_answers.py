"""Chat versions at work: batches answer every prompt exactly once, single chats are answered by the resident role."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from apps.inference import services
from apps.inference.models import BatchJob, Generation, Prediction, RowAtWork
from apps.registry.models import ModelVersion
from core.errors import Refused
from core.jobs import run as run_of_jobs
from core.jobs import services as jobs
from core.jobs.models import Job
from core.jobs.run import Stopped
from core.jobs.states import State
from engine.chat_model import load_chat_model
from engine.failures import RunFailed
from workers import batch_writing, looks
from workers.loop import run_next
from workers.memory import Models
from workers.writing import Desk

Version = Callable[..., ModelVersion]


@pytest.fixture(autouse=True)
def no_beats(settings: Any) -> None:
    """A beat comes from another connection, which does not see what a test has not committed."""
    settings.JOB_BEAT_SECONDS = 3600


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    """The resident role, which writes a step whenever the runner of batches would wait."""
    made = Desk(Models(10**9))
    monkeypatch.setattr(looks, "sleep", lambda _seconds: made.turn())
    return made


def upload(text: str, name: str) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, text.encode())


def done(batch_job: BatchJob) -> list[Prediction]:
    """The rows of the batch after its job has run."""
    run_next("io")
    batch_job.refresh_from_db()
    assert batch_job.job.state == State.SUCCEEDED, batch_job.job.error_message
    return list(Prediction.objects.filter(batch_job=batch_job).order_by("position"))


def write_all() -> None:
    """What the resident role does until nothing is left to write."""
    desk = Desk(Models(10**9))
    for _turn in range(400):
        if not desk.turn():
            return
    raise AssertionError("it does not end")


def alone(version: ModelVersion, prompts: list[Any], max_new_tokens: int) -> Iterator[tuple[str, str]]:
    """(answer, finish) of each prompt by itself."""
    model = load_chat_model(version.path)
    for prompt in prompts:
        [found] = model.answers([prompt], max_new_tokens=max_new_tokens)
        yield found.text, found.finish


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


@pytest.mark.usefixtures("desk")
def test_a_file_of_prompts_is_answered_in_order_and_bad_rows_are_named(actor: Any, chat_version: Version) -> None:
    version = chat_version()
    batch_job = services.predict_upload(
        actor=actor,
        version=version,
        upload=upload("id,prompt\na,where is my card?\nb,\nc,卡\n", "prompts.csv"),
        max_new_tokens=9,
    )

    rows = done(batch_job)

    assert [(row.position, row.custom_id, row.text) for row in rows] == [(0, "a", "where is my card?"), (1, "c", "卡")]
    assert [(row.answer, row.finish) for row in rows] == list(
        alone(version, [[user("where is my card?")], [user("卡")]], 9)
    )
    assert {row.model_version_id for row in rows} == {version.pk}
    assert all(row.probability is None and row.labels == [] for row in rows)
    assert [found["number"] for found in batch_job.bad_rows] == [2]


@pytest.mark.usefixtures("desk")
def test_messages_of_a_file_are_prompts_and_a_closing_answer_is_left_off(actor: Any, chat_version: Version) -> None:
    chats = [
        [user("hi"), {"role": "assistant", "content": "yes?"}, user("card")],
        [user("loan"), {"role": "assistant", "content": "gold"}],
        [{"role": "assistant", "content": "only me"}],
        [{"role": "robot", "content": "x"}],
        [{"role": "system", "content": "Be brief."}],
        "not messages",
    ]
    lines = "".join(json.dumps({"messages": chat}) + "\n" for chat in chats)
    batch_job = services.predict_upload(
        actor=actor, version=chat_version(), upload=upload(lines, "c.jsonl"), max_new_tokens=4
    )

    rows = done(batch_job)

    assert [row.messages for row in rows] == [chats[0], [user("loan")], [user("not messages")]]
    assert [row.text for row in rows] == ["card", "loan", "not messages"]
    assert [found["code"] for found in batch_job.bad_rows] == ["empty", "bad_role", "nothing_asked"]


@pytest.mark.usefixtures("desk")
def test_a_chat_dataset_is_answered_anew(actor: Any, chat_version: Version, chat_data: Any) -> None:
    version = chat_version("llama")
    rows = done(services.predict_version(actor=actor, version=version, data=chat_data, split="test", max_new_tokens=5))

    prompts = [row.messages for row in rows]
    assert [row.custom_id for row in rows] == [f"t{at}" for at in range(30) if at % 3]
    assert all(prompt[-1]["role"] == "user" for prompt in prompts)
    assert [(row.answer, row.finish) for row in rows] == list(alone(version, prompts, 5))


def test_a_batch_that_is_killed_midway_has_each_answer_once_in_the_end(
    actor: Any, chat_version: Version, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = chat_version()
    items = [{"id": str(n), "text": f"card {n} {'my ' * (n % 9)}"} for n in range(200)]
    batch_job = services.predict_texts(actor=actor, version=version, items=items, max_new_tokens=3)
    keep = services.keep_answers

    def keep_once_then_die(**values: Any) -> None:
        if values["batch_job"].stored_count:
            raise Stopped("shutdown")
        keep(**values)

    monkeypatch.setattr(batch_writing.services, "keep_answers", keep_once_then_die)
    run_next("io")
    batch_job.refresh_from_db()
    stored, asked = batch_job.stored_count, Generation.objects.count()
    assert 0 < stored < asked < 200
    monkeypatch.setattr(batch_writing.services, "keep_answers", keep)

    rows = done(batch_job)

    assert [(row.position, row.custom_id) for row in rows] == [(n, str(n)) for n in range(200)]
    spot = [0, stored - 1, stored, 199]
    prompts = [[user(items[n]["text"])] for n in spot]
    assert [(rows[n].answer, rows[n].finish) for n in spot] == list(alone(version, prompts, 3))
    assert Generation.objects.count() == 200  # what was at work is read by the next attempt and not asked again
    assert not RowAtWork.objects.exists()
    assert set(Generation.objects.values_list("priority", "is_stored")) == {(10, False)}
    assert not Generation.objects.exclude(messages=[], answers=[]).exists()


@pytest.mark.usefixtures("desk")
def test_a_batch_uses_the_scheduler_and_keeps_few_rows_at_work(
    actor: Any, chat_version: Version, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    most: list[int] = []
    turn = desk.turn

    def counted(_seconds: float) -> bool:
        most.append(Generation.objects.filter(state__in=("waiting", "running")).count())
        return turn()

    monkeypatch.setattr(looks, "sleep", counted)
    items = [{"text": "card", "id": str(n)} for n in range(80)]
    rows = done(services.predict_texts(actor=actor, version=chat_version(), items=items, max_new_tokens=2))

    assert max(most) == batch_writing.AT_ONCE and len(rows) == 80
    assert len({row.answer for row in rows}) == 1


def test_a_cancelled_batch_ends_its_answers_and_keeps_what_is_stored(
    actor: Any, chat_version: Version, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [{"text": f"card {n}", "id": str(n)} for n in range(60)]
    batch_job = services.predict_texts(actor=actor, version=chat_version(), items=items, max_new_tokens=40)
    turns: list[int] = []

    def cancel_soon(_seconds: float) -> None:
        desk.turn()
        turns.append(Generation.objects.filter(state="running").count())
        if len(turns) == 3:
            jobs.cancel(job=Job.objects.get(pk=batch_job.job_id), by=actor.user)

    monkeypatch.setattr(looks, "sleep", cancel_soon)
    monkeypatch.setattr(run_of_jobs, "PROGRESS_SECONDS", 0.0)
    run_next("io")

    batch_job.refresh_from_db()
    assert batch_job.job.state == State.CANCELLED and turns[-1] == batch_writing.AT_ONCE
    assert Generation.objects.filter(state="running", is_unwanted=False).count() == 0
    assert not RowAtWork.objects.exists()
    desk.turn(unwanted=set(Generation.objects.filter(state="running").values_list("pk", flat=True)))
    assert set(Generation.objects.values_list("state", flat=True)) == {"cancelled"}
    assert Prediction.objects.count() == batch_job.stored_count


def test_what_a_batch_that_ended_elsewhere_left_at_work_is_let_go(
    actor: Any, chat_version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_job = services.predict_texts(actor=actor, version=chat_version(), items=[{"text": "card"}])

    def die(_seconds: float) -> None:
        raise Stopped("shutdown")

    monkeypatch.setattr(looks, "sleep", die)
    run_next("io")
    assert RowAtWork.objects.count() == 1 and services.mend_rows() == []
    jobs.cancel(job=Job.objects.get(pk=batch_job.job_id), by=actor.user)

    assert services.mend_rows() == [batch_job.pk]

    assert not RowAtWork.objects.exists()
    assert Generation.objects.get().state == "cancelled"


def test_an_answer_that_fails_again_and_again_fails_the_batch_which_goes_on_when_it_is_sent_again(
    actor: Any, chat_version: Version, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [{"text": f"card {n}", "id": str(n)} for n in range(3)]
    batch_job = services.predict_texts(actor=actor, version=chat_version(), items=items, max_new_tokens=2)
    monkeypatch.setattr(desk.models, "get", Mock(side_effect=RunFailed("out_of_memory", "No room.", "Wait.")))

    run_next("io")

    batch_job.refresh_from_db()
    assert (batch_job.job.state, batch_job.job.error_code) == (State.FAILED, "out_of_memory")
    assert Generation.objects.count() == 3 * batch_writing.ATTEMPTS and not RowAtWork.objects.exists()
    monkeypatch.undo()
    monkeypatch.setattr(looks, "sleep", lambda _seconds: desk.turn())
    jobs.retry(job=Job.objects.get(pk=batch_job.job_id), by=actor.user)
    assert [row.custom_id for row in done(batch_job)] == ["0", "1", "2"]


@pytest.mark.usefixtures("desk")
def test_prompts_without_room_are_said_to_be_too_long_and_the_others_are_answered(
    actor: Any, chat_version: Version
) -> None:
    items = [{"text": "x" * 500}, {"text": "card"}]

    long, short = done(services.predict_texts(actor=actor, version=chat_version(), items=items, max_new_tokens=2))

    assert (long.answer, long.finish, long.answer_tokens) == ("", "too_long", 0)
    assert short.finish == "length"


@pytest.mark.usefixtures("desk")
def test_rows_and_exports_name_the_version_that_made_them(actor: Any, chat_version: Version, api: Any) -> None:
    version, client = chat_version(), api(actor)
    made = client.post(
        "/api/v1/predictions",
        {
            "model": "bot",
            "texts": [{"id": "=1", "messages": [user("=HYPERLINK(1)")]}, {"text": "卡"}],
            "max_new_tokens": 3,
        },
    )
    run_next("io")

    def download(kind: str) -> str:
        answer = client.get(f"/api/v1/predictions/{made.json()['id']}/export?file_format={kind}")
        return b"".join(answer.streaming_content).decode("utf-8-sig")

    assert made.status_code == 201, made.json()
    rows = client.get(f"/api/v1/predictions/{made.json()['id']}/rows").json()["results"]
    rows.sort(key=lambda row: row["position"])
    assert [row["model_version"] for row in rows] == [version.pk] * 2
    assert [row["messages"] for row in rows] == [[user("=HYPERLINK(1)")], [user("卡")]]
    table = list(csv.DictReader(io.StringIO(download("csv-spreadsheet"))))
    lines = [json.loads(line) for line in download("jsonl").splitlines()]
    assert [row["text"] for row in table] == ["'=HYPERLINK(1)", "卡"]
    assert [line["answer"] for line in lines] == [row["answer"] for row in rows]
    assert {line["model_version_id"] for line in lines} == {version.pk}
    assert {row["model_version"] for row in table} == {"bot v1"}
    cut = client.get(f"/api/v1/predictions/{made.json()['id']}/rows?finish=length").json()["results"]
    assert all(row["finish"] == "length" and row["answer_tokens"] == 3 for row in cut)
    assert client.get(f"/api/v1/predictions/{made.json()['id']}/rows?finish=x").json()["code"] == "invalid"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"texts": [{"id": "a"}]}, "text_or_messages"),
        ({"texts": [{"text": "a", "messages": [user("a")]}]}, "text_or_messages"),
        ({"texts": [{"messages": []}]}, "empty"),
        ({"texts": [{"messages": [{"role": "assistant", "content": "a"}]}]}, "nothing_asked"),
        ({"texts": [{"text": "a"}], "max_new_tokens": 0}, "invalid"),
    ],
)
def test_prompts_that_ask_nothing_are_refused_at_the_door(
    actor: Any, chat_version: Version, api: Any, body: dict[str, Any], code: str
) -> None:
    chat_version()

    answer = api(actor).post("/api/v1/predictions", {"model": "bot", **body})

    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.json()
    assert not BatchJob.objects.exists()


def test_data_of_another_kind_are_refused(actor: Any, chat_version: Version, chat_data: Any) -> None:
    chat_data.dataset.kind = "classification"
    with pytest.raises(Refused) as refused:
        services.predict_version(actor=actor, version=chat_version(), data=chat_data)

    assert refused.value.code == "wrong_kind"


def test_a_chat_is_answered_at_once(actor: Any, stranger: Any, chat_version: Version, api: Any) -> None:
    client, version = api(actor), chat_version("gpt2")
    body = {"model": "bot", "messages": [user("where is my card?")], "max_new_tokens": 7}
    asked = client.post("/api/v1/answers", body)
    assert asked.status_code == 202, asked.json()
    address = f"/api/v1/answers/{asked.json()['id']}"
    before = client.get(address).json()

    write_all()

    found = client.get(address).json()
    [(text, finish)] = alone(version, [body["messages"]], 7)
    assert (before["state"], before["results"], before["answered_at"]) == ("waiting", [], None)
    assert (found["state"], found["messages"], found["max_new_tokens"]) == ("done", body["messages"], 7)
    assert [(row["answer"], row["finish"]) for row in found["results"]] == [(text, finish)]
    assert found["answered_at"] and found["results"][0]["tokens"] <= 7
    assert client.get(address.replace("answers", "classify")).status_code == 404
    assert api(stranger).get(address).status_code == 404
    assert client.post("/api/v1/classify", {"model": "bot", "texts": ["a"]}).json()["code"] == "wrong_task"
    wrong = client.post("/api/v1/answers", {**body, "messages": [{"role": "assistant", "content": "a"}]})
    assert wrong.json()["code"] == "nothing_asked"


def test_a_chat_that_leaves_no_room_says_so(actor: Any, chat_version: Version, api: Any) -> None:
    client, _version = api(actor), chat_version()
    asked = client.post("/api/v1/answers", {"model": "bot", "messages": [user("x" * 500)]})

    write_all()

    found = client.get(f"/api/v1/answers/{asked.json()['id']}").json()
    assert (found["state"], found["results"]) == ("failed", [])
    assert "room for" in found["error_message"]


def test_a_chat_version_is_tried_on_its_page(
    actor: Any, chat_version: Version, page: Any, alice: Any, charlie: Any, workspace: Any
) -> None:
    version, browser = chat_version(), page(alice)
    shown = browser.get(f"/w/{workspace.slug}/models/versions/{version.pk}").content.decode()
    address = f"/w/{workspace.slug}/predictions/try/{version.pk}"
    box = browser.get(address).content.decode()

    waiting = browser.post(address, {"message": "<b>where</b>\nis my card?"}).content.decode()
    write_all()

    asked = Generation.objects.get()
    answer = browser.get(f"/w/{workspace.slug}/predictions/written/{asked.pk}").content.decode()
    assert f'hx-get="{address}"' in shown
    assert "Your message" in box
    assert "Working" in waiting and f"/predictions/written/{asked.pk}" in waiting
    assert asked.messages == [user("<b>where</b>\nis my card?")]
    assert f"{asked.answers[0]['tokens']} token" in answer
    stranger = page(charlie)
    assert stranger.get(address).status_code == 404
    assert stranger.get(f"/w/{workspace.slug}/predictions/written/{asked.pk}").status_code == 404


@pytest.mark.usefixtures("desk")
def test_pages_show_answers_as_text_and_strangers_see_nothing(
    actor: Any, chat_version: Version, alice: Any, bob: Any, charlie: Any, page: Any, workspace: Any
) -> None:
    version = chat_version()
    batch_job = services.predict_texts(
        actor=actor, version=version, items=[{"text": "<script>alert(1)</script>"}], max_new_tokens=3
    )
    done(batch_job)
    path = f"/w/{workspace.slug}/predictions/{batch_job.pk}"

    shown = page(bob).get(path).content.decode()
    assert "&lt;script&gt;alert(1)" in shown
    assert "<script>alert(1)" not in shown
    form = page(bob).get(f"/w/{workspace.slug}/predictions/new?version={version.pk}")
    assert version in form.context["form"].fields["model_version"].queryset
    assert f'<option value="{version.pk}" selected>' in form.content.decode()
    assert page(charlie).get(path).status_code == 404
