"""Versions in memory: loaded on demand, verified, bounded by bytes, pinned or let go by use; one keeper for all threads."""

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.registry.models import ModelVersion, Task
from apps.registry.selectors import damaged_files, server_of, version_folder
from core import storage
from core.errors import Refused
from words import join, say
from workers.bases import Bases
from workers.reaching import reach

logger = logging.getLogger(__name__)

WRITING = "writing"  # a version that writes, behind a scheduler: streams and batches
PASSAGE = "hello"  # a text that any version can be tried with
LOOK_SECONDS = 0.01  # between two looks at what another server has written
GONE_KEPT = 20  # versions that are remembered after they were let go
DAMAGED_SHOWN = 5

Key = tuple[str, str]
"""(content hash, use); a use is a task, WRITING or "explain"."""


@dataclass
class Held:
    """One version for one use, and how it is; times are seconds since 1970."""

    version: ModelVersion
    use: str
    state: str = "loading"  # then ready, failed or evicted
    reason: str = ""
    model: Any = None
    bytes: int = 0
    loaded_at: float | None = None
    last_used_at: float | None = None
    is_pinned: bool = False
    error: Exception | None = None
    over: threading.Event = field(default_factory=threading.Event)  # set once it is ready or failed

    @property
    def is_busy(self) -> bool:
        """Whether somebody's answer is being written with it."""
        return self.use == WRITING and self.state == "ready" and bool(self.model.is_busy)

    @property
    def key(self) -> Key:
        """What it is, whatever it is called."""
        return self.version.content_hash, self.use


class Models:
    """Loaded versions of this process; safe to be used by several threads.

    Who asks first loads, others wait for the same version and for no other one. What was used longest ago is let go
    when all together take more than `limit_bytes`, except what is pinned, or is writing.
    """

    def __init__(self, limit_bytes: int = 0, cache_bytes: int = 0) -> None:
        self.limit_bytes = limit_bytes or settings.MODELS_BYTES
        self._cache_bytes = cache_bytes or settings.GENERATION_CACHE_BYTES
        self._bases = Bases(self._cache_bytes)
        self._held: OrderedDict[Key, Held] = OrderedDict()
        self._gone: deque[Held] = deque(maxlen=GONE_KEPT)
        self._pinned: frozenset[Key] = frozenset()
        self._lock = threading.RLock()
        self._checks: dict[str, threading.Lock] = {}
        self._verified: set[str] = set()  # content hashes of what is loaded
        self._threads = threading.local()

    def get(self, version: ModelVersion, use: str, *, tried: bool = False) -> Any:
        """The loaded version; RunFailed, or whatever went wrong, when it cannot be loaded.

        With `tried` one text was answered before anybody else gets it.
        """
        self._use_threads()
        key = (version.content_hash, use)
        with self._lock:
            held = self._held.get(key)
            is_mine = held is None
            if held is None:
                held = self._held[key] = Held(version, use, is_pinned=key in self._pinned)
        if is_mine:
            self._load(held, tried=tried)
        held.over.wait()
        if held.error is not None:
            raise held.error
        with self._lock:
            held.last_used_at = time.time()
            if key in self._held:
                self._held.move_to_end(key)
        return held.model

    def state_of(self, version: ModelVersion, use: str) -> Held | None:
        """How a version is, or lately was; None when it was not asked for."""
        with self._lock:
            return next((one for one in self.all() if one.key == (version.content_hash, use)), None)

    def pin(self, keys: Iterable[Key]) -> None:
        """These stay, and no others do."""
        with self._lock:
            self._pinned = frozenset(keys)
            for key, held in self._held.items():
                held.is_pinned = key in self._pinned
            self._make_room()

    def drop(self, model: Any) -> None:
        """Let go of what cannot be trusted any more."""
        with self._lock:
            for key in [key for key, held in self._held.items() if _is_part_of(held.model, model)]:
                self._let_go(key)

    def all(self) -> list[Held]:
        """Everything that is, or lately was, in memory; what was used last stands first."""
        with self._lock:
            return [*reversed(self._held.values()), *self._gone]

    @property
    def bytes(self) -> int:
        """What everything in memory takes."""
        return self._bases.bytes + sum(held.bytes for held in self._held.values())

    def _load(self, held: Held, *, tried: bool) -> None:
        began = time.monotonic()
        try:
            self._verify(held.version)
            model = self._opened(held)
            if tried and not _is_shared(model):
                TRY[held.use](model)
            held.bytes = _bytes_of(held, model)
        except Exception as error:
            with self._lock:
                held.state, held.error, held.reason = "failed", error, _said(error)
                self._part_with(held.key, held)
            held.over.set()
            raise
        with self._lock:
            held.model, held.state, held.loaded_at, held.last_used_at = model, "ready", time.time(), time.time()
            self._gone = deque((one for one in self._gone if one.key != held.key), maxlen=GONE_KEPT)
            self._make_room(besides=held)
        held.over.set()
        logger.info("%s loaded for %s in %.1f s", held.version, held.use, time.monotonic() - began)

    def _opened(self, held: Held) -> Any:
        if held.version.is_remote:
            from engine.generate.remote import Server, open_remote

            server = Server(**server_of(held.version))
            return open_remote(server, reach(server.address))
        folder = version_folder(held.version)
        if held.use != WRITING:
            from engine.tasks import LOAD

            return LOAD[held.use](folder)
        from engine.generate.opening import open_writer

        graphs = graphs_folder() if settings.GENERATION_ENGINE == "auto" else None
        shared = self._bases.writer(held.version) if self._bases.are_used(graphs) else None
        return shared or open_writer(
            folder,
            root=f"{held.version.content_hash}|{held.version.template_hash}",
            cache_bytes=self._cache_bytes,
            graphs=graphs,
            content_hash=held.version.content_hash,
            precision="int8" if settings.GENERATION_PRECISION == "int8" else "fp32",
        )

    def _verify(self, version: ModelVersion) -> None:
        """Compare files with the manifest, once for all uses of what is loaded together."""
        from engine.failures import RunFailed

        with self._lock:
            check = self._checks.setdefault(version.content_hash, threading.Lock())
        with check:
            if version.content_hash in self._verified:
                return
            try:
                damaged = damaged_files(version)
            except Refused as refused:
                raise RunFailed(refused.code, refused.message, refused.hint) from refused
            if damaged:
                raise RunFailed(
                    "version_damaged",
                    say("These files are not what was registered: {paths}", paths=", ".join(damaged[:DAMAGED_SHOWN])),
                    say("Choose another version."),
                )
            self._verified.add(version.content_hash)

    def _make_room(self, besides: Held | None = None) -> None:
        for key, held in list(self._held.items()):
            if self.bytes <= self.limit_bytes:
                return
            if held is not besides and held.state == "ready" and not held.is_pinned and not held.is_busy:
                self._let_go(key)

    def _let_go(self, key: Key) -> None:
        held = self._held[key]
        if held.use == WRITING and held.state == "ready":
            self._bases.let_go(held.model)
        self._part_with(key, Held(held.version, held.use, "evicted", last_used_at=held.last_used_at))

    def _part_with(self, key: Key, last: Held) -> None:
        """Only how it was is remembered; what nothing of is loaded any more is verified again the next time."""
        self._held.pop(key, None)
        self._gone = deque([last, *(one for one in self._gone if one.key != last.key)], maxlen=GONE_KEPT)
        if not any(one[0] == key[0] for one in self._held):
            self._verified.discard(key[0])

    def _use_threads(self) -> None:
        """The number of compute threads counts for the thread that sets it."""
        if not getattr(self._threads, "is_set", False):
            from engine.threads import use_threads

            use_threads(settings.INFER_THREADS)
            self._threads.is_set = True


def _is_part_of(model: Any, other: Any) -> bool:
    """Whether both are one, or answer by one loop."""
    loop = getattr(other, "backend", None)
    return model is other or (loop is not None and getattr(model, "backend", None) is loop)


def _is_shared(model: Any) -> bool:
    """Whether it answers by the loop of a base, which another thread may step at any time; its adapter was compared with its
    merged weights instead."""
    return bool(getattr(model, "adapter", ""))


def use_of_traffic(version: ModelVersion) -> str:
    """What a version is loaded for when requests come through a deployment."""
    return WRITING if version.task == Task.GENERATION else version.task


def graphs_folder() -> Path:
    """Where converted versions are kept, which can be made again at any time."""
    return storage.home() / "cache" / "openvino"


def _bytes_of(held: Held, model: Any) -> int:
    """What it takes: measured, or what its files take where weights are packed in a way that shows no tensors."""
    from engine.memory import held_bytes

    if held.use == WRITING:
        return int(model.memory_bytes)
    return max(held_bytes(model), int(held.version.size_bytes))


def _said(error: BaseException) -> str:
    from engine.failures import RunFailed

    if isinstance(error, RunFailed):
        return join([error.message, error.hint])
    return say("It could not be loaded. The log of the role says why.")


def _write_one_token(writer: Any) -> None:
    """RunFailed where the answer does not come: another server says so in its last word."""
    from engine.failures import RunFailed
    from engine.specs.sampling import Sampling

    if writer.is_elsewhere:
        prompt = writer.chat_tokens([{"role": "user", "content": PASSAGE}])
    else:
        prompt = (writer.text_tokens(PASSAGE)[0] or [0])[: writer.context_tokens - 1]
    writer.backend.add(writer.request("try", prompt, Sampling(max_tokens=1), tenant=""))
    while writer.is_busy:
        for delta in writer.backend.step():
            if delta.message:
                raise RunFailed(delta.code, delta.message, "")
        time.sleep(LOOK_SECONDS if writer.is_elsewhere else 0)


TRY: dict[str, Callable[[Any], Any]] = {
    WRITING: _write_one_token,
    Task.CLASSIFICATION: lambda model: model.predict([PASSAGE]),
    Task.TAGGING: lambda model: model.mark([PASSAGE]),
    Task.EXTRACTION: lambda model: model.read([(PASSAGE, PASSAGE)]),
    Task.EMBEDDING: lambda model: model.embed([PASSAGE]),
    Task.RERANKING: lambda model: model.rank(PASSAGE, [PASSAGE]),
}
"""By use: one answer that shows that a version works."""
