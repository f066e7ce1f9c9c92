"""Versions made from one base by LoRA, answered together: as each alone says it, bit by bit in any company."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.generate.opening import Writer, open_writer
from engine.generate.packed import can_pack
from engine.generate.sharing import SharedWriters
from engine.specs.sampling import Sampling
from tests.engine.generate.asking import tokens_of

TALKS = ["where is my card?", "look at the map", "the rate is low", "我的卡在哪里"]


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def said(asked: list[tuple[Writer, str, str]], **options: Any) -> dict[str, Any]:
    """{key: (tokens, log probabilities)} of chats asked at once of writers, which may share a loop."""
    sampling = Sampling(max_tokens=12, temperature=0.8, seed=3, logprobs=1, **options)
    loops = {id(writer.backend): writer.backend for writer, _key, _text in asked}
    for writer, key, text in asked:
        prompt = writer.chat_tokens([{"role": "user", "content": text}])
        writer.backend.add(writer.request(key, prompt, sampling, tenant="t"))
    found: dict[str, list[Any]] = {key: [] for _writer, key, _text in asked}
    for loop in loops.values():
        while loop.load().running or loop.load().waiting:
            for delta in loop.step():
                found[delta.key].append(delta)
    return {
        key: (tokens_of(all_), [drawn.logprob for one in all_ for drawn in one.tokens]) for key, all_ in found.items()
    }


def shared(base: Path, folders: dict[str, Path]) -> SharedWriters:
    made = SharedWriters(base, cache_bytes=2_000_000)
    assert [made.add(name, folder, root=name) for name, folder in folders.items()] == [""] * len(folders)
    return made


@pytest.mark.parametrize("method", ["lora", "rslora", "dora"])
def test_an_adapter_on_the_shared_base_says_what_its_merged_version_says(
    lora_base: Path, lora_tuned: Callable[..., Path], method: str
) -> None:
    folder = lora_tuned(5, method, adapter_targets="all")
    alone, plain = open_writer(folder, cache_bytes=2_000_000), open_writer(lora_base, cache_bytes=2_000_000)
    writer = shared(lora_base, {"a": folder}).writers["a"]

    ours = said([(writer, text, text) for text in TALKS])
    theirs = said([(alone, text, text) for text in TALKS])
    before = said([(plain, text, text) for text in TALKS])

    for text in TALKS:
        assert ours[text][0] == theirs[text][0]
        assert ours[text][1] == pytest.approx(theirs[text][1], abs=1e-3)
    assert [ours[text][0] for text in TALKS] != [before[text][0] for text in TALKS]


@pytest.mark.skipif(not can_pack(), reason="this processor has no product whose rows do not depend on each other")
def test_answers_are_equal_bit_by_bit_beside_other_adapters(lora_base: Path, lora_tuned: Callable[..., Path]) -> None:
    folders = {"a": lora_tuned(5), "b": lora_tuned(6, "dora"), "c": lora_tuned(7, adapter_targets="query_value")}
    together = shared(lora_base, folders).writers
    asked = [(name, f"{name} {text}", text) for text in TALKS for name in folders]

    crowd = said([(together[name], key, text) for name, key, text in asked])
    alone: dict[str, Any] = {}
    for name, key, text in asked:
        alone |= said([(shared(lora_base, {name: folders[name]}).writers[name], key, text)])

    assert crowd == alone
    assert len({str(crowd[f"{name} {TALKS[0]}"]) for name in folders}) == 3


def test_a_prefix_that_one_adapter_has_read_is_none_of_anothers(
    lora_base: Path, lora_tuned: Callable[..., Path]
) -> None:
    """OpenVINO GenAI answers the second of these wrongly: its prefixes are not kept apart by adapter."""
    folders = {"a": lora_tuned(5), "b": lora_tuned(6)}
    text = "where is my card? " * 3
    first = shared(lora_base, folders).writers
    said([(first["a"], "a", text)])
    said([(first["a"], "a again", text)])

    after = said([(first["b"], "b", text)])

    assert after == said([(shared(lora_base, folders).writers["b"], "b", text)])
    assert first["a"].backend.load().cached_tokens > 0


def test_an_adapter_that_does_not_fit_keeps_a_network_of_its_own(
    lora_base: Path, lora_tuned: Callable[..., Path], lora_bases: Callable[[int], Path], tiny_chat: Callable[..., Path]
) -> None:
    writers = shared(lora_base, {"a": lora_tuned(5)})
    assert "ia3" in writers.add("b", lora_tuned(6, "ia3"), root="b")
    other = SharedWriters(lora_bases(2), cache_bytes=2_000_000)
    assert "do not make the weights" in other.add("c", lora_tuned(5), root="c")
    smaller = SharedWriters(tiny_chat("llama"), cache_bytes=2_000_000)
    assert "other matrices" in smaller.add("c", lora_tuned(5), root="c")
    broken = lora_tuned(8)
    (broken / "adapter" / "adapter_model.safetensors").write_bytes(b"no tensors")
    assert "cannot be read" in writers.add("d", broken, root="d")
    reads_otherwise = lora_tuned(9)
    settings = json.loads((reads_otherwise / "tokenizer.json").read_text())
    settings["pre_tokenizer"] = {"type": "Whitespace"}
    (reads_otherwise / "tokenizer.json").write_text(json.dumps(settings))
    assert "another way" in writers.add("e", reads_otherwise, root="e")
    assert list(writers.writers) == ["a"]


def test_an_adapter_that_is_let_go_leaves_the_others(lora_base: Path, lora_tuned: Callable[..., Path]) -> None:
    both = {"a": lora_tuned(5), "b": lora_tuned(6)}
    writers = shared(lora_base, both)
    size = writers.memory_bytes
    before = said([(writers.writers["a"], "x", TALKS[0])])

    writers.drop("b")

    assert writers.memory_bytes < size
    assert said([(writers.writers["a"], "x", TALKS[0])]) == before
    assert writers.add("b", both["b"], root="b") == ""
    assert writers.memory_bytes == size
