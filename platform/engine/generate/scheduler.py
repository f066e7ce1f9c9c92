"""Who is read in the next step: iteration-level scheduling (Orca, Yu et al. 2022) without tensors.

There is no prefill and no decoding, only tokens that are not computed yet: a step reads at most `step_tokens` of them, one
of each answer that is being written first, then pieces of prompts (chunked prefill, Agrawal et al. 2023). Among waiting
requests the more urgent go first, among equals the workspace that was served least (virtual token counter, Sheng et al.
2024), within it the oldest. When memory ends the least urgent, youngest request gives its row away and is read again
later: nothing fails for lack of memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from engine.generate.memory import UNIT, Memory, chain
from engine.generate.request import Finish, Request, Status

OUTPUT_WEIGHT = 2  # a written token takes a step of its own


@dataclass(frozen=True)
class Piece:
    """Tokens [start, start + count) of a request, read in one step."""

    request: Request
    start: int
    count: int

    @property
    def completes(self) -> bool:
        """Whether the next token can be drawn behind it."""
        return self.start + self.count == self.request.length


@dataclass(frozen=True)
class Limits:
    """Bounds of a step."""

    step_tokens: int = 512
    running: int = 32
    context_tokens: int = 1024


class Scheduler:
    """Holds all requests that are not finished; not safe for threads."""

    def __init__(self, memory: Memory, limits: Limits) -> None:
        if limits.step_tokens < UNIT:
            raise ValueError(f"a step must have room for {UNIT} tokens")
        self.memory = memory
        self.limits = limits
        self.running: list[Request] = []
        self.waiting: list[Request] = []
        self.preemptions = 0
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self._requests: dict[str, Request] = {}
        self._served: dict[str, float] = {}
        self._arrivals = 0
        self._set_aside: set[str] = set()  # gave their row away while this step was planned

    def add(self, request: Request) -> None:
        """Let a request wait; ValueError when its key is in use or its prompt leaves no room."""
        if request.key in self._requests:
            raise ValueError(f"request {request.key} is here already")
        if not request.prompt or request.length >= self.limits.context_tokens:
            raise ValueError(f"a prompt has 1 to {self.limits.context_tokens - 1} tokens, not {len(request.prompt)}")
        request.arrival = self._arrivals
        self._arrivals += 1
        if not self._is_active(request.tenant):
            # Who comes back after a pause does not make up for it: as poor as the poorest of those who are here.
            here = [self._served[tenant] for tenant in self._active()]
            self._served[request.tenant] = max(self._served.get(request.tenant, 0.0), min(here, default=0.0))
        self._requests[request.key] = request
        self.waiting.append(request)
        self.prompt_tokens += len(request.prompt)

    def find(self, key: str) -> Request | None:
        """The request, while it is not finished."""
        return self._requests.get(key)

    def finish(self, request: Request, reason: Finish) -> None:
        """Take a request out; what was read of it may serve as a prefix."""
        if request.status == Status.FINISHED:
            return
        self._keep_prefix(request)
        self._let_go(request)
        if request in self.waiting:
            self.waiting.remove(request)
        request.status, request.finish = Status.FINISHED, reason
        del self._requests[request.key]
        if not self._is_active(request.tenant) and len(self._served) > 1000:
            del self._served[request.tenant]

    def plan(self) -> list[Piece]:
        """The pieces of the next step; empty when nobody is here."""
        pieces: list[Piece] = []
        budget = self.limits.step_tokens
        self._set_aside.clear()
        for request in sorted(self.running, key=lambda one: (one.remaining > 1, _rank(one))):
            if request.key in self._set_aside:
                continue
            count = _whole_units(request, budget)
            if count and self._have_room(request, request.computed + count):
                pieces.append(Piece(request, request.computed, count))
                budget -= count
        pieces = [piece for piece in pieces if piece.request.key not in self._set_aside]
        pieces += list(self._admitted(budget, pieces))
        return [piece for piece in pieces if piece.request.key not in self._set_aside]

    def computed(self, piece: Piece) -> None:
        """A piece was read: its keys and values are in the row."""
        request = piece.request
        if request.status != Status.RUNNING:
            return
        before = request.computed
        request.computed += piece.count
        written = max(0, request.computed - max(before, len(request.prompt)))
        self._served[request.tenant] += piece.count - written + OUTPUT_WEIGHT * written
        if before < len(request.prompt):
            self._keep_prefix(request, first=before // UNIT)

    def _admitted(self, budget: int, planned: list[Piece]) -> Iterator[Piece]:
        """Waiting requests for which there is a seat, memory and budget."""
        coming = {block for piece in planned for block in self._blocks_of(piece)}
        passed: set[str] = set()
        while budget > 0 and (request := self._next_waiting(passed)) is not None:
            passed.add(request.key)
            blocks = self._names(request, request.length - 1)  # the last token must be read for its logits
            known = self.memory.known(blocks)
            if known < len(blocks) and blocks[known] in coming:
                continue  # another request reads this very block now: take it from there in the next step
            if not self._have_seat(request):
                continue
            count = self._seated(request, blocks, budget)
            if not count:
                continue
            if not request.preemptions:
                request.cached = request.computed
                self.cached_tokens += request.cached
            self.waiting.remove(request)
            self.running.append(request)
            request.status = Status.RUNNING
            piece = Piece(request, request.computed, count)
            coming.update(self._blocks_of(piece))
            budget -= count
            yield piece

    def _seated(self, request: Request, blocks: list[str], budget: int) -> int:
        """How many tokens to read behind the known prefix, now in the request's row; 0, and no row, when it must wait."""
        request.computed = self.memory.known(blocks) * UNIT
        count = _whole_units(request, budget)
        if count and self._have_room(request, request.computed + count):
            known = self.memory.known(blocks)  # making room may have cost some of them
            request.computed = known * UNIT
            count = _whole_units(request, budget)
            if count:
                self.memory.load(request.key, blocks[:known])
                return count
            self.memory.take(request.key)
        request.computed = 0
        return 0

    def _next_waiting(self, passed: set[str]) -> Request | None:
        left = [one for one in self.waiting if one.key not in passed and one.key not in self._set_aside]
        return min(
            left,
            key=lambda one: (one.priority, self._served[one.tenant], one.arrival),
            default=None,
        )

    def _have_seat(self, request: Request) -> bool:
        """A seat is free, or one is taken from less urgent work or from a workspace that holds many."""
        if len(self.running) < self.limits.running:
            return True
        last = max(self.running, key=_rank)
        if last.priority > request.priority:
            self._preempt(last)
            return True
        seats: dict[str, int] = {}
        for one in self.running:
            seats[one.tenant] = seats.get(one.tenant, 0) + 1
        tenant, most = max(seats.items(), key=lambda pair: pair[1])
        if most < seats.get(request.tenant, 0) + 2:
            return False
        equals = [one for one in self.running if one.tenant == tenant and one.priority >= request.priority]
        if not equals:
            return False
        self._preempt(max(equals, key=_rank))
        return True

    def _have_room(self, request: Request, tokens: int) -> bool:
        """Room for `tokens` of the request, taken if need be from those that rank behind it; else it waits again."""
        while not self.memory.give(request.key, tokens, request.computed if self.memory.has(request.key) else 0):
            behind = [one for one in self.running if _rank(one) > _rank(request)]
            if not behind:
                if request.status == Status.RUNNING:
                    self._preempt(request)
                return False
            self._preempt(max(behind, key=_rank))
        return True

    def _preempt(self, request: Request) -> None:
        self._keep_prefix(request)
        self._let_go(request)
        request.computed = 0
        request.status = Status.WAITING
        request.preemptions += 1
        self.preemptions += 1
        self._set_aside.add(request.key)
        self.waiting.append(request)

    def _let_go(self, request: Request) -> None:
        self.memory.take(request.key)
        if request in self.running:
            self.running.remove(request)

    def _keep_prefix(self, request: Request, first: int = 0) -> None:
        if self.memory.has(request.key):
            self.memory.save(request.key, self._names(request, request.computed), first)

    def _blocks_of(self, piece: Piece) -> list[str]:
        """Names of the blocks that are whole once the piece was read."""
        if piece.start >= len(piece.request.prompt):
            return []
        end = piece.start + piece.count
        return self._names(piece.request, end)[piece.start // UNIT :]

    def _names(self, request: Request, end: int) -> list[str]:
        """Names of the full blocks of its first `end` tokens; each is made once, however often a step asks."""
        if not self.memory.keeps_prefixes:
            return []
        if len(request.blocks) < end // UNIT:
            request.blocks = chain(request.root, request.tokens(0, end), len(request.prompt), request.blocks)
        return request.blocks[: end // UNIT]

    def _is_active(self, tenant: str) -> bool:
        return any(one.tenant == tenant for one in self._requests.values())

    def _active(self) -> set[str]:
        return {one.tenant for one in self._requests.values()}


def _rank(request: Request) -> tuple[int, int]:
    """Who keeps its memory longest comes first."""
    return request.priority, request.arrival


def _whole_units(request: Request, budget: int) -> int:
    """As many tokens as the budget allows, ending at a multiple of UNIT unless all of them are read."""
    if request.remaining <= budget:
        return request.remaining
    return (request.computed + budget) // UNIT * UNIT - request.computed if budget >= UNIT else 0
