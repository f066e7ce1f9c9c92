"""GET /metrics for Prometheus: counters of the writing and the web processes, how busy they are, and jobs; vLLM's names where they exist.

Every web process answers from the same places: the shared counters (core.counters), what writing processes said within the
last seconds (core.residents) and the database.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from django.conf import settings
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_GET
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from apps.inference.measures import COUNTERS, HISTOGRAMS, ROLE, SUCCESS
from apps.inference.models import Generation, GenerationState
from apps.registry.models import ModelVersion
from core.counters import END, Counter, counted
from core.jobs.models import Job
from core.residents import told
from core.traffic import BOUNDS, COUNT, SECONDS

LABELS = ("model_name", "version")
WEB = "http_"  # how counters of web processes begin


@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    """The text format; whoever does not send the token finds nothing here."""
    sent = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not settings.METRICS_TOKEN or not constant_time_compare(sent, settings.METRICS_TOKEN):
        raise Http404
    return HttpResponse(generate_latest(Measured()), content_type=CONTENT_TYPE_LATEST)


class Measured(Collector):
    """All there is, read once for each answer."""

    def collect(self) -> Iterator[Metric]:
        """Families in the order in which they are written."""
        found, busy, waiting = counted(), busy_versions(), waiting_rows()
        web = {counter: value for counter, value in found.items() if counter[0].startswith(WEB)}
        counters = {counter: value for counter, value in found.items() if counter not in web}
        names = _names({int(labels[0]) for _name, labels in counters} | busy.keys() | waiting.keys())
        yield from _gauges(busy, waiting, names)
        yield from _counters(counters, names)
        yield from _histograms(counters, names)
        yield from _web(web)
        yield _jobs()


@dataclass(frozen=True)
class Busy:
    """How busy all processes together are with a version, as they last said."""

    running: int = 0
    waiting: int = 0
    used_blocks: int = 0
    blocks: int = 0
    preemptions: int = 0  # since these processes began
    step_seconds: float = 0.0  # mean, of the slowest
    workspace: int = 0

    @property
    def cache_share(self) -> float | None:
        """Used share of the memory, 0..1; None where nobody has any open."""
        return self.used_blocks / self.blocks if self.blocks else None

    def __add__(self, other: "Busy") -> "Busy":
        sums = {
            name: getattr(self, name) + getattr(other, name)
            for name in ("running", "waiting", "used_blocks", "blocks", "preemptions")
        }
        slowest = max(self.step_seconds, other.step_seconds)
        return Busy(**sums, step_seconds=slowest, workspace=self.workspace or other.workspace)


def busy_versions() -> dict[int, Busy]:
    """Version -> what all processes that write with it say together."""
    found: dict[int, Busy] = {}
    for facts in told(ROLE).values():
        for version, each in facts["versions"].items():
            found[int(version)] = found.get(int(version), Busy()) + Busy(**each)
    return found


def waiting_rows() -> dict[int, int]:
    """Version -> requests that no process has taken yet."""
    rows = Generation.objects.filter(state=GenerationState.WAITING).order_by()
    return dict(rows.values_list("model_version").annotate(count=Count("pk")))


def _names(versions: set[int]) -> dict[int, tuple[str, str]]:
    """(model_name, version) of those that still exist."""
    rows = ModelVersion.objects.filter(pk__in=versions).values_list("pk", "family__name", "number")
    return {pk: (name, str(number)) for pk, name, number in rows}


def _gauges(
    busy: Mapping[int, Busy], waiting: Mapping[int, int], names: Mapping[int, Sequence[str]]
) -> Iterator[Metric]:
    running = GaugeMetricFamily("vllm:num_requests_running", "Answers that are being written.", labels=LABELS)
    queued = GaugeMetricFamily("vllm:num_requests_waiting", "Answers that wait for their turn.", labels=LABELS)
    usage = GaugeMetricFamily("vllm:kv_cache_usage_perc", "Share of the memory in use, 0 to 1.", labels=LABELS)
    step = GaugeMetricFamily("lingxi_step_seconds", "Mean time of a step of the engine.", labels=LABELS)
    for version, labels in names.items():
        each = busy.get(version, Busy())
        running.add_metric(labels, each.running)
        queued.add_metric(labels, each.waiting + waiting.get(version, 0))
        usage.add_metric(labels, each.cache_share or 0)
        step.add_metric(labels, each.step_seconds)
    yield from (running, queued, usage, step)


def _counters(counters: Mapping[Counter, float], names: Mapping[int, Sequence[str]]) -> Iterator[Metric]:
    for name, words in COUNTERS.items():
        family = CounterMetricFamily(f"vllm:{name}", words, labels=LABELS)
        for version, labels in names.items():
            family.add_metric(labels, counters.get((name, (str(version),)), 0))
        yield family
    success = CounterMetricFamily(f"vllm:{SUCCESS}", "Answers by how they ended.", labels=(*LABELS, "finished_reason"))
    for (name, of), value in sorted(counters.items()):
        if name == SUCCESS and int(of[0]) in names:
            success.add_metric((*names[int(of[0])], of[1]), value)
    yield success


def _histograms(counters: Mapping[Counter, float], names: Mapping[int, Sequence[str]]) -> Iterator[Metric]:
    for name, (words, bounds) in HISTOGRAMS.items():
        family = HistogramMetricFamily(f"vllm:{name}", words, labels=LABELS)
        for version, labels in names.items():
            buckets = _buckets(counters, name, (str(version),), bounds)
            if buckets[-1][1]:
                family.add_metric(labels, buckets, counters.get((f"{name}_sum", (str(version),)), 0))
        yield family


def _web(counters: Mapping[Counter, float]) -> Iterator[Metric]:
    """What web processes answered, by route: its pattern, never an address."""
    count = CounterMetricFamily(
        "lingxi_http_requests", "Requests that web processes answered.", labels=("route", "method", "status")
    )
    for (name, labels), value in sorted(counters.items()):
        if name == COUNT:
            count.add_metric(labels, value)
    yield count
    words = "From a request to its answer, or to the beginning of one that streams."
    family = HistogramMetricFamily("lingxi_http_request_seconds", words, labels=("route", "method"))
    for name, labels in sorted(counters):
        if name == f"{SECONDS}_sum":
            family.add_metric(labels, _buckets(counters, SECONDS, labels, BOUNDS), counters[name, labels])
    yield family


def _buckets(
    counters: Mapping[Counter, float], name: str, labels: Sequence[str], bounds: Sequence[float]
) -> list[tuple[str, float]]:
    """(upper edge, all values up to it), as the text format wants them."""
    edges = [*map(str, bounds), END]
    inside = [counters.get((f"{name}_bucket", (*labels, edge)), 0) for edge in edges]
    return list(zip([*edges[:-1], "+Inf"], accumulate(inside), strict=True))


def _jobs() -> Metric:
    family = GaugeMetricFamily("lingxi_jobs", "Jobs by queue and state.", labels=("queue", "state"))
    rows: Any = Job.objects.order_by().values_list("queue", "state").annotate(count=Count("pk"))
    for queue, state, count in sorted(rows):
        family.add_metric((queue, state), count)
    return family
