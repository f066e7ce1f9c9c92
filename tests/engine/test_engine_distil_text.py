"""A smaller model that writes, taught by a larger one: the formula, where it begins, misfits, figures, resume."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM

from engine.chat_folder import save_chat_model
from engine.chat_model import load_chat_model
from engine.failures import RunFailed, Stopped
from engine.gpt import Gpt, GptConfig, Lesson, token_losses
from engine.preflight import preflight
from engine.recipes import distil_text, sft
from engine.recipes.sft_setup import laid_out
from engine.render import Chat, Template
from engine.report import Silent
from engine.specs import BaseModel, parse_spec
from engine.specs.distil_text import DistilTextSpec
from engine.specs.methods import METHODS, refused
from engine.specs.sft import SftSpec
from engine.vocabulary import byte_level_bpe

TINY: dict[str, Any] = {
    "layers": 1, "width": 16, "heads": 2, "kv_heads": 1, "context_tokens": 64, "batch_size": 2, "epochs": 2,
    "learning_rate": 1e-2, "answered_rows": 2, "sample_count": 1, "sample_tokens": 4,
}  # fmt: skip
FIGURES = {"loss", "perplexity"}


@pytest.fixture(scope="module")
def teacher(chats: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A writer of three layers that has learnt the chats."""
    spec = SftSpec(**{**TINY, "layers": 3, "width": 32, "epochs": 6, "vocabulary_size": 320, "answered_rows": 0})
    return Path(sft.train(spec, chats, tmp_path_factory.mktemp("teacher"), Silent())["model"])


def spec_of(teacher: Path, **options: Any) -> DistilTextSpec:
    return DistilTextSpec(**{"teacher": BaseModel("version", "7", place=str(teacher)), **TINY, **options})


def cut(teacher: Path, **options: Any) -> DistilTextSpec:
    """A student of the teacher's own layers."""
    return spec_of(teacher, base_model=BaseModel("version", "7", place=str(teacher)), **options)


def test_the_loss_and_its_gradients_are_the_formula_by_hand() -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(5, 6, requires_grad=True), torch.randn(11, 6, requires_grad=True)
    theirs, targets, share, heat = torch.randn(5, 9), torch.randint(9, (5,)), 0.25, 2.0

    lesson = Lesson(lambda rows: theirs[rows], share, heat)  # the teacher's matrix is padded less
    total, losses = token_losses(hidden, weight, targets, lesson=lesson, scale=0.5, at_once=2)
    total.backward()  # type: ignore[no-untyped-call]

    found = hidden.grad, weight.grad
    hidden.grad = weight.grad = None
    logits = hidden @ weight.T
    soft = torch.softmax(theirs / heat, -1)
    by_teacher = -(soft * torch.log_softmax(logits[:, :9] / heat, -1)).sum(1) * heat**2
    wanted = share * F.cross_entropy(logits, targets, reduction="none") + (1 - share) * by_teacher
    (wanted.sum() * 0.5).backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(losses, wanted.detach())
    torch.testing.assert_close(found, (hidden.grad, weight.grad))


def test_only_learnt_tokens_are_listened_to_by_either_network(teacher: Path) -> None:
    chats = [Chat([1, 2, 7, 8, 9], [False, False, True, True, False], []), Chat([1, 5, 3], [False, True, True], [])]
    flat = laid_out(chats)
    ours = distil_text.Teacher.opened(spec_of(teacher))
    theirs = distil_text.Teacher(ours.spec, ours.place, load_chat_model(teacher), ours.beginning)

    first, second = (one.lesson(chats, flat).logits(slice(0, 9)) for one in (ours, theirs))

    assert first.shape[0] == 4
    torch.testing.assert_close(first, second, rtol=0, atol=1e-4)


def test_a_cut_teacher_is_a_student_that_transformers_opens(teacher: Path, chats: Path, tmp_path: Path) -> None:
    result = distil_text.train(cut(teacher, student_layers=1, epochs=6), chats, tmp_path, Silent())

    folder = Path(result["model"])
    beside = json.loads(Path(result["evaluations"]["test"]["metrics"]).read_text())["teacher"]
    assert AutoModelForCausalLM.from_pretrained(folder).config.num_hidden_layers == 1
    assert json.loads((folder / "lingxi.json").read_text())["recipe"] == "distil_text"
    assert set(beside["headline"]["student"]) == FIGURES
    assert beside["parameters"]["student"] < beside["parameters"]["teacher"]
    assert 0 <= beside["agreement"] <= 1 and beside["speed_up"] > 0
    gap = beside["headline"]["student"]["loss"]["value"] - beside["headline"]["teacher"]["loss"]["value"]
    assert beside["difference"]["difference"] == pytest.approx(gap)
    assert beside["difference"]["low"] <= gap <= beside["difference"]["high"]
    assert beside["headline"]["student"]["loss"]["value"] == pytest.approx(
        result["evaluations"]["test"]["headline"]["loss"]["value"]
    )


def test_a_new_student_has_the_teachers_vocabulary_and_comes_near_it(
    teacher: Path, chats: Path, tmp_path: Path
) -> None:
    options = {"width": 32, "layers": 2, "epochs": 8, "hard_share": 0.0}
    result = distil_text.train(spec_of(teacher, **options), chats, tmp_path, Silent())

    beside = json.loads(Path(result["evaluations"]["dev"]["metrics"]).read_text())["teacher"]
    assert (Path(result["model"]) / "tokenizer.json").read_text() == (teacher / "tokenizer.json").read_text()
    assert beside["agreement"] > 0.3, "it was taught by certainty alone"


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("shape", ["cut", "new"])
def test_a_student_of_a_foreign_teacher_keeps_its_words_and_ends(
    kind: str, shape: str, tiny_chat: Any, chats: Path, tmp_path: Path
) -> None:
    place = tiny_chat(kind)
    options = {"epochs": 1, "context_tokens": 96}
    spec = cut(place, student_layers=1, **options) if shape == "cut" else spec_of(place, **options)

    folder = Path(distil_text.train(spec, chats, tmp_path, Silent())["model"])

    teacher, student = load_chat_model(place), load_chat_model(folder)
    assert AutoModelForCausalLM.from_pretrained(folder).config.num_hidden_layers == 1
    assert student.ends == teacher.ends
    assert student.template.description() == teacher.template.description()


def test_a_resumed_student_has_the_same_weights(teacher: Path, chats: Path, tmp_path: Path, told: Any) -> None:
    spec = cut(teacher, student_layers=2)
    whole = distil_text.train(spec, chats, tmp_path / "whole", Silent())
    first = told(stop_after=3)
    with pytest.raises(Stopped):
        distil_text.train(spec, chats, tmp_path / "first", first)

    resumed = distil_text.train(spec, chats, tmp_path / "second", Silent(), resume_from=Path(first.checkpoints[-1]))

    assert resumed["files"]["model.safetensors"] == whole["files"]["model.safetensors"]


@pytest.mark.parametrize("method", [name for name in METHODS if not refused("distil_text", name)])
def test_every_method_saves_a_student_that_loads_as_it_was_measured(
    method: str, teacher: Path, chats: Path, tmp_path: Path
) -> None:
    spec = cut(teacher, student_layers=2, method=method, epochs=1, virtual_tokens=2, bottleneck_width=2)

    result = distil_text.train(spec, chats, tmp_path, Silent())

    beside = json.loads(Path(result["evaluations"]["dev"]["metrics"]).read_text())["teacher"]
    known = load_chat_model(Path(result["model"]))
    again = distil_text.beside(
        load_chat_model(teacher), known, sft.arrange(spec, sft.read_chats(chats))[0]["dev"], seed=17, report=Silent()
    )
    assert again["headline"]["student"] == beside["headline"]["student"]


def test_a_teacher_of_another_architecture_teaches_a_new_student(chats: Path, tmp_path: Path) -> None:
    from transformers import GemmaConfig, GemmaForCausalLM

    tokenizer = byte_level_bpe(["my card is lost", "send the money"], 300)
    template = Template(tokenizer)
    torch.manual_seed(0)
    own = Gpt(GptConfig(vocabulary_size=tokenizer.get_vocab_size(), context_tokens=64, layers=1, heads=2, width=16))
    folder = tmp_path / "gemma"
    save_chat_model(folder, own, template, {"recipe": "sft", "context_tokens": 64})
    description = (folder / "lingxi.json").read_text()
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = GemmaConfig(
        vocab_size=tokenizer.get_vocab_size() + 5, num_key_value_heads=1, head_dim=8, eos_token_id=1, pad_token_id=0,
        bos_token_id=2, **sizes,
    )  # fmt: skip
    GemmaForCausalLM(config).save_pretrained(folder)
    (folder / "lingxi.json").write_text(description)

    result = distil_text.train(spec_of(folder, epochs=1), chats, tmp_path / "out", Silent())

    assert result["vocabulary_size"] == tokenizer.get_vocab_size() + 5


def test_another_vocabulary_is_refused_with_the_first_token_that_differs(
    teacher: Path, chats: Path, tmp_path: Path
) -> None:
    spec = SftSpec(**{**TINY, "epochs": 1, "vocabulary_size": 310, "answered_rows": 0, "sample_count": 0})
    other = Path(sft.train(spec, chats, tmp_path / "other", Silent())["model"])

    with pytest.raises(RunFailed) as failure:
        preflight(spec_of(teacher, base_model=BaseModel("version", "8", place=str(other))), chats, Silent())

    assert failure.value.code == "vocabulary_mismatch" and "Token 310 is" in failure.value.message


def test_a_teacher_that_labels_and_layers_that_are_not_there_are_refused(
    teacher: Path, encoder: Path, chats: Path
) -> None:
    with pytest.raises(RunFailed, match="does not write"):
        preflight(spec_of(encoder), chats, Silent())
    with pytest.raises(RunFailed, match="cannot be kept"):
        preflight(cut(teacher, student_layers=4), chats, Silent())
    _, problems = parse_spec("distil_text", {"student_layers": 2, "vocabulary_size": 999, "keep": "replay"})
    assert {problem.field for problem in problems} >= {"teacher", "student_layers", "vocabulary_size", "keep"}


def test_the_outlook_counts_the_teacher(teacher: Path, chats: Path) -> None:
    taught = preflight(spec_of(teacher), chats, Silent())["estimate"]
    alone = preflight(SftSpec(**{**TINY, "vocabulary_size": 320}), chats, Silent())["estimate"]
    weights = sum(p.numel() for p in load_chat_model(teacher).model.parameters())

    assert taught["memory_bytes"] > alone["memory_bytes"] + 4 * weights
    assert taught["steps"] == alone["steps"]
