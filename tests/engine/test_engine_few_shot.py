"""Few-shot learning: what is drawn, both ways by every method, the learning curve, resume, refusals."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
)

from engine.data import read_texts
from engine.export import export
from engine.failures import Refused, RunFailed, Stopped
from engine.gpt import Gpt, GptConfig
from engine.gpt.hugging_face import load_gpt, save_gpt
from engine.grad_cache import cached_backward
from engine.predict import load_classifier
from engine.preflight import preflight
from engine.recipes import few_shot
from engine.recipes.few_shot_setup import arrange, beginning
from engine.recipes.few_shot_work import head_of
from engine.report import Silent
from engine.specs import BaseModel, parse_spec
from engine.specs.few_shot import FewShotSpec
from engine.specs.methods import ADAPTERS
from engine.tasks import evaluate_version
from engine.verbaliser import MaskedWords, Reading, WrittenWords

COMMON: dict[str, Any] = {
    "epochs": 3, "batch_size": 8, "learning_rate": 2e-2, "base_share": 0.0, "adapter_learning_rate": 1e-2, "max_length_tokens": 32,
    "adapter_rank": 2, "virtual_tokens": 3, "bottleneck_width": 4, "pattern": "{text} is {label}", "average_decay": 0.0,
}  # fmt: skip
BASES = {"contrastive": "encoder", "masked": "masked", "written": "writer"}


WORDS = [
    "please",
    "my",
    "the",
    "help",
    "why",
    "is",
    "it",
    "not",
    "with",
    "today",
    "where",
    "a",
    "card",
    "plastic",
    "chip",
    "pin",
    "transfer",
    "wire",
    "send",
    "iban",
    "loan",
    "rate",
    "credit",
    "mortgage",
]


def word_tokenizer(folder: Path) -> None:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: at for at, word in enumerate([*special, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", eos_token="[SEP]", model_max_length=64, model_input_names=["input_ids", "attention_mask"],
    ).save_pretrained(folder)  # fmt: skip


@pytest.fixture(scope="session")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of width 16 with its masked-language-model head."""
    folder = tmp_path_factory.mktemp("masked")
    torch.manual_seed(4)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertForMaskedLM(BertConfig(vocab_size=40, max_position_embeddings=64, pad_token_id=0, **sizes)).save_pretrained(
        folder
    )
    word_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT of width 16."""
    folder = tmp_path_factory.mktemp("writer")
    torch.manual_seed(4)
    save_gpt(Gpt(GptConfig(vocabulary_size=40, context_tokens=64, layers=1, heads=2, width=16)), folder)
    word_tokenizer(folder)
    return folder


@pytest.fixture
def spec_for(encoder: Path, masked: Path, writer: Path) -> Any:
    folders = {"encoder": encoder, "masked": masked, "writer": writer}

    def made(kind: str, **options: Any) -> FewShotSpec:
        way = "contrastive" if kind == "contrastive" else "verbaliser"
        base = BaseModel("folder", str(folders[BASES[kind]]))
        return FewShotSpec(**{"base_model": base, "way": way, **COMMON, **options})

    return made


@pytest.mark.parametrize("kind", BASES)
def test_a_run_learns_and_leaves_a_measured_classifier(kind: str, spec_for: Any, texts: Path, tmp_path: Path) -> None:
    spec = spec_for(kind, shots=16, epochs=25, token_dropout=0.0, dropout=0.0)

    result = few_shot.train(spec, texts, tmp_path, Silent())

    found = result["evaluations"]["test"]["headline"]["accuracy"]["value"]
    assert found > 0.8
    assert result["labels"] == ["card", "loan", "transfer"]
    drawn = result["example_ids"]["16"]
    by_id = dict(zip(*rows_of(texts), strict=True))
    assert Counter(by_id[number] for number in drawn) == {"card": 16, "loan": 16, "transfer": 16}
    again = evaluate_version(
        {"model": result["model"], "data": {"split": "test"}}, texts, folder(tmp_path / "again"), Silent()
    )
    assert again["headline"]["accuracy"]["value"] == found


def rows_of(texts: Path) -> tuple[list[int], list[str]]:
    rows = read_texts(texts)["train"]
    return rows.ids, [labels[0] for labels in rows.labels]


def folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


METHODS = [("contrastive", method) for method in ("full", *ADAPTERS)] + [
    (kind, method) for kind in ("masked", "written") for method in ("full", "dora", "prefix", "prompt", "bottleneck")
]


@pytest.mark.parametrize(("kind", "method"), METHODS)
def test_every_method_learns_a_batch_is_served_as_trained_and_resumes_to_the_same_weights(
    method: str, kind: str, spec_for: Any, texts: Path, tmp_path: Path, told: Any
) -> None:
    spec = spec_for(kind, method=method, shots=6, epochs=3, base_share=0.3)
    first = told(stop_after=4)

    whole = told()
    result = few_shot.train(spec, texts, tmp_path / "whole", whole)
    with pytest.raises(Stopped):
        few_shot.train(spec, texts, tmp_path / "first", first)
    resumed = few_shot.train(spec, texts, tmp_path / "second", Silent(), resume_from=Path(first.checkpoints[-1]))

    assert {name: one["sha256"] for name, one in resumed["files"].items()} == {
        name: one["sha256"] for name, one in result["files"].items()
    }
    losses = [told["dev_loss"] for told in whole.metrics if "dev_loss" in told]
    assert len(losses) == 3
    served = load_classifier(Path(result["model"])).predict(read_texts(texts)["dev"].texts).probabilities
    rows = json.loads(Path(result["evaluations"]["dev"]["metrics"]).read_text())
    gold = [["card", "loan", "transfer"].index(labels[0]) for labels in read_texts(texts)["dev"].labels]
    loss = F.nll_loss(torch.from_numpy(served).log(), torch.tensor(gold))
    assert float(loss) == pytest.approx(rows["headline"]["loss"]["value"], abs=1e-4)


@pytest.mark.parametrize("kind", BASES)
@pytest.mark.parametrize("method", ["full", "lora"])
def test_one_batch_is_learnt_by_heart(
    kind: str, method: str, spec_for: Any, texts: Path, tmp_path: Path, told: Any
) -> None:
    spec = spec_for(
        kind, method=method, shots=3, epochs=90, token_dropout=0.0, dropout=0.0, label_names=False, batch_size=9,
        texts_per_class=3, temperature=0.3, max_gradient_norm=0.0, adapter_learning_rate=2e-2, adapter_rank=4,
    )  # fmt: skip
    report = told()

    few_shot.train(spec, texts, tmp_path, report)

    losses = [told["train_loss"] for told in report.metrics if "train_loss" in told]
    assert losses[-1] < {"full": 0.75, "lora": 0.9}[method] * first_loss(spec, texts)


def first_loss(spec: FewShotSpec, texts: Path) -> float:
    """The loss of the first step of a run."""
    parts, drawn, labels, _ = arrange(spec, read_texts(texts))
    start, _ = beginning(spec, labels)
    assert start is not None
    encoded = {name: start.read(part.texts) for name, part in parts.items()}
    torch.manual_seed(spec.seed)
    run = few_shot.Run(spec, start, parts, drawn, encoded, Silent(), Path("/nowhere"), None)
    stage = run.stage(spec.counts[0], {})
    first = stage.work.steps(0)[0]
    return stage.work.backward(first, stage.work.count(first))


@pytest.mark.parametrize("kind", BASES)
def test_a_learning_curve_is_that_of_the_runs_of_its_counts(
    kind: str, spec_for: Any, texts: Path, tmp_path: Path, told: Any
) -> None:
    report = told()

    whole = few_shot.train(spec_for(kind, curve="4, 12,8"), texts, tmp_path / "whole", report)
    alone = few_shot.train(spec_for(kind, shots=8), texts, tmp_path / "alone", Silent())

    assert [point["count"] for point in whole["curve"]] == [4, 8, 12]
    assert whole["curve"][1]["headline"] == alone["evaluations"]["dev"]["headline"]
    assert whole["curve"][2]["headline"] == whole["evaluations"]["dev"]["headline"]
    ids = {int(count): set(some) for count, some in whole["example_ids"].items()}
    assert ids[4] < ids[8] < ids[12] and len(ids[4]) == 12
    points = {told["step"]: told["shots_accuracy"] for told in report.metrics if "shots_accuracy" in told}
    assert points == {point["count"]: point["headline"]["accuracy"]["value"] for point in whole["curve"]}
    steps = [told["step"] for told in report.metrics if "shots_accuracy" not in told]
    assert steps == sorted(steps)
    figures = json.loads(Path(whole["evaluations"]["dev"]["metrics"]).read_text())
    assert figures["curve"] == whole["curve"]


@pytest.mark.parametrize("kind", ["contrastive", "written"])
@pytest.mark.parametrize("stop_after", [2, 14])
def test_a_stopped_learning_curve_resumes_to_the_same_weights_and_points(
    kind: str, stop_after: int, spec_for: Any, texts: Path, tmp_path: Path, told: Any
) -> None:
    spec = spec_for(kind, curve="4,8,12", dropout=0.2, average_decay=0.9)
    first = told(stop_after=stop_after)

    whole = few_shot.train(spec, texts, tmp_path / "whole", Silent())
    with pytest.raises(Stopped):
        few_shot.train(spec, texts, tmp_path / "first", first)
    resumed = few_shot.train(spec, texts, tmp_path / "second", Silent(), resume_from=Path(first.checkpoints[-1]))

    assert resumed["files"]["model.safetensors"] == whole["files"]["model.safetensors"]
    assert resumed["curve"] == whole["curve"]
    assert ("shots-4" in first.checkpoints[-1]) == (stop_after == 2)


def test_a_checkpoint_of_another_curve_is_refused(spec_for: Any, texts: Path, tmp_path: Path, told: Any) -> None:
    first = told(stop_after=2)
    with pytest.raises(Stopped):
        few_shot.train(spec_for("contrastive", shots=4), texts, tmp_path / "first", first)

    with pytest.raises(RunFailed, match="another spec_hash"):
        few_shot.train(
            spec_for("contrastive", shots=8), texts, tmp_path / "o", Silent(), resume_from=Path(first.checkpoints[-1])
        )


@pytest.mark.parametrize("kind", BASES)
def test_reading_a_step_in_parts_learns_the_same(kind: str, spec_for: Any, texts: Path, tmp_path: Path) -> None:
    spec = spec_for(kind, shots=8, epochs=1, dropout=0.0, token_dropout=0.0, learning_rate=1e-3)

    one = few_shot.train(spec, texts, tmp_path / "one", Silent())
    two = few_shot.train(spec, texts, tmp_path / "two", Silent(), micro_batch=3)

    said = [
        load_classifier(Path(found["model"])).predict(["my card is", "send it"]).probabilities for found in (one, two)
    ]
    torch.testing.assert_close(torch.from_numpy(said[0]), torch.from_numpy(said[1]), rtol=0, atol=2e-3)


def test_gradients_in_parts_are_those_of_the_whole_also_with_dropout() -> None:
    torch.manual_seed(0)
    layer, given = torch.nn.Linear(4, 3), torch.randn(6, 4)

    def loss_of(vectors: torch.Tensor) -> torch.Tensor:
        return (vectors @ vectors.T).square().sum(1).mean()

    rows = [[at] for at in range(6)]
    torch.manual_seed(1)
    cached_backward(
        lambda some: F.dropout(layer(given[[at for (at,) in some]]), 0.5), rows, [[0, 1], [2, 3], [4, 5]], loss_of
    )
    assert layer.weight.grad is not None
    found = layer.weight.grad.clone()
    torch.manual_seed(1)
    kept = torch.cat([F.dropout(torch.ones(2, 3), 0.5) for _ in range(3)])  # the same masks, all at once
    layer.zero_grad()
    cached_backward(lambda _: layer(given) * kept, rows, [list(range(6))], loss_of)

    torch.testing.assert_close(found, layer.weight.grad)


@pytest.mark.parametrize("kind", ["logistic", "centroid"])
def test_heads_give_the_class_of_separate_vectors(kind: str) -> None:
    torch.manual_seed(0)
    classes = torch.arange(3).repeat_interleave(5)
    vectors = F.layer_norm(8 * torch.eye(3, 16)[classes] + 0.1 * torch.randn(15, 16), (16,))

    weight, bias = head_of(vectors, classes, 3, kind, 0.1, 1e-4)

    assert ((vectors @ weight.T + bias).argmax(1) == classes).all()


def test_the_nearest_mean_is_the_formula_by_hand() -> None:
    vectors = F.layer_norm(torch.tensor([[1.0, 2.0, 0.0, 0.0], [0.0, 3.0, 1.0, 0.0], [0.0, 0.0, 1.0, 5.0]]), (4,))

    weight, _ = head_of(vectors, torch.tensor([0, 0, 1]), 2, "centroid", 0.5, 0.0)

    unit = vectors / vectors.norm(dim=1, keepdim=True)
    mean = (unit[0] + unit[1]) / (unit[0] + unit[1]).norm()
    torch.testing.assert_close((vectors @ weight.T)[2, 0], unit[2] @ mean / 0.5, rtol=1e-4, atol=1e-4)


def test_the_contrastive_version_is_a_plain_classifier_folder(spec_for: Any, texts: Path, tmp_path: Path) -> None:
    result = few_shot.train(spec_for("contrastive", shots=6), texts, tmp_path, Silent())

    theirs: Any = AutoModelForSequenceClassification.from_pretrained(result["model"])
    given = AutoTokenizer.from_pretrained(result["model"])("my card is not with me", return_tensors="pt")
    ours = load_classifier(Path(result["model"])).predict(["my card is not with me"]).probabilities
    with torch.no_grad():
        said = theirs(**{name: given[name] for name in ("input_ids", "attention_mask")}).logits.softmax(-1)
    torch.testing.assert_close(said, torch.from_numpy(ours), rtol=0, atol=1e-4)
    exported = export({"kind": "merged", "model": result["model"]}, folder(tmp_path / "export"), Silent())
    assert exported["parity"]["passed"]


def test_names_of_labels_are_texts_of_theirs(spec_for: Any, texts: Path) -> None:
    spec = spec_for("contrastive", shots=4, label_names=True)
    parts, drawn, labels, _ = arrange(spec, read_texts(texts))
    start, _ = beginning(spec, labels)
    assert start is not None
    run = few_shot.Run(
        spec, start, parts, drawn, {**{n: start.read(p.texts) for n, p in parts.items()}}, Silent(), Path(), None
    )
    work: Any = run.stage(4, {}).work

    assert work.names == ["card", "loan", "transfer"] and work.classes.tolist()[-3:] == [0, 1, 2]
    used = {at for epoch in range(3) for step in work.steps(epoch) for part in step for at in part}
    assert used == set(range(15))
    assert work.rows([[0, 14]]) == [parts["train"].ids[0]]


def test_the_slot_of_a_masked_model_gives_the_mean_logit_of_a_words_tokens(masked: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(masked)
    reading = Reading(tokenizer, "{text} is {label}", 32, is_masked=True)
    words = [[reading.word_ids("card pin")], [reading.word_ids("loan"), reading.word_ids("rate")]]
    network = AutoModelForMaskedLM.from_pretrained(masked).eval()
    model = MaskedWords(network, words, mask_id=tokenizer.mask_token_id).eval()

    with torch.no_grad():
        found = model(reading(["my card", "help"]))

    given = tokenizer("my card is [MASK]", return_tensors="pt")
    with torch.no_grad():
        logits = network(input_ids=given["input_ids"]).logits[0][given["input_ids"][0] == tokenizer.mask_token_id][0]
    at = {word: tokenizer.convert_tokens_to_ids(word) for word in ("card", "pin", "loan", "rate")}
    by_hand = torch.stack([(logits[at["card"]] + logits[at["pin"]]) / 2, (logits[at["loan"]] + logits[at["rate"]]) / 2])
    torch.testing.assert_close(found[0], by_hand, rtol=0, atol=1e-5)


def test_a_writer_scores_words_by_their_mean_log_probability(writer: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(writer)
    reading = Reading(tokenizer, "{text} is {label}", 32, is_masked=False)
    said = {"card pin": 0, "card": 1, "loan rate credit": 2}
    words = [[reading.word_ids(word)] for word in said]
    network: Any = AutoModelForCausalLM.from_pretrained(writer).eval()
    model = WrittenWords(load_gpt(writer), words).eval()

    with torch.no_grad():
        found = model(reading(["my card", "help with it"]))

    for row, prompt in enumerate(reading(["my card", "help with it"])):
        for word, at in said.items():
            ids = reading.word_ids(word)
            with torch.no_grad():
                logits = network(input_ids=torch.tensor([[*prompt, *ids]])).logits[0].log_softmax(-1)
            by_hand = sum(float(logits[len(prompt) - 1 + k, token]) for k, token in enumerate(ids)) / len(ids)
            assert float(found[row, at]) == pytest.approx(by_hand, abs=1e-4)
    assert model.heads == [tuple(reading.word_ids("loan rate")), tuple(reading.word_ids("card"))]


@pytest.mark.parametrize("kind", ["masked", "written"])
def test_calibration_prefers_no_label_where_the_text_says_nothing(kind: str, spec_for: Any, texts: Path) -> None:
    start, _ = beginning(spec_for(kind), ["card", "loan", "transfer"])
    assert start is not None
    model: Any = start.model().eval()
    with torch.no_grad():
        empty = torch.softmax(model(start.reading(("N/A", "[MASK]", ""))) - model.bias, -1).mean(0)
        found = torch.softmax(empty.log() + model.bias, -1)

    torch.testing.assert_close(found, torch.full((3,), 1 / 3), rtol=0, atol=1e-5)
    assert not torch.allclose(empty, found, atol=1e-3)


def test_no_epoch_uses_the_model_as_it_is(spec_for: Any, texts: Path, tmp_path: Path, masked: Path) -> None:
    result = few_shot.train(spec_for("masked", epochs=0, shots=4), texts, tmp_path, Silent())

    theirs: Any = AutoModelForMaskedLM.from_pretrained(result["model"])
    base = AutoModelForMaskedLM.from_pretrained(masked)
    assert all(torch.equal(a, b) for a, b in zip(theirs.parameters(), base.parameters(), strict=True))
    assert result["steps"] == 0


def test_what_a_person_wrote_is_text_and_long_texts_lose_their_end(masked: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(masked)
    reading = Reading(tokenizer, "{text} is {label}", 10, is_masked=True)

    written, long = reading(["my [MASK] card", "my " * 30])

    assert written.count(tokenizer.mask_token_id) == 1
    assert len(long) == 10 and long[-2:] == [tokenizer.mask_token_id, tokenizer.sep_token_id]
    assert reading.whole_lengths(["my " * 30]) == [34]


def test_a_roberta_says_words_too(texts: Path, tmp_path: Path) -> None:
    place = folder(tmp_path / "base")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = RobertaConfig(vocab_size=40, max_position_embeddings=66, pad_token_id=0, type_vocab_size=1, **sizes)
    RobertaForMaskedLM(config).save_pretrained(place)
    word_tokenizer(place)
    spec = FewShotSpec(**{**COMMON, "way": "verbaliser", "base_model": BaseModel("folder", str(place)), "epochs": 1})

    result = few_shot.train(spec, texts, tmp_path / "out", Silent())

    theirs: Any = AutoModelForMaskedLM.from_pretrained(result["model"])
    made = load_classifier(Path(result["model"]))
    ids = made.read(["my card"])[0]
    with torch.no_grad():
        logits = theirs(input_ids=torch.tensor([ids])).logits[0, ids.index(4)]
    words = [made.tokenizer.convert_tokens_to_ids(label) for label in made.names]
    said = torch.softmax(logits[words] + torch.tensor(made.description["bias"]), -1)
    torch.testing.assert_close(torch.from_numpy(made.predict(["my card"]).probabilities[0]), said, rtol=0, atol=1e-5)


def test_a_version_that_tells_labels_by_words_is_not_exported(spec_for: Any, texts: Path, tmp_path: Path) -> None:
    result = few_shot.train(spec_for("written", epochs=1, shots=4), texts, tmp_path, Silent())

    with pytest.raises(RunFailed, match="by words"):
        export({"kind": "merged", "model": result["model"]}, folder(tmp_path / "export"), Silent())


def problems_of(spec: FewShotSpec, data: Path) -> dict[str, str]:
    found = preflight(spec, data, Silent())["problems"]
    return {problem["code"]: str(problem["message"]) for problem in found}


def test_a_class_with_fewer_texts_than_asked_is_named(
    spec_for: Any, text_file: Any, labelled: Any, tmp_path: Path
) -> None:
    rows = [(text, [label], "train") for text, label in labelled(30)]
    rows += [("one more loan", ["loan"], "train")] * 4
    data = text_file(tmp_path / "t.parquet", rows)

    found = preflight(spec_for("contrastive", shots=11, holdout_share=0.0), data, Silent())["problems"]

    said = {str(problem["message"]): problem["rows"] for problem in found if problem["code"] == "too_few_shots"}
    assert "The label “card” has 10 different texts, not 11." in said
    assert "The label “loan” has 11 different texts, not 11." not in said and all(said.values())
    with pytest.raises(Refused, match="different texts"):
        few_shot.train(spec_for("contrastive", shots=11, holdout_share=0.0), data, tmp_path / "o", Silent())


def test_bad_rows_are_found_before_the_run(spec_for: Any, text_file: Any, labelled: Any, tmp_path: Path) -> None:
    def codes(rows: Any) -> set[str]:
        return set(problems_of(spec_for("contrastive"), text_file(tmp_path / "t.parquet", rows)))

    rows = [(text, [label], "train") for text, label in labelled(30)]
    assert "one_class" in codes([(text, ["card"], "train") for text, _, _ in rows])
    assert "empty_text" in codes([*rows, ("", ["card"], "test")])
    assert "test_leaks" in codes([*rows, *((text, names, "test") for text, names, _ in rows)])
    assert "several_labels" in codes([(text, [*names, "other"], "train") for text, names, _ in rows])


def test_a_model_without_a_head_for_words_is_refused_with_a_sentence(encoder: Path, writer: Path, texts: Path) -> None:
    no_head = FewShotSpec(base_model=BaseModel("folder", str(encoder)), way="verbaliser")
    no_encoder = FewShotSpec(base_model=BaseModel("folder", str(writer)), way="contrastive")

    assert "has no head that says words" in problems_of(no_head, texts)["no_word_head"]
    assert "this base model is llama" in problems_of(no_encoder, texts)["not_together"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"label_words": "card: card; loan: card"}, "same_words"),
        ({"label_words": "card: zebra"}, "unknown_word"),
        ({"label_words": "cards: card"}, "unknown_label"),
        ({"pattern": "is is is {text} is is {label}", "max_length_tokens": 6}, "no_room"),
    ],
)
def test_words_that_cannot_stand_for_labels_are_named(
    options: dict[str, Any], code: str, spec_for: Any, texts: Path
) -> None:
    assert code in problems_of(spec_for("masked", **options), texts)


def test_a_writer_must_say_the_word_at_the_end(spec_for: Any, texts: Path) -> None:
    assert "bad_pattern" in problems_of(spec_for("written", pattern="{label} is {text}"), texts)
    assert "bad_pattern" not in problems_of(spec_for("masked", pattern="{label} is {text}"), texts)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"curve": "8,x"}, "curve"),
        ({"curve": "0,8"}, "curve"),
        ({"curve": "8,-2"}, "curve"),
        ({"way": "verbaliser", "pattern": "{text}"}, "pattern"),
        ({"way": "verbaliser", "label_words": "card"}, "label_words"),
        ({"way": "verbaliser", "method": "frozen"}, "method"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], field: str) -> None:
    spec, problems = parse_spec("few_shot", options)

    assert spec is None and [problem.field for problem in problems] == [field]


def test_the_preflight_says_what_a_run_costs_and_shows_what_is_drawn(
    spec_for: Any, texts: Path, told: Any, tmp_path: Path
) -> None:
    spec = spec_for("contrastive", curve="4,8")
    report = told()

    found = preflight(spec, texts, Silent())
    few_shot.train(spec, texts, tmp_path, report)

    assert found["rows"]["train"] == 24
    assert found["estimate"]["steps"] == max(one["step"] for one in report.metrics if "train_loss" in one)
    assert found["parameters"]["trainable"] < found["parameters"]["total"]
    assert found["seen"] == report.sights[0] and found["seen"]["template"]["name"] == "pairs"
    row = found["seen"]["rows"][0]
    assert row["tokens"].count("[CLS]") == 2 and len(row["labels"]) == 1


@pytest.mark.parametrize(("kind", "last"), [("masked", "[MASK]"), ("written", None)])
def test_the_filled_pattern_is_shown_with_the_place_of_the_word(
    kind: str, last: str | None, spec_for: Any, texts: Path
) -> None:
    row = preflight(spec_for(kind, shots=4), texts, Silent())["seen"]["rows"][0]

    ((start, end),) = row["learnt"]
    assert row["tokens"][start:end] == [last or row["labels"][0]]
    assert row["tokens"][start - 1] == "is"
