"""Our GGUF files in llama.cpp itself: the same tokens, and logits beside torch's.

    pip install llama-cpp-python && python -m engine.bench.gguf

llama.cpp is no part of the installation; it takes minutes to build.
"""

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.chat_folder import save_chat_model
from engine.data import ChatRows
from engine.export_gguf import FILE, write_gguf
from engine.gpt import Gpt, GptConfig
from engine.gpt.config import gpt2_shape
from engine.gpt.hugging_face import load_gpt
from engine.recipes.sft_setup import learn_template
from engine.render import Template
from engine.specs import SftSpec

CONTEXT, READ = 256, 60
TEXT = "look at the map, 我的卡 1234: where's it?"
LEARNT = "where is my card? look at the map 我的卡在哪里 the rate is low, the loan is not. Call 1234567890!"
F32 = 0  # llama.cpp's number of the type: keys and values are halves unless it is told otherwise


def shapes(vocabulary: int) -> Iterator[tuple[str, GptConfig]]:
    """Each architecture that llama.cpp knows by another name."""
    common: dict[str, Any] = {
        "vocabulary_size": vocabulary,
        "context_tokens": CONTEXT,
        "layers": 3,
        "heads": 4,
        "width": 64,
    }
    yield "llama", GptConfig(**common)
    yield "llama, grouped queries", GptConfig(**common, kv_heads=2)
    yield "qwen2", GptConfig(**common, kv_heads=2, qkv_bias=True)
    yield "qwen3", GptConfig(**common, kv_heads=2, query_key_norm=True)
    yield "gpt2", gpt2_shape(**common)


def compared(config: GptConfig, template: Template, place: Path) -> dict[str, Any]:
    """Largest difference of logits, share of equal likeliest tokens, and whether a text has the same tokens."""
    from llama_cpp import Llama

    torch.manual_seed(3)
    model = Gpt(config)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.15)
    folder, target = place / "model", place / "gguf"
    target.mkdir()
    save_chat_model(folder, model, template, {"recipe": "sft", "context_tokens": CONTEXT})
    write_gguf(folder, target)
    draw = random.Random(1)
    ids = [draw.randrange(config.vocabulary_size) for _ in range(READ)]
    with torch.no_grad():
        wanted = load_gpt(folder)(torch.tensor([ids]))[0].numpy()
    theirs = Llama(str(target / FILE), n_ctx=CONTEXT, logits_all=True, verbose=False, type_k=F32, type_v=F32)
    theirs.eval(ids)
    found = np.array(theirs.scores[:READ])[:, : wanted.shape[1]]
    return {
        "largest difference": f"{np.abs(found - wanted).max():.1e}",
        "largest logit": f"{np.abs(wanted).max():.1f}",
        "equal likeliest": float((found.argmax(1) == wanted.argmax(1)).mean()),
        "equal tokens": theirs.tokenize(TEXT.encode(), add_bos=False)
        == template.tokenizer.encode(TEXT, add_special_tokens=False).ids,
    }


def main() -> None:
    """One line per architecture."""
    rows = ChatRows([1], [[{"role": "user", "content": LEARNT * 3}]])
    template = learn_template(SftSpec(vocabulary_size=600), rows)
    for name, config in shapes(template.tokenizer.get_vocab_size()):
        with tempfile.TemporaryDirectory() as place:
            found = compared(config, template, Path(place))
        print(name, *(f"{key} {value}" for key, value in found.items()), sep="  ")


if __name__ == "__main__":
    main()
