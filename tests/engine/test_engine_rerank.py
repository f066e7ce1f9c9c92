"""Training a ranker: it orders what a search found, resumes bit by bit, and is served and read elsewhere as trained."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sentence_transformers import CrossEncoder
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from engine.failures import Refused, RunFailed, Stopped
from engine.pairs import read_pairs
from engine.preflight import preflight
from engine.ranker import PairScorer, Ranker, chances, encode_pairs
from engine.ranker_folder import holds_ranker, open_ranker
from engine.recipes import rerank
from engine.recipes.rerank_setup import Lengths, arrange, beginning, lesson_of
from engine.report import Silent
from engine.specs import BaseModel, RerankSpec, parse_spec
from engine.specs.methods import METHODS
from engine.tasks import perform, task_of

PAIRS = [("please send my card", "the rate is it"), ("pin", "please"), ("why is the rate", "not with it today " * 8)]
GROUPS = {"card": ["card", "pin"], "loan": ["loan", "mortgage"], "rate": ["rate", "interest"]}
ANSWERS = {"card": "loan is it", "loan": "rate is it", "rate": "card is it"}


def spec_of(encoder: Path, **options: Any) -> RerankSpec:
    settings: dict[str, Any] = {
        "base_model": BaseModel("folder", str(encoder)),
        "epochs": 2,
        "batch_size": 4,
        "learning_rate": 3e-3,
        "head_learning_rate": 1e-2,
        "max_length_tokens": 24,
        "average_decay": 0.9,
        "candidates": 10,
        "dev_queries": 4,
        "negatives": 2,
    }
    return RerankSpec(**(settings | options))


@pytest.fixture(scope="session")
def questions_of_groups() -> list[tuple[str, str]]:
    """96 questions with one of three answers each: which one is right, a word of the question says."""
    maker, filler = random.Random(0), ["please", "my", "the", "why", "today", "with"]
    found: dict[str, str] = {}
    while len(found) < 96:
        group = list(GROUPS)[len(found) % 3]
        word = maker.choice(GROUPS[group])
        question = [*maker.choices(filler, k=maker.randint(0, 2)), word, *maker.choices(filler, k=maker.randint(0, 2))]
        found.setdefault(" ".join(question), ANSWERS[group])
    return list(found.items())


@pytest.fixture(scope="session")
def asked(questions_of_groups: Any, write_pair_file: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 questions in train, 16 in dev, 16 in test."""
    splits = ["train"] * 64 + ["dev"] * 16 + ["test"] * 16
    rows = [(*pair, split, {}) for pair, split in zip(questions_of_groups, splits, strict=True)]
    return write_pair_file(tmp_path_factory.mktemp("asked") / "pairs.parquet", rows)


@pytest.fixture(scope="session")
def asked_few(questions_of_groups: Any, write_pair_file: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 questions in train, 6 in dev, 6 in test."""
    splits = ["train"] * 24 + ["dev"] * 6 + ["test"] * 6
    rows = [(*pair, split, {}) for pair, split in zip(questions_of_groups, splits, strict=False)]
    return write_pair_file(tmp_path_factory.mktemp("few") / "pairs.parquet", rows)


@pytest.fixture(scope="module")
def learnt(pair_encoder: Path, asked: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    spec = spec_of(pair_encoder, epochs=14, dropout=0.0, layer_decay=1.0, negatives_from="random")
    return rerank.train(spec, asked, tmp_path_factory.mktemp("learnt"), Silent())


def test_a_run_learns_which_text_belongs_to_a_query(learnt: dict[str, Any]) -> None:
    test = learnt["evaluations"]["test"]
    measured = json.loads(Path(test["metrics"]).read_text())
    headline = test["headline"]

    # Wanted answers share no word with their questions: the search by words always puts them last.
    assert headline["first_mrr"]["value"] == pytest.approx(1 / 3, abs=0.05)
    assert headline["mrr"]["value"] > 0.8
    assert headline["mrr_gain"]["value"] == pytest.approx(headline["mrr"]["value"] - headline["first_mrr"]["value"])
    assert headline["mrr_gain"]["low"] > 0 and headline["first_recall"]["value"] == 1.0
    assert (measured["queries"], measured["candidates"], measured["rows"]) == (16, 3, 16)
    assert measured["first_stage"] == {"way": "bm25", "candidates": 10}
    rows = pq.read_table(test["examples"]).to_pylist()
    assert set(rows[0]) == {
        "example_id", "text", "gold_text", "predicted_text", "found_at", "first_at", "candidates", "probability",
        "loss", "correct",
    }  # fmt: skip
    for row in rows:
        first = row["candidates"][0]
        assert first["text"] == row["predicted_text"] and row["probability"] == first["score"]
        assert row["correct"] == (row["found_at"] == 1) == first["wanted"] == (row["gold_text"] == first["text"])


def test_the_saved_folder_measures_as_the_run_did(learnt: dict[str, Any], asked: Path, tmp_path: Path) -> None:
    order = {
        "task": "evaluate",
        "model": learnt["model"],
        "data": {"path": str(asked), "kind": "pairs", "split": "test"},
    }

    found = perform({**order, "out": str(tmp_path)}, None, Silent())

    assert task_of(Path(learnt["model"])) == "reranking"
    assert set(found["headline"]) == set(learnt["evaluations"]["test"]["headline"])
    for name, figure in learnt["evaluations"]["test"]["headline"].items():
        assert found["headline"][name] == pytest.approx(figure, abs=1e-4)


@pytest.mark.parametrize("options", [{}, {"pooling": "native"}])
def test_others_give_the_same_scores(pair_encoder: Path, asked: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    found = rerank.train(spec_of(pair_encoder, epochs=1, **options), asked, tmp_path, Silent())
    ranker = open_ranker(Path(found["model"]))
    ours = ranker.score(PAIRS)

    theirs = CrossEncoder(found["model"], device="cpu").predict(PAIRS, show_progress_bar=False)
    network, loaded = AutoModelForSequenceClassification.from_pretrained(found["model"], output_loading_info=True)
    tokens = AutoTokenizer.from_pretrained(found["model"])(
        *map(list, zip(*PAIRS, strict=True)), padding=True, truncation=True, return_tensors="pt"
    )
    with torch.no_grad():
        logits = network.eval()(**tokens).logits[:, 0].numpy()

    assert not loaded["missing_keys"] and not loaded["unexpected_keys"]
    assert tokens["input_ids"].shape[1] == 24  # the longest pair was cut, there as here
    assert np.allclose(ours, logits, atol=1e-5) and np.ptp(ours) > 1e-4
    assert np.allclose(chances(ours), theirs, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_a_stopped_run_resumes_to_the_same_weights_by_every_method(
    pair_encoder: Path, asked_few: Path, tmp_path: Path, told: Any, method: str
) -> None:
    options = {"adapter_rank": 4, "virtual_tokens": 3, "bottleneck_width": 4, "batch_size": 8, "max_batch_tokens": 128}
    spec = spec_of(pair_encoder, method=method, **options)
    whole = rerank.train(spec, asked_few, tmp_path / "whole", Silent())
    first = told(stop_after=4)
    with pytest.raises(Stopped):
        rerank.train(spec, asked_few, tmp_path / "first", first)
    resumed = rerank.train(spec, asked_few, tmp_path / "second", Silent(), resume_from=Path(first.checkpoints[-1]))
    order = {
        "task": "evaluate",
        "model": whole["model"],
        "data": {"path": str(asked_few), "kind": "pairs", "split": "test"},
    }

    found = perform({**order, "out": str(tmp_path)}, None, Silent())

    assert resumed["files"]["model.safetensors"]["sha256"] == whole["files"]["model.safetensors"]["sha256"]
    assert resumed["history"] == whole["history"]
    assert whole["trainable_parameters"] < whole["parameters"] or method == "full"
    wanted = whole["evaluations"]["test"]["headline"]["loss"]["value"]
    assert found["headline"]["loss"]["value"] == pytest.approx(wanted, abs=1e-4)


def gradients(model: PairScorer) -> dict[str, torch.Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


@pytest.mark.parametrize("loss", ["listwise", "pointwise"])
def test_a_step_in_parts_has_the_gradient_of_the_whole(pair_encoder: Path, asked: Path, loss: str) -> None:
    spec = spec_of(pair_encoder, dropout=0.0, loss=loss, batch_size=8)
    parts, _ = arrange(spec, asked, "pairs")
    model, tokenizer = beginning(spec)
    ranker = Ranker(model.train(), tokenizer, {"max_length_tokens": 24})
    lesson = lesson_of(spec, parts["train"])
    lengths = Lengths.of(lesson, tokenizer, 24)

    def work_of(rows: int) -> rerank.RerankWork:
        search = rerank.dev_search(spec, parts["dev"])
        return rerank.RerankWork(spec, ranker, lesson, lengths, search, parts, Silent(), rows)

    whole, small = work_of(8), work_of(3)
    step, split = whole.steps(0)[0], small.steps(0)[0]
    losses = [whole.backward(step, whole.count(step))]
    wanted = gradients(model)
    losses.append(small.backward(split, small.count(split)))
    in_parts = gradients(model)
    shares = whole.divided(step, 2)
    losses.append(sum(whole.backward(part, whole.count(step)) for share in shares for part in share))
    divided = gradients(model)

    assert [len(batch) for batch in split] == [3, 3, 2] and len(step) == 1
    assert [one for batch in split for one in batch] == step[0]
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=1e-5)
    for name, gradient in wanted.items():
        for other in (in_parts, divided):
            assert torch.allclose(other[name], gradient, atol=1e-5 * max(1.0, float(gradient.abs().max()))), name


def test_lengths_are_those_of_the_pairs_that_are_read(pair_encoder: Path, asked: Path) -> None:
    spec = spec_of(pair_encoder, max_length_tokens=9)
    parts, _ = arrange(spec, asked, "pairs")
    _, tokenizer = beginning(spec)
    lesson = lesson_of(spec, parts["train"])
    lengths = Lengths.of(lesson, tokenizer, 9)

    for one in lesson.lists(0):
        read = encode_pairs(tokenizer, lesson.pairs([one]), 9)
        assert lengths.of_list(one) == sum(len(pair.ids) for pair in read)


def test_a_ranker_learns_the_scores_that_pairs_carry(
    pair_encoder: Path, pair_file: Any, questions_of_groups: Any, tmp_path: Path
) -> None:
    values = {"loan is it": 5.0, "rate is it": 2.0, "card is it": 0.0}
    splits = ["train"] * 64 + ["dev"] * 16 + ["test"] * 16
    rows = [(*pair, split, {"score": values[pair[1]]}) for pair, split in zip(questions_of_groups, splits, strict=True)]
    path = pair_file(tmp_path / "pairs.parquet", rows)
    spec = spec_of(pair_encoder, loss="scores", best_metric="spearman", epochs=6, dropout=0.0, learning_rate=1e-2)
    lesson = lesson_of(spec, read_pairs(path)["train"])

    found = rerank.train(spec, path, tmp_path / "out", Silent())

    assert sorted(set(lesson.targets)) == [0.0, 0.4, 1.0]
    assert found["evaluations"]["test"]["headline"]["spearman"]["value"] > 0.9


def test_a_run_learns_from_classes(pair_encoder: Path, texts: Path, tmp_path: Path) -> None:
    spec = spec_of(pair_encoder, epochs=1)
    parts, problems = arrange(spec, texts, "classification")
    lesson = lesson_of(spec, parts["train"])
    classes = dict(zip(parts["train"].texts, parts["train"].labels, strict=True))

    found = rerank.train(spec, texts, tmp_path, Silent(), data_kind="classification")

    assert not problems and len(lesson.ids) == 84
    for row, (wanted, *others) in lesson.lists(3):
        assert classes[lesson.texts[wanted]] == classes[lesson.queries[row]]
        assert lesson.texts[wanted] != lesson.queries[row]
        assert len(set(others)) == 2
        assert all(classes[lesson.texts[at]] != classes[lesson.queries[row]] for at in others)
    assert {"mrr", "first_mrr", "first_recall"} <= set(found["evaluations"]["test"]["headline"])


def test_going_on_from_a_ranker_keeps_its_head(learnt: dict[str, Any]) -> None:
    model, tokenizer = beginning(spec_of(Path(learnt["model"])))

    again = Ranker(model.eval(), tokenizer, {"max_length_tokens": 24})

    assert np.allclose(again.score(PAIRS), open_ranker(Path(learnt["model"])).score(PAIRS), atol=1e-6)
    with pytest.raises(RunFailed, match="another kind of pooling"):
        beginning(spec_of(Path(learnt["model"]), pooling="native"))


def test_a_cross_encoder_of_others_is_read_as_it_is(learnt: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    for path in Path(learnt["model"]).iterdir():
        if path.is_file() and path.name != "lingxi.json":
            (folder / path.name).write_bytes(path.read_bytes())

    assert holds_ranker(folder) and task_of(folder) == "reranking"
    # The mean stands in the folder as one more attention layer, which is read as any other.
    assert np.allclose(open_ranker(folder).score(PAIRS), open_ranker(Path(learnt["model"])).score(PAIRS), atol=1e-4)


def test_an_architecture_without_a_packed_form_scores_as_transformers_does(tmp_path: Path, pair_encoder: Path) -> None:
    from transformers import ElectraConfig, ElectraForSequenceClassification

    torch.manual_seed(1)
    config = ElectraConfig(
        vocab_size=40, hidden_size=16, embedding_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=32, num_labels=1,
    )  # fmt: skip
    network = ElectraForSequenceClassification(config).eval()
    tokenizer = AutoTokenizer.from_pretrained(pair_encoder)
    pairs = encode_pairs(tokenizer, PAIRS[:2], 24)

    with torch.no_grad():
        found = PairScorer(network, pooling="native").eval().scores(pairs)
        alone = [
            network(input_ids=torch.tensor([pair.ids]), token_type_ids=torch.tensor([pair.types])).logits[0, 0]
            for pair in pairs
        ]

    assert sum(pairs[0].types) > 0
    assert torch.allclose(found, torch.stack(alone), atol=1e-6)


def test_a_pair_has_the_same_score_in_any_company(learnt: dict[str, Any]) -> None:
    ranker = open_ranker(Path(learnt["model"]))
    pairs = [*PAIRS, ("", "card"), ("card", ""), PAIRS[0]]

    together = ranker.score(pairs)

    for pair, score in zip(pairs, together, strict=True):
        assert ranker.score([pair])[0] == pytest.approx(score, abs=1e-5)


def test_texts_are_ranked_for_a_query(learnt: dict[str, Any]) -> None:
    ranker = open_ranker(Path(learnt["model"]))
    texts = [*ANSWERS.values(), ANSWERS["card"]]

    found = ranker.rank("my pin please", texts)

    scores = chances(ranker.score([("my pin please", text) for text in texts]))
    assert [at for at, _ in found] == np.argsort(-scores, kind="stable").tolist()
    assert [score for _, score in found] == pytest.approx(sorted(scores.tolist(), reverse=True), abs=1e-6)
    assert [texts[at] for at, _ in found[:2]] == [ANSWERS["card"]] * 2 and found[0][0] == 0


def test_many_pairs_are_scored_and_a_resumed_batch_goes_on(learnt: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    asked, judged = zip(*PAIRS, strict=True)
    pq.write_table(pa.table({"example_id": [4, 5, 6], "text": list(asked), "context": list(judged)}), path)
    order = {"task": "predict", "model": learnt["model"], "data": {"path": str(path), "column": "text"}}

    whole = perform({**order, "out": str(tmp_path / "whole")}, None, Silent())
    rest = perform({**order, "out": str(tmp_path / "rest"), "skip_rows": 2}, None, Silent())

    (part,) = (tmp_path / "whole").glob("part-*.parquet")
    (tail,) = (tmp_path / "rest").glob("part-*.parquet")
    rows = pq.read_table(part).to_pylist()
    assert (whole["rows"], rest["rows"]) == (3, 3)
    assert [row["example_id"] for row in rows] == [4, 5, 6]
    assert [row["score"] for row in rows] == pytest.approx(chances(open_ranker(Path(learnt["model"])).score(PAIRS)))
    assert [row["example_id"] for row in pq.read_table(tail).to_pylist()] == [6]


def test_the_estimate_says_steps_size_and_what_is_seen(pair_encoder: Path, asked: Path) -> None:
    found = [
        preflight(spec_of(pair_encoder, method=method), asked, Silent(), data_kind="pairs")
        for method in ("full", "lora", "frozen")
    ]

    assert [one["problems"] for one in found] == [[], [], []]
    assert found[0]["estimate"]["steps"] == 2 * 16
    assert found[0]["parameters"]["trainable"] == found[0]["parameters"]["total"]
    assert (
        found[2]["parameters"]["trainable"] < found[1]["parameters"]["trainable"] < found[0]["parameters"]["trainable"]
    )
    assert found[0]["rows"] == {"train": 64, "dev": 16, "test": 16}
    row = found[0]["seen"]["rows"][0]
    assert row["tokens"].count("[SEP]") == 2 and row["tokens"][0] == "[CLS]" and row["labels"] == ["1"]


def test_the_preflight_names_what_is_wrong_with_pairs(
    pair_encoder: Path, pair_file: Any, questions_of_groups: Any, tmp_path: Path
) -> None:
    rows = [(*pair, "train", {}) for pair in questions_of_groups[:20]]
    rows += [(*pair, "test", {}) for pair in questions_of_groups[20:30]]
    rows += [
        ("one side", " ", "train", {}),  # 730
        (questions_of_groups[0][0].upper(), "something else", "test", {}),
        ("no question", "loan", "train", {"score": "much"}),
    ]
    path = pair_file(tmp_path / "pairs.parquet", rows)
    spec = spec_of(pair_encoder, holdout_share=0.0)

    found = preflight(spec, path, Silent(), data_kind="pairs")

    problems = {problem["code"]: problem for problem in found["problems"]}
    assert problems["empty_text"]["rows"] == [730]
    assert problems["test_leaks"]["rows"] == [731] and problems["test_leaks"]["severity"] == "error"
    assert problems["score_unreadable"]["rows"] == [732]
    with pytest.raises(Refused):
        rerank.train(spec, path, tmp_path / "run", Silent(), data_kind="pairs")


def test_what_cannot_be_learnt_is_refused_before_the_start(
    pair_encoder: Path, asked: Path, pair_file: Any, tmp_path: Path
) -> None:
    same = [(f"card {letter}", "the answer", "train", {}) for letter in "abcdefghijkl"]
    path = pair_file(tmp_path / "pairs.parquet", same)
    told = [(f"card {letter}", "the answer", "train", {"negative": "not"}) for letter in "abcdefghijkl"]
    named = pair_file(tmp_path / "named.parquet", told)
    cases = [
        (path, {"holdout_share": 0.0}, "one_class"),
        (asked, {"loss": "scores"}, "no_scores"),
        (asked, {"best_metric": "spearman"}, "not_measurable"),
    ]

    for data, options, code in cases:
        found = preflight(spec_of(pair_encoder, **options), data, Silent(), data_kind="pairs")
        errors = [problem["code"] for problem in found["problems"] if problem["severity"] == "error"]
        assert errors == [code]
    assert not [
        problem
        for problem in preflight(spec_of(pair_encoder, holdout_share=0.0), named, Silent(), data_kind="pairs")[
            "problems"
        ]
        if problem["severity"] == "error"
    ]


def test_options_that_do_not_go_together_are_refused() -> None:
    problems = {
        field: parse_spec("rerank", options)[1]
        for field, options in {
            "base_model": {"base_model": {"kind": "scratch", "name": "new"}},
            "learning_rate": {"learning_rate": 0},
            "sharding": {"sharding": "sharded"},
        }.items()
    }

    assert {field: [problem.field for problem in found] for field, found in problems.items()} == {
        field: [field] for field in problems
    }


def test_an_encoder_that_writes_is_refused(tiny_chat: Any) -> None:
    with pytest.raises(RunFailed, match="scored by an encoder"):
        beginning(spec_of(tiny_chat("llama")))


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ({"pooling": "native"}, ["merged", "onnx"]),
        ({"pooling": "native", "method": "lora"}, ["adapter"]),
        ({"method": "bottleneck"}, ["adapter"]),
    ],
)
def test_exports_give_the_scores_that_are_served(
    pair_encoder: Path, asked_few: Path, tmp_path: Path, options: dict[str, Any], kinds: list[str]
) -> None:
    made = rerank.train(spec_of(pair_encoder, epochs=1, **options), asked_few, tmp_path / "run", Silent())

    for kind in kinds:
        order = {"task": "export", "kind": kind, "model": made["model"], "out": str(tmp_path / kind)}
        parity = perform(order, None, Silent())["parity"]
        assert parity["passed"] and parity["rows"] == 8, kind
    with pytest.raises(RunFailed, match="no export of this kind"):
        perform({"task": "export", "kind": "gguf", "model": made["model"], "out": str(tmp_path / "no")}, None, Silent())
