"""Training a GPT from scratch on plain texts: honest figures, resumes bit by bit, read by transformers as it is."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from engine.chat_model import load_chat_model
from engine.failures import Refused, RunFailed, Stopped
from engine.gpt import Gpt
from engine.gpt.hugging_face import load_gpt
from engine.preflight import preflight
from engine.recipes import pretrain
from engine.recipes.pretrain_setup import model_config, rows_of
from engine.report import Silent
from engine.specs import BaseModel, PretrainSpec
from engine.tasks import perform


def spec_of(**options: Any) -> PretrainSpec:
    settings: dict[str, Any] = {
        "layers": 2,
        "width": 16,
        "heads": 4,
        "kv_heads": 2,
        "context_tokens": 32,
        "vocabulary_size": 300,
        "batch_size": 4,
        "epochs": 2,
        "learning_rate": 1e-2,
        "sample_count": 2,
        "sample_tokens": 4,
    }
    return PretrainSpec(**(settings | options))


OTHER = {"shape": "gpt2", "kv_heads": 0, "vocabulary": "character", "layout": "blocks", "dropout": 0.1}


@pytest.mark.parametrize("options", [{}, OTHER])
def test_a_stopped_run_resumes_to_the_same_weights(
    corpus: Path, tmp_path: Path, told: Any, options: dict[str, Any]
) -> None:
    spec = spec_of(**options, evaluate_every_steps=3)
    whole = pretrain.train(spec, corpus, tmp_path / "whole", Silent())
    first = told(stop_after=whole["steps"] // 2)
    with pytest.raises(Stopped):
        pretrain.train(spec, corpus, tmp_path / "first", first, cache=tmp_path / "cache")

    resumed = pretrain.train(
        spec, corpus, tmp_path / "second", Silent(), resume_from=Path(first.checkpoints[-1]), cache=tmp_path / "cache"
    )

    assert resumed["files"]["model.safetensors"] == whole["files"]["model.safetensors"]
    assert resumed["files"]["tokenizer.json"] == whole["files"]["tokenizer.json"]
    assert resumed["history"] == whole["history"]
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_run_stopped_while_it_measures_on_the_way_measures_it_after_the_resume(
    corpus: Path, tmp_path: Path, told: Any
) -> None:
    spec = spec_of(evaluate_every_steps=4)
    whole = pretrain.train(spec, corpus, tmp_path / "whole", Silent())
    first = told(stop_after=4, questions_later=1)  # the loop asks first, then the measuring
    with pytest.raises(Stopped):
        pretrain.train(spec, corpus, tmp_path / "first", first)

    resumed = pretrain.train(spec, corpus, tmp_path / "second", Silent(), resume_from=Path(first.checkpoints[-1]))

    assert resumed["history"] == whole["history"] and whole["history"][0]["step"] == 4
    assert resumed["files"]["model.safetensors"] == whole["files"]["model.safetensors"]


def test_smaller_micro_batches_learn_the_same(corpus: Path, tmp_path: Path) -> None:
    runs = [
        pretrain.train(spec_of(), corpus, tmp_path / "whole", Silent()),
        pretrain.train(spec_of(), corpus, tmp_path / "halved", Silent(), micro_batch=1),
        pretrain.train(spec_of(batch_size=1, gradient_accumulation=4), corpus, tmp_path / "accumulated", Silent()),
    ]

    losses = [run["evaluations"]["test"]["headline"]["loss"]["value"] for run in runs]
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=1e-4)


def test_packed_documents_do_not_see_each_other(corpus: Path, tmp_path: Path) -> None:
    spec = spec_of(vocabulary="byte")
    result = pretrain.train(spec, corpus, tmp_path, Silent())
    model = load_gpt(tmp_path / "model")
    parts = pretrain.tokenised(
        rows_of(spec, corpus),
        pretrain.learn_vocabulary(spec, rows_of(spec, corpus)),
        tmp_path / "cache",
        data_hash="",
        report=Silent(),
    )
    pieces = pretrain.document_pieces(parts["train"], 32)

    with torch.no_grad():
        _, together, owners = pretrain.piece_losses(model, parts["train"], pieces[:6])
        _, alone, _ = pretrain.piece_losses(model, parts["train"], pieces[3:4])

    assert torch.allclose(together[torch.from_numpy(owners == 3)], alone, atol=1e-5)
    assert result["steps"] > 0


@pytest.mark.parametrize("options", [{}, OTHER, {"vocabulary": "base_model"}])
def test_figures_are_those_of_transformers_over_every_token(
    corpus: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    result = pretrain.train(spec_of(**options, epochs=1), corpus, tmp_path, Silent())
    judge = AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    loss, right, count, size = 0.0, 0, 0, 0

    for text in rows_of(spec_of(), corpus).texts("test"):
        ids = [tokenizer.eos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        size += len(text.encode())
        for at in range(0, len(ids) - 1, 32):
            piece = torch.tensor([ids[at : at + 33]])
            with torch.no_grad():
                logits = judge(piece[:, :-1]).logits[0]
            loss += float(torch.nn.functional.cross_entropy(logits, piece[0, 1:], reduction="sum"))
            right += int((logits.argmax(-1) == piece[0, 1:]).sum())
            count += piece.shape[1] - 1

    headline = result["evaluations"]["test"]["headline"]
    assert headline["loss"]["value"] == pytest.approx(loss / count, abs=1e-4)
    assert headline["perplexity"]["value"] == pytest.approx(math.exp(loss / count), rel=1e-3)
    assert headline["bits_per_byte"]["value"] == pytest.approx(loss / math.log(2) / size, rel=1e-4)
    assert headline["token_accuracy"]["value"] == pytest.approx(right / count, abs=2 / count)  # ties may fall otherwise
    assert all(figure["low"] < figure["value"] < figure["high"] for figure in headline.values())


def test_a_text_is_learnt_by_heart_and_gone_on_with(corpus_file: Any, tmp_path: Path) -> None:
    verse = "The quick brown fox jumps over the lazy dog. " * 24
    data = corpus_file(tmp_path / "c.parquet", [(verse, "train"), (verse[:90], "dev")])
    spec = spec_of(vocabulary="character", width=32, layout="blocks", epochs=60, sample_temperature=0.0)

    result = pretrain.train(spec, data, tmp_path / "out", Silent())

    assert result["evaluations"]["dev"]["headline"]["bits_per_byte"]["value"] < 0.7
    written = load_chat_model(tmp_path / "out" / "model").answers(
        [[{"role": "user", "content": "The quick brown fox "}]], max_new_tokens=10
    )
    assert written[0].text == "jumps over"
    samples = json.loads((tmp_path / "out" / "samples.json").read_text())
    assert samples[-1]["answer"] == samples[-1]["expected"]


def test_the_token_budget_decides_whatever_the_epochs(corpus: Path, tmp_path: Path) -> None:
    spec = spec_of(layout="blocks", max_tokens=128 * 9, epochs=500, vocabulary="byte")

    result = pretrain.train(spec, corpus, tmp_path, Silent())

    assert result["steps"] == 9 and result["tokens_seen"] == pytest.approx(128 * 9, rel=0.1)


def test_training_ends_when_dev_gets_no_better(corpus: Path, tmp_path: Path) -> None:
    spec = spec_of(epochs=50, learning_rate=0.3, evaluate_every_steps=2, early_stopping_patience=3)

    result = pretrain.train(spec, corpus, tmp_path, Silent())

    losses = [found["dev_loss"] for found in result["history"]]
    assert losses.index(min(losses)) == len(losses) - 4 and result["steps"] < 500
    assert result["evaluations"]["dev"]["headline"]["loss"]["value"] == pytest.approx(min(losses), abs=1e-5)


def test_without_dev_rows_the_last_weights_are_kept(corpus_file: Any, tmp_path: Path) -> None:
    data = corpus_file(tmp_path / "c.parquet", [("some words and more " * 80, "train")])
    spec = spec_of(epochs=3, sample_prompt="some", evaluate_every_steps=2)

    result = pretrain.train(spec, data, tmp_path / "out", Silent())

    assert result["evaluations"] == {} and result["history"][-1] == {"step": result["steps"]}
    assert len(json.loads((tmp_path / "out" / "samples.json").read_text())) == 1


def test_bad_corpora_are_refused_or_named(corpus_file: Any, tmp_path: Path, told: Any) -> None:
    long = "a text that is long enough to be compared with others, word by word and sign by sign, until the end. "
    rows = [(long + str(at), "train") for at in range(20)] + [("", "train"), ("bad \ufffd sign", "train")]
    leaking = corpus_file(tmp_path / "leak.parquet", [*rows, (long + "3", "test"), (long + "new", "dev")])
    with pytest.raises(Refused) as refused:
        pretrain.train(spec_of(), leaking, tmp_path / "out", Silent())
    assert {(problem.code, problem.rows) for problem in refused.value.problems} == {
        ("empty_text", (120,)),
        ("wrong_encoding", (121,)),
        ("test_leaks", (122,)),
    }

    small = corpus_file(tmp_path / "small.parquet", [("too short", "train")])
    with pytest.raises(Refused, match="9 characters"):
        pretrain.train(spec_of(), small, tmp_path / "out", Silent())

    report = told()
    odd = corpus_file(tmp_path / "odd.parquet", [*rows[:-1], (long + "äöü", "dev")])
    pretrain.train(spec_of(vocabulary="character", epochs=1), odd, tmp_path / "out", report)
    assert any("3 tokens of dev are characters" in line for line in report.logs)


def test_a_tokenizer_that_changes_texts_is_told(corpus: Path, tmp_path: Path, told: Any) -> None:
    report = told()

    pretrain.train(spec_of(vocabulary="base_model", max_tokens=300), corpus, tmp_path, report)

    assert any("do not come back from their tokens" in line for line in report.logs)


def test_an_own_version_gives_its_vocabulary_to_another_run(corpus: Path, tmp_path: Path) -> None:
    first = pretrain.train(spec_of(epochs=1), corpus, tmp_path / "first", Silent())
    base = BaseModel("folder", first["model"])

    second = pretrain.train(
        spec_of(vocabulary="base_model", base_model=base, epochs=1), corpus, tmp_path / "second", Silent()
    )

    ids = [AutoTokenizer.from_pretrained(run["model"])("my card, please")["input_ids"] for run in (first, second)]
    assert ids[0] == ids[1] and second["vocabulary_size"] == first["vocabulary_size"]


def test_another_vocabulary_than_the_checkpoints_is_refused(corpus: Path, tmp_path: Path, told: Any) -> None:
    bases = [
        pretrain.train(spec_of(epochs=1, vocabulary_size=size), corpus, tmp_path / str(size), Silent())["model"]
        for size in (300, 310)
    ]
    folder = tmp_path / "base"
    folder.symlink_to(bases[0])
    spec = spec_of(vocabulary="base_model", base_model=BaseModel("folder", str(folder)))
    first = told(stop_after=2)
    with pytest.raises(Stopped):
        pretrain.train(spec, corpus, tmp_path / "out", first)
    folder.unlink()
    folder.symlink_to(bases[1])

    with pytest.raises(RunFailed) as failure:
        pretrain.train(spec, corpus, tmp_path / "again", Silent(), resume_from=Path(first.checkpoints[-1]))

    assert failure.value.code == "checkpoint_mismatch"


def test_a_loss_that_is_no_number_names_its_document(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = pretrain.piece_losses
    poisoned: list[int] = []

    def poison(model: Gpt, part: Any, pieces: Any, *, scale: float = 1.0) -> Any:
        total, losses, owners = honest(model, part, pieces, scale=scale)
        poisoned[:] = part.ids[part.documents_at(pieces[owners[-1:], 0])].tolist()
        losses[-1] = float("nan")
        return total, losses, owners

    monkeypatch.setattr(pretrain, "piece_losses", poison)

    with pytest.raises(RunFailed) as failure:
        pretrain.train(spec_of(), corpus, tmp_path, Silent())

    assert failure.value.code == "loss_not_finite" and failure.value.rows == tuple(poisoned)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"width": 18}, "width"),
        ({"width": 20}, "width"),
        ({"kv_heads": 3}, "kv_heads"),
        ({"shape": "gpt2"}, "kv_heads"),
        ({"vocabulary_size": 299}, "vocabulary_size"),
        ({"dev_split": "test"}, "dev_split"),
    ],
)
def test_options_that_do_not_go_together_are_named(options: dict[str, Any], field: str) -> None:
    assert [problem.field for problem in spec_of(**options).problems()] == [field]


def test_the_published_character_model_has_its_parameters() -> None:
    """nanoGPT's CPU shape: 804,096 without biases; ours carry GPT-2's biases and 6 more vocabulary rows than 65."""
    spec = PretrainSpec(shape="gpt2", layers=4, heads=4, width=128, context_tokens=64)

    config = model_config(spec, 65)

    biases = 4 * (3 * 128 + 128 + 4 * 128 + 128 + 2 * 128) + 128
    assert config.parameter_count() == 804_096 + biases
    assert np.isclose(math.log(65), 4.1744, atol=1e-4)


def test_a_preflight_foretells_what_the_run_is_like(corpus: Path, tmp_path: Path) -> None:
    spec = spec_of(evaluate_every_steps=5)

    told = preflight(spec, corpus, Silent())
    run = pretrain.train(spec, corpus, tmp_path, Silent())

    assert told["rows"] == {"train": 40, "dev": 10, "test": 10} and told["problems"] == []
    assert told["parameters"]["total"] == run["parameters"] and told["vocabulary_size"] == run["vocabulary_size"]
    assert told["estimate"]["steps"] == pytest.approx(run["steps"], abs=2)
    assert told["tokens"]["train"] * 2 == run["tokens_seen"]
    assert told["estimate"]["memory_bytes"] > 0 and told["estimate"]["seconds"] > 0


def test_a_preflight_reads_the_first_texts_of_a_long_corpus_only(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = preflight(spec_of(vocabulary="byte"), corpus, Silent())["tokens"]["train"]
    monkeypatch.setattr("engine.outlook.pretrain.SAMPLED_CHARACTERS", 10)
    monkeypatch.setattr("engine.corpus.ROWS_AT_ONCE", 16)

    told = preflight(spec_of(vocabulary="byte"), corpus, Silent())

    assert sum(bin["count"] for bin in told["lengths"]["histogram"]) == 16
    assert told["tokens"]["train"] == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize("options", [{}, OTHER])
def test_a_version_is_measured_later_as_it_was_when_it_was_made(
    corpus: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    made = pretrain.train(spec_of(**options, epochs=1), corpus, tmp_path / "run", Silent())
    order = {"task": "evaluate", "model": made["model"], "data": {"path": str(corpus), "kind": "corpus"}}

    found = perform({**order, "out": str(tmp_path / "out"), "data": order["data"] | {"split": "test"}}, None, Silent())

    figures, wanted = found["headline"], made["evaluations"]["test"]["headline"]
    assert {name: figure["value"] for name, figure in figures.items()} == pytest.approx(
        {name: figure["value"] for name, figure in wanted.items()}, rel=1e-4
    )
    rows = pq.read_table(found["examples"]).to_pylist()
    assert [row["example_id"] for row in rows] == list(range(150, 160))
    assert sum(row["loss"] * row["answer_tokens"] for row in rows) == pytest.approx(
        figures["loss"]["value"] * sum(row["answer_tokens"] for row in rows)
    )


@pytest.mark.parametrize("kind", ["own", "llama", "gpt2"])
def test_any_version_that_writes_is_measured_on_texts(corpus: Path, tmp_path: Path, tiny_chat: Any, kind: str) -> None:
    folder = tiny_chat(kind)
    order = {"task": "evaluate", "model": str(folder), "out": str(tmp_path)}

    found = perform({**order, "data": {"path": str(corpus), "kind": "corpus", "split": "dev"}}, None, Silent())

    assert found["rows"] == 10 and found["headline"]["bits_per_byte"]["value"] > 1
