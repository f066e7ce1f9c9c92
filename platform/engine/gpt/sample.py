"""Going on with a text, token by token: softmax(logits / temperature), or the likeliest token at temperature 0."""

from collections.abc import Sequence

import torch

from engine.gpt.model import Gpt


@torch.no_grad()
def continued(
    model: Gpt, ids: Sequence[int], *, room: int, end: int, temperature: float, generator: torch.Generator
) -> tuple[list[int], bool]:
    """(at most `room` new tokens, whether the end token came and was left out); ids and room must fit the context."""
    model.eval()
    device = model.tokens.weight.device
    cache = model.empty_cache(len(ids) + room)
    given = torch.tensor([list(ids)], device=device)  # [1, T]
    written: list[int] = []
    for _ in range(room):
        logits = model(given, cache)[0, -1].float().cpu()  # [V]
        if temperature:
            drawn = torch.multinomial(torch.softmax(logits / temperature, dim=-1), 1, generator=generator)
        else:
            drawn = logits.argmax(keepdim=True)
        if int(drawn) == end:
            return written, True
        written.append(int(drawn))
        given = drawn[None].to(device)
    return written, False
