"""What a chat run is made of before it starts: vocabulary, template, rendered chats, packing, network."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from engine.data import ChatRows, held_out
from engine.gpt import GptConfig, Run, next_token_targets
from engine.gpt.runs import runs_of
from engine.preflight_chat import chat_problems, rendered_problems
from engine.render import SPECIAL_TOKENS, Chat, Template, rendered
from engine.specs import Problem
from engine.specs.chat import ChatSpec


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


@dataclass(frozen=True)
class LaidOut:
    """Chats end to end, shorter ones first: N tokens, their targets, and the number of each token's chat."""

    ids: Tensor  # [N]
    targets: Tensor  # [N], NO_TARGET where nothing is learnt
    owners: Tensor  # [N], positions in the given order
    runs: list[Run]


def laid_out(chats: Sequence[Chat]) -> LaidOut:
    """No padding and no mask: attention runs document by document, so no chat sees another."""
    order = sorted(range(len(chats)), key=lambda at: len(chats[at].ids))
    lengths = [len(chats[at].ids) for at in order]
    ids = torch.tensor([token for at in order for token in chats[at].ids])
    learnt = torch.tensor([known for at in order for known in chats[at].learnt])
    runs = runs_of(lengths)
    owners = torch.repeat_interleave(torch.tensor(order), torch.tensor(lengths))
    return LaidOut(ids, next_token_targets(ids, runs, learnt), owners, runs)


def model_config(spec: ChatSpec, template: Template) -> GptConfig:
    """The Llama shape of a spec and a vocabulary."""
    return GptConfig(
        vocabulary_size=template.tokenizer.get_vocab_size(),
        context_tokens=spec.context_tokens,
        layers=spec.layers,
        heads=spec.heads,
        width=spec.width,
        kv_heads=spec.kv_heads,
        feed_forward=spec.feed_forward,
        tied=spec.tie_embeddings,
        dropout=spec.dropout,
    )
