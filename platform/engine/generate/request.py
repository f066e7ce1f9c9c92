"""One answer in the making: its tokens, how many of them have been read, and how it ended."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from engine.specs.sampling import Sampling

VIRTUAL = -1  # stands in a prompt for a learnt vector of prefix, prompt or P-tuning


class Status(StrEnum):
    """Where a request is."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"


class Finish(StrEnum):
    """Why an answer ended."""

    STOP = "stop"  # the end token, a stop token or a stop text
    LENGTH = "length"
    FILTERED = "content_filter"  # by the server that wrote it
    CANCELLED = "cancelled"
    ERROR = "error"


@dataclass(eq=False)
class Request:
    """A prompt [t] and what has been written behind it.

    `computed` tokens of prompt and output have their keys and values in the cache; there are no phases, only tokens that
    are not computed yet. `root` names everything besides the tokens that keys and values depend on (weights, adapter,
    template, tenant): prefixes are shared only among equal roots.
    """

    key: str
    prompt: Sequence[int]
    sampling: Sampling
    tenant: str = ""
    priority: int = 0  # smaller goes first
    adapter: str = ""
    root: str = ""
    output: list[int] = field(default_factory=list)
    computed: int = 0
    cached: int = 0  # tokens of the prompt that were found in the prefix cache
    status: Status = Status.WAITING
    finish: Finish | None = None
    arrival: int = 0  # in the order of arrival, set by the scheduler
    blocks: list[str] = field(default_factory=list)  # names of the full blocks so far, which never change
    preemptions: int = 0

    @property
    def length(self) -> int:
        """Tokens so far."""
        return len(self.prompt) + len(self.output)

    @property
    def remaining(self) -> int:
        """Tokens that have to be read before the next one can be written."""
        return self.length - self.computed

    def tokens(self, start: int, end: int) -> list[int]:
        """Tokens [start, end) of prompt and output."""
        split = len(self.prompt)
        if end <= split:
            return list(self.prompt[start:end])
        return [*self.prompt[start:split], *self.output[max(0, start - split) : end - split]]
