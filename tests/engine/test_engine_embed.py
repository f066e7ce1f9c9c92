"""Training vectors: they find what belongs together, resume bit by bit, and are served and read elsewhere as trained."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from engine import grad_cache
from engine.embedder import TextEmbedder
from engine.embedder_folder import base_pooling, foreign_description, open_embedder
from engine.evaluate_vectors import evaluate_vectors, retrieval_of
from engine.failures import Refused, RunFailed, Stopped
from engine.pairs import PairRows, read_pairs
from engine.preflight import preflight
from engine.recipes import embed
from engine.recipes.embed_setup import arrange, lesson_of
from engine.report import Silent
from engine.specs import BaseModel, EmbedSpec, parse_spec
from engine.specs.methods import ADAPTERS
from engine.tasks import perform, task_of


def spec_of(encoder: Path, **options: Any) -> EmbedSpec:
    settings: dict[str, Any] = {
        "base_model": BaseModel("folder", str(encoder)),
        "epochs": 2,
        "batch_size": 16,
        "learning_rate": 1e-2,
        "max_length_tokens": 16,
        "average_decay": 0.9,
    }
    return EmbedSpec(**(settings | options))


LEARNT = partial(spec_of, epochs=16, dropout=0.0, temperature=0.1, layer_decay=1.0, learning_rate=2e-2)


@pytest.fixture(scope="module")
def learnt(encoder: Path, pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return embed.train(LEARNT(encoder), pairs, tmp_path_factory.mktemp("learnt"), Silent())


def test_a_run_learns_which_texts_belong_together(learnt: dict[str, Any]) -> None:
    test = learnt["evaluations"]["test"]
    measured = json.loads(Path(test["metrics"]).read_text())

    assert test["headline"]["mrr"]["value"] > 0.7
    assert test["headline"]["recall_at_5"]["value"] >= test["headline"]["recall_at_1"]["value"] > 0.5
    assert (measured["queries"], measured["candidates"], measured["rows"]) == (20, 12, 20)
    rows = pq.read_table(test["examples"]).to_pylist()
    assert set(rows[0]) == {
        "example_id", "text", "gold_text", "predicted_text", "found_at", "candidates", "probability", "loss", "correct",
    }  # fmt: skip
    for row in rows:
        first = row["candidates"][0]
        assert first["text"] == row["predicted_text"]
        assert row["correct"] == (row["found_at"] == 1) == first["wanted"] == (row["gold_text"] == first["text"])
        assert [one["score"] for one in row["candidates"]] == sorted(
            (one["score"] for one in row["candidates"]), reverse=True
        )


def test_a_run_learns_from_classes(encoder: Path, texts: Path, tmp_path: Path) -> None:
    spec = spec_of(
        encoder,
        epochs=12,
        batch_size=24,
        texts_per_class=4,
        dropout=0.0,
        learning_rate=2e-2,
        layer_decay=1.0,
        temperature=0.1,
    )

    found = embed.train(spec, texts, tmp_path, Silent(), data_kind="classification")

    figures = found["evaluations"]["test"]["headline"]
    assert figures["centroid_accuracy"]["value"] > 0.9
    assert figures["recall_at_1"]["value"] > 0.9
    history = [epoch["dev_loss"] for epoch in found["history"]]
    assert min(history) < history[0]


def test_the_saved_folder_measures_as_the_run_did(learnt: dict[str, Any], pairs: Path, tmp_path: Path) -> None:
    order = {
        "task": "evaluate",
        "model": learnt["model"],
        "data": {"path": str(pairs), "kind": "pairs", "split": "test"},
    }

    found = perform({**order, "out": str(tmp_path)}, None, Silent())

    assert task_of(Path(learnt["model"])) == "embedding"
    for name, figure in learnt["evaluations"]["test"]["headline"].items():
        assert found["headline"][name] == pytest.approx(figure, abs=1e-5)


def test_transformers_gives_the_same_vectors(learnt: dict[str, Any]) -> None:
    embedder = open_embedder(Path(learnt["model"]))
    texts = ["please send my card", "pin", "why is the rate not with it today"]
    theirs, loaded = AutoModel.from_pretrained(learnt["model"], output_loading_info=True)
    tokens = AutoTokenizer.from_pretrained(learnt["model"])(texts, padding=True, return_tensors="pt")

    with torch.no_grad():
        hidden = theirs.eval()(**tokens).last_hidden_state
    mask = tokens["attention_mask"][:, :, None]
    pooled = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)

    assert not loaded["missing_keys"] and not loaded["unexpected_keys"]
    assert np.allclose(embedder.embed(texts), pooled.numpy(), atol=1e-5)


def test_the_folder_says_to_sentence_transformers_how_vectors_are_made(learnt: dict[str, Any]) -> None:
    folder = Path(learnt["model"])

    modules = json.loads((folder / "modules.json").read_text())
    pooling = json.loads((folder / "1_Pooling" / "config.json").read_text())

    assert [(one["path"], one["type"].rpartition(".")[2]) for one in modules] == [
        ("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"),
    ]  # fmt: skip
    assert [name for name, value in pooling.items() if value is True] == ["pooling_mode_mean_tokens"]
    assert pooling["word_embedding_dimension"] == 16
    assert json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"] == 16
    assert json.loads((folder / "config_sentence_transformers.json").read_text())["similarity_fn_name"] == "cosine"


def test_a_folder_of_others_is_read_as_its_files_say(learnt: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    for path in Path(learnt["model"]).rglob("*"):
        if path.is_file() and path.name != "lingxi.json":
            target = folder / path.relative_to(learnt["model"])
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes())

    texts = ["please send my card", "pin"]
    assert np.array_equal(open_embedder(folder).embed(texts), open_embedder(Path(learnt["model"])).embed(texts))
    assert task_of(folder) == "embedding"
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": "cls", "embedding_dimension": 16}))
    assert foreign_description(folder)["text_vector"] == base_pooling(str(folder)) == "first"
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(RunFailed, match="not known here"):
        open_embedder(folder)


@pytest.mark.parametrize("method", ["full", *ADAPTERS])
def test_a_stopped_run_resumes_to_the_same_weights_by_every_method(
    encoder: Path, pairs: Path, tmp_path: Path, told: Any, method: str
) -> None:
    spec = spec_of(encoder, method=method, adapter_rank=4, virtual_tokens=3, bottleneck_width=4, max_batch_tokens=64)
    whole = embed.train(spec, pairs, tmp_path / "whole", Silent())
    first = told(stop_after=8)
    with pytest.raises(Stopped):
        embed.train(spec, pairs, tmp_path / "first", first)
    resumed = embed.train(spec, pairs, tmp_path / "second", Silent(), resume_from=Path(first.checkpoints[-1]))
    order = {
        "task": "evaluate",
        "model": whole["model"],
        "data": {"path": str(pairs), "kind": "pairs", "split": "test"},
    }

    found = perform({**order, "out": str(tmp_path)}, None, Silent())

    assert resumed["files"]["model.safetensors"]["sha256"] == whole["files"]["model.safetensors"]["sha256"]
    assert resumed["history"] == whole["history"]
    wanted = whole["evaluations"]["test"]["headline"]["loss"]["value"]
    assert found["headline"]["loss"]["value"] == pytest.approx(wanted, abs=1e-4)


def test_a_frozen_encoder_is_refused() -> None:
    spec, problems = parse_spec("embed", {"method": "frozen"})

    assert spec is None and [problem.field for problem in problems] == ["method"]


def gradients(model: TextEmbedder) -> dict[str, torch.Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


@pytest.mark.parametrize(("kind", "data"), [("pairs", "pairs"), ("classification", "texts")])
def test_reading_in_portions_gives_the_gradient_of_the_whole_step(
    encoder: Path, kind: str, data: str, tmp_path: Path, request: Any
) -> None:
    spec = spec_of(encoder, dropout=0.0, batch_size=32)
    parts, _ = arrange(spec, request.getfixturevalue(data), kind)
    embedder = open_embedder(encoder)
    embedder.model.train()
    lesson = lesson_of(spec, parts["train"], embedder.tokenizer, 16)
    works = [
        embed.EmbedWork(spec_of(encoder, dropout=0.0, **options), embedder, lesson, parts, Silent(), rows)
        for options, rows in (
            ({"batch_size": 32}, 32),
            ({"batch_size": 32, "max_batch_tokens": 40}, 32),
            ({"batch_size": 32}, 1),
        )
    ]
    step = works[0].steps(0)[0]

    losses, found = [], []
    for work in works:
        losses.append(work.backward(step, work.count(step)))
        found.append(gradients(embedder.model))

    sequences = lesson.sequences(step)
    assert [len(work.portions(sequences)) == 1 for work in works] == [True, False, False]
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=1e-5)
    for name, gradient in found[0].items():
        for other in found[1:]:
            assert torch.allclose(other[name], gradient, atol=1e-5 * max(1.0, float(gradient.abs().max()))), name


def test_the_second_reading_of_a_portion_drops_what_the_first_one_dropped(encoder: Path) -> None:
    embedder = open_embedder(encoder)
    model = TextEmbedder(embedder.model.network, pooling="mean", normalise=True, dropout=0.5).train()
    sequences = [[2, 7, 8, 3], [2, 9, 3], [2, 10, 11, 12, 3]]
    read: list[torch.Tensor] = []

    def reading(some: Any) -> torch.Tensor:
        found = model(some)
        read.append(found.detach())
        return found

    torch.manual_seed(5)
    grad_cache.cached_backward(reading, sequences, [[2], [0, 1]], lambda vectors: vectors[0, 0] + vectors[2, 1])

    assert torch.equal(read[0], read[2]) and torch.equal(read[1], read[3])


def test_an_out_of_memory_kill_changes_no_step(encoder: Path, pairs: Path, tmp_path: Path) -> None:
    plain = {"epochs": 1, "dropout": 0.0}
    runs = [
        embed.train(spec_of(encoder, **plain), pairs, tmp_path / "whole", Silent()),
        embed.train(spec_of(encoder, **plain), pairs, tmp_path / "halved", Silent(), micro_batch=3),
    ]

    losses = [run["evaluations"]["test"]["headline"]["loss"]["value"] for run in runs]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_hard_negatives_are_learnt_from_columns_and_low_scores(
    encoder: Path, pair_file: Any, matched_pairs: Any, tmp_path: Path
) -> None:
    some = matched_pairs()[:20]
    rows = [(*pair, "train", {"negative": "why not"} if at == 0 else {"score": 0.9}) for at, pair in enumerate(some)]
    rows += [(some[1][0], "the help", "train", {"score": "0.1"})]
    path = pair_file(tmp_path / "pairs.parquet", rows)
    parts = {"train": read_pairs(path)["train"]}
    embedder = open_embedder(encoder)

    lesson = lesson_of(spec_of(encoder), parts["train"], embedder.tokenizer, 16)

    assert len(lesson.ids) == 20
    read = embedder.tokenizer(["why not", "the help"])["input_ids"]
    assert lesson.sequences([0, 1])[4:] == read
    assert len(lesson.sequences([2, 3])) == 4


def test_scores_are_compared_with_similarity(encoder: Path, pair_file: Any, matched_pairs: Any, tmp_path: Path) -> None:
    some = matched_pairs()
    rows = [(*pair, "test", {"score": 1.0}) for pair in some[:15]]
    rows += [(some[at][0], some[at + 1][1], "test", {"score": 0.0}) for at in range(15, 30)]
    path = pair_file(tmp_path / "pairs.parquet", rows)
    embedder = open_embedder(encoder)

    measured, examples = evaluate_vectors(read_pairs(path)["test"], embedder.embed, scale=20.0, least_score=0.5)

    assert measured["graded_pairs"] == 30 and len(examples) == measured["queries"] == 15
    assert measured["candidates"] == 12
    assert -1 <= measured["headline"]["spearman"]["value"] <= 1


def test_a_query_never_finds_itself_and_equal_texts_are_one() -> None:
    rows = PairRows([1, 2, 3, 4], ["A", "b", "a ", "c"], ["b", "C", "d", "c"], [""] * 4, [None] * 4)

    found = retrieval_of(rows, least_score=0.5)

    assert list(found.queries) == ["A", "b"]
    assert [set(some.tolist()) for some in found.wanted] == [{0, 2}, {1}]
    assert list(found.own) == [-1, 0] and found.left_out == 1
    _, excluded = found.block(slice(0, 2))
    assert excluded.tolist() == [[False] * 3, [True, False, False]]


def test_the_preflight_names_what_is_wrong_with_pairs(
    encoder: Path, pair_file: Any, matched_pairs: Any, tmp_path: Path
) -> None:
    some = matched_pairs()
    rows = [(*pair, "train", {}) for pair in some[:20]] + [(*pair, "test", {}) for pair in some[20:30]]
    rows += [
        ("card", " ", "train", {}),  # 730
        ("Pay", "pay", "train", {}),
        (*some[0], "train", {}),
        (some[0][0].upper(), "something else", "test", {}),
        ("rate", "loan", "train", {"score": "much"}),
    ]
    path = pair_file(tmp_path / "pairs.parquet", rows)

    found = preflight(spec_of(encoder, holdout_share=0.0), path, Silent(), data_kind="pairs")

    problems = {problem["code"]: problem for problem in found["problems"]}
    assert problems["empty_text"]["rows"] == [730]
    assert problems["same_sides"]["rows"] == [731] and problems["same_sides"]["severity"] == "warning"
    assert problems["duplicates"]["severity"] == "warning"
    assert problems["test_leaks"]["rows"] == [733] and problems["test_leaks"]["severity"] == "error"
    assert problems["score_unreadable"]["rows"] == [734]
    with pytest.raises(Refused):
        embed.train(spec_of(encoder, holdout_share=0.0), path, tmp_path / "run", Silent(), data_kind="pairs")


def test_the_preflight_refuses_what_cannot_be_told_apart(
    encoder: Path, pair_file: Any, text_file: Any, tmp_path: Path
) -> None:
    one_answer = [
        (f"card {word}", "the answer", "train", {})
        for word in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"]
    ]
    classes = [
        (f"card {word}", ["one"], "train") for word in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"]
    ]
    classes += [("loan", ["two"], "train")]
    files = {
        "pairs": pair_file(tmp_path / "pairs.parquet", one_answer),
        "classification": text_file(tmp_path / "texts.parquet", classes),
    }

    for kind, path in files.items():
        found = preflight(spec_of(encoder, holdout_share=0.0), path, Silent(), data_kind=kind)
        codes = {problem["code"]: problem for problem in found["problems"]}
        assert codes["one_class"]["severity"] == "error", kind
        if kind == "classification":
            assert codes["no_positive"]["rows"] == [112]


def test_a_metric_that_dev_cannot_give_is_refused_before_the_start(encoder: Path, pairs: Path) -> None:
    found = preflight(spec_of(encoder, best_metric="spearman"), pairs, Silent(), data_kind="pairs")

    assert [problem["code"] for problem in found["problems"]] == ["not_measurable"]


def test_the_estimate_says_steps_size_and_what_is_trained(
    learnt: dict[str, Any], encoder: Path, pairs: Path, texts: Path, tmp_path: Path
) -> None:
    spec, by_class = LEARNT(encoder), spec_of(encoder)
    found = [preflight(replace(spec, method=method), pairs, Silent(), data_kind="pairs") for method in ("full", "lora")]
    classes = embed.train(by_class, texts, tmp_path, Silent(), data_kind="classification")

    assert found[0]["estimate"]["steps"] == learnt["steps"] > 16 * 6  # many questions share an answer
    told = preflight(by_class, texts, Silent(), data_kind="classification")
    assert told["estimate"]["steps"] == classes["steps"]
    assert found[0]["parameters"]["trainable"] == found[0]["parameters"]["total"]
    assert found[1]["parameters"]["trainable"] < found[0]["parameters"]["total"]
    assert found[0]["rows"] == {"train": 92, "dev": 20, "test": 20}
    row = found[0]["seen"]["rows"][0]
    assert row["tokens"].count("[CLS]") == 2 and row["learnt"] == []


def test_many_texts_become_vectors_and_a_resumed_batch_goes_on(
    learnt: dict[str, Any], pairs: Path, tmp_path: Path
) -> None:
    embedder = open_embedder(Path(learnt["model"]))
    order = {"task": "predict", "model": learnt["model"], "data": {"path": str(pairs), "column": "source"}}

    whole = perform({**order, "out": str(tmp_path / "whole")}, None, Silent())
    rest = perform({**order, "out": str(tmp_path / "rest"), "skip_rows": 130}, None, Silent())

    assert (whole["rows"], rest["rows"], whole["width"]) == (132, 132, 16)
    (part,) = (tmp_path / "whole").glob("part-*.parquet")
    rows = pq.read_table(part).to_pylist()
    sources = pq.read_table(pairs)["source"].to_pylist()
    assert np.allclose([row["vector"] for row in rows], embedder.embed(sources), atol=1e-6)
    (tail,) = (tmp_path / "rest").glob("part-*.parquet")
    assert [row["example_id"] for row in pq.read_table(tail).to_pylist()] == [830, 831]


def test_a_text_has_the_same_vector_in_any_company(learnt: dict[str, Any]) -> None:
    embedder = open_embedder(Path(learnt["model"]))
    texts = ["card", "please my the help why is it", "", "rate " * 40, "card"]

    together = embedder.embed(texts)

    for text, vector in zip(texts, together, strict=True):
        assert np.allclose(embedder.embed([text])[0], vector, atol=1e-6)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)


def test_an_architecture_without_a_packed_form_makes_the_vectors_of_its_padded_one(
    tmp_path: Path, encoder: Path
) -> None:
    from transformers import DistilBertConfig, DistilBertModel

    torch.manual_seed(1)
    config = DistilBertConfig(vocab_size=40, dim=16, n_layers=1, n_heads=2, hidden_dim=32, max_position_embeddings=32)
    network = DistilBertModel(config).eval()
    model = TextEmbedder(network, pooling="first", normalise=False).eval()

    found = model([[2, 7, 8, 9, 3], [2, 7, 3]])

    alone = network(input_ids=torch.tensor([[2, 7, 3]])).last_hidden_state[0, 0]
    assert torch.allclose(found[1], alone, atol=1e-6)
