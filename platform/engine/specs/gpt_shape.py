"""What must fit together in the shape of a GPT, whatever it is trained on."""

from typing import Protocol

from engine.specs.problems import Problem
from words import say


class GptShape(Protocol):
    """The sizes of a decoder."""

    @property
    def width(self) -> int:
        """Of the hidden vectors."""

    @property
    def heads(self) -> int:
        """Of queries."""

    @property
    def kv_heads(self) -> int:
        """Of keys and values."""


def shape_problems(shape: GptShape, *, rotary: bool = True) -> list[Problem]:
    """Widths that no whole head fits into, heads that cannot share keys and values."""
    found = []
    if shape.width % shape.heads:
        found.append(
            Problem(
                "not_together",
                "width",
                say("width {width} is no multiple of {heads} heads.", width=shape.width, heads=shape.heads),
                say("Choose a multiple of {heads}.", heads=shape.heads),
            )
        )
    elif rotary and (shape.width // shape.heads) % 2:
        found.append(
            Problem(
                "not_together",
                "width",
                say("The width of one head must be even for rotary positions."),
                say("Choose a multiple of {heads}.", heads=2 * shape.heads),
            )
        )
    if shape.heads % shape.kv_heads:
        found.append(
            Problem(
                "not_together",
                "kv_heads",
                say("heads {heads} is no multiple of kv_heads {kv_heads}.", heads=shape.heads, kv_heads=shape.kv_heads),
                say("Choose a divisor of heads."),
            )
        )
    return found
