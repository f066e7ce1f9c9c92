"""Which of a run's processes this one is, as torchrun, accelerate and our own launcher say it in the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

MEETING = "ENGINE_MEETING"  # where processes of our launcher meet: a file


@dataclass(frozen=True)
class Rank:
    """Process `number` of `count`, the `local`th on its machine."""

    number: int = 0
    count: int = 1
    local: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process reports, writes and decides."""
        return self.number == 0


def here(environment: Mapping[str, str] | None = None) -> Rank:
    """This process; alone when nothing is said."""
    said = os.environ if environment is None else environment
    return Rank(int(said.get("RANK", 0)), int(said.get("WORLD_SIZE", 1)), int(said.get("LOCAL_RANK", 0)))


def meeting(environment: Mapping[str, str] | None = None) -> str:
    """Where the processes meet: a file of our launcher, else what torchrun or accelerate say."""
    said = os.environ if environment is None else environment
    return f"file://{said[MEETING]}" if MEETING in said else "env://"


def forget() -> None:
    """From now on this process is alone."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", MEETING):
        os.environ.pop(name, None)
