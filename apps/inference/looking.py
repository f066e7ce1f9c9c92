"""Looks at the rows of answers nobody heard of: all who look at about the same time are served by one query."""

import asyncio
import weakref
from collections.abc import Collection

from asgiref.sync import sync_to_async

from apps.inference.models import Generation, GenerationState
from core.streaming import releasing

ENDED = (GenerationState.DONE, GenerationState.CANCELLED, GenerationState.FAILED)
GATHER_SECONDS = 0.1


class Looks:
    """Of one event loop: what the next query asks for."""

    def __init__(self) -> None:
        self._wanted: set[int] = set()
        self._next: asyncio.Task[set[int]] | None = None

    async def has_ended(self, pk: int) -> bool:
        """Whether a row is over, or gone; answered within about GATHER_SECONDS."""
        self._wanted.add(pk)
        if self._next is None:
            self._next = asyncio.create_task(self._ask())
        return pk not in await asyncio.shield(self._next)

    async def _ask(self) -> set[int]:
        await asyncio.sleep(GATHER_SECONDS)
        wanted, self._wanted, self._next = self._wanted, set(), None
        # A thread of its own: that of the request which asked first ends with it.
        return await sync_to_async(releasing(_going), thread_sensitive=False)(wanted)


def _going(pks: Collection[int]) -> set[int]:
    return set(Generation.objects.filter(pk__in=pks).exclude(state__in=ENDED).values_list("pk", flat=True))


_looks: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Looks]" = weakref.WeakKeyDictionary()


def looks() -> Looks:
    """Those of the running event loop."""
    return _looks.setdefault(asyncio.get_running_loop(), Looks())
