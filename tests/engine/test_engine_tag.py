"""Fine-tuning a tagger: it learns, resumes bit by bit, reads long texts in windows, and is served as it was trained."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer, DistilBertConfig, DistilBertModel, pipeline

from engine import base_models
from engine.failures import Refused, RunFailed, Stopped
from engine.preflight import preflight
from engine.recipes import tag
from engine.report import Silent
from engine.specs import BaseModel, TagSpec
from engine.specs.methods import ADAPTERS
from engine.tagger import TokenTagger, Window
from engine.tagger_folder import open_tagger
from engine.tasks import perform, task_of


def spec_of(encoder: Path, **options: Any) -> TagSpec:
    settings: dict[str, Any] = {
        "base_model": BaseModel("folder", str(encoder)),
        "epochs": 2,
        "batch_size": 8,
        "learning_rate": 1e-2,
        "head_learning_rate": 1e-2,
        "max_length_tokens": 48,
        "stride_tokens": 8,
        "token_dropout": 0.0,
        "average_decay": 0.9,
    }
    return TagSpec(**(settings | options))


@pytest.fixture(scope="module")
def learnt(encoder: Path, marked: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A run that has learnt the marked sentences, with case features, as the lower-casing tokenizer asks for."""
    return tag.train(spec_of(encoder, epochs=14), marked, tmp_path_factory.mktemp("learnt"), Silent())


def test_a_run_learns_and_leaves_a_measured_model(learnt: dict[str, Any]) -> None:
    test = learnt["evaluations"]["test"]

    assert test["headline"]["entity_f1"]["value"] > 0.9
    assert test["headline"]["entity_f1"]["low"] <= test["headline"]["entity_f1"]["value"] <= 1
    described = json.loads((Path(learnt["model"]) / "lingxi.json").read_text())
    assert described["labels"] == ["card", "loan", "transfer"] and described["unit"] == "word"
    measured = json.loads(Path(test["metrics"]).read_text())
    assert measured["conll"].startswith("processed ") and {row["label"] for row in measured["per_class"]} == {
        "card", "loan", "transfer",
    }  # fmt: skip
    row = pq.read_table(test["examples"]).to_pylist()[0]
    assert set(row) == {"example_id", "gold", "predicted", "probability", "loss", "correct"}


def test_what_was_measured_in_training_is_measured_again_by_the_saved_folder(
    learnt: dict[str, Any], marked: Path, tmp_path: Path
) -> None:
    order = {"task": "evaluate", "model": learnt["model"], "data": {"path": str(marked), "split": "test"}}

    found = perform({**order, "out": str(tmp_path)}, None, Silent())

    assert task_of(Path(learnt["model"])) == "tagging"
    for name, figure in learnt["evaluations"]["test"]["headline"].items():
        assert found["headline"][name] == pytest.approx(figure, abs=1e-5)


def test_a_stopped_run_resumes_to_the_same_weights(encoder: Path, marked: Path, tmp_path: Path, told: Any) -> None:
    spec = spec_of(encoder, token_dropout=0.2)
    whole = tag.train(spec, marked, tmp_path / "whole", Silent())

    first = told(stop_after=14)
    with pytest.raises(Stopped):
        tag.train(spec, marked, tmp_path / "first", first)
    resumed = tag.train(spec, marked, tmp_path / "second", Silent(), resume_from=Path(first.checkpoints[-1]))

    assert resumed["files"]["model.safetensors"]["sha256"] == whole["files"]["model.safetensors"]["sha256"]
    assert resumed["history"] == whole["history"]


def test_micro_batches_and_accumulation_divide_by_all_units(encoder: Path, marked: Path, tmp_path: Path) -> None:
    one = spec_of(encoder, epochs=1, dropout=0.0)
    runs = [
        tag.train(one, marked, tmp_path / "whole", Silent()),
        tag.train(one, marked, tmp_path / "halved", Silent(), micro_batch=3),
        tag.train(
            spec_of(encoder, epochs=1, dropout=0.0, batch_size=2, gradient_accumulation=4),
            marked,
            tmp_path / "accumulated",
            Silent(),
        ),
    ]

    losses = [run["evaluations"]["test"]["headline"]["loss"]["value"] for run in runs]
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=1e-4)


def test_a_folder_without_case_features_is_one_of_transformers(encoder: Path, marked: Path, tmp_path: Path) -> None:
    result = tag.train(spec_of(encoder, case_features="off"), marked, tmp_path, Silent())
    text = "my card is please iban"

    tagger = open_tagger(Path(result["model"]))
    theirs = AutoModelForTokenClassification.from_pretrained(result["model"]).eval()
    tokens = AutoTokenizer.from_pretrained(result["model"])(text, return_tensors="pt")
    with torch.no_grad():
        wanted = theirs(**tokens).logits[0, 1:-1]
        ids = tokens["input_ids"][0].tolist()
        ours = tagger.model([Window(0, ids, [0] * len(ids), list(range(1, len(ids) - 1)), (0, len(ids) - 2))])

    assert torch.allclose(ours, wanted, atol=1e-5)
    named = pipeline("ner", model=result["model"], aggregation_strategy="none")(text)
    assert {one["entity"] for one in named} <= {f"{prefix}-{label}" for label in tagger.labels for prefix in "BI"}


def test_case_features_read_what_the_tokenizer_takes_away(encoder: Path, span_file: Any, tmp_path: Path) -> None:
    """The same words are spans when they are written large, and none when written small."""
    texts = [" ".join(["please", "why", "help", "card", "my", "iban"][at % 6 :][:3]) for at in range(60)]
    rows = []
    for at, text in enumerate(dict.fromkeys(f"{text} {'is it ' * (n % 7)}" for n, text in enumerate(texts))):
        word = text.split()[0]
        split = "train" if at % 5 else "dev"
        rows += [(word.upper() + text[len(word) :], [(0, len(word), "NAME")], split), (text, [], split)]
    data = span_file(tmp_path / "rows.parquet", rows)

    with_case = tag.train(spec_of(encoder, epochs=8), data, tmp_path / "with", Silent())
    without = tag.train(spec_of(encoder, epochs=8, case_features="off"), data, tmp_path / "without", Silent())

    assert with_case["evaluations"]["dev"]["headline"]["entity_f1"]["value"] > 0.95
    assert without["evaluations"]["dev"]["headline"]["entity_f1"]["value"] < 0.8
    config = json.loads((Path(with_case["model"]) / "config.json").read_text())
    assert config["architectures"] == ["LingxiCaseTagger"]


def test_long_texts_lose_no_entity(learnt: dict[str, Any]) -> None:
    tagger = open_tagger(Path(learnt["model"]))
    piece = "please my card is the help today why iban my the "
    text = piece * 30

    alone = {(span.start, span.end, span.label) for span, _ in tagger.mark([piece])[0].spans}
    found = {(span.start, span.end, span.label) for span, _ in tagger.mark([text])[0].spans}

    assert alone
    wanted = {(s + len(piece) * at, e + len(piece) * at, label) for s, e, label in alone for at in range(30)}
    assert len(found & wanted) >= 0.9 * len(wanted)  # the tiny model errs itself now and then
    assert max(start for start, _, _ in found) > len(piece) * 29


def test_a_text_is_marked_alike_in_any_company(learnt: dict[str, Any], marked_texts: Any) -> None:
    tagger = open_tagger(Path(learnt["model"]))
    texts = ["", "  ", *(text for text, _ in marked_texts(20, seed=4))]

    together = tagger.mark(texts)
    alone = [tagger.mark([text])[0] for text in texts]

    assert [one.spans and [span for span, _ in one.spans] for one in together] == [
        one.spans and [span for span, _ in one.spans] for one in alone
    ]
    assert together[0].spans == [] and together[0].probability == 1.0


def test_batches_are_written_with_offsets_and_go_on_where_they_stood(
    learnt: dict[str, Any], span_file: Any, marked_texts: Any, tmp_path: Path
) -> None:
    texts = [text for text, _ in marked_texts(10, seed=4)]
    data = span_file(tmp_path / "rows.parquet", [(text, [], "") for text in texts])
    order = {"task": "predict", "model": learnt["model"], "data": {"path": str(data)}, "out": str(tmp_path / "out")}

    perform({**order, "skip_rows": 4}, None, Silent())

    rows = pq.read_table(next((tmp_path / "out").glob("part-*.parquet"))).to_pylist()
    assert [row["example_id"] for row in rows] == list(range(104, 110))
    tagger = open_tagger(Path(learnt["model"]))
    for row, text in zip(rows, texts[4:], strict=True):
        wanted = [(*span, pytest.approx(sure, abs=1e-5)) for span, sure in tagger.mark([text])[0].spans]
        assert [tuple(one.values()) for one in row["spans"]] == wanted


def test_other_architectures_read_the_same_with_and_without_company(encoder: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    config = DistilBertConfig(vocab_size=40, dim=16, n_layers=1, n_heads=2, hidden_dim=32, max_position_embeddings=64)
    DistilBertModel(config).save_pretrained(tmp_path)
    network = base_models.load_network(str(tmp_path), 5, head="TokenClassification")
    model = TokenTagger(network, case_features=True).eval()
    model.case.weight.data.normal_()
    windows = [
        Window(0, [2, 5, 6, 3], [0, 7, 4, 0], [1, 2], (0, 2)),
        Window(1, [2, 9, 3], [0, 6, 0], [1], (0, 1)),
    ]

    with torch.no_grad():
        together = model(windows)
        alone = torch.cat([model([window]) for window in windows])
        plain = model([Window(0, [2, 5, 6, 3], [0, 0, 0, 0], [1, 2], (0, 2))])

    assert torch.allclose(together, alone, atol=1e-5) and not torch.allclose(plain, alone[:2], atol=1e-3)


def test_overlapping_spans_are_refused_with_their_rows(encoder: Path, span_file: Any, tmp_path: Path) -> None:
    rows = [("my card is it", [(3, 7, "card")], "train" if at < 10 else "dev") for at in range(12)]
    rows[3] = ("my card is it", [(3, 7, "card"), (0, 7, "loan")], "train")
    data = span_file(tmp_path / "rows.parquet", rows)

    with pytest.raises(Refused) as refused:
        tag.train(spec_of(encoder), data, tmp_path, Silent())

    assert refused.value.problems[0].code == "overlapping_spans" and refused.value.rows == (103,)


def test_the_preflight_counts_spans_off_the_borders_and_says_what_a_run_costs(
    encoder: Path, span_file: Any, told: Any, tmp_path: Path
) -> None:
    rows = [(f"{'my ' * (at + 1)}card", [(3 * at + 3, 3 * at + 7, "card")], "train") for at in range(20)]
    rows[2] = ("my card", [(3, 5, "card")], "train")
    rows += [("card why", [(0, 4, "card")], "dev"), ("why my card", [(7, 11, "loan")], "dev")]
    data = span_file(tmp_path / "rows.parquet", rows)

    found = preflight(spec_of(encoder), data, Silent())

    by_code = {problem["code"]: problem for problem in found["problems"]}
    assert by_code["unknown_label"]["severity"] == "error" and by_code["unknown_label"]["rows"] == [121]
    assert "off_border" not in by_code  # looked at when nothing else forbids the run
    data = span_file(tmp_path / "rows.parquet", rows[:-1])
    found = preflight(spec_of(encoder), data, Silent())
    by_code = {problem["code"]: problem for problem in found["problems"]}
    assert by_code["off_border"]["rows"] == [102] and "1 of 21" in by_code["off_border"]["message"]
    report = told()
    tag.train(spec_of(encoder, epochs=1), data, tmp_path / "run", report)
    assert any("1 of 21 spans" in line for line in report.logs)
    assert found["unit"] == "word" and found["labels"] == [{"label": "card", "train": 20, "dev": 1, "test": 0}]
    assert found["estimate"]["steps"] == 6 and found["parameters"]["total"] > 0


def test_a_label_the_tagger_does_not_know_is_named(learnt: dict[str, Any], span_file: Any, tmp_path: Path) -> None:
    data = span_file(tmp_path / "rows.parquet", [("my card", [(3, 7, "city")], "test")])
    order = {"task": "evaluate", "model": learnt["model"], "data": {"path": str(data)}, "out": str(tmp_path)}

    with pytest.raises(RunFailed) as failure:
        perform(order, None, Silent())

    assert failure.value.code == "unknown_label" and failure.value.rows == (100,)


def test_foreign_taggers_are_read_whatever_the_order_of_their_tags(learnt: dict[str, Any], tmp_path: Path) -> None:
    own = open_tagger(Path(learnt["model"]))
    own.model.case = None
    order = [3, 0, 1, 2, 6, 5, 4]
    network, names = own.model.network, ["O", *(f"{p}-{label}" for label in own.labels for p in "BI")]
    network.classifier.weight.data = network.classifier.weight.data[order]
    network.classifier.bias.data = network.classifier.bias.data[order]
    network.config.id2label = {at: names[which] for at, which in enumerate(order)}
    network.config.label2id = {name: at for at, name in network.config.id2label.items()}
    network.save_pretrained(tmp_path)
    own.tokenizer.save_pretrained(tmp_path)

    foreign = open_tagger(tmp_path)

    assert task_of(tmp_path) == "tagging" and foreign.labels == own.labels
    network.classifier.weight.data = network.classifier.weight.data[torch.tensor(order).argsort()]
    network.classifier.bias.data = network.classifier.bias.data[torch.tensor(order).argsort()]
    assert foreign.mark(["my card is iban"]) == own.mark(["my card is iban"])


@pytest.mark.parametrize("method", ["frozen", *ADAPTERS])
def test_every_method_is_saved_as_it_was_trained(
    encoder: Path, marked: Path, tmp_path: Path, told: Any, method: str
) -> None:
    spec = spec_of(encoder, method=method, epochs=2, adapter_rank=4, virtual_tokens=3, bottleneck_width=4)
    whole = tag.train(spec, marked, tmp_path / "whole", Silent())
    first = told(stop_after=14)
    with pytest.raises(Stopped):
        tag.train(spec, marked, tmp_path / "first", first)
    resumed = tag.train(spec, marked, tmp_path / "second", Silent(), resume_from=Path(first.checkpoints[-1]))
    order = {"task": "evaluate", "model": whole["model"], "data": {"path": str(marked), "split": "test"}}

    found = perform({**order, "out": str(tmp_path)}, None, Silent())

    assert whole["trainable_parameters"] < whole["parameters"]
    assert resumed["files"]["model.safetensors"]["sha256"] == whole["files"]["model.safetensors"]["sha256"]
    wanted = whole["evaluations"]["test"]["headline"]
    assert found["headline"]["loss"]["value"] == pytest.approx(wanted["loss"]["value"], abs=1e-4)
    before, after = whole["history"][0]["dev_loss"], whole["history"][-1]["dev_loss"]
    assert after < before


def test_the_first_windows_are_shown_with_the_tagged_tokens_marked(
    encoder: Path, marked: Path, tmp_path: Path, told: Any
) -> None:
    report = told()
    spec = spec_of(encoder, epochs=1)
    tag.train(spec, marked, tmp_path, report)

    (seen,) = report.sights
    row = seen["rows"][0]
    assert row["tokens"][0] == "[CLS]" and row["special"] == [0, len(row["tokens"]) - 1]
    assert row["learnt"] == [[1, len(row["tokens"]) - 1]]  # every word of the tiny vocabulary is one token
    assert set(row["labels"]) <= {"card", "loan", "transfer"}
    assert preflight(spec, marked, Silent())["seen"] == seen
