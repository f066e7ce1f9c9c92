"""Rules on buckets judged by the detectors: one bucket, or one after the other over a span; the same for live and replayed."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

import numpy as np

from apps.sentiment.alerting.rule_options import spec_of
from apps.sentiment.alerting.verdicts import Verdict, number
from apps.sentiment.models import Clock, Rule, RuleKind
from apps.sentiment.selectors_tables import Table, table_of
from engine.specs.surge import BaselineSpec, RatioSpec, ScoreSpec, ShareSpec, StaticSpec
from engine.surge import rise, score
from engine.surge.baseline import EARS_BUCKETS, ages_of
from engine.surge.tick import judge
from engine.surge.verdicts import MISSING, NO_BASELINE, History, Verdicts

EARS_REACH = EARS_BUCKETS + 5
WARM_DAYS = 28  # a rule that remembers reads so much of the past before its first bucket
SPARSE_BELOW = 0.5  # share of the past that is needed: below, only that is read


@dataclass(frozen=True)
class Judged:
    """What a rule said of all its series at the end of one bucket."""

    at: datetime
    verdicts: list[Verdict]
    memory: bytes | None = None


def judge_span(rule: Rule, first_end: datetime, last_end: datetime, *, clock: str = Clock.RECEIVED) -> Iterator[Judged]:
    """Judge the buckets that end from `first_end` to `last_end`, in order; a rule that remembers goes on from `rule.memory`."""
    size = rule.seconds
    begin, end = int(first_end.timestamp()) // size - 1, int(last_end.timestamp()) // size
    spec = spec_of(rule.kind, rule.options, size)
    if rule.kind in (RuleKind.SCORE, RuleKind.RISE):
        yield from _with_memory(rule, spec, begin, end, clock)
        return
    back = _reach(spec)
    table = table_of(rule, **needed(spec, begin, end), clock=clock)
    for bucket in range(begin, end):
        verdicts = judge(_history(table, bucket, back), spec)
        yield Judged(_end(bucket, size), _plain(table.keys, verdicts))


def needed(spec: Any, begin: int, end: int) -> dict[str, Any]:
    """What is read to judge the buckets [begin, end), as `table_of` takes it."""
    back = _reach(spec)
    return {"begin": begin - back, "end": end, "wanted": _wanted(spec, begin, end, back)}


def _reach(spec: Any) -> int:
    """How many buckets before the judged one are looked at."""
    if isinstance(spec, StaticSpec):
        return int(spec.least_buckets)
    if isinstance(spec, RatioSpec):
        return spec.hours(spec.mean_hours) + spec.least_buckets
    if isinstance(spec, ShareSpec):
        return spec.history_days * spec.day + spec.left_out_buckets + spec.least_buckets
    return int(ages_of(spec).max()) + EARS_REACH


def _wanted(spec: Any, begin: int, end: int, back: int) -> list[int]:
    """The buckets that are needed, where that is a small part of all: same times of other days, and the newest."""
    if not isinstance(spec, BaselineSpec):
        return []
    offsets = np.concatenate([ages_of(spec), np.arange(max(EARS_REACH, spec.least_buckets))])
    needed = {int(bucket - age) for bucket in range(begin, end) for age in offsets} if end - begin <= 12 else set()
    return sorted(needed) if 0 < len(needed) < SPARSE_BELOW * (back + end - begin) else []


def _history(table: Table, bucket: int, back: int) -> History:
    last = bucket - table.first + 1
    cut = slice(max(0, last - 1 - back), last)
    negatives = None if table.negatives is None else table.negatives[:, cut]
    return History(table.counts[:, cut], bucket, negatives)


def _plain(keys: list[str], found: Verdicts) -> list[Verdict]:
    return [
        Verdict(
            key,
            None if found.method[at] in (MISSING, NO_BASELINE) else bool(found.fires[at]),
            number(found.observed[at]),
            number(found.expected[at]),
            number(found.low[at]),
            number(found.high[at]),
            number(found.p_value[at]),
            number(found.strength[at]),
            str(found.method[at]),
            thin=bool(found.thin[at]),
        )
        for at, key in enumerate(keys)
    ]


def _end(bucket: int, seconds: int) -> datetime:
    return datetime.fromtimestamp((bucket + 1) * seconds, UTC)


def _with_memory(rule: Rule, spec: Any, begin: int, end: int, clock: str) -> Iterator[Judged]:
    """Rules that remember: what they know of the past is built first where there is none, or a gap."""
    back = _reach(spec) if isinstance(spec, BaselineSpec) else 0
    known = _remembered(rule.memory, spec)
    first = begin if known is not None and known["bucket"] == begin - 1 else begin - WARM_DAYS * spec.day
    table = table_of(rule, begin=first - back, end=end, clock=clock)
    known = known if first == begin else None
    state = _Sums(table, known) if rule.kind == RuleKind.RISE else _Scores(table, spec, first, known)
    for bucket in range(first, end):
        verdicts = state.judge(table, bucket, back, spec)
        if bucket >= begin:
            yield Judged(
                _end(bucket, rule.seconds),
                verdicts,
                _dumped(state.saved(table.keys, bucket)) if bucket == end - 1 else None,
            )


class _Sums:
    """The cumulative sums of a slow rise."""

    def __init__(self, table: Table, known: dict[str, Any] | None) -> None:
        self.sums = rise.fresh(len(table.keys))
        for at, before in _places(table, known):
            assert known is not None
            self.sums[at] = known["sums"][before]

    def judge(self, table: Table, bucket: int, back: int, spec: Any) -> list[Verdict]:
        self.sums, found = rise.judge(_history(table, bucket, back), self.sums, spec)
        return _plain(table.keys, found)

    def saved(self, keys: list[str], bucket: int) -> dict[str, Any]:
        return {"keys": keys, "bucket": bucket, "sums": self.sums}


class _Scores:
    """The states of the surge score."""

    def __init__(self, table: Table, spec: Any, first: int, known: dict[str, Any] | None) -> None:
        self.state = score.fresh(len(table.keys), spec, first)
        for at, before in _places(table, known):
            assert known is not None
            for each in fields(self.state):
                if each.name != "bucket":
                    getattr(self.state, each.name)[at] = known[each.name][before]

    def judge(self, table: Table, bucket: int, _back: int, spec: Any) -> list[Verdict]:
        counts = table.counts[:, bucket - table.first]
        found = score.step(self.state, counts, bucket, spec)
        reached = found.ratio >= spec.alert_ratio
        return [
            Verdict(
                key,
                _holds(bool(found.alert[at]), bool(reached[at]), float(found.ratio[at])),
                number(counts[at]),
                number(found.expected[at]),
                strength=None if np.isnan(found.ratio[at]) else float(found.ratio[at] / spec.alert_ratio),
                method=MISSING if np.isnan(counts[at]) else NO_BASELINE if np.isnan(found.score[at]) else "score",
            )
            for at, key in enumerate(table.keys)
        ]

    def saved(self, keys: list[str], bucket: int) -> dict[str, Any]:
        return {
            "keys": keys,
            **{each.name: getattr(self.state, each.name) for each in fields(self.state)},
            "bucket": bucket,
        }


def _holds(begins: bool, reached: bool, ratio: float) -> bool | None:
    """A score that stays high begins no second alert and ends none: nothing is said until it has fallen."""
    if begins:
        return True
    return None if reached or np.isnan(ratio) else False


def _places(table: Table, known: dict[str, Any] | None) -> Iterator[tuple[int, int]]:
    """(row now, row in what is remembered) of the series that are in both."""
    if known is not None:
        before = {key: at for at, key in enumerate(known["keys"])}
        yield from ((at, before[key]) for at, key in enumerate(table.keys) if key in before)


def _dumped(state: dict[str, Any]) -> bytes:
    """As an archive of arrays; nothing in it can be run."""
    kept = io.BytesIO()
    np.savez_compressed(kept, **{**state, "keys": np.array(state["keys"], dtype=np.str_)})
    return kept.getvalue()


def _remembered(memory: bytes | memoryview | None, spec: Any) -> dict[str, Any] | None:
    """What a rule remembers; nothing where an earlier release remembered a score in another shape, so that it is built anew."""
    known = _loaded(memory)
    if known is None or not isinstance(spec, ScoreSpec):
        return known
    shapes = {name: np.shape(value)[1:] for name, value in vars(score.fresh(0, spec, 0)).items()}
    return known if all(name in known and np.shape(known[name])[1:] == shapes[name] for name in shapes) else None


def _loaded(memory: bytes | memoryview | None) -> dict[str, Any] | None:
    if not memory:
        return None
    with np.load(io.BytesIO(bytes(memory)), allow_pickle=False) as archive:
        found: dict[str, Any] = {name: archive[name] for name in archive.files}
    return {**found, "keys": [str(key) for key in found["keys"]], "bucket": int(found["bucket"])}
