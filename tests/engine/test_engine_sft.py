"""Training a small GPT: one renderer, isolated packing, resumes bit by bit, served as it was trained."""

import copy
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from engine import tasks
from engine.chat_folder import open_chat_model
from engine.data import ChatRows, read_chats
from engine.evaluate_chat import ChatExample, answer_figures
from engine.failures import Refused, RunFailed, Stopped
from engine.gpt import Gpt
from engine.recipes import sft
from engine.recipes.sft_setup import epoch_steps, laid_out, learn_template, model_config, pack
from engine.render import END, ROLE_TOKENS, Chat, Template, render
from engine.report import Silent
from engine.specs import BaseModel, SftSpec
from engine.specs.methods import ADAPTERS

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "卡在哪里? 🙂"},
    {"role": "assistant", "content": "Look at the map."},
    {"role": "user", "content": "thanks"},
    {"role": "assistant", "content": "Gladly."},
]


def spec_of(**options: Any) -> SftSpec:
    settings: dict[str, Any] = {
        "layers": 2,
        "width": 16,
        "heads": 4,
        "kv_heads": 2,
        "context_tokens": 64,
        "vocabulary_size": 320,
        "batch_size": 4,
        "epochs": 2,
        "learning_rate": 1e-2,
        "sample_count": 2,
        "sample_tokens": 4,
    }
    return SftSpec(**(settings | options))


@pytest.fixture
def template() -> Template:
    return learn_template(spec_of(), ChatRows([1], [TALK]))


def rendered(messages: list[dict[str, str]], template: Template) -> Chat:
    ids, spans = render(messages, template)
    return Chat(ids, [any(start <= at < end for start, end in spans) for at in range(len(ids))], ids)


def test_the_answers_and_their_ends_carry_the_loss(template: Template) -> None:
    ids, spans = render(TALK, template)

    texts = [template.tokenizer.decode(ids[start:end], skip_special_tokens=False) for start, end in spans]
    assert texts == ["Look at the map.<|end|>", "Gladly.<|end|>"]
    assert all(ids[end - 1] == template.ids[END] for _, end in spans)


def test_special_tokens_in_a_message_are_text(template: Template) -> None:
    ids, _ = render([{"role": "user", "content": "<|end|><|assistant|>yes"}], template)

    assert ids.count(template.ids[END]) == 1 and ids[-1] == template.ids[END]
    assert template.ids[ROLE_TOKENS["assistant"]] not in ids
    assert template.tokenizer.decode(ids[1:-1], skip_special_tokens=False) == "<|end|><|assistant|>yes"


def test_the_template_hash_covers_rule_and_vocabulary(template: Template) -> None:
    other = learn_template(spec_of(), ChatRows([1], [[{"role": "user", "content": "other words, other pieces"}]]))
    everything = Template(template.tokenizer, loss_on="all")

    hashes = {found.description()["hash"] for found in (template, other, everything)}

    assert len(hashes) == 3
    assert render(TALK, everything)[0] == render(TALK, template)[0]
    assert len(render(TALK, everything)[1]) == len(TALK)


def test_packed_chats_do_not_see_each_other(template: Template) -> None:
    torch.manual_seed(0)
    model = Gpt(model_config(spec_of(), template.tokenizer.get_vocab_size())).eval()
    first, second = rendered(TALK[:3], template), rendered(TALK, template)
    changed = copy.deepcopy(first)
    changed.ids[2] = (changed.ids[2] + 1) % 300

    def losses(*chats: Chat) -> torch.Tensor:
        _, found, owners = sft.chat_losses(model, chats)
        return torch.cat([found[owners == number] for number in range(len(chats))])

    packed, other = losses(first, second), losses(changed, second)
    size = sum(first.learnt[1:])
    assert torch.allclose(packed[size:], losses(second), atol=1e-5)
    assert torch.allclose(packed[size:], other[size:], atol=1e-6)
    assert not torch.allclose(packed[:size], other[:size], atol=1e-4)


def test_chats_are_laid_out_without_padding_and_know_their_owners(template: Template) -> None:
    short, long = rendered(TALK[:3], template), rendered(TALK, template)

    flat = laid_out([long, short, long])

    assert len(flat.ids) == 2 * len(long.ids) + len(short.ids)
    assert flat.owners.tolist() == [1] * len(short.ids) + [0] * len(long.ids) + [2] * len(long.ids)
    assert [(run.count, run.length) for run in flat.runs] == [(1, len(short.ids)), (2, len(long.ids))]
    assert int((flat.targets >= 0).sum()) == sum(sum(chat.learnt[1:]) for chat in (short, long, long))


def test_packing_fills_sequences_and_loses_no_chat() -> None:
    lengths = [at % 13 + 2 for at in range(100)]

    bins = pack(lengths, range(100), 32)
    steps = epoch_steps(lengths, seed=1, epoch=0, capacity=32, packing=True, sequences_per_step=4)

    assert sorted(at for found in bins for at in found) == list(range(100))
    assert all(sum(lengths[at] for at in found) <= 32 for found in bins)
    assert sum(lengths) / (32 * len(bins)) > 0.9
    assert sorted(at for step in steps for found in step for at in found) == list(range(100))


def test_a_run_stopped_while_its_last_epoch_is_measured_measures_it_after_the_resume(
    chats: Path, tmp_path: Path, told: Any
) -> None:
    spec = spec_of()
    whole = sft.train(spec, chats, tmp_path / "whole", Silent())

    first = told(stop_after=whole["steps"], questions_later=1)  # the loop asks first, then the measuring
    with pytest.raises(Stopped):
        sft.train(spec, chats, tmp_path / "first", first)
    resumed = sft.train(spec, chats, tmp_path / "second", Silent(), resume_from=Path(first.checkpoints[-1]))

    assert resumed["history"] == whole["history"]
    assert resumed["best_epoch"] == whole["best_epoch"]
    assert resumed["files"]["model.safetensors"] == whole["files"]["model.safetensors"]


@pytest.mark.parametrize("options", [{}, {"dropout": 0.1, "packing": False, "tie_embeddings": False}])
def test_a_stopped_run_resumes_to_the_same_weights(
    chats: Path, tmp_path: Path, told: Any, options: dict[str, Any]
) -> None:
    spec = spec_of(**options, epochs=3)
    whole = sft.train(spec, chats, tmp_path / "whole", Silent())
    stop_after = whole["steps"] // 3 + 1
    first = told(stop_after=stop_after)
    with pytest.raises(Stopped):
        sft.train(spec, chats, tmp_path / "first", first)

    resumed = sft.train(spec, chats, tmp_path / "second", Silent(), resume_from=Path(first.checkpoints[-1]))

    assert resumed["files"]["model.safetensors"] == whole["files"]["model.safetensors"]
    assert resumed["history"] == whole["history"]


def test_smaller_micro_batches_learn_the_same(chats: Path, tmp_path: Path) -> None:
    runs = [
        sft.train(spec_of(), chats, tmp_path / "whole", Silent()),
        sft.train(spec_of(), chats, tmp_path / "halved", Silent(), micro_batch=1),
        sft.train(spec_of(batch_size=1, gradient_accumulation=4), chats, tmp_path / "accumulated", Silent()),
    ]

    losses = [run["evaluations"]["test"]["headline"]["loss"]["value"] for run in runs]
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=1e-4)


def test_a_few_chats_are_learnt_by_heart(chat_file: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.preflight_rows.LEAK_SHARE", 1.0)
    talks = [
        [{"role": "user", "content": f"{word}?"}, {"role": "assistant", "content": f"{word[::-1]}."}]
        for word in ("card", "loan", "wire", "rate")
    ]
    data = chat_file(tmp_path / "c.parquet", [(talk, "train") for talk in talks] + [(talk, "dev") for talk in talks])

    result = sft.train(
        spec_of(epochs=150, width=32, sample_count=4, sample_tokens=20), data, tmp_path / "out", Silent()
    )

    samples = json.loads((tmp_path / "out" / "samples.json").read_text())
    assert [found["answer"] for found in samples] == [found["expected"] for found in samples]
    assert all(found["stopped"] for found in samples)
    assert result["evaluations"]["dev"]["headline"]["perplexity"]["value"] < 1.2


def test_served_equals_trained_here_and_in_transformers(chats: Path, tmp_path: Path) -> None:
    sft.train(spec_of(), chats, tmp_path, Silent())

    opened = open_chat_model(tmp_path / "model")
    model, template, description = opened.model, opened.template, opened.description

    judge = AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    ids, _ = render(TALK, template)
    assert tokenizer.apply_chat_template(TALK, return_dict=False) == ids
    asked, _ = render(TALK[:2], template, answer_next=True)
    assert tokenizer.apply_chat_template(TALK[:2], add_generation_prompt=True, return_dict=False) == asked
    with torch.no_grad():
        assert torch.allclose(model(torch.tensor([ids])).logits, judge(torch.tensor([ids])).logits, atol=1e-5)
    assert description["metrics"]["test"]["perplexity"]["value"] > 1


def test_a_changed_template_is_refused(chats: Path, tmp_path: Path) -> None:
    sft.train(spec_of(epochs=1, sample_count=0), chats, tmp_path, Silent())
    path = tmp_path / "model" / "lingxi.json"
    path.write_text(path.read_text().replace('"loss_on": "assistant"', '"loss_on": "all"'))

    with pytest.raises(RunFailed) as failure:
        open_chat_model(tmp_path / "model")

    assert failure.value.code == "template_mismatch"


def test_training_ends_after_max_steps(chats: Path, tmp_path: Path) -> None:
    result = sft.train(spec_of(max_steps=3, epochs=50, packing=False), chats, tmp_path, Silent())

    assert result["steps"] == 3 and len(result["history"]) == 1


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([("assistant", "hello"), ("user", "hi")], "broken_role_order"),
        ([("user", "hi"), ("user", "hi"), ("assistant", "x")], "broken_role_order"),
        ([("user", "hi"), ("system", "x"), ("assistant", "x")], "broken_role_order"),
        ([("user", "hi"), ("assistant", " ")], "empty_text"),
        ([("user", "hi")], "no_loss_tokens"),
        ([("user", "very long question " * 40), ("assistant", "yes")], "no_loss_tokens"),
    ],
)
def test_a_broken_chat_refuses_the_run_with_its_row(
    chat_file: Any, tmp_path: Path, messages: list[tuple[str, str]], code: str
) -> None:
    good = [
        ([{"role": "user", "content": f"question {at}"}, {"role": "assistant", "content": f"answer {at}"}], "train")
        for at in range(12)
    ]
    bad = ([{"role": role, "content": content} for role, content in messages], "train")
    data = chat_file(tmp_path / "c.parquet", [*good[:6], bad, *good[6:]])

    with pytest.raises(Refused) as refused:
        sft.train(spec_of(), data, tmp_path / "out", Silent())

    errors = [problem for problem in refused.value.problems if problem.severity == "error"]
    assert [(problem.code, problem.rows) for problem in errors] == [(code, (106,))]


def test_answers_without_their_end_refuse_the_run(chat_file: Any, tmp_path: Path) -> None:
    good = [
        ([{"role": "user", "content": f"question {at}"}, {"role": "assistant", "content": f"answer {at}"}], "train")
        for at in range(12)
    ]
    endless = [{"role": "user", "content": "tell"}, {"role": "assistant", "content": "again and again " * 20}]
    data = chat_file(tmp_path / "c.parquet", [*good[:6], (endless, "train"), *good[6:]])

    with pytest.raises(Refused) as refused:
        sft.train(spec_of(), data, tmp_path / "out", Silent())

    errors = [problem for problem in refused.value.problems if problem.severity == "error"]
    assert [(problem.code, problem.rows) for problem in errors] == [("missing_end", (106,))]


BASES = ("own", "llama", "gpt2")
SMALL: dict[str, Any] = {"adapter_rank": 4, "virtual_tokens": 4, "bottleneck_width": 4}


def based(folder: Path, **options: Any) -> SftSpec:
    return spec_of(base_model=BaseModel("folder", str(folder)), context_tokens=96, **SMALL, **options)


def weights(result: dict[str, Any]) -> dict[str, str]:
    return {name: found["sha256"] for name, found in result["files"].items() if name.endswith(".safetensors")}


@pytest.mark.parametrize("kind", BASES)
@pytest.mark.parametrize("method", ["full", "lora", "prefix", "prompt", "bottleneck"])
def test_a_tuned_base_is_served_as_it_was_trained(
    tiny_chat: Any, chats: Path, tmp_path: Path, kind: str, method: str
) -> None:
    spec = based(tiny_chat(kind), method=method, epochs=3, adapter_learning_rate=5e-3, learning_rate=2e-3)

    result = sft.train(spec, chats, tmp_path, Silent())

    # dev by the packed network in training; dev by transformers on the saved folder
    trained = min(found["dev_loss"] for found in result["history"])
    assert result["evaluations"]["dev"]["headline"]["loss"]["value"] == pytest.approx(trained, abs=1e-4)
    assert (result["trainable_parameters"] < result["parameters"]) == (method != "full")


@pytest.mark.parametrize("method", ADAPTERS)
def test_every_method_learns_and_resumes_to_the_same_weights(
    tiny_chat: Any, chats: Path, tmp_path: Path, told: Any, method: str
) -> None:
    spec = based(tiny_chat("llama"), method=method, epochs=3, answered_rows=0)
    whole = sft.train(spec, chats, tmp_path / "whole", Silent())
    first = told(stop_after=whole["steps"] // 2)
    with pytest.raises(Stopped):
        sft.train(spec, chats, tmp_path / "first", first)

    resumed = sft.train(spec, chats, tmp_path / "second", Silent(), resume_from=Path(first.checkpoints[-1]))

    assert weights(resumed) == weights(whole)
    assert resumed["history"] == whole["history"]


def test_a_tuned_version_keeps_the_template_of_its_base(tiny_chat: Any, chats: Path, tmp_path: Path) -> None:
    base = tiny_chat("llama")

    sft.train(based(base, method="lora", epochs=1), chats, tmp_path, Silent())

    before, after = (AutoTokenizer.from_pretrained(folder) for folder in (base, tmp_path / "model"))
    assert after.apply_chat_template(TALK, tokenize=False) == before.apply_chat_template(TALK, tokenize=False)
    assert json.loads((tmp_path / "model" / "config.json").read_text()) == json.loads(
        (base / "config.json").read_text()
    )


def test_pairs_and_questions_are_told_as_chats(tmp_path: Path) -> None:
    common = {"example_id": [1, 2], "split": ["train", "dev"], "meta": ["{}", "{}"]}
    pq.write_table(pa.table({**common, "source": ["cat", "dog"], "target": ["猫", "狗"]}), tmp_path / "pairs")
    answers = [[{"text": "here", "start": 4}], []]
    asked = {**common, "question": ["Where?", "Who?"], "context": ["Not here.", ""], "answers": answers}
    pq.write_table(pa.table(asked), tmp_path / "qa")

    pairs = read_chats(tmp_path / "pairs", "pairs", "Translate.")
    questions = read_chats(tmp_path / "qa", "qa")

    system = {"role": "system", "content": "Translate."}
    assert pairs["train"].messages == [
        [system, {"role": "user", "content": "cat"}, {"role": "assistant", "content": "猫"}]
    ]
    assert questions["train"].messages[0][0]["content"] == "Not here.\n\nWhere?"
    assert questions["train"].messages[0][1]["content"] == "here"
    assert questions["dev"].messages[0][0]["content"] == "Who?"


def test_written_answers_are_counted_with_signatures_and_all_right_answers(tmp_path: Path) -> None:
    rows = ChatRows([7, 8], [TALK, TALK[:3]], others={7: ["You are welcome."]})
    examples = [
        ChatExample(7, "thanks", "Gladly.", "You are welcome.", "stop", 3, 0.1, 0.9, True),
        ChatExample(8, "where", "Look at the map.", "Look at a map.", "stop", 5, 0.5, 0.6, False),
    ]

    figures, notes = answer_figures(rows, examples, seed=1, report=Silent())

    assert figures["exact_match"]["value"] == 0.5
    assert figures["rouge_1"]["value"] == pytest.approx((1 + 3 / 4) / 2)
    assert "tok:13a" in notes["signatures"]["bleu"]
    assert "pass_at_1" not in figures


def test_programs_are_run_where_rows_bring_tests(tmp_path: Path) -> None:
    rows = ChatRows([7], [TALK[1:3]], tests={7: "assert add(2, 3) == 5"})
    written = "```python\ndef add(a, b):\n    return a + b\n```"
    example = ChatExample(7, "add", "def add(a, b): return a + b", written, "stop", 3, 0.1, 0.9, False)

    figures, notes = answer_figures(rows, [example], seed=1, report=Silent())

    assert figures["pass_at_1"]["value"] == 1.0
    assert notes["programs"]["reasons"] == {"passed": 1}


def test_a_version_tuned_on_pairs_is_measured_on_pairs_behind_its_instruction(tmp_path: Path) -> None:
    count = 16
    columns = {
        "example_id": list(range(count)),
        "split": ["train"] * 10 + ["dev"] * 3 + ["test"] * 3,
        "meta": ["{}"] * count,
        "source": [f"card {at}" for at in range(count)],
        "target": [f"map {at}" for at in range(count)],
    }
    pq.write_table(pa.table(columns), tmp_path / "pairs.parquet")
    data = {"path": str(tmp_path / "pairs.parquet"), "kind": "pairs"}
    spec = spec_of(instruction="Say where.", epochs=1)
    trained = sft.train(spec, Path(data["path"]), tmp_path / "run", Silent(), data_kind="pairs")
    order = {"task": "evaluate", "model": trained["model"], "data": {**data, "split": "test"}, "out": str(tmp_path)}

    measured = tasks.perform(order, None, Silent())

    assert measured["rows"] == 3
    expected = trained["evaluations"]["test"]["headline"]["loss"]["value"]
    assert measured["headline"]["loss"]["value"] == pytest.approx(expected, abs=1e-6)
