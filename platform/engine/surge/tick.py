"""One rule over many series at one tick."""

from engine.specs.surge import RatioSpec, ShareSpec, StaticSpec, SurgeSpec
from engine.surge import baseline, share, simple
from engine.surge.verdicts import History, Verdicts


def judge(history: History, spec: StaticSpec | RatioSpec | SurgeSpec | ShareSpec) -> Verdicts:
    """All series by a rule that needs nothing but their history; a slow rise keeps sums, a score its state: see rise and score."""
    if isinstance(spec, StaticSpec):
        return simple.static(history, spec)
    if isinstance(spec, RatioSpec):
        return simple.ratio(history, spec)
    if isinstance(spec, ShareSpec):
        return share.judge(history, spec)
    return baseline.judge(history, spec)
