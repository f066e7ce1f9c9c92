"""The options of each kind of rule: read, checked, and kept only where they differ from the defaults."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from apps.sentiment.alerting.phrases import LONGEST_PHRASE, MOST_PHRASES
from core.errors import Problem, Refused
from engine.specs.fields import FieldInfo, infos, read
from engine.specs.surge import Buckets, RatioSpec, RiseSpec, ScoreSpec, ShareSpec, StaticSpec, SurgeSpec
from words import say

SPECS: dict[str, type[Buckets]] = {
    "static": StaticSpec,
    "ratio": RatioSpec,
    "surge": SurgeSpec,
    "score": ScoreSpec,
    "rise": RiseSpec,
    "share": ShareSpec,
}
SENTIMENTS = ("", "negative", "positive", "neutral")
MOST_MINUTES = 30 * 24 * 60


@dataclass(frozen=True)
class ArrivalOptions:
    """Which articles a rule on arrival holds for; without words each that fits."""

    words: list[str] = field(default_factory=list)
    without: list[str] = field(default_factory=list)
    sentiment: str = ""  # empty: however it is meant
    least_weight: int = 1  # of its source


@dataclass(frozen=True)
class SilenceOptions:
    """How long nothing may arrive."""

    minutes: int = 120


def spec_of(kind: str, options: Mapping[str, Any], seconds: int) -> Any:
    """The detector's spec of a rule on buckets."""
    return SPECS[kind](**{**options, "bucket_minutes": seconds // 60})


def fields_of(kind: str) -> tuple[FieldInfo, ...]:
    """The options of a rule on buckets with their meanings; the length of a bucket is the rule's own."""
    return tuple(info for info in infos(SPECS[kind]) if info.name != "bucket_minutes") if kind in SPECS else ()


def arrival_of(options: Mapping[str, Any], kind: str) -> ArrivalOptions:
    """The options of a rule on arrival; a new story counts from first-rate sources only, unless it is said."""
    return ArrivalOptions(**{**({"least_weight": 3} if kind == "new_story" else {}), **options})


def checked(kind: str, options: Any, *, seconds: int) -> dict[str, Any]:
    """The options that differ from the defaults.

    Raises:
        Refused: with every problem.
    """
    if not isinstance(options, Mapping):
        raise Refused("wrong_type", say("Options are a JSON object."), field="options")
    if kind in SPECS:
        return _of_detector(kind, options, seconds)
    if kind == "no_data":
        return _of_silence(options)
    return _of_arrival(kind, options)


def _of_detector(kind: str, options: Mapping[str, Any], seconds: int) -> dict[str, Any]:
    given = {name: value for name, value in options.items() if name != "bucket_minutes"}
    values, found = read(SPECS[kind], given)
    if not found:
        found = spec_of(kind, values, seconds).problems()
    if found:
        problems = [Problem(each.code, each.message, f"options.{each.field}", each.hint) for each in found]
        raise Refused(problems[0].code, problems[0].message, hint=problems[0].hint, problems=problems)
    defaults = {info.name: info.default for info in fields_of(kind)}
    return {name: value for name, value in values.items() if value != defaults[name]}


def _of_silence(options: Mapping[str, Any]) -> dict[str, Any]:
    _only(options, SilenceOptions())
    minutes = options.get("minutes", SilenceOptions.minutes)
    if type(minutes) is not int or not 1 <= minutes <= MOST_MINUTES:
        raise Refused(
            "out_of_bounds", say("Give a number from 1 to {most}.", most=MOST_MINUTES), field="options.minutes"
        )
    return {"minutes": minutes}


def _of_arrival(kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    _only(options, ArrivalOptions())
    found = arrival_of(options, kind)
    for name in ("words", "without"):
        value = getattr(found, name)
        fit = isinstance(value, list) and len(value) <= MOST_PHRASES
        if not fit or not all(isinstance(one, str) and 0 < len(one.strip()) <= LONGEST_PHRASE for one in value):
            raise Refused(
                "bad_words",
                say(
                    "Give at most {most} words or phrases of at most {long} characters.",
                    most=MOST_PHRASES,
                    long=LONGEST_PHRASE,
                ),
                field=f"options.{name}",
            )
    if found.sentiment not in SENTIMENTS:
        raise Refused("bad_choice", say("This is not one of the choices."), field="options.sentiment")
    if type(found.least_weight) is not int or not 1 <= found.least_weight <= 3:
        raise Refused("out_of_bounds", say("Give a number from 1 to {most}.", most=3), field="options.least_weight")
    if kind == "keyword" and not found.words:
        raise Refused("no_words", say("Name at least one word to look for."), field="options.words")
    return {**asdict(found), "words": list(found.words), "without": list(found.without)}


def _only(options: Mapping[str, Any], known: Any) -> None:
    unknown = sorted(set(options) - set(asdict(known)))
    if unknown:
        raise Refused(
            "unknown_field", say("There is no option “{name}”.", name=unknown[0]), field=f"options.{unknown[0]}"
        )
