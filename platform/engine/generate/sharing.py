"""Versions that were made from one base by LoRA, answered together: one network, one memory, one loop, an adapter each."""

from pathlib import Path

import torch

from engine.chat_folder import ChatFrame, read_frame
from engine.generate.adapters import SharedBase
from engine.generate.loop import TorchLoop
from engine.generate.opening import CACHE_BYTES, RUNNING, STEP_TOKENS, Writer, fast_tokenizer, loop_over
from engine.generate.packed import can_pack
from engine.generate.readers import placed, read_by
from words import say


class SharedWriters:
    """A base with its loop, which is made with the first adapter; every other one must read texts in the same way."""

    def __init__(
        self, base: Path, *, cache_bytes: int = CACHE_BYTES, running: int = RUNNING, step_tokens: int = STEP_TOKENS
    ) -> None:
        is_packed = not torch.cuda.is_available() and can_pack()
        self._base = SharedBase(base, place=placed, is_packed=is_packed)
        network = self._base.network
        self._opened = read_by(network, network.config.context_tokens, cache_bytes, self._base.company)
        self._running, self._step_tokens = running, step_tokens
        self._loop: TorchLoop | None = None
        self._reads: tuple[str, tuple[int, ...]] = ("", ())
        self.writers: dict[str, Writer] = {}

    def add(self, name: str, folder: Path, *, root: str) -> str:
        """Take a version's folder under a name; a sentence for why it needs a network of its own, "" when it is taken."""
        frame = read_frame(folder)
        reads = (fast_tokenizer(frame).to_str(), tuple(frame.ends))
        if self._loop is not None and reads != self._reads:
            return say("It reads texts in another way than the others on this base.")
        if problem := self._base.add(name, folder):
            return problem
        if self._loop is None:
            self._loop = loop_over(self._opened, frame, running=self._running, step_tokens=self._step_tokens)
            self._reads = reads
        self.writers[name] = self._writer(name, frame, self._loop, root)
        return ""

    def drop(self, name: str) -> None:
        """Let an adapter go that nobody waits for."""
        del self.writers[name]
        self._base.drop(name)

    @property
    def base_bytes(self) -> int:
        """Base and cache, which all adapters share."""
        return self._opened.bytes

    @property
    def memory_bytes(self) -> int:
        """Base, cache and all adapters."""
        return self.base_bytes + sum(map(self._base.bytes_of, self.writers))

    def _writer(self, name: str, frame: ChatFrame, loop: TorchLoop, root: str) -> Writer:
        return Writer(
            frame,
            loop,
            min(self._opened.context_tokens, frame.context_tokens),
            self._opened.vocabulary_size,
            root,
            memory_bytes=self._base.bytes_of(name),
            marks=frozenset(fast_tokenizer(frame).get_added_tokens_decoder()),
            adapter=name,
        )
