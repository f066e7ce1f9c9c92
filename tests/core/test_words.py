"""A sentence is kept in no language: its reader's language decides when it is shown."""

import copy
import json
from typing import Any

import pytest
from django.utils import translation

from core.errors import Refused
from core.jobs import services as jobs
from core.jobs.models import Job, JobLog
from core.words import holding
from words import dump, from_text, join, revive, say, spoken, to_text

SENTENCE = say("Line {number} is longer than {limit:,} bytes.", number=3, limit=1_000_000)
ENGLISH = "Line 3 is longer than 1,000,000 bytes."
CHINESE = "第 3 行超过 1,000,000 字节。"


@pytest.mark.parametrize(("language", "wanted"), [("en", ENGLISH), ("zh-hans", CHINESE)])
def test_a_sentence_speaks_the_language_of_the_moment(language: str, wanted: str) -> None:
    with translation.override(language):
        assert [str(SENTENCE), f"{SENTENCE}", "%s" % SENTENCE] == [wanted] * 3  # noqa: UP031


def test_a_sentence_is_its_english_for_whoever_knows_nothing_of_it() -> None:
    with translation.override("zh-hans"):
        assert SENTENCE == ENGLISH
        assert json.loads(json.dumps(SENTENCE)) == ENGLISH


def test_a_sentence_inside_a_sentence_is_translated_too() -> None:
    row = say("Row {number}: {message}", number=3, message=SENTENCE)

    with translation.override("zh-hans"):
        assert str(row) == f"第 3 行：{CHINESE}"
        assert str(join([row, "", SENTENCE])) == f"第 3 行：{CHINESE} {CHINESE}"


@pytest.mark.parametrize("text", ["plain", "", '{"msgid": "not ours"}', '{"msgid":1}', '{"msgid":', SENTENCE])
def test_a_text_column_gives_back_what_was_put_in(text: str) -> None:
    found = from_text(to_text(text))

    assert found == text
    with translation.override("zh-hans"):
        assert str(found) == str(text)


def test_plain_data_keeps_its_sentences() -> None:
    found = json.loads(json.dumps(dump({"problems": [{"message": SENTENCE, "rows": (1, 2)}]})), object_hook=revive)

    assert found == {"problems": [{"message": ENGLISH, "rows": [1, 2]}]}
    with translation.override("zh-hans"):
        assert spoken(found)["problems"][0]["message"] == CHINESE
        assert str(copy.deepcopy(SENTENCE)) == CHINESE


def test_values_are_never_taken_for_templates() -> None:
    assert say("The id “{id}” is odd.", id="{number} {{x}}") == "The id “{number} {{x}}” is odd."


def test_a_refusal_answers_in_the_language_of_the_request() -> None:
    refused = Refused("line_too_long", SENTENCE, hint=say("Choose another version."))

    with translation.override("zh-hans"):
        assert refused.problems[0].as_dict()["message"] == CHINESE
        assert str(refused) == CHINESE


@pytest.fixture
def job(workspace: Any, alice: Any) -> Job:
    title = say("Import {file} into {dataset}", file="mails.csv", dataset="Mails")
    return jobs.create(kind="datasets.import", workspace=workspace, queue="io", title=title, by=alice)


def test_two_readers_of_a_stored_row_read_it_in_their_languages(job: Job) -> None:
    stored = Job.objects.get(pk=job.pk)

    with translation.override("zh-hans"):
        assert str(stored.title) == "将 mails.csv 导入 Mails"
    with translation.override("en"):
        assert str(stored.title) == "Import mails.csv into Mails"


def test_rows_from_before_stay_readable(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(title="Import old.csv")

    with translation.override("zh-hans"):
        assert str(Job.objects.get(pk=job.pk).title) == "Import old.csv"


def test_a_json_column_keeps_sentences(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(result={"dropped": [SENTENCE], "rows": 3})

    result = Job.objects.get(pk=job.pk).result

    with translation.override("zh-hans"):
        assert [str(found) for found in result["dropped"]] == [CHINESE]


@pytest.mark.parametrize(
    ("language", "text", "found"),
    [
        ("en", "mails.csv", True),
        ("en", "Import", True),
        ("zh-hans", "导入", True),
        ("zh-hans", "mails", True),
        ("zh-hans", "评估", False),
        ("en", "nothing like it", False),
    ],
)
def test_a_search_finds_what_its_reader_sees(job: Job, language: str, text: str, found: bool) -> None:
    with translation.override(language):
        assert holding(Job.objects.all(), "title", text).exists() is found


def test_a_log_line_is_read_in_both_languages(job: Job) -> None:
    run = jobs.claim(queue="io", worker="w")
    assert run is not None

    run.log(say("resuming from step {step}", step=40))

    line = JobLog.objects.get(job=job)
    with translation.override("zh-hans"):
        assert str(line.message) == "从第 40 步继续"
    assert line.message == "resuming from step 40"
