"""Fine-tuning a reader: it learns, resumes bit by bit, reads long passages in windows, and is served as it was trained."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from engine.answer_metrics import answer_f1, answer_words, exact_match
from engine.failures import Refused, Stopped
from engine.preflight import preflight
from engine.reader import span_scores, target_of, trimmed, windows_of
from engine.reader_folder import open_reader
from engine.recipes import extract
from engine.report import Silent
from engine.specs import BaseModel, ExtractSpec
from engine.specs.methods import ADAPTERS
from engine.tasks import perform, task_of


def spec_of(encoder: Path, **options: Any) -> ExtractSpec:
    settings: dict[str, Any] = {
        "base_model": BaseModel("folder", str(encoder)),
        "epochs": 2,
        "batch_size": 8,
        "learning_rate": 1e-2,
        "head_learning_rate": 1e-2,
        "max_length_tokens": 32,
        "stride_tokens": 8,
        "max_answer_tokens": 6,
        "average_decay": 0.9,
    }
    return ExtractSpec(**(settings | options))


@pytest.fixture(scope="module")
def learnt(pair_encoder: Path, questions: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return extract.train(spec_of(pair_encoder, epochs=16), questions, tmp_path_factory.mktemp("learnt"), Silent())


def test_a_run_learns_answers_and_where_there_is_none(learnt: dict[str, Any]) -> None:
    test = learnt["evaluations"]["test"]
    measured = json.loads(Path(test["metrics"]).read_text())

    assert test["headline"]["f1"]["value"] > 0.8
    assert measured["answerable"]["exact_match"]["value"] > 0.7
    assert measured["without_answer"]["exact_match"]["value"] > 0.7
    assert measured["answerable"]["rows"] + measured["without_answer"]["rows"] == 18
    row = pq.read_table(test["examples"]).to_pylist()[0]
    assert set(row) == {
        "example_id", "text", "gold_text", "predicted_text", "start", "end", "probability", "loss", "f1", "correct",
    }  # fmt: skip


def test_the_saved_folder_measures_as_the_run_did(learnt: dict[str, Any], questions: Path, tmp_path: Path) -> None:
    order = {"task": "evaluate", "model": learnt["model"], "data": {"path": str(questions), "split": "test"}}

    found = perform({**order, "out": str(tmp_path)}, None, Silent())

    assert task_of(Path(learnt["model"])) == "extraction"
    for name, figure in learnt["evaluations"]["test"]["headline"].items():
        assert found["headline"][name] == pytest.approx(figure, abs=1e-5)


def test_transformers_gives_the_same_logits(learnt: dict[str, Any]) -> None:
    reader = open_reader(Path(learnt["model"]))
    pair = ("where is it", "please help my card today")
    theirs = AutoModelForQuestionAnswering.from_pretrained(learnt["model"]).eval()
    tokens = AutoTokenizer.from_pretrained(learnt["model"])(*pair, return_tensors="pt")

    with torch.no_grad():
        wanted = theirs(**tokens)
        ours = reader.model(reader.windows([pair]))

    assert torch.allclose(ours[:, 0], wanted.start_logits[0], atol=1e-5)
    assert torch.allclose(ours[:, 1], wanted.end_logits[0], atol=1e-5)
    assert tokens["token_type_ids"].unique().tolist() == [0, 1]


@pytest.mark.parametrize("method", ["full", "frozen", *ADAPTERS])
def test_a_stopped_run_resumes_to_the_same_weights_by_every_method(
    pair_encoder: Path, questions: Path, tmp_path: Path, told: Any, method: str
) -> None:
    spec = spec_of(pair_encoder, method=method, adapter_rank=4, virtual_tokens=3, bottleneck_width=4)
    whole = extract.train(spec, questions, tmp_path / "whole", Silent())
    first = told(stop_after=14)
    with pytest.raises(Stopped):
        extract.train(spec, questions, tmp_path / "first", first)
    resumed = extract.train(spec, questions, tmp_path / "second", Silent(), resume_from=Path(first.checkpoints[-1]))
    order = {"task": "evaluate", "model": whole["model"], "data": {"path": str(questions), "split": "test"}}

    found = perform({**order, "out": str(tmp_path)}, None, Silent())

    assert resumed["files"]["model.safetensors"]["sha256"] == whole["files"]["model.safetensors"]["sha256"]
    assert resumed["history"] == whole["history"]
    wanted = whole["evaluations"]["test"]["headline"]["loss"]["value"]
    assert found["headline"]["loss"]["value"] == pytest.approx(wanted, abs=1e-4)


def test_micro_batches_and_accumulation_divide_by_all_windows(
    pair_encoder: Path, questions: Path, tmp_path: Path
) -> None:
    plain = {"epochs": 1, "dropout": 0.0}
    runs = [
        extract.train(spec_of(pair_encoder, **plain), questions, tmp_path / "whole", Silent()),
        extract.train(spec_of(pair_encoder, **plain), questions, tmp_path / "halved", Silent(), micro_batch=3),
        extract.train(
            spec_of(pair_encoder, **plain, batch_size=2, gradient_accumulation=4), questions, tmp_path / "g", Silent()
        ),
    ]

    losses = [run["evaluations"]["test"]["headline"]["loss"]["value"] for run in runs]
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=1e-4)


def test_an_answer_far_into_a_long_passage_is_found(learnt: dict[str, Any]) -> None:
    reader = open_reader(Path(learnt["model"]))
    context = "the why help not " * 30 + "my iban" + " with it a" * 20

    (found,) = reader.read([("where is it", context)])

    assert len(reader.windows([("where is it", context)])) > 5
    assert context[found.start : found.end] == found.answer
    assert "iban" in found.answer


def test_a_question_is_answered_alike_in_any_company(learnt: dict[str, Any], asked_questions: Any) -> None:
    reader = open_reader(Path(learnt["model"]))
    pairs = [(question, context) for question, context, _ in asked_questions(20, seed=9, unanswered=True)]
    pairs += [("where is it", ""), ("", "my card"), ("why " * 200, "help my card today")]

    together = reader.read(pairs)
    alone = [reader.read([pair])[0] for pair in pairs]

    assert [(one.answer, one.start, one.end) for one in together] == [(one.answer, one.start, one.end) for one in alone]
    assert [one.probability for one in together] == pytest.approx([one.probability for one in alone], abs=1e-5)
    assert all(0 <= one.probability <= 1.0001 for one in together)
    assert all(pair[1][one.start : one.end] == one.answer for pair, one in zip(pairs, together, strict=True))


def test_batches_keep_offsets_and_go_on_where_they_stood(
    learnt: dict[str, Any], question_file: Any, asked_questions: Any, tmp_path: Path
) -> None:
    rows = [(*row, "") for row in asked_questions(10, seed=9)]
    data = question_file(tmp_path / "rows.parquet", rows)
    order = {"task": "predict", "model": learnt["model"], "data": {"path": str(data), "column": "question"}}

    perform({**order, "skip_rows": 4, "out": str(tmp_path / "out")}, None, Silent())

    found = pq.read_table(next((tmp_path / "out").glob("part-*.parquet"))).to_pylist()
    assert [row["example_id"] for row in found] == list(range(104, 110))
    assert all(rows[at + 4][1][row["start"] : row["end"]] == row["answer"] for at, row in enumerate(found))


def test_every_answer_lies_whole_in_a_window_and_its_tokens_read_it(pair_encoder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(pair_encoder)
    context = "我的卡在哪里 please " * 12
    answers = [("卡在", at) for at in range(len(context)) if context.startswith("卡在", at)]

    windows = windows_of(tokenizer, [("where", context)], max_length_tokens=32, stride_tokens=8)

    for answer in answers:
        places = [(window, target_of(window, [answer])) for window in windows]
        reached = [(window, found) for window, found in places if found != (0, 0)]
        assert reached
        for window, (first, last) in reached:
            start, end = window.places[first - window.start][0], window.places[last - window.start][1]
            assert (context[start:end], start) == answer
    assert target_of(windows[0], [("please please", 0)]) != (0, 0) or windows[0].places[0][0] == 0
    assert target_of(windows[-1], []) == (0, 0)


def test_spans_never_end_early_and_are_never_too_long() -> None:
    scores = span_scores(torch.randn(7, 2), 3)

    for first in range(7):
        for last in range(7):
            assert bool(torch.isfinite(scores[first, last])) == (0 <= last - first < 3)
    assert trimmed(" a b ", 0, 5) == (1, 4)


def squad_words(text: str) -> list[str]:
    """SQuAD's normalisation, written out from its definition."""
    import re
    import string

    text = "".join(character for character in text.lower() if character not in set(string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


@given(st.text(st.sampled_from("The an cat's 4,0% $x-y\t"), max_size=20))
def test_english_answers_are_normalised_as_squad_does(text: str) -> None:
    assert answer_words(text) == squad_words(text)


def test_answers_are_compared_by_characters_where_scripts_have_no_spaces() -> None:
    assert answer_words("《红楼梦》第2回 Part") == ["红", "楼", "梦", "第", "2", "回", "part"]
    assert exact_match("红楼梦。", ["《红楼梦》"]) and not exact_match("红楼", ["红楼梦"])
    assert answer_f1("红楼", ["红楼梦", "西游记"]) == pytest.approx(0.8)
    assert answer_f1("the cat", ["a cat!"]) == 1.0
    assert (answer_f1("", []), answer_f1("x", []), exact_match("", []), exact_match("x", [])) == (1.0, 0.0, True, False)


def test_bad_rows_are_refused_by_name(
    pair_encoder: Path, question_file: Any, asked_questions: Any, tmp_path: Path
) -> None:
    rows = [(*row, "train" if at < 20 else "test") for at, row in enumerate(asked_questions(24))]
    rows[3] = (rows[3][0], rows[3][1], [("elsewhere", 0)], "train")
    rows[5] = (" ", rows[5][1], [], "train")
    rows[22] = (*rows[2][:3], "test")
    data = question_file(tmp_path / "rows.parquet", rows)

    with pytest.raises(Refused) as refused:
        extract.train(spec_of(pair_encoder), data, tmp_path, Silent())

    found = {problem.code: problem.rows for problem in refused.value.problems}
    assert found == {"empty_text": (105,), "answer_elsewhere": (103,), "test_leaks": (122,)}


def test_the_preflight_says_windows_size_and_answers_that_no_window_holds(
    pair_encoder: Path, question_file: Any, asked_questions: Any, told: Any, tmp_path: Path
) -> None:
    rows = [(*row, "train" if at < 20 else "dev") for at, row in enumerate(asked_questions(24))]
    long = "the why help not " * 12
    rows[2] = ("where is it", long, [(long.strip(), 0)], "train")
    data = question_file(tmp_path / "rows.parquet", rows)
    report = told()

    found = preflight(spec_of(pair_encoder), data, Silent())
    extract.train(spec_of(pair_encoder, epochs=1), data, tmp_path / "run", report)

    assert [(one["code"], one["rows"]) for one in found["problems"]] == [("answer_cut", [102])]
    assert found["windows"]["train"] > 20 and found["parameters"]["total"] > 0 and found["estimate"]["steps"] > 0
    assert report.sights == [found["seen"]]
    row = found["seen"]["rows"][0]
    assert "".join(" ".join(row["tokens"][start:end]) for start, end in row["learnt"]) == rows[0][2][0][0]
