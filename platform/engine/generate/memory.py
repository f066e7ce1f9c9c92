"""Which running request holds which piece of memory for keys and values, and which prefixes are kept for later.

Pure bookkeeping: the tensors lie behind `Store`, which is told what to copy. Rows of equal room stand in one arena and
are packed without holes, so that one attention call reads all of them without gathering; a row that becomes too short
moves to an arena with more room. What is not needed by rows may hold blocks of prefixes, the longest unused goes first.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

UNIT = 32  # tokens of a block; prompts are read in pieces that end at its multiples
SMALLEST_ROOM = 256


@dataclass(frozen=True)
class Place:
    """A row of the arena whose rows have room for `room` tokens."""

    room: int
    row: int


class Store(Protocol):
    """Where the tensors are; every call is done at once and in order."""

    def resize(self, room: int, rows: int) -> None:
        """Let the arena of that room have so many rows; the first of them stay."""

    def copy(self, source: Place, target: Place, tokens: int) -> None:
        """Copy the first `tokens` positions of a row."""

    def save(self, source: Place, start: int, block: str) -> None:
        """Keep positions [start, start + UNIT) of a row as a block."""

    def load(self, block: str, target: Place, start: int) -> None:
        """Write a block to positions [start, start + UNIT) of a row."""

    def drop(self, block: str) -> None:
        """Let go of a block."""


def rooms_up_to(context_tokens: int) -> tuple[int, ...]:
    """256, 512, 1024 ... and the whole context."""
    rooms, room = [], SMALLEST_ROOM
    while room < context_tokens:
        rooms.append(room)
        room *= 2
    return (*rooms, context_tokens)


def chain(root: str, tokens: Sequence[int], prompt: int, known: Sequence[str] = ()) -> list[str]:
    """A name for each full block of `tokens`: a hash over the root and all tokens up to its end.

    `known` are names of the first blocks that were made before; only those behind them are made.

    Tokens behind the `prompt` were read one by one, whose numbers differ in the last bit from those read as a prompt; they
    have other names, so that what is found is always what would have been computed.
    """
    found = list(known)
    digest = bytes.fromhex(found[-1]) if found else hashlib.sha256(root.encode()).digest()
    for start in range(UNIT * len(found), len(tokens) - UNIT + 1, UNIT):
        part = b"".join(token.to_bytes(4, "little", signed=True) for token in tokens[start : start + UNIT])
        if start + UNIT > prompt:
            part += b"written behind %d" % max(0, prompt - start)
        digest = hashlib.sha256(digest + part).digest()
        found.append(digest.hex())
    return found


class Memory:
    """Rows and blocks within `capacity_tokens`."""

    def __init__(self, store: Store, *, capacity_tokens: int, context_tokens: int, keeps_prefixes: bool = True) -> None:
        if capacity_tokens < context_tokens:
            raise ValueError(f"{capacity_tokens} tokens of memory cannot hold one context of {context_tokens}")
        self.store = store
        self.capacity_tokens = capacity_tokens
        self.rooms = rooms_up_to(context_tokens)
        self.keeps_prefixes = keeps_prefixes
        self._rows: dict[int, list[str]] = {room: [] for room in self.rooms}  # the owner of each row
        self._places: dict[str, Place] = {}
        self._reserved = dict.fromkeys(self.rooms, 0)  # rows that the arena has
        self._blocks: OrderedDict[str, None] = OrderedDict()  # the longest unused first

    @property
    def row_tokens(self) -> int:
        """Room of all rows in use."""
        return sum(room * len(owners) for room, owners in self._rows.items())

    @property
    def block_tokens(self) -> int:
        """Tokens of kept prefixes."""
        return UNIT * len(self._blocks)

    @property
    def used_share(self) -> float:
        """Share of the memory that rows in use take."""
        return self.row_tokens / self.capacity_tokens

    def place(self, key: str) -> Place:
        """Where the request's row is; KeyError when it has none."""
        return self._places[key]

    def has(self, key: str) -> bool:
        """Whether the request has a row."""
        return key in self._places

    def give(self, key: str, tokens: int, filled: int = 0) -> bool:
        """A row with room for `tokens`, moving the `filled` first positions of the one there was; False without memory."""
        room = next(room for room in self.rooms if room >= tokens)
        old = self._places.get(key)
        if old is not None and old.room >= room:
            return True
        if not self._reserve(room):
            return False
        place = Place(room, len(self._rows[room]))
        self._rows[room].append(key)
        self._places[key] = place
        if old is not None:
            self.store.copy(old, place, filled)
            self._leave(old)
        return True

    def take(self, key: str) -> None:
        """Let go of the request's row."""
        place = self._places.pop(key, None)
        if place is not None:
            self._leave(place)

    def known(self, blocks: Sequence[str]) -> int:
        """How many of these blocks, from the first on, are kept."""
        count = 0
        for block in blocks:
            if block not in self._blocks:
                break
            count += 1
        return count

    def load(self, key: str, blocks: Sequence[str]) -> None:
        """Write kept blocks to the beginning of the request's row."""
        for at, block in enumerate(blocks):
            self._blocks.move_to_end(block)
            self.store.load(block, self._places[key], at * UNIT)

    def save(self, key: str, blocks: Sequence[str], first: int = 0) -> None:
        """Keep the request's blocks from number `first` on, as far as there is memory beside the rows."""
        for at, block in enumerate(blocks[first:], start=first):
            if block in self._blocks:
                self._blocks.move_to_end(block)
            elif self._make_room(UNIT):
                self._blocks[block] = None
                self.store.save(self._places[key], at * UNIT, block)

    def forget(self) -> None:
        """Let go of all kept prefixes."""
        for block in self._blocks:
            self.store.drop(block)
        self._blocks.clear()

    def _reserve(self, room: int) -> bool:
        """One more row of that room, of those the arena has or with new memory."""
        if len(self._rows[room]) < self._reserved[room]:
            return True
        if not self._make_room(room):
            return False
        self._reserved[room] += 1
        self.store.resize(room, self._reserved[room])
        return True

    def _make_room(self, tokens: int) -> bool:
        """Have `tokens` free: unused rows go first, then prefixes; False when rows in use take too much."""
        if self.row_tokens + tokens > self.capacity_tokens:
            return False
        if self._reserved_tokens() + self.block_tokens + tokens > self.capacity_tokens:
            for room, owners in self._rows.items():
                if self._reserved[room] > len(owners):
                    self._reserved[room] = len(owners)
                    self.store.resize(room, len(owners))
        while self._reserved_tokens() + self.block_tokens + tokens > self.capacity_tokens:
            block, _ = self._blocks.popitem(last=False)
            self.store.drop(block)
        return True

    def _reserved_tokens(self) -> int:
        return sum(room * rows for room, rows in self._reserved.items())

    def _leave(self, place: Place) -> None:
        """The last row of the arena takes the place that became free."""
        owners = self._rows[place.room]
        last = owners.pop()
        if place.row < len(owners):
            owners[place.row] = last
            self.store.copy(Place(place.room, len(owners)), place, place.room)
            self._places[last] = place
