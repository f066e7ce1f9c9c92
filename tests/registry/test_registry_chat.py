"""Chat models in the registry: taken in from a zip, ours and others', given out again, refused when incomplete."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from django.core.files.uploadedfile import SimpleUploadedFile
from transformers import AutoConfig, AutoModelForCausalLM

from apps.registry.model_folders import WRITERS
from apps.registry.models import ModelVersion, VersionExport
from apps.registry.services import Making, register_version, start_export, start_import
from core.access import Actor
from core.jobs.models import Job
from core.storage import home
from engine.chat_model import load_chat_model
from workers.loop import run_next

Tiny = Callable[..., Path]
Files = dict[str, bytes]
PROMPTS = [
    [{"role": "user", "content": content}] for content in ("where is my card?", "我的卡", "look at the map " * 3)
]


def zipped(files: Files) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"model/{name}", content)
    return sink.getvalue()


def files_of(folder: Path) -> Files:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def imported(actor: Actor, content: bytes) -> Job:
    made = start_import(actor=actor, name="taken in", upload=SimpleUploadedFile("model.zip", content))
    assert run_next("infer") == made.job.pk
    made.job.refresh_from_db()
    return made.job


def answers(folder: Path) -> list[Any]:
    return load_chat_model(folder).answers(PROMPTS, max_new_tokens=12)


def test_an_own_version_goes_out_and_comes_back_with_the_same_answers(actor: Actor, tiny_chat: Tiny) -> None:
    folder = tiny_chat("own")
    template_hash = json.loads((folder / "lingxi.json").read_text())["template"]["hash"]
    version = register_version(
        workspace=actor.workspace,
        name="bot",
        folder=folder,
        recipe="sft",
        task="generation",
        making=Making(template_hash=template_hash),
        by=actor.user,
    )
    export = start_export(actor=actor, version=version)
    run_next("io")
    content = (home() / VersionExport.objects.get(pk=export.pk).path).read_bytes()

    job = imported(actor, content)

    assert job.state == "succeeded", job.error_message
    back = ModelVersion.objects.get(pk=job.result["model_version"])
    assert (back.task, back.labels, back.template_hash) == ("generation", [], template_hash)
    assert back.weights_hash == version.weights_hash
    assert answers(back.path) == answers(folder)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_foreign_chat_model_is_taken_in_and_answers_alike(actor: Actor, tiny_chat: Tiny, kind: str) -> None:
    folder = tiny_chat(kind)

    job = imported(actor, zipped(files_of(folder)))

    assert job.state == "succeeded", job.error_message
    version = ModelVersion.objects.get(pk=job.result["model_version"])
    assert version.task == "generation" and len(version.template_hash) == 64
    assert version.environment == {"architecture": WRITERS[kind]}
    assert answers(version.path) == answers(folder)


def without(name: str) -> Callable[[Files], Files]:
    return lambda files: {kept: content for kept, content in files.items() if kept != name}


def changed(name: str, **columns: Any) -> Callable[[Files], Files]:
    return lambda files: {**files, name: json.dumps({**json.loads(files[name]), **columns}).encode()}


@pytest.mark.parametrize(
    ("kind", "damage", "code"),
    [
        ("llama", without("tokenizer.json"), "file_missing"),
        ("llama", without("model.safetensors"), "file_missing"),
        ("llama", lambda files: {**files, "pytorch_model.bin": b"\x80"}, "unsafe_file"),
        ("llama", changed("config.json", auto_map={"AutoModel": "x.Y"}), "custom_code"),
        ("llama", changed("generation_config.json", auto_map={"X": "x.Y"}), "custom_code"),
        ("llama", changed("config.json", num_hidden_layers=3), "base_model_unusable"),
        ("llama", changed("config.json", hidden_size=48), "base_model_unusable"),
        ("own", changed("lingxi.json", template="x"), "description_disagrees"),
        ("own", changed("lingxi.json", recipe="classify"), "description_disagrees"),
        ("own", changed("lingxi.json", template={"name": "a", "loss_on": "all", "hash": "0"}), "template_mismatch"),
    ],
)
def test_an_incomplete_or_altered_chat_model_is_refused_with_a_code(
    actor: Actor, tiny_chat: Tiny, kind: str, damage: Callable[[Files], Files], code: str
) -> None:
    job = imported(actor, zipped(damage(files_of(tiny_chat(kind)))))

    assert (job.state, job.error_code) == ("failed", code)
    assert job.error_message
    assert not ModelVersion.objects.exists()


@pytest.mark.parametrize("model_type", WRITERS)
def test_every_architecture_that_is_taken_answers_in_batches_as_alone(
    tiny_chat: Tiny, tmp_path: Path, model_type: str
) -> None:
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    small |= {"head_dim": 8, "intermediate_size": 64, "ffn_dim": 64, "word_embed_proj_dim": 32, "pad_token_id": 0}
    small |= {"max_position_embeddings": 96, "vocab_size": 320, "bos_token_id": 1, "eos_token_id": 2}
    torch.manual_seed(3)
    config = AutoConfig.for_model(model_type, **small, initializer_range=0.4, init_std=0.4)
    for name, content in files_of(tiny_chat("llama")).items():
        if name.startswith("tokenizer") or name.endswith(".jinja"):
            (tmp_path / name).write_bytes(content)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    model = load_chat_model(tmp_path)

    together = model.answers(PROMPTS, max_new_tokens=12)

    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == [WRITERS[model_type]]
    assert together == [model.answers([prompt], max_new_tokens=12)[0] for prompt in PROMPTS]
    assert len({answer.text for answer in together}) == len(PROMPTS)
