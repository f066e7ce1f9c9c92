"""What a chat run is made of before it starts: vocabulary, template, rendered chats, packing, network."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from engine.data import ChatRows, held_out
from engine.preflight_chat import chat_problems, rendered_problems
from engine.render import END, PAD, SPECIAL_TOKENS, Chat, Template, rendered
from engine.specs import Problem
from engine.specs.chat import ChatSpec

NO_TARGET = -100


def arrange(spec: ChatSpec, splits: Mapping[str, ChatRows]) -> tuple[dict[str, ChatRows], list[Problem]]:
    """(rows by part, problems): dev is held out of train when the dataset has none."""
    named = {"train": spec.train_split, "dev": spec.dev_split, "test": spec.test_split}
    parts = {part: splits.get(name, ChatRows()) for part, name in named.items()}
    if not len(parts["dev"]) and spec.holdout_share > 0 and len(parts["train"]):
        whole = parts["train"]
        kept, out = held_out(len(whole), spec.holdout_share, spec.seed)
        parts["train"], parts["dev"] = whole.pick(kept), whole.pick(out)
    return parts, chat_problems(spec, parts)


def learn_template(spec: ChatSpec, train: ChatRows) -> Template:
    """A byte-level BPE learnt on the training messages, bound to the template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=spec.vocabulary_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    texts: Iterator[str] = (message["content"] for messages in train.messages for message in messages)
    tokenizer.train_from_iterator(texts, trainer)
    return Template(tokenizer, spec.template, spec.loss_on)


def render_all(
    spec: ChatSpec, parts: Mapping[str, ChatRows], template: Template
) -> tuple[dict[str, list[Chat]], list[Problem]]:
    """Chats by part, and what rendering showed to be wrong."""
    chats: dict[str, list[Chat]] = {}
    spans: dict[str, list[list[tuple[int, int]]]] = {}
    for name, part in parts.items():
        found = [rendered(messages, template, spec.context_tokens) for messages in part.messages]
        chats[name] = [chat for chat, _ in found]
        spans[name] = [places for _, places in found]
    lengths = {name: [len(chat.full) for chat in some] for name, some in chats.items()}
    return chats, rendered_problems(spec, parts, spans, lengths)


def pack(lengths: Sequence[int], order: Sequence[int], capacity: int) -> list[list[int]]:
    """Rows into sequences of at most `capacity` tokens: each goes where it fits tightest, longest first."""
    bins: list[list[int]] = []
    free: list[int] = []
    for at in sorted(order, key=lambda at: -lengths[at]):
        fitting = [(room, number) for number, room in enumerate(free) if room >= lengths[at]]
        if fitting:
            _, number = min(fitting)
            bins[number].append(at)
            free[number] -= lengths[at]
        else:
            bins.append([at])
            free.append(capacity - lengths[at])
    return bins


def epoch_steps(
    lengths: Sequence[int], *, seed: int, epoch: int, capacity: int, packing: bool, sequences_per_step: int
) -> list[list[list[int]]]:
    """The optimiser steps of an epoch; each is a list of sequences, each a list of rows: by seed and epoch only."""
    generator = np.random.default_rng([seed, epoch])
    order = [int(at) for at in generator.permutation(len(lengths))]
    pool = 512
    if packing:
        bins = [found for at in range(0, len(order), pool) for found in pack(lengths, order[at : at + pool], capacity)]
    else:
        bins = [[at] for at in order]
    shuffled = [bins[at] for at in generator.permutation(len(bins))]
    return [shuffled[at : at + sequences_per_step] for at in range(0, len(shuffled), sequences_per_step)]


def tensors(sequences: Sequence[Sequence[Chat]]) -> dict[str, Tensor]:
    """Packed chats as tensors [B, T]: ids, positions that restart with each chat, next-token targets, chat numbers.

    The positions are what keeps chats apart: attention is confined to runs of rising positions.
    """
    longest = max(sum(len(chat.ids) for chat in sequence) for sequence in sequences)
    ids = torch.zeros(len(sequences), longest, dtype=torch.long)
    positions = torch.zeros_like(ids)
    targets = torch.full_like(ids, NO_TARGET)
    owners = torch.full_like(ids, -1)
    number = 0
    for row, sequence in enumerate(sequences):
        start = 0
        for chat in sequence:
            size = len(chat.ids)
            end = start + size
            ids[row, start:end] = torch.tensor(chat.ids)
            positions[row, start:end] = torch.arange(size)
            following = torch.tensor(chat.ids[1:], dtype=torch.long)
            targets[row, start : end - 1] = torch.where(
                torch.tensor(chat.learnt[1:], dtype=torch.bool), following, NO_TARGET
            )
            owners[row, start:end] = number
            start, number = end, number + 1
        positions[row, start:] = torch.arange(longest - start)
    return {"ids": ids, "positions": positions, "targets": targets, "owners": owners}


def model_config(spec: ChatSpec, template: Template) -> Any:
    """The Llama configuration of a spec and a vocabulary."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=template.tokenizer.get_vocab_size(),
        hidden_size=spec.width,
        intermediate_size=spec.feed_forward or -(-spec.width * 8 // 48) * 16,
        num_hidden_layers=spec.layers,
        num_attention_heads=spec.heads,
        num_key_value_heads=spec.kv_heads,
        max_position_embeddings=spec.context_tokens,
        attention_dropout=spec.dropout,
        tie_word_embeddings=spec.tie_embeddings,
        rms_norm_eps=1e-5,
        bos_token_id=None,
        eos_token_id=template.ids[END],
        pad_token_id=template.ids[PAD],
    )


def new_model(config: Any) -> Any:
    """A decoder with fresh weights; seed torch before."""
    from transformers import LlamaForCausalLM

    config._attn_implementation = "sdpa"
    return LlamaForCausalLM(config).float()
