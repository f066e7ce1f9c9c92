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
    middle_hours: float = option(2, "The middle stretch whose sum is compared", minimum=0.25, maximum=168)
    sustained_hours: float = option(12, "The long stretch whose sum is compared", minimum=0.25, maximum=168)
    block_hours: float = option(12, "The strongest moment of each such block is remembered", minimum=1, maximum=168)
    blocks_kept: int = option(112, "About so many blocks are remembered; older ones fade", minimum=2, maximum=10_000)
    blocks_before: int = option(4, "No score before so many blocks were seen", minimum=1, maximum=1000)
    neighbour_minutes: int = option(
        30, "The expected count of a time of day is smoothed over so much before and after", minimum=0, maximum=720
    )
    days_kept: int = option(28, "About so many days make the expected count of a time of day", minimum=1, maximum=366)
    alert_ratio: float = option(
        1.25, "Score 0.5: so many times what the strongest moments of blocks usually reach", minimum=0.1, maximum=1000
    )
    quiet_hours: float = option(24, "After an alert no further one for so long", minimum=0, maximum=720)

    @property
    def stretches(self) -> tuple[int, int, int]:
        """Buckets of the short, the middle and the long stretch."""
        return self.hours(self.sudden_minutes / 60), self.hours(self.middle_hours), self.hours(self.sustained_hours)


@dataclass(frozen=True)
class Evidence(Buckets):
    """What must be counted before a rule speaks: so many in the newest buckets."""

    least_count: int = option(5, "No alert below so many in the newest buckets", minimum=0, maximum=1_000_000)
    least_buckets: int = option(4, "How many of the newest buckets are summed for that", minimum=1, maximum=1000)


@dataclass(frozen=True)
class StaticSpec(Evidence):
    """Alert where the newest bucket reaches a number, or falls to it."""

    threshold: float = option(100, "Number that is compared with the newest bucket", minimum=0, maximum=1e12)
    direction: str = option("above", "Alert at or above the number, or at or below it", choices=("above", "below"))


@dataclass(frozen=True)
class RatioSpec(Evidence):
    """Alert where the newest bucket is so many times the mean of the hours before."""

    ratio: float = option(3, "So many times the mean", minimum=1, maximum=1000)
    mean_hours: float = option(24, "Hours before the newest bucket that make the mean", minimum=0.05, maximum=24 * 366)


@dataclass(frozen=True)
class BaselineSpec(Evidence):
    """What is expected of a bucket: by its time of day, its kind of day and the trend (docs/surge.md)."""

    band: float = option(
        0.95, "Share of ordinary counts between the low and the high line", minimum=0.5, maximum=0.9999
    )
    history_days: int = option(28, "Days that are compared with", minimum=2, maximum=366)
    left_out_days: int = option(1, "Newest days that are not compared with", minimum=0, maximum=60)
    neighbour_minutes: int = option(
        30, "Buckets so long before and after the same time of day are compared with too", minimum=0, maximum=720
    )
    reweight_above: float = option(
        2.58, "Past counts with a larger Anscombe residual weigh less", minimum=1, maximum=10
    )
    thin_days: int = option(
        14, "With fewer days of history the newest buckets are the baseline", minimum=2, maximum=366
    )

    def problems(self) -> list[Problem]:
        """Everything that is wrong with these options."""
        found = super().problems()
        if not found and self.thin_days + self.left_out_days > self.history_days:
            found.append(
                Problem(
                    "not_together",
                    "thin_days",
                    say("A history of {days} days never has that many to compare with.", days=self.history_days),
                    say("Choose more history_days, or fewer thin_days."),
                )
            )
        return found


@dataclass(frozen=True)
class SurgeSpec(BaselineSpec):
    """Alert where the newest bucket is too high to be ordinary."""

    alpha: float = option(1e-4, "Alert where a count as high is less likely than this", minimum=1e-12, maximum=0.5)
    thin_method: str = option(
        "c2",
        "Early Aberration Reporting System: c1 takes the 7 buckets before, c2 leaves the 2 newest of them out, "
        "c3 judges 3 buckets together by the baseline of c2",
        choices=("c1", "c2", "c3"),
    )
    false_discovery_rate: float = option(
        1, "Of the series that alert at once, at most this share by chance; 1 leaves it open", minimum=0.0001, maximum=1
    )


@dataclass(frozen=True)
class RiseSpec(BaselineSpec):
    """Alert where counts stay above what is expected, each too little to be a surge."""

    rise_ratio: float = option(
        1.5, "The rise that is found soonest: so many times what is expected", minimum=1.05, maximum=10
    )
    run_length: int = option(
        4032, "Without a rise, the mean number of buckets to a false alert (ARL0)", minimum=50, maximum=MOST_BUCKETS
    )


@dataclass(frozen=True)
class ShareSpec(Evidence):
    """Alert where the negative share of the newest bucket is above what its own history lets expect."""

    alpha: float = option(1e-3, "Alert where a share as high is less likely than this", minimum=1e-12, maximum=0.5)
    band: float = option(
        0.95, "Share of ordinary shares between the low and the high line", minimum=0.5, maximum=0.9999
    )
    history_days: int = option(28, "Days that are compared with", minimum=1, maximum=366)
    left_out_buckets: int = option(3, "Newest buckets that are not compared with", minimum=0, maximum=1000)
    least_total: int = option(10, "No alert where the newest bucket holds fewer in all", minimum=1, maximum=1_000_000)
    false_discovery_rate: float = option(
        1, "Of the series that alert at once, at most this share by chance; 1 leaves it open", minimum=0.0001, maximum=1
    )
