"""Pretrained encoders read without padding, and the text classifier on top of one: mean or native pooling."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.gpt.runs import Run, documents, joined, positions_of, runs_of, widened, with_first, without_first
from engine.int8 import projected
from engine.precision import through

if TYPE_CHECKING:
    from engine.methods.virtual import VirtualTokens

# Encoders laid out like BERT: post-norm layers under encoder.layer, absolute positions under embeddings.
PACKED_TYPES = ("bert", "roberta", "xlm-roberta", "camembert")
# The mean is taken as one attention layer that looks at every token alike: LN(MEAN_SCALE * mean + first). Its
# output passes a pooler that is the identity up to tanh(x / POOL_SCALE). Both are powers of two, so the trained
# function and the exported folder of model_folder.py are the same function.
MEAN_SCALE = 64.0
POOL_SCALE = 32.0


def can_pack(config: Any) -> bool:
    """Whether the packed forward, and so mean pooling, is defined for this architecture."""
    return config.model_type in PACKED_TYPES and not getattr(config, "is_decoder", False)


class PackedEncoder(nn.Module):
    """Token ids of N texts -> token states; a subclass says which `encoder` and puts its head on top."""

    config: Any
    is_packed: bool
    recomputes = False  # in training: only what enters each layer is kept for the gradients

    @property
    def encoder(self) -> Any:
        """The encoder without a head."""
        raise NotImplementedError

    def token_states(self, sequences: Sequence[Sequence[int]], added: Tensor | None = None) -> Tensor:
        """Last hidden states [T, D] of N sequences of token ids laid end to end in their order.

        `added` [T, E] is put on top of the token embeddings.
        """
        lengths = [len(sequence) for sequence in sequences]
        if not self.is_packed:
            return self._padded_states(sequences, added)
        order = sorted(range(len(sequences)), key=lambda at: lengths[at])
        hidden, _ = self._packed_hidden(sequences, order, in_order(added, lengths, order))
        rows = torch.split(hidden, [lengths[at] for at in order])
        return torch.cat([rows[at] for at in inverse(order, torch.device("cpu")).tolist()])

    def _padded_states(self, sequences: Sequence[Sequence[int]], added: Tensor | None) -> Tensor:
        given = self._padded_inputs(sequences, added)
        return cast(Tensor, self.encoder(**given).last_hidden_state[given["attention_mask"].bool()])

    def _padded_inputs(self, sequences: Sequence[Sequence[int]], added: Tensor | None) -> dict[str, Tensor]:
        """What an architecture without a packed form is given; `added` [T, E] stands on top of the token embeddings."""
        given = self._padded(sequences)
        if added is None:
            return given
        mask = given["attention_mask"].bool()  # [N, L]
        embedded = self.encoder.get_input_embeddings()(given.pop("input_ids"))
        return {**given, "inputs_embeds": embedded.masked_scatter(mask[:, :, None], embedded[mask] + added)}

    def _packed_hidden(
        self, sequences: Sequence[Sequence[int]], order: Sequence[int], added: Tensor | None = None
    ) -> tuple[Tensor, list[Run]]:
        """Last hidden states [T, D] of the sequences laid end to end, which are in order of length, and their runs."""
        runs = runs_of([len(sequences[at]) for at in order])
        hidden = self._embedded(sequences, order, runs, added)
        virtual: VirtualTokens | None = getattr(self.encoder, "virtual", None)
        if virtual is None:
            return self._through(hidden, runs), runs
        if virtual.is_prefix:
            return self._through(hidden, runs, virtual.keys_values()), runs
        wide = widened(runs, virtual.count)
        hidden = self._through(with_first(hidden, runs, virtual.vectors()), wide)
        return without_first(hidden, wide, virtual.count), runs

    def _embedded(
        self,
        sequences: Sequence[Sequence[int]],
        order: Sequence[int],
        runs: Sequence[Run],
        added: Tensor | None = None,
    ) -> Tensor:
        """What the first layer reads, [T, D]."""
        embeddings = self.encoder.embeddings
        device = embeddings.word_embeddings.weight.device
        ids = torch.tensor([token for at in order for token in sequences[at]], device=device)
        offset = 0 if self.config.model_type == "bert" else self.config.pad_token_id + 1
        hidden = embeddings.word_embeddings(ids) + embeddings.position_embeddings(
            positions_of(runs).to(device) + offset
        )
        hidden = hidden + embeddings.token_type_embeddings.weight[0]
        hidden = hidden if added is None else hidden + added
        return cast(Tensor, embeddings.dropout(embeddings.LayerNorm(hidden)))

    def _through(
        self,
        hidden: Tensor,
        runs: Sequence[Run],
        prefixes: Sequence[tuple[Tensor, Tensor]] = (),
        seen: list[tuple[Tensor, Tensor]] | None = None,
    ) -> Tensor:
        for number, layer in enumerate(self.encoder.encoder.layer):
            prefix = prefixes[number] if prefixes else None
            step = partial(_layer, training=self.training, prefix=prefix, seen=seen)
            hidden = through(step, layer, hidden, runs, again=self.recomputes and self.training)
        return hidden

    @torch.no_grad()
    def virtual_start(self, ids: Sequence[int], *, is_prefix: bool) -> Tensor:
        """Where virtual tokens begin: what the frozen encoder makes of V real tokens, [V, D] or [V, 2 L H d]."""
        runs = runs_of([len(ids)])
        hidden = self._embedded([ids], [0], runs)
        if not is_prefix:
            return hidden
        seen: list[tuple[Tensor, Tensor]] = []
        self._through(hidden, runs, seen=seen)
        return joined(seen)

    def _padded(self, sequences: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        longest = max(len(sequence) for sequence in sequences)
        pad = self.config.pad_token_id or 0
        device = next(self.parameters()).device
        rows = [[*sequence, *[pad] * (longest - len(sequence))] for sequence in sequences]
        mask = [[1] * len(sequence) + [0] * (longest - len(sequence)) for sequence in sequences]
        return {"input_ids": torch.tensor(rows, device=device), "attention_mask": torch.tensor(mask, device=device)}


class TextClassifier(PackedEncoder):
    """Token ids of N texts -> logits [N, K].

    `network` is a transformers sequence-classification model. With pooling "mean" its own pooler and head are
    left aside and `head` reads the mean of the token vectors; with "native" the network's own are used.
    """

    head: nn.Linear

    def __init__(self, network: Any, label_count: int, *, pooling: str, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = network.config
        self.pooling = pooling
        self.is_packed = can_pack(network.config)
        self.dropout_share = dropout
        if pooling == "mean":
            self.base = network.base_model
            self.base.pooler = None
            self.head = nn.Linear(network.config.hidden_size, label_count)
            nn.init.normal_(self.head.weight, std=0.02)
            nn.init.zeros_(self.head.bias)
        else:
            self.network = network
        set_dropout(self, dropout)

    @property
    def encoder(self) -> Any:
        """The encoder without its head."""
        return self.base if self.pooling == "mean" else self.network.base_model

    def forward(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """Logits [N, K] of N sequences of token ids, in their order."""
        return self.logits(sequences)

    def logits(self, sequences: Sequence[Sequence[int]], added: Tensor | None = None) -> Tensor:
        """The same, with `added` [T, E] on top of the token embeddings of the sequences, laid end to end."""
        if self.pooling == "mean":
            features = self.features(sequences, added)
            return cast(Tensor, self.head(F.dropout(features, self.dropout_share, self.training)))
        if not self.is_packed:
            return cast(Tensor, self.network(**self._padded_inputs(sequences, added)).logits)
        order = sorted(range(len(sequences)), key=lambda at: len(sequences[at]))
        first = self._first_tokens(sequences, order, added)[:, None]  # [N, 1, D]
        if getattr(self.encoder, "pooler", None) is None:
            logits = self.network.classifier(first)
        else:
            logits = self.network.classifier(self.network.dropout(self.encoder.pooler(first)))
        return cast(Tensor, logits)[inverse(order, logits.device)]

    def features(self, sequences: Sequence[Sequence[int]], added: Tensor | None = None) -> Tensor:
        """The text vectors [N, D] the mean head reads."""
        lengths = [len(sequence) for sequence in sequences]
        order = sorted(range(len(sequences)), key=lambda at: lengths[at])
        hidden, runs = self._packed_hidden(sequences, order, in_order(added, lengths, order))  # [T, D]
        means, firsts = [], []
        for run in runs:
            block = documents(hidden, run)  # [n, L, D]
            means.append(block.mean(1))
            firsts.append(block[:, 0])
        pooled = torch.cat(means) * MEAN_SCALE + torch.cat(firsts)
        pooled = F.layer_norm(pooled, pooled.shape[-1:], eps=self.config.layer_norm_eps)
        pooled = torch.tanh(pooled / POOL_SCALE) * POOL_SCALE
        return pooled[inverse(order, pooled.device)]

    def _first_tokens(
        self, sequences: Sequence[Sequence[int]], order: Sequence[int], added: Tensor | None = None
    ) -> Tensor:
        lengths = [len(sequence) for sequence in sequences]
        hidden, runs = self._packed_hidden(sequences, order, in_order(added, lengths, order))
        return torch.cat([documents(hidden, run)[:, 0] for run in runs])


def in_order(added: Tensor | None, lengths: Sequence[int], order: Sequence[int]) -> Tensor | None:
    """Rows [T, E] of sequences of these lengths, brought into another order of the sequences."""
    if added is None:
        return None
    rows = torch.split(added, list(lengths))
    return torch.cat([rows[at] for at in order])


def type_table(encoder: Any) -> nn.Embedding | None:
    """The embeddings of the first and the second text of a pair; None for encoders that do not tell them apart."""
    table: nn.Embedding | None = getattr(getattr(encoder, "embeddings", None), "token_type_embeddings", None)
    return table if table is not None and table.num_embeddings > 1 else None


def added_by_type(encoder: Any, types: Sequence[int]) -> Tensor | None:
    """What tokens of type 1 have beyond those of type 0, [T, E]; None for encoders without token types."""
    table = type_table(encoder)
    if table is None:
        return None
    second = torch.tensor(types, device=table.weight.device)
    return second[:, None] * (table.weight[1] - table.weight[0])


def set_dropout(model: nn.Module, share: float) -> None:
    """Every dropout layer of the model drops this share while training."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = share


def _layer(
    layer: Any,
    hidden: Tensor,
    runs: Sequence[Run],
    *,
    training: bool,
    prefix: tuple[Tensor, Tensor] | None = None,
    seen: list[tuple[Tensor, Tensor]] | None = None,
) -> Tensor:
    """One BERT layer on packed tokens [T, D]; attention runs per run of equally long texts, so without a mask.

    Every text also sees the keys and values [H, V, d] of `prefix`; `seen` collects those of the texts.
    """
    attention = layer.attention.self
    heads, size = attention.num_attention_heads, attention.attention_head_size
    joint = getattr(attention, "joint", None)  # of a version that is only asked (engine.fused)
    parts = (attention.query, attention.key, attention.value)
    queries_keys_values = projected(parts, hidden) if joint is None else joint(hidden)  # [T, 3D]
    drop = attention.dropout.p if training else 0.0
    mixed = []
    for run in runs:
        block = documents(queries_keys_values, run).view(run.count, run.length, 3, heads, size)
        query, key, value = block.permute(2, 0, 3, 1, 4)  # each [n, H, L, d]
        if seen is not None:
            seen.append((key[0], value[0]))
        if prefix is not None:
            key = torch.cat((prefix[0].expand(run.count, -1, -1, -1), key), dim=2)
            value = torch.cat((prefix[1].expand(run.count, -1, -1, -1), value), dim=2)
        out = F.scaled_dot_product_attention(query, key, value, dropout_p=drop)
        mixed.append(out.transpose(1, 2).flatten(2).flatten(0, 1))
    hidden = layer.attention.output(torch.cat(mixed), hidden)
    return cast(Tensor, layer.feed_forward_chunk(hidden))


def inverse(order: Sequence[int], device: torch.device) -> Tensor:
    """The permutation [N] that brings what lies in `order` back."""
    found = torch.empty(len(order), dtype=torch.long)
    found[torch.tensor(order)] = torch.arange(len(order))
    return found.to(device)
