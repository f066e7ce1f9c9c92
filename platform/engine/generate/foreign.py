"""Any causal language model of transformers under our loop: slower than our own network, for shapes that it is not.

Each piece is read alone, prompts in blocks of UNIT tokens and written tokens one by one, so an answer does not depend on its
company here either. Keys and values lie in the same arenas as those of our own network; a forward pass sees its row's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from engine.base_models import quiet_transformers
from engine.generate.cache import TensorStore
from engine.generate.network import Reading, parts_of
from engine.methods import read_adapter
from engine.methods.folder import FOLDER as ADAPTER_FOLDER


@dataclass(frozen=True)
class ForeignShape:
    """What a store must know of a network: `engine.generate.cache.Shape`."""

    layers: int
    kv_heads: int
    head_width: int


class ForeignNetwork:
    """A network of transformers that reads pieces into a store and gives the logits behind them."""

    virtual_tokens = 0
    takes_no_positions = False

    def __init__(self, model: Any, store: TensorStore) -> None:
        self.model = model.eval()
        self.store = store

    @torch.inference_mode()
    def logits(self, readings: Sequence[Reading], wanted: Sequence[int]) -> Tensor:
        """Logits [len(wanted), V] behind the tokens of these numbers, counted over all readings; float32."""
        ids = [token for reading in readings for token in reading.tokens]
        blocks, singles = parts_of(readings)
        found: dict[int, Tensor] = {}
        asked = set(wanted)
        for part in sorted([*blocks, *singles], key=lambda part: part.first):
            told = self._read(ids[part.first : part.first + part.count], part.place.room, part.place.row, part.start)
            found |= {part.first + at: told[at] for at in range(part.count) if part.first + at in asked}
        if not wanted:
            return torch.empty(0, self.model.config.vocab_size)
        return torch.stack([found[at] for at in wanted]).float()

    def _read(self, tokens: Sequence[int], room: int, row: int, start: int) -> Tensor:
        """Logits [t, V] behind tokens at positions [start, start + t) of a row, whose keys and values are kept."""
        from transformers import DynamicCache

        arena = self.store.arena(room)[:, :, row]  # [2, L, G, room, d]
        end = start + len(tokens)
        seen = [(arena[0, layer, None, :, :start], arena[1, layer, None, :, :start]) for layer in range(arena.shape[1])]
        cache = DynamicCache(seen if start else None)
        told = self.model(
            input_ids=torch.tensor([list(tokens)], device=arena.device),
            attention_mask=torch.ones(1, end, dtype=torch.long, device=arena.device),
            past_key_values=cache,
            use_cache=True,
        )
        for layer, kept in enumerate(cache.layers):
            arena[0, layer, :, start:end] = kept.keys[0, :, start:]
            arena[1, layer, :, start:end] = kept.values[0, :, start:]
        return cast(Tensor, told.logits[0])


def open_foreign(folder: Path) -> tuple[Any, ForeignShape, int]:
    """(network, what its store must know, the longest context it can have) of a folder, on the GPU if there is one."""
    from transformers import AutoModelForCausalLM

    quiet_transformers()
    on_gpu = torch.cuda.is_available()
    dtype = torch.bfloat16 if on_gpu and torch.cuda.is_bf16_supported() else torch.float32
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, trust_remote_code=False, use_safetensors=True
    )
    if (folder / ADAPTER_FOLDER).is_dir():
        model = read_adapter(model, folder)
    if on_gpu:
        model = model.to("cuda")
    config = model.config.get_text_config()
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    shape = ForeignShape(config.num_hidden_layers, getattr(config, "num_key_value_heads", None) or heads, width)
    return model, shape, int(config.max_position_embeddings)
