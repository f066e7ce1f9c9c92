"""What a writing process measures: counters that all processes share, and once a second how it is."""

import os
import socket
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.utils import timezone

from apps.inference.measures import HISTOGRAMS, ROLE, SUCCESS
from apps.inference.models import Generation
from core import residents
from core.counters import Additions

TELL_SECONDS = 1.0
SMOOTH = 0.1  # of the newest step in the mean time of steps


class Meter:
    """Measures for one desk; used by its thread alone."""

    def __init__(self) -> None:
        self.process = f"{socket.gethostname()}:{os.getpid()}"
        self._additions = Additions()
        self._told_at = 0.0
        self._last: dict[str, float] = {}  # when each answer got its last token
        self._steps: dict[int, float] = {}  # mean seconds of a version's steps
        self._preemptions: dict[int, int] = {}  # of each back end, as last counted

    def began(self, row: Generation) -> None:
        """A request was taken."""
        self._observe(row, "request_queue_time_seconds", (timezone.now() - row.created_at).total_seconds())

    def drew(self, row: Generation, key: str, count: int) -> None:
        """An answer got `count` tokens more."""
        now = time.monotonic()
        before = self._last.get(key)
        self._last[key] = now
        if before is not None:
            for _token in range(count):
                self._observe(row, "inter_token_latency_seconds", (now - before) / count)

    def stepped(self, writer: Any, rows: Iterable[Generation], seconds: float) -> None:
        """A step of a back end took so long; its preemptions count for the first of the versions it served."""
        versions = {row.model_version_id for row in rows}
        for version in versions:
            mean = self._steps.get(version, seconds)
            self._steps[version] = mean + SMOOTH * (seconds - mean)
        total, backend = writer.backend.load().preemptions, id(writer.backend)
        fresh = total - self._preemptions.get(backend, 0)
        self._preemptions[backend] = total
        if versions and fresh > 0:
            self._additions.add("num_preemptions", (str(min(versions)),), fresh)

    def ended(self, row: Generation, answers: Iterable[Any], counts: dict[str, int], first: datetime | None) -> None:
        """A request is over and stored."""
        now, version = timezone.now(), (str(row.model_version_id),)
        add, observe = self._additions.add, self._observe
        add("prompt_tokens", version, counts["prompt_tokens"])
        add("generation_tokens", version, counts["answer_tokens"])
        add("prefix_cache_queries", version, counts["prompt_tokens"])
        add("prefix_cache_hits", version, counts["cached_tokens"])
        observe(row, "e2e_request_latency_seconds", (now - row.created_at).total_seconds())
        observe(row, "request_prompt_tokens", counts["prompt_tokens"])
        observe(row, "request_generation_tokens", counts["answer_tokens"])
        if first is not None:
            observe(row, "time_to_first_token_seconds", (first - row.created_at).total_seconds())
            if counts["answer_tokens"] > 1:
                mean = (now - first).total_seconds() / (counts["answer_tokens"] - 1)
                observe(row, "request_time_per_output_token_seconds", mean)
        for answer in answers:
            add(SUCCESS, (*version, answer.finish or "error"))

    def failed(self, row: Generation) -> None:
        """A request is over without an answer."""
        self._additions.add(SUCCESS, (str(row.model_version_id), "error"))

    def tell(self, open_requests: Iterable[tuple[Generation, Any, Any]]) -> None:
        """At most once a second: add what was counted, and say how busy each version is."""
        if time.monotonic() - self._told_at < TELL_SECONDS:
            return
        self._told_at = time.monotonic()
        self._additions.send()
        residents.tell(ROLE, self.process, self._facts(open_requests))

    def leave(self) -> None:
        """Add the rest; nobody hears of this process any more."""
        self._additions.send()
        residents.leave(ROLE, self.process)

    def _facts(self, open_requests: Iterable[tuple[Generation, Any, Any]]) -> dict[str, Any]:
        """Version -> the fields of apps.inference.metrics.Busy; idle versions are left out."""
        versions: dict[int, dict[str, Any]] = {}
        open_keys = set()
        for row, writer, request in open_requests:
            open_keys.add(request.key)
            told = versions.get(row.model_version_id)
            if told is None:
                told = versions[row.model_version_id] = self._memory(row, writer)
            told["waiting" if getattr(request, "status", "") == "waiting" else "running"] += 1
        self._last = {key: at for key, at in self._last.items() if key in open_keys}
        return {"at": time.time(), "versions": versions}

    def _memory(self, row: Generation, writer: Any) -> dict[str, Any]:
        from engine.generate.memory import UNIT

        load = writer.backend.load()
        blocks = load.capacity_tokens // UNIT
        return {
            "running": 0,
            "waiting": 0,
            "workspace": row.workspace_id,
            "used_blocks": round(load.cache_share * blocks),
            "blocks": blocks,
            "preemptions": load.preemptions,
            "step_seconds": self._steps.get(row.model_version_id, 0.0),
        }

    def _observe(self, row: Generation, name: str, value: float) -> None:
        self._additions.observe(name, (str(row.model_version_id),), value, HISTOGRAMS[name][1])
