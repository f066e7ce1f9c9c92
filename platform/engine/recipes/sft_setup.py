"""What a fine-tuning run is made of before it starts: base, template, rendered chats, packing, network, method."""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from engine import base_models
from engine.chat_folder import OWN_TEMPLATE, end_tokens
from engine.continuing import Earlier, earlier_rows
from engine.data import ChatRows, parts_of, read_chats
from engine.gpt import Gpt, GptConfig, Run, next_token_targets
from engine.gpt.hugging_face import load_gpt, read_config
from engine.gpt.runs import runs_of
from engine.methods import Attached, added_parameters, attach
from engine.plan import rehearsed_rows, taken_in_turns
from engine.preflight_chat import chat_problems, refused_problems, rendered_problems, unended_problems
from engine.render import END, SPECIAL_TOKENS, AnyTemplate, Chat, ForeignTemplate, Template, Unrenderable, rendered
from engine.specs import Problem
from engine.specs.methods import VIRTUAL
from engine.specs.prefer import PreferSpec
from engine.specs.sft import SftSpec
from engine.teaching import spread_evenly
from engine.vocabulary import byte_level_bpe

POOL_CHATS = 512  # packed together
DecoderSpec = SftSpec | PreferSpec  # recipes that tune a model that writes


def arrange(spec: SftSpec, splits: Mapping[str, ChatRows]) -> tuple[dict[str, ChatRows], list[Problem]]:
    """(rows by part, problems): dev is held out of train when the dataset has none."""
    parts = parts_of(spec, splits, ChatRows)
    return parts, chat_problems(spec, parts)


@dataclass(frozen=True)
class Beginning:
    """The template a run renders by, the shape of its network, and the folder it starts from (None: a new network)."""

    template: AnyTemplate
    config: GptConfig
    ends: frozenset[int]  # tokens that end an answer
    base: Path | None = None
    words: Path | None = None  # the folder whose tokenizer and template are kept

    def network(self) -> Gpt:
        """The network with its weights, of a student fewer layers; seed torch before a new one is made."""
        if self.base is None:
            return Gpt(self.config)
        model = load_gpt(self.base, dropout=self.config.dropout)
        if self.config.layers < model.config.layers:
            kept = spread_evenly(model.config.layers, self.config.layers)
            model.blocks = nn.ModuleList(model.blocks[at] for at in kept)
            model.config = self.config
        return model


def beginning(spec: DecoderSpec, train: ChatRows | None = None, known_tokenizer: str = "") -> Beginning:
    """Where the run starts; of a new network the vocabulary is learnt on train unless it is known from a checkpoint.

    RunFailed when the base model is missing, or of a shape this engine does not train.
    """
    if isinstance(spec, SftSpec) and spec.base_model.is_new:
        own = Tokenizer.from_str(known_tokenizer) if known_tokenizer else None
        new = (
            Template(own, spec.template, spec.loss_on) if own is not None else learn_template(spec, train or ChatRows())
        )
        return Beginning(new, model_config(spec, new.tokenizer.get_vocab_size()), ends_of(new))
    place = base_models.fetched(spec.base_model)
    path = place / "config.json"
    config = dataclasses.replace(read_config(json.loads(path.read_text(encoding="utf-8"))), dropout=spec.dropout)
    template = template_of(place, spec)
    return Beginning(template, config, ends_of(template, place), place, place)


def ends_of(template: AnyTemplate, place: Path | None = None) -> frozenset[int]:
    """The tokens that end an answer: ours, or those the base's folder names."""
    if isinstance(template, Template) or place is None:
        return frozenset({template.ids[END]} if isinstance(template, Template) else ())
    return frozenset(end_tokens(place, template.tokenizer))


def template_of(place: Path, spec: DecoderSpec) -> AnyTemplate:
    """The rule and tokenizer of a base: ours where we made it and its vocabulary has our roles, else its own."""
    description = base_models.own_description(str(place))
    ours = description.get("template", {}).get("name") == OWN_TEMPLATE or description.get("recipe") == "pretrain"
    tokenizer = Tokenizer.from_file(str(place / "tokenizer.json"))
    if ours and all(tokenizer.token_to_id(token) is not None for token in SPECIAL_TOKENS):
        return Template(tokenizer, spec.template, spec.loss_on)
    return ForeignTemplate(base_models.load_tokenizer(str(place)))


def attach_method(model: Gpt, spec: DecoderSpec) -> Attached | None:
    """Put the spec's adapter into the network; virtual tokens begin at random tokens of the vocabulary."""
    if not spec.is_adapter:
        return None
    drawn = torch.randint(model.config.vocabulary_size, (spec.virtual_tokens,)).tolist()
    start = model.virtual_start(drawn, is_prefix=spec.method == "prefix") if spec.method in VIRTUAL else None
    attached = attach(model, spec)
    if attached.virtual is not None and start is not None:
        attached.virtual.start(start)
    return attached


def sizes(spec: DecoderSpec, config: GptConfig) -> tuple[int, int]:
    """(all parameters, those that are trained), without making them."""
    if not spec.is_adapter:
        return config.parameter_count(), config.parameter_count()
    with torch.device("meta"):
        model = Gpt(config)
        attach(model, spec)
    return sum(parameter.numel() for parameter in model.parameters()), added_parameters(model)


def room(spec: DecoderSpec, config: GptConfig) -> int:
    """Tokens of one chat at most: the context, less the virtual tokens before it."""
    virtual = spec.virtual_tokens if spec.method in VIRTUAL else 0
    return min(spec.context_tokens, config.context_tokens - virtual)


def parameter_groups(model: Gpt, spec: DecoderSpec) -> list[dict[str, Any]]:
    """AdamW groups: matrices decay and vectors do not; what an adapter adds has its own rate and does not decay."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if spec.is_adapter:
        return [{"params": trained, "lr": spec.adapter_learning_rate, "weight_decay": 0.0}]
    decay = 0.0 if getattr(spec, "keep", "") == "l2_sp" else spec.weight_decay  # the pull takes its place
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def learn_template(spec: SftSpec, train: ChatRows) -> Template:
    """A byte-level BPE learnt on the training messages, bound to the template."""
    texts: Iterator[str] = (message["content"] for messages in train.messages for message in messages)
    return Template(byte_level_bpe(texts, spec.vocabulary_size), spec.template, spec.loss_on)


def render_all(
    parts: Mapping[str, ChatRows], start: Beginning, limit: int
) -> tuple[dict[str, list[Chat]], list[Problem]]:
    """Chats by part cut to `limit` tokens, and what rendering showed to be wrong."""
    chats: dict[str, list[Chat]] = {}
    spans: dict[str, list[list[tuple[int, int]]]] = {}
    problems: list[Problem] = []
    for name, part in parts.items():
        found, refused = [], []
        for number, messages in zip(part.ids, part.messages, strict=True):
            try:
                found.append(rendered(messages, start.template, limit))
            except Unrenderable:
                found.append((Chat([], [], []), []))
                refused.append(number)
        if refused:
            problems += refused_problems(refused)
        chats[name] = [chat for chat, _ in found]
        spans[name] = [places for _, places in found]
    lengths = {name: [len(chat.full) for chat in some] for name, some in chats.items()}
    return chats, problems or rendered_problems(parts, spans, lengths, limit) + unended(parts, chats, start.ends)


def unended(parts: Mapping[str, ChatRows], chats: Mapping[str, Sequence[Chat]], ends: frozenset[int]) -> list[Problem]:
    """Chats whose last answer does not end with a learnt end token: a model that learns them never stops."""
    rows = [
        number
        for name, part in parts.items()
        for number, chat in zip(part.ids, chats[name], strict=True)
        if any(chat.learnt) and not ends & {chat.ids[max(at for at, known in enumerate(chat.learnt) if known)]}
    ]
    return unended_problems(rows, sum(len(part) for part in parts.values()))


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
    if packing:
        pools = [order[at : at + POOL_CHATS] for at in range(0, len(order), POOL_CHATS)]
        bins = [found for pool in pools for found in pack(lengths, pool, capacity)]
    else:
        bins = [[at] for at in order]
    shuffled = [bins[at] for at in generator.permutation(len(bins))]
    return [shuffled[at : at + sequences_per_step] for at in range(0, len(shuffled), sequences_per_step)]


def rehearsed_steps(
    lengths: Sequence[int],
    earlier: Sequence[range],
    *,
    share: float,
    seed: int,
    epoch: int,
    capacity: int,
    packing: bool,
    sequences_per_step: int,
) -> list[list[list[int]]]:
    """The same over new chats, those before the first earlier one; a share of each step's sequences is of earlier tasks."""
    drawn = rehearsed_rows(sequences_per_step, share)
    new = epoch_steps(
        lengths[: earlier[0].start],
        seed=seed,
        epoch=epoch,
        capacity=capacity,
        packing=packing,
        sequences_per_step=sequences_per_step - drawn,
    )
    wanted = drawn * len(new)
    old: list[list[int]] = []
    count = wanted
    while len(old) < wanted:  # how many chats fill so many sequences shows once they are packed
        rows = taken_in_turns(earlier, count, seed=seed, epoch=epoch)
        pools = [rows[at : at + POOL_CHATS] for at in range(0, len(rows), POOL_CHATS)]
        old = [
            found for pool in pools for found in (pack(lengths, pool, capacity) if packing else [[at] for at in pool])
        ]
        count *= 2
    return [[*step, *old[number * drawn : (number + 1) * drawn]] for number, step in enumerate(new)]


def earlier_chats(
    spec: SftSpec, parts: Mapping[str, ChatRows], earlier: Sequence[Earlier], data_kind: str
) -> list[ChatRows]:
    """The training chats of each earlier task where the spec reads them; RunFailed when there are none."""
    if not spec.rehearses:
        return []

    def read(task: Earlier) -> dict[str, ChatRows]:
        return read_chats(task.path, task.kind or data_kind, spec.instruction)

    def said(rows: ChatRows) -> list[str]:
        return ["\n".join(message["content"] for message in messages) for messages in rows.messages]

    return earlier_rows(spec, earlier, read, said, [parts["dev"], parts["test"]])


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


def model_config(spec: SftSpec, vocabulary_size: int) -> GptConfig:
    """The Llama shape of a spec and a vocabulary."""
    return GptConfig(
        vocabulary_size=vocabulary_size,
        context_tokens=spec.context_tokens,
        layers=spec.layers,
        heads=spec.heads,
        width=spec.width,
        kv_heads=spec.kv_heads,
        feed_forward=spec.feed_forward,
        tied=spec.tie_embeddings,
        dropout=spec.dropout,
    )
