"""What a rule that watches counts over time is told: all the web may know of the detectors in engine.surge."""

from dataclasses import dataclass

from engine.specs.fields import bound_problems, option
from engine.specs.problems import Problem
from words import say

DAY_MINUTES = 24 * 60
MOST_BUCKETS = 100_000


@dataclass(frozen=True)
class Buckets:
    """How time is cut."""

    bucket_minutes: int = option(5, "Length of a bucket; a day holds a whole number of them", minimum=1, maximum=1440)

    @property
    def day(self) -> int:
        """Buckets of a day."""
        return DAY_MINUTES // self.bucket_minutes

    def hours(self, hours: float) -> int:
        """Buckets in so many hours, at least one."""
        return max(1, round(hours * 60 / self.bucket_minutes))

    def problems(self) -> list[Problem]:
        """Everything that is wrong with these options."""
        found = bound_problems(self)
        if not found and DAY_MINUTES % self.bucket_minutes:
            found.append(
                Problem(
                    "not_together",
                    "bucket_minutes",
                    say(
                        "A day does not hold a whole number of buckets of {minutes} minutes.",
                        minutes=self.bucket_minutes,
                    ),
                    say("Choose a divisor of 1440, such as 5, 15 or 60."),
                )
            )
        return found


@dataclass(frozen=True)
class ScoreSpec(Buckets):
    """The surge score: how rare what is seen now is among the strongest moments of the series itself.

    The defaults were chosen on six public series of counts (docs/surge.md) and hold for all of them alike.
    """

    sudden_minutes: int = option(10, "The short stretch whose sum is compared", minimum=1, maximum=1440)
    sustained_hours: float = option(12, "The long stretch whose sum is compared", minimum=0.25, maximum=168)
    block_hours: float = option(12, "The strongest moment of each such block is remembered", minimum=1, maximum=168)
    blocks_kept: int = option(112, "About so many blocks are remembered; older ones fade", minimum=2, maximum=10_000)
    blocks_before: int = option(4, "No score before so many blocks were seen", minimum=1, maximum=1000)
    neighbour_minutes: int = option(
        30, "The expected count of a time of day is smoothed over so much before and after", minimum=0, maximum=720
    )
    days_kept: int = option(28, "About so many days make the expected count of a time of day", minimum=1, maximum=366)
    alert_ratio: float = option(
        2.6, "Score 0.5: so many times the usual strongest moment of a block", minimum=0.1, maximum=1000
    )
    quiet_hours: float = option(24, "After an alert no further one for so long", minimum=0, maximum=720)
