"""Classifiers that tell labels by words as Hugging Face folders: the whole language model, with pattern and words beside."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from engine.base_models import load_config, load_network, load_tokenizer, own_description
from engine.encoder import can_pack
from engine.folders import write_folder
from engine.gpt.hugging_face import load_gpt, save_gpt
from engine.methods import Attached, plain_weights, read_adapter, write_adapter
from engine.verbaliser import MaskedWords, Reading, WordScorer, WrittenWords

MASKED_ENDING = "ForMaskedLM"


def says_words_at_a_mask(config: Any) -> bool:
    """Whether an architecture is a BERT- or RoBERTa-like encoder that was saved with its head for words."""
    return can_pack(config) and any(str(name).endswith(MASKED_ENDING) for name in config.architectures or ())


def holds_verbaliser(folder: Path) -> bool:
    """Whether the folder is a version of ours that tells labels by words."""
    return own_description(str(folder)).get("way") == "verbaliser"


def save_verbaliser(
    folder: Path,
    model: WordScorer,
    tokenizer: Any,
    description: Mapping[str, Any],
    *,
    attached: Attached | None = None,
    ends: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the folder whole or not at all; returns what lingxi.json says.

    AutoModelForMaskedLM or AutoModelForCausalLM gives the same logits over the vocabulary; which of them stand for which
    label only lingxi.json says. `ends` are the special tokens of a model that writes, by their names in config.json. What
    an adapter learnt is written beside the weights, and into them where that is possible; `model` is merged by this.
    """

    def fill(beside: Path) -> None:
        if attached is not None:
            kind = "CAUSAL_LM" if isinstance(model, WrittenWords) else "FEATURE_EXTRACTION"
            write_adapter(beside, attached, base_model=description["base_model"], task_type=kind)
            attached.merge()
        tokenizer.save_pretrained(beside)
        if isinstance(model, WrittenWords):
            save_gpt(model.gpt, beside, special=ends, weights=plain_weights(model.gpt.state_dict()))
            return
        assert isinstance(model, MaskedWords)
        config = model.config
        config.architectures = [type(model.network).__name__]
        config.save_pretrained(beside)
        weights = _untied(plain_weights(model.network.state_dict()))
        safetensors.torch.save_file(weights, beside / "model.safetensors", metadata={"format": "pt"})

    return write_folder(folder, fill, {**description, "way": "verbaliser", "bias": model.bias.tolist()})


def open_verbaliser(folder: Path) -> tuple[WordScorer, Any, dict[str, Any], Reading]:
    """(model in eval mode, tokenizer, description, how a text becomes token ids) of an own folder."""
    description = own_description(str(folder))
    tokenizer = load_tokenizer(str(folder))
    is_masked = says_words_at_a_mask(load_config(str(folder)))
    reading = Reading(tokenizer, description["pattern"], int(description["max_length_tokens"]), is_masked)
    words = description["word_ids"]
    model: WordScorer
    if is_masked:
        model = MaskedWords(masked_network(str(folder)), words, mask_id=tokenizer.mask_token_id)
        read_adapter(model.encoder, folder)
    else:
        model = WrittenWords(load_gpt(folder), words)
        read_adapter(model.gpt, folder)
    model.bias.copy_(torch.tensor(description["bias"]))
    return model.eval(), tokenizer, description, reading


def masked_network(place: str, revision: str = "") -> Any:
    """A network of transformers with its masked-language-model head, in fp32."""
    return load_network(place, 0, revision=revision, keep_head=True, head="MaskedLM")


def _untied(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as they can be saved: of tensors that share their memory the first, which transformers ties again."""
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in weights.items():
        if tensor.data_ptr() not in seen:
            found[name] = tensor.detach().cpu().contiguous()
            seen.add(tensor.data_ptr())
    return found
