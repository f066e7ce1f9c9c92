"""Keys and values of the tokens already read, so that writing the next token costs one token and not all of them."""

import torch
from torch import Tensor


class LayerCache:
    """One layer's keys and values, [B, G, s, d] each, with room for `room` positions."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.length = 0
        self._keys: Tensor | None = None
        self._values: Tensor | None = None

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append [B, G, t, d]; returns everything so far. ValueError beyond the room."""
        end = self.length + key.shape[2]
        if end > self.room:
            raise ValueError(f"the cache has room for {self.room} tokens, not {end}")
        if self._keys is None or self._values is None:
            shape = (*key.shape[:2], self.room, key.shape[3])
            self._keys, self._values = key.new_empty(shape), value.new_empty(shape)
        self._keys[:, :, self.length : end] = key
        self._values[:, :, self.length : end] = value
        self.length = end
        return self.filled()

    def filled(self) -> tuple[Tensor, Tensor]:
        """Keys and values so far; ValueError when there are none."""
        if self._keys is None or self._values is None:
            raise ValueError("the cache is empty")
        return self._keys[:, :, : self.length], self._values[:, :, : self.length]


class Cache:
    """The caches of all layers of one batch of equally long sequences."""

    def __init__(self, layers: int, room: int) -> None:
        self.layers = [LayerCache(room) for _ in range(layers)]

    @property
    def length(self) -> int:
        """Tokens read so far."""
        return self.layers[0].length

    def bytes(self) -> int:
        """Memory that the filled and reserved positions take."""
        tensors = [tensor for layer in self.layers for tensor in (layer._keys, layer._values) if tensor is not None]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def positions_after(cache: Cache | None, length: int, device: torch.device) -> Tensor:
    """The next `length` positions, [t]."""
    start = cache.length if cache is not None else 0
    return torch.arange(start, start + length, device=device)
