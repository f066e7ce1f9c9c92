"""What tests of a loop ask and read, whatever multiplies below it."""

import random
from collections.abc import Sequence

from engine.generate.loop import Delta, TorchLoop
from engine.generate.request import Request


def answers(one: TorchLoop, requests: Sequence[Request]) -> dict[str, list[Delta]]:
    for request in requests:
        one.add(request)
    found: dict[str, list[Delta]] = {request.key: [] for request in requests}
    while one.load().running or one.load().waiting:
        for delta in one.step():
            found[delta.key].append(delta)
    return found


def tokens_of(deltas: Sequence[Delta]) -> list[int]:
    return [drawn.token for delta in deltas for drawn in delta.tokens]


def prompt(seed: int, length: int) -> list[int]:
    draw = random.Random(seed)
    return [draw.randrange(1, 400) for _ in range(length)]
