"""Our GPT over pieces of many requests at once: one product per matrix for all tokens, attention request by request.

A token's numbers must not depend on who else is in the step. Therefore prompts are read in blocks of UNIT tokens whatever
the size of the piece, written tokens one by one (also when they are read again), and rows of an arena up to the same
multiple of UNIT behind a mask. This holds for feed-forwards whose width is a multiple of 32, as it is in every usual model:
torch's activations treat what is left over at the end of a step by another formula.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.generate.adapters import Company
from engine.generate.cache import TensorStore
from engine.generate.memory import UNIT, Place
from engine.gpt import Gpt
from engine.gpt.attention import Rotation, causal_mask
from engine.gpt.block import Block


@dataclass(frozen=True)
class Reading:
    """Tokens of one request at positions [start, start + n) of its row; `prompt` of them belong to its prompt."""

    place: Place
    start: int
    tokens: Sequence[int]
    prompt: int
    adapter: str = ""  # of a base that many share


@dataclass(frozen=True)
class Part:
    """Where tokens [first, first + count) of the step lie: positions from `start` on of a row."""

    first: int
    count: int
    place: Place
    start: int


class Network:
    """A GPT that reads pieces into a store and gives the logits behind them."""

    def __init__(self, model: Gpt, store: TensorStore, company: Company | None = None) -> None:
        self.model = model.eval()
        self.company = company
        self.store = store
        self.device = model.tokens.weight.device
        virtual = model.virtual
        self.virtual_tokens = virtual.count if virtual is not None else 0
        with torch.no_grad():
            self._prefix = virtual.keys_values() if virtual is not None and virtual.is_prefix else None
            self._vectors = virtual.vectors() if virtual is not None and not virtual.is_prefix else None

    @property
    def takes_no_positions(self) -> bool:
        """Whether its virtual tokens are a prefix, which stands before position 0."""
        return self._prefix is not None

    @torch.inference_mode()
    def logits(self, readings: Sequence[Reading], wanted: Sequence[int]) -> Tensor:
        """Logits [len(wanted), V] behind the tokens of these numbers, counted over all readings; float32."""
        ids = torch.tensor([token for reading in readings for token in reading.tokens], device=self.device)
        if self.company is not None:
            self.company.take(readings, self.device)
        blocks, singles = parts_of(readings)
        places = [
            position for reading in readings for position in range(reading.start, reading.start + len(reading.tokens))
        ]
        positions = torch.tensor(places, device=self.device)
        layout = _Layout(blocks, singles, self.store, self.device)
        hidden, turning = self._embed(ids, positions)
        for number, module in enumerate(self.model.blocks):
            block = cast(Block, module)
            attention = block.attention
            query, key, value = attention.project(block.norm1(hidden), turning)
            if self._prefix is not None:
                self._put_prefix(number, ids, positions, key, value)
            layout.keep(number, key, value)
            hidden = hidden + attention.output(layout.attend(number, query).flatten(1))
            hidden = hidden + block.feed_forward(block.norm2(hidden))
        last = self.model.norm(hidden[torch.tensor(wanted, dtype=torch.long, device=self.device)])
        return cast(Tensor, self.model.head(last)).float()

    def _embed(self, ids: Tensor, positions: Tensor) -> tuple[Tensor, Rotation | None]:
        """Vectors of the tokens, learnt ones where a token is virtual; a prefix takes no position."""
        vectors = self.model.tokens(ids.clamp(min=0))
        if self._vectors is not None:
            vectors = torch.where(
                (ids < 0)[:, None], self._vectors[positions.clamp(max=self.virtual_tokens - 1)], vectors
            )
        if self._prefix is not None:
            positions = (positions - self.virtual_tokens).clamp(min=0)
        return self.model.embed(vectors, positions)

    def _put_prefix(self, layer: int, ids: Tensor, positions: Tensor, key: Tensor, value: Tensor) -> None:
        """In the place of virtual tokens' keys and values [N, G, d] stand the learnt ones."""
        assert self._prefix is not None
        tokens = (ids < 0).nonzero()[:, 0]
        keys, values = self._prefix[layer]  # [G, V, d]
        key[tokens] = keys[:, positions[tokens]].transpose(0, 1)
        value[tokens] = values[:, positions[tokens]].transpose(0, 1)


def parts_of(readings: Sequence[Reading]) -> tuple[list[Part], list[Part]]:
    """(blocks of prompts, single tokens) in the order of the step."""
    blocks: list[Part] = []
    singles: list[Part] = []
    first = 0
    for reading in readings:
        done = 0
        while done < len(reading.tokens):
            at = reading.start + done
            size = min(UNIT - at % UNIT, reading.prompt - at, len(reading.tokens) - done) if at < reading.prompt else 1
            part = Part(first + done, size, reading.place, at)
            (blocks if at < reading.prompt else singles).append(part)
            done += size
        first += len(reading.tokens)
    return blocks, singles


class _Layout:
    """Which tokens are written where and what each of them sees; made once for all layers."""

    def __init__(
        self, blocks: Sequence[Part], singles: Sequence[Part], store: TensorStore, device: torch.device
    ) -> None:
        self.store = store
        self.blocks = [(part, causal_mask(part.count, part.start + part.count, device)) for part in blocks]
        self.singles = [
            group
            for room, parts in _by_room(singles).items()
            for group in _groups(room, parts, store.rows(room), device)
        ]
        self.targets = [(room, *_targets(parts, device)) for room, parts in _by_room([*blocks, *singles]).items()]

    def keep(self, layer: int, key: Tensor, value: Tensor) -> None:
        """Write keys and values [N, G, d] to their rows."""
        for room, tokens, rows, positions in self.targets:
            arena = self.store.arena(room)
            arena[0, layer, rows, :, positions] = key[tokens]
            arena[1, layer, rows, :, positions] = value[tokens]

    def attend(self, layer: int, query: Tensor) -> Tensor:
        """What each of the queries [N, H, d] sees, [N, H, d]."""
        mixed = torch.empty_like(query)
        for part, mask in self.blocks:
            keys, values = self.store.arena(part.place.room)[
                :, layer, part.place.row, None, :, : part.start + part.count
            ]
            rows = slice(part.first, part.first + part.count)
            asked = query[rows].transpose(0, 1)[None]  # [1, H, t, d]
            mixed[rows] = _seen(asked, keys, values, mask)[0].transpose(0, 1)
        for group in self.singles:
            keys, values = self.store.arena(group.room)[:, layer, : group.rows, :, : group.reach]
            asked = query.new_zeros(group.rows, *query.shape[1:])
            asked[group.places] = query[group.tokens]
            mixed[group.tokens] = _seen(asked[:, :, None], keys, values, group.mask)[group.places, :, 0]
        return mixed


@dataclass(frozen=True)
class _Group:
    """One token of each of some rows, read at once: the first `rows` rows of an arena up to position `reach`."""

    room: int
    rows: int
    reach: int
    tokens: Tensor  # [n], numbers in the step
    places: Tensor  # [n], their rows
    mask: Tensor  # [rows, 1, 1, reach]: True where a row's token may look


def _groups(room: int, parts: Sequence[Part], rows: int, device: torch.device) -> list[_Group]:
    """Groups in which no row comes twice; it does where written tokens are read again."""
    found: list[list[Part]] = []
    turns: dict[int, int] = defaultdict(int)
    for part in parts:
        turn = turns[part.place.row]
        turns[part.place.row] += 1
        if turn == len(found):
            found.append([])
        found[turn].append(part)
    return [_group(room, members, rows, device) for members in found]


def _group(room: int, parts: Sequence[Part], rows: int, device: torch.device) -> _Group:
    reach = min(room, -(-max(part.start + 1 for part in parts) // UNIT) * UNIT)
    seen = torch.ones(rows, dtype=torch.long, device=device)  # a row that is not asked sees one position, not none
    places = torch.tensor([part.place.row for part in parts], device=device)
    seen[places] = torch.tensor([part.start + 1 for part in parts], device=device)
    mask = torch.arange(reach, device=device) < seen[:, None]
    tokens = torch.tensor([part.first for part in parts], device=device)
    return _Group(room, rows, reach, tokens, places, mask[:, None, None])


def _seen(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(
        query, keys, values, attn_mask=mask, enable_gqa=query.shape[1] != keys.shape[1]
    )


def _by_room(parts: Sequence[Part]) -> dict[int, list[Part]]:
    found: dict[int, list[Part]] = defaultdict(list)
    for part in parts:
        found[part.place.room].append(part)
    return found


def _targets(parts: Sequence[Part], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """(numbers in the step, rows, positions) of the tokens of an arena, [n] each."""
    places = [(part.first + step, part.place.row, part.start + step) for part in parts for step in range(part.count)]
    tokens, rows, positions = torch.tensor(places, device=device).unbind(1)
    return tokens, rows, positions
