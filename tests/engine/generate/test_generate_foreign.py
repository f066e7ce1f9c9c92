"""Architectures that our own network is not, under the same loop: as transformers itself writes, alike in any company."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoTokenizer,
    GemmaConfig,
    GemmaForCausalLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
)

from engine.generate.opening import Writer, open_writer
from engine.generate.readers import is_ours
from engine.specs.sampling import Sampling
from tests.engine.generate.asking import prompt, tokens_of

COMMON: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "initializer_range": 0.5,
}
MAKERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "gemma": lambda ids: GemmaForCausalLM(
        GemmaConfig(**COMMON, **ids, num_key_value_heads=2, head_dim=16, intermediate_size=64)
    ),
    "phi3": lambda ids: Phi3ForCausalLM(Phi3Config(**COMMON, **ids, num_key_value_heads=2, intermediate_size=64)),
    "gpt_neox": lambda ids: GPTNeoXForCausalLM(GPTNeoXConfig(**COMMON, **ids, intermediate_size=64)),
    "opt": lambda ids: OPTForCausalLM(
        OPTConfig(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=64, max_position_embeddings=128,
            init_std=0.5, word_embed_proj_dim=32, **ids,
        )
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=MAKERS)
def folder(
    request: pytest.FixtureRequest, tiny_chat: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A tiny model of an architecture with the tokenizer of the tiny Llama."""
    found = tmp_path_factory.mktemp("foreign") / "model"
    tokenizer = AutoTokenizer.from_pretrained(tiny_chat("llama"))
    tokenizer.save_pretrained(found)
    torch.manual_seed(3)
    ids = {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id, "pad_token_id": 0, "bos_token_id": 0}
    MAKERS[request.param](ids).save_pretrained(found)
    return found


def written(writer: Writer, prompts: dict[str, list[int]], **options: Any) -> dict[str, list[int]]:
    """Tokens of answers that are asked for at once."""
    given = {"max_tokens": 10, "temperature": 0, "ignore_end": True, **options}
    for key, tokens in prompts.items():
        writer.backend.add(writer.request(key, tokens, Sampling(**given), tenant="t"))
    found: dict[str, list[Any]] = {key: [] for key in prompts}
    while writer.is_busy:
        for delta in writer.backend.step():
            found[delta.key].append(delta)
    return {key: tokens_of(deltas) for key, deltas in found.items()}


def test_it_writes_what_transformers_writes(folder: Path) -> None:
    from transformers import AutoModelForCausalLM

    writer = open_writer(folder, cache_bytes=2_000_000)
    asked = {str(size): [token % 250 for token in prompt(size, size)] for size in (3, 40, 70)}

    found = written(writer, asked)

    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    for key, tokens in asked.items():
        with torch.no_grad():
            told = model.generate(
                torch.tensor([tokens]),
                attention_mask=torch.ones(1, len(tokens), dtype=torch.long),
                max_new_tokens=10,
                min_new_tokens=10,
                do_sample=False,
            )
        told = told[0, len(tokens) :].tolist()
        ends = [at for at, token in enumerate(found[key]) if token == writer.frame.ends[0]]  # generate forbids them
        same = min([*ends, 10])
        assert found[key][:same] == told[:same] and (same or ends == [0])
    assert writer.way == "transformers" and not is_ours(folder)


def test_an_answer_is_alike_in_any_company_and_after_a_prefix_was_kept(folder: Path) -> None:
    asked = {str(at): [token % 250 for token in prompt(at, 20 + 17 * at)] for at in range(4)}
    options: dict[str, Any] = {"temperature": 0.9, "seed": 5}

    crowd = written(open_writer(folder, cache_bytes=2_000_000), asked, **options)
    small_steps = written(open_writer(folder, cache_bytes=2_000_000, step_tokens=32), asked, **options)
    one = open_writer(folder, cache_bytes=2_000_000)
    alone = {key: written(one, {key: tokens}, **options)[key] for key, tokens in asked.items()}
    again = written(one, {"3": asked["3"]}, **options)

    assert crowd == alone == small_steps
    assert again["3"] == crowd["3"]
    assert one.backend.load().cached_tokens > 0
