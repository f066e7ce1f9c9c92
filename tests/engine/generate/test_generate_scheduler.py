"""The scheduler without tensors: who is read when, memory, prefixes, fairness."""

import random

import pytest

from engine.generate.memory import UNIT, Memory, Place, chain, rooms_up_to
from engine.generate.request import Finish, Request, Status
from engine.generate.scheduler import Limits, Piece, Scheduler
from engine.specs.sampling import Sampling

CONTEXT = 1024


class Ledger:
    """A store that keeps, position by position, which token of which root a row or a block holds."""

    def __init__(self) -> None:
        self.rows: dict[Place, dict[int, object]] = {}
        self.sizes: dict[int, int] = {}
        self.blocks: dict[str, list[object]] = {}

    def resize(self, room: int, rows: int) -> None:
        self.sizes[room] = rows
        for place in [place for place in self.rows if place.room == room and place.row >= rows]:
            del self.rows[place]

    def copy(self, source: Place, target: Place, tokens: int) -> None:
        self._check(source)
        self._check(target)
        row = self.rows.get(source, {})
        self.rows[target] = {at: row[at] for at in range(tokens) if at in row}

    def save(self, source: Place, start: int, block: str) -> None:
        self._check(source)
        self.blocks[block] = [self.rows[source][at] for at in range(start, start + UNIT)]

    def load(self, block: str, target: Place, start: int) -> None:
        self._check(target)
        row = self.rows.setdefault(target, {})
        row.update(enumerate(self.blocks[block], start=start))

    def drop(self, block: str) -> None:
        del self.blocks[block]

    def read(self, place: Place, piece: Piece) -> None:
        """What a network would do: fill the row, after all that stands before is there."""
        self._check(place)
        row = self.rows.setdefault(place, {})
        tokens = piece.request.tokens(0, piece.start + piece.count)
        for at in range(piece.start):
            assert row[at] == (piece.request.root, tokens[at]), f"position {at} holds another request's token"
        for at in range(piece.start, piece.start + piece.count):
            row[at] = (piece.request.root, tokens[at])

    def tokens(self) -> int:
        return sum(room * rows for room, rows in self.sizes.items()) + UNIT * len(self.blocks)

    def _check(self, place: Place) -> None:
        assert place.row < self.sizes[place.room]


def scheduler(capacity: int = 8 * CONTEXT, **limits: int) -> Scheduler:
    return Scheduler(
        Memory(Ledger(), capacity_tokens=capacity, context_tokens=CONTEXT), Limits(context_tokens=CONTEXT, **limits)
    )


def asked(key: str, prompt: int | list[int], new: int = 4, **more: object) -> Request:
    tokens = prompt if isinstance(prompt, list) else [ord(key[0]) * 1000 + at for at in range(prompt)]
    return Request(key, tokens, Sampling(max_tokens=new), **more)


def step(one: Scheduler) -> list[Piece]:
    """Plan, read, write a token behind every complete piece and let full answers end."""
    pieces = one.plan()
    ledger = one.memory.store
    assert isinstance(ledger, Ledger)
    assert sum(piece.count for piece in pieces) <= one.limits.step_tokens
    assert len({piece.request.key for piece in pieces}) == len(pieces)
    for piece in pieces:
        ledger.read(one.memory.place(piece.request.key), piece)
    assert ledger.tokens() <= one.memory.capacity_tokens
    for piece in pieces:
        complete = piece.completes
        one.computed(piece)
        if complete:
            piece.request.output.append(1_000_000 + len(piece.request.output))
            if len(piece.request.output) == piece.request.sampling.max_tokens:
                one.finish(piece.request, Finish.LENGTH)
    return pieces


def run(one: Scheduler, steps: int = 10_000) -> int:
    for number in range(steps):
        if not one.running and not one.waiting:
            return number
        assert step(one), "somebody is here and nothing is read"
    raise AssertionError("it does not end")


def test_a_step_reads_one_token_of_each_answer_and_fills_up_with_pieces_of_prompts() -> None:
    one = scheduler(step_tokens=128)
    one.add(asked("a", 20))
    assert [(piece.request.key, piece.count) for piece in step(one)] == [("a", 20)]
    one.add(asked("b", 300))
    assert [(piece.request.key, piece.count) for piece in step(one)] == [("a", 1), ("b", 96)]  # 127 left, whole units
    assert [(piece.request.key, piece.count) for piece in step(one)] == [("a", 1), ("b", 96)]


def test_everybody_ends_with_all_tokens_read_once() -> None:
    one = scheduler(step_tokens=256, running=4)
    requests = [asked(chr(97 + at), 10 + 50 * at, new=5) for at in range(10)]
    for request in requests:
        one.add(request)
    run(one)
    assert all(len(request.output) == 5 and request.finish == Finish.LENGTH for request in requests)
    assert one.memory.row_tokens == 0


def test_a_prefix_is_read_once_even_when_all_come_at_once() -> None:
    one = scheduler(step_tokens=512)
    system = list(range(320))
    requests = [asked(str(at), [*system, 5000 + at, *range(40)]) for at in range(4)]
    for request in requests:
        one.add(request)
    first = step(one)
    assert [piece.request.key for piece in first] == ["0"]
    second = step(one)
    assert {piece.request.key: piece.count for piece in second} == {"0": 1, "1": 41, "2": 41, "3": 41}
    assert [request.cached for request in requests] == [0, 320, 320, 320]


def test_no_prefix_is_shared_between_workspaces_or_adapters() -> None:
    one = scheduler()
    for root in ("weights|bank", "weights|shop"):
        one.add(asked(root, list(range(200)), root=root))
        run(one)
    assert one.cached_tokens == 0
    one.add(asked("again", list(range(200)), root="weights|shop"))
    run(one)
    assert one.cached_tokens == 192


def test_the_last_token_of_a_known_prompt_is_read_again_for_its_logits() -> None:
    one = scheduler()
    for key in ("first", "second"):
        one.add(asked(key, list(range(2 * UNIT))))
        run(one)
    assert one.cached_tokens == UNIT


def test_memory_that_ends_sends_the_youngest_back_and_nothing_is_lost() -> None:
    one = scheduler(capacity=2 * CONTEXT, running=8)
    requests = [asked(chr(97 + at), 250, new=300) for at in range(6)]
    for request in requests:
        one.add(request)
    run(one)
    assert one.preemptions > 0
    assert requests[0].preemptions == 0, "the oldest keeps its row"
    assert all(len(request.output) == 300 for request in requests)


def test_urgent_work_takes_the_seat_of_work_that_can_wait() -> None:
    one = scheduler(running=2)
    for key in ("batch1", "batch2"):
        one.add(asked(key, [ord(key[-1])] * 40, new=50, priority=10))
    step(one)
    one.add(asked("urgent", 40))
    assert "urgent" in {piece.request.key for piece in step(one)}
    assert [request.key for request in one.waiting] == ["batch2"]
    run(one)


def test_a_workspace_with_many_requests_does_not_keep_another_out() -> None:
    one = scheduler(running=4)
    for at in range(20):
        one.add(asked(f"{chr(97 + at)}", 40, new=100, tenant="many"))
    step(one)
    one.add(asked("z", 40, new=100, tenant="few"))
    assert "z" in {piece.request.key for piece in step(one)}
    assert sum(request.tenant == "many" for request in one.running) == 3
    run(one)


def test_seats_go_to_the_workspace_that_was_served_least() -> None:
    one = scheduler(running=1, step_tokens=512)
    for at in range(6):
        one.add(asked(chr(97 + at), 100, new=1, tenant="first"))
    for at in range(6):
        one.add(asked(chr(65 + at), 100, new=1, tenant="second"))
    order = []
    while one.waiting or one.running:
        order += [piece.request.tenant for piece in step(one)]
    assert order[:6] == ["first", "second"] * 3


def test_a_pause_is_no_credit() -> None:
    one = scheduler(running=1)
    one.add(asked("a", 10, new=1, tenant="sleeper"))
    run(one)
    for at in range(10):
        one.add(asked(chr(98 + at), 100, new=1, tenant="worker"))
        step(one)
    one.add(asked("y", 100, new=1, tenant="worker"))
    for at in range(3):
        one.add(asked(chr(65 + at), 100, new=1, tenant="sleeper"))
    served = [step(one)[0].request.tenant for _ in range(4)]
    assert "worker" in served[:2]


def test_cancelled_requests_leave_at_once() -> None:
    one = scheduler(running=1)
    running, waiting = asked("a", 40, new=50), asked("b", 40)
    one.add(running)
    one.add(waiting)
    step(one)
    one.finish(running, Finish.CANCELLED)
    one.finish(waiting, Finish.CANCELLED)
    assert one.plan() == [] and one.memory.row_tokens == 0
    assert waiting.status == Status.FINISHED


def test_prompts_without_room_and_keys_in_use_are_refused() -> None:
    one = scheduler()
    with pytest.raises(ValueError, match="1 to 1023 tokens"):
        one.add(asked("a", CONTEXT))
    with pytest.raises(ValueError, match="1 to 1023 tokens"):
        one.add(asked("a", []))
    one.add(asked("a", 3))
    with pytest.raises(ValueError, match="here already"):
        one.add(asked("a", 3))


def test_rooms_double_and_end_with_the_context() -> None:
    assert rooms_up_to(1000) == (256, 512, 1000)
    assert rooms_up_to(100) == (100,)


def test_chains_differ_from_the_first_other_token_on() -> None:
    one, two = list(range(200)), [*range(100), 7, *range(101, 200)]
    same = [a == b for a, b in zip(chain("r", one, 200), chain("r", two, 200), strict=True)]
    assert same == [True, True, True, False, False, False]
    assert chain("r", one, 200)[0] != chain("s", one, 200)[0]
    read, written = chain("r", one, 200), chain("r", one, 70)
    assert [a == b for a, b in zip(read, written, strict=True)] == [True, True, False, False, False, False]


@pytest.mark.parametrize("seed", range(6))
def test_any_mixture_ends_and_no_row_ever_holds_a_foreign_token(seed: int) -> None:
    """Random arrivals, cancellations, priorities, tenants and shared beginnings under scarce memory."""
    draw = random.Random(seed)
    one = scheduler(
        capacity=draw.choice([1, 2, 4]) * CONTEXT, running=draw.randint(1, 8), step_tokens=draw.choice([32, 96, 512])
    )
    alive: list[Request] = []
    made = 0
    while made < 40 or one.waiting or one.running:
        if made < 40 and draw.random() < 0.5:
            tenant = draw.choice("xyz")
            start = [draw.choice([1, 2])] * draw.choice([0, 64, 300])
            tokens = [*start, *(draw.randrange(100) for _ in range(draw.randint(1, 200)))]
            request = asked(
                f"r{made}", tokens, draw.randint(1, 200), tenant=tenant, priority=draw.choice([0, 0, 10]), root=tenant
            )
            one.add(request)
            alive.append(request)
            made += 1
        if alive and draw.random() < 0.05:
            request = draw.choice(alive)
            if request.status != Status.FINISHED:
                one.finish(request, Finish.CANCELLED)
        step(one)
    assert all(request.finish for request in alive)
    assert all(len(r.output) == r.sampling.max_tokens for r in alive if r.finish == Finish.LENGTH)
    assert one.memory.row_tokens == 0
