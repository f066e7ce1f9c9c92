"""A text classifier on a pretrained encoder: packed forward without padding, mean or native pooling."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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


class TextClassifier(nn.Module):
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
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.p = dropout

    @property
    def encoder(self) -> Any:
        """The encoder without its head."""
        return self.base if self.pooling == "mean" else self.network.base_model

    def forward(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """Logits [N, K] of N sequences of token ids, in their order."""
        if self.pooling == "mean":
            return cast(Tensor, self.head(F.dropout(self.features(sequences), self.dropout_share, self.training)))
        if not self.is_packed:
            return cast(Tensor, self.network(**self._padded(sequences)).logits)
        order = sorted(range(len(sequences)), key=lambda at: len(sequences[at]))
        first = self._first_tokens(sequences, order)[:, None]  # [N, 1, D]
        if getattr(self.encoder, "pooler", None) is None:
            logits = self.network.classifier(first)
        else:
            logits = self.network.classifier(self.network.dropout(self.encoder.pooler(first)))
        return cast(Tensor, logits)[_inverse(order, logits.device)]

    def features(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """The text vectors [N, D] the mean head reads."""
        order = sorted(range(len(sequences)), key=lambda at: len(sequences[at]))
        hidden, groups = self._packed_hidden(sequences, order)  # [T, D]
        means, firsts = [], []
        for start, count, length in groups:
            block = hidden[start : start + count * length].view(count, length, -1)
            means.append(block.mean(1))
            firsts.append(block[:, 0])
        pooled = torch.cat(means) * MEAN_SCALE + torch.cat(firsts)
        pooled = F.layer_norm(pooled, pooled.shape[-1:], eps=self.config.layer_norm_eps)
        pooled = torch.tanh(pooled / POOL_SCALE) * POOL_SCALE
        return pooled[_inverse(order, pooled.device)]

    def _first_tokens(self, sequences: Sequence[Sequence[int]], order: Sequence[int]) -> Tensor:
        hidden, groups = self._packed_hidden(sequences, order)
        return torch.cat([hidden[start : start + n * length].view(n, length, -1)[:, 0] for start, n, length in groups])

    def _packed_hidden(
        self, sequences: Sequence[Sequence[int]], order: Sequence[int]
    ) -> tuple[Tensor, list[tuple[int, int, int]]]:
        """Last hidden states [T, D] of the sequences laid end to end by length, and (start, count, length) groups."""
        groups, start = [], 0
        for length, members in groupby(order, key=lambda at: len(sequences[at])):
            count = len(list(members))
            groups.append((start, count, length))
            start += count * length
        device = self.encoder.embeddings.word_embeddings.weight.device
        ids = torch.tensor([token for at in order for token in sequences[at]], device=device)
        offset = 0 if self.config.model_type == "bert" else self.config.pad_token_id + 1
        positions = torch.cat([torch.arange(length).repeat(count) for _, count, length in groups]).to(device) + offset
        embeddings = self.encoder.embeddings
        hidden = embeddings.word_embeddings(ids) + embeddings.position_embeddings(positions)
        hidden = hidden + embeddings.token_type_embeddings.weight[0]
        hidden = embeddings.dropout(embeddings.LayerNorm(hidden))
        for layer in self.encoder.encoder.layer:
            hidden = _layer(layer, hidden, groups, training=self.training)
        return hidden, groups

    def _padded(self, sequences: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        longest = max(len(sequence) for sequence in sequences)
        pad = self.config.pad_token_id or 0
        device = next(self.parameters()).device
        rows = [[*sequence, *[pad] * (longest - len(sequence))] for sequence in sequences]
        mask = [[1] * len(sequence) + [0] * (longest - len(sequence)) for sequence in sequences]
        return {"input_ids": torch.tensor(rows, device=device), "attention_mask": torch.tensor(mask, device=device)}


def _layer(layer: Any, hidden: Tensor, groups: Sequence[tuple[int, int, int]], *, training: bool) -> Tensor:
    """One BERT layer on packed tokens [T, D]; attention runs per group of equally long texts, so without a mask."""
    attention = layer.attention.self
    heads, size = attention.num_attention_heads, attention.attention_head_size
    weight = torch.cat((attention.query.weight, attention.key.weight, attention.value.weight))
    bias = torch.cat((attention.query.bias, attention.key.bias, attention.value.bias))
    projected = F.linear(hidden, weight, bias)  # [T, 3D]
    drop = attention.dropout.p if training else 0.0
    mixed = []
    for start, count, length in groups:
        block = projected[start : start + count * length].view(count, length, 3, heads, size)
        query, key, value = block.permute(2, 0, 3, 1, 4)  # each [n, H, L, d]
        out = F.scaled_dot_product_attention(query, key, value, dropout_p=drop)
        mixed.append(out.transpose(1, 2).reshape(count * length, heads * size))
    hidden = layer.attention.output(torch.cat(mixed), hidden)
    return cast(Tensor, layer.feed_forward_chunk(hidden))


def _inverse(order: Sequence[int], device: torch.device) -> Tensor:
    inverse = torch.empty(len(order), dtype=torch.long)
    inverse[torch.tensor(order)] = torch.arange(len(order))
    return inverse.to(device)
