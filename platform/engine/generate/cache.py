"""Keys and values of all running requests as tensors: the store behind `engine.generate.memory`."""

from typing import Protocol

import torch
from torch import Tensor

from engine.generate.memory import UNIT, Place


class Shape(Protocol):
    """What a store must know of a network."""

    @property
    def layers(self) -> int:
        """L"""

    @property
    def kv_heads(self) -> int:
        """G"""

    @property
    def head_width(self) -> int:
        """d"""


class TensorStore:
    """One arena per room, [2, L, rows, G, room, d] (keys and values), and blocks [2, L, G, UNIT, d]."""

    def __init__(
        self, config: Shape, *, device: torch.device | None = None, dtype: torch.dtype = torch.float32
    ) -> None:
        self.config = config
        self.device = device or torch.device("cpu")
        self.dtype = dtype
        self._arenas: dict[int, Tensor] = {}
        self._blocks: dict[str, Tensor] = {}

    @staticmethod
    def token_bytes(config: Shape, dtype: torch.dtype = torch.float32) -> int:
        """Memory that one position takes."""
        return 2 * config.layers * config.kv_heads * config.head_width * dtype.itemsize

    def arena(self, room: int) -> Tensor:
        """[2, L, rows, G, room, d]"""
        return self._arenas[room]

    def rows(self, room: int) -> int:
        """Rows of that arena."""
        return self._arenas[room].shape[2]

    def resize(self, room: int, rows: int) -> None:
        """More rows are added behind, fewer cut off behind."""
        old = self._arenas.pop(room, None)
        if not rows:
            return
        config = self.config
        shape = (2, config.layers, rows, config.kv_heads, room, config.head_width)
        # Zeros: what lies behind a row's tokens is masked, and NaN times zero would still be NaN.
        new = torch.zeros(shape, device=self.device, dtype=self.dtype)
        if old is not None:
            kept = min(rows, old.shape[2])
            new[:, :, :kept] = old[:, :, :kept]
        self._arenas[room] = new

    def copy(self, source: Place, target: Place, tokens: int) -> None:
        """The first `tokens` positions."""
        self._row(target)[..., :tokens, :] = self._row(source)[..., :tokens, :]

    def save(self, source: Place, start: int, block: str) -> None:
        """A copy, so that the row may change."""
        self._blocks[block] = self._row(source)[..., start : start + UNIT, :].clone()

    def load(self, block: str, target: Place, start: int) -> None:
        """Into the row."""
        self._row(target)[..., start : start + UNIT, :] = self._blocks[block]

    def drop(self, block: str) -> None:
        """Gone."""
        del self._blocks[block]

    def _row(self, place: Place) -> Tensor:
        """[2, L, G, room, d]"""
        return self._arenas[place.room][:, :, place.row]
