"""Articles on their way, and the surge detector beside public ones on labelled counts: profiles, events, false episodes."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from workers.bench import alerting, meaning, news
from workers.bench.measure import Measure, Options

PARTS = ("news", "meaning", "alerts", "detectors")
OURS = "surge score"
PROFILES = ("standard", "low false alarms", "low misses")
PRECISION, RECALL, FALSE_A_WEEK, TICK_SECONDS = 0.75, 0.90, 0.12, 2.0


def measures(options: Options) -> Iterator[Measure]:
    """The chosen parts, or all; detectors are told as soon as each is judged, then ours against the best of the others."""
    chosen = options.only or PARTS
    if "news" in chosen:
        yield from news.measures(options)
    if "meaning" in chosen:
        yield from meaning.measures(options)
    if "alerts" in chosen:
        yield from alerting.measures(options)
    if "detectors" in chosen:
        yield from _detectors(options)


def _detectors(options: Options) -> Iterator[Measure]:
    if options.data is None or not options.data.is_dir():
        raise FileNotFoundError("Name a folder with series of counts and label_windows.json: --data FOLDER")
    command = [sys.executable, "-m", "engine.bench.surge", "--data", str(options.data)]
    command += ["--spec", json.dumps(dict(options.spec)), *(["--small"] if options.small else [])]
    detectors: list[dict[str, Any]] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            found = json.loads(line)
            if found["kind"] == "detector":
                detectors.append(found)
            yield from TOLD[found["kind"]](found)
    if child.returncode:
        raise RuntimeError(f"the bench ended with {child.returncode}")
    ours = next(one for one in detectors if one["name"] == OURS)
    others = [one for one in detectors if one["name"] != OURS]
    yield from _against(ours, others)
    yield from _events(ours)


def best(found: dict[str, Any], profile: str, fitted: str) -> float:
    """The better of a detector's readings."""
    return float(max(reading[profile][fitted] for reading in found["readings"]))


def _profiles(found: dict[str, Any]) -> Iterator[Measure]:
    for profile in PROFILES:
        said = [_reading(reading, profile) for reading in found["readings"]]
        value = best(found, profile, "left_out")
        yield Measure(f"{found['name']}: {profile}, left out", value, "", detail="; ".join(said))


def _speed(found: dict[str, Any]) -> Iterator[Measure]:
    total, each = sum(found["seconds"].values()), ", ".join(f"{k} {v:.3f}" for k, v in found["seconds"].items())
    yield Measure(
        f"one tick of {found['series']:,} series, each rule once", total, "s", at_most=TICK_SECONDS, detail=each
    )


def _injected(found: dict[str, Any]) -> Iterator[Measure]:
    what = f"x{found['factor']:g} for {found['buckets']} buckets" if found["factor"] > 1 else "no surge, 12 buckets"
    delay = "" if found["median_delay"] is None else f", median delay {found['median_delay']:g} buckets"
    detail = f"{found['found']} of {found['of']}{delay}"
    yield Measure(f"{found['name']}, {what}: found", 100 * found["found"] / found["of"], "%", detail=detail)


def _made_quiet(found: dict[str, Any]) -> Iterator[Measure]:
    rate, detail = found["false"] / found["weeks"], f"{found['false']} in {found['weeks']:.0f} series-weeks"
    yield Measure(f"surge score, made counts, {found['name']}: episodes a series and week", rate, "", detail=detail)


def _made_surges(found: dict[str, Any]) -> Iterator[Measure]:
    of, weeks = found["surges"], found["weeks"]
    told = {"as shipped": found["hits"]}
    told |= {f"at {rate} false episodes a series and week": hits for rate, hits in found["hits_at_rate"].items()}
    for how, hits in told.items():
        rate = f", {found['false'] / weeks:.2f} false episodes a series and week" if how == "as shipped" else ""
        name = f"surge score, made surges found, {how}"
        yield Measure(name, 100 * hits / of, "%", detail=f"{hits} of {of}{rate}")


def _shipped(found: dict[str, Any]) -> Iterator[Measure]:
    name = f"ours as shipped, ratio {found['threshold']:g}"
    for profile, value in found["scores"].items():
        yield Measure(f"{name}: {profile}", value, "")
    yield from _event_measures(name, found["events"])


def _reading(reading: dict[str, Any], profile: str) -> str:
    one, events = reading[profile], reading[profile]["events_left_out"]
    way = "one alert a quiet time" if reading["quiet"] else "every row"
    hit = f"{events['hits']} of {events['windows']} windows, {events['false_rows']} rows outside"
    return f"{way}: {one['left_out']:.1f}, fitted on all {one['oracle']:.1f}, {hit}"


def _against(ours: dict[str, Any], others: list[dict[str, Any]]) -> Iterator[Measure]:
    for profile in PROFILES:
        rival = max(others, key=lambda one: best(one, profile, "left_out"))
        bound = best(rival, profile, "left_out")
        name = f"ours, {profile}, above the best other"
        yield Measure(name, best(ours, profile, "left_out"), "", at_least=bound, detail=rival["name"])


def _events(ours: dict[str, Any]) -> Iterator[Measure]:
    for profile in PROFILES[:2]:
        for fitted in ("left_out", "oracle"):
            events = ours["readings"][0][profile][f"events_{fitted}"]
            name = f"ours, threshold of {profile}, {fitted.replace('_', ' ')}"
            yield from _event_measures(name, events)


def _event_measures(name: str, events: dict[str, Any]) -> Iterator[Measure]:
    counts = f"{events['hits']} of {events['windows']} windows, {events['false_episodes']} false episodes"
    for figure, bound in (("precision", PRECISION), ("recall", RECALL)):
        share, low, high = events[figure]
        yield Measure(f"{name}: event {figure}", share, "", at_least=bound, detail=f"[{low:.3f}, {high:.3f}], {counts}")
    yield Measure(f"{name}: event F1", events["f1"], "")
    detail, said = f"in {events['weeks']:.1f} series-weeks", f"{name}: false episodes a series and week"
    yield Measure(said, events["false_per_week"], "", at_most=FALSE_A_WEEK, detail=detail)


TOLD = {
    "detector": _profiles,
    "injected": _injected,
    "made_quiet": _made_quiet,
    "made_surges": _made_surges,
    "shipped": _shipped,
    "speed": _speed,
}
