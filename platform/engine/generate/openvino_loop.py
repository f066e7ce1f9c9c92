"""Answers by OpenVINO GenAI's continuous batching on a CPU, behind the same seam as the loop on torch.

The pipeline reads and draws; order among workspaces, stop texts, text and the ends of answers are ours. It cannot do all of
`Sampling`: what it lacks, `lacking` names, and the loop on torch does it. Prefixes are not kept: the pipeline's cache
knows tokens only, neither whose they are nor which adapter read them, and gave answers of the wrong one.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.generate.loop import Delta, Load
from engine.generate.openvino_convert import read_manifest
from engine.generate.request import Finish, Request, Status
from engine.generate.sampler import Drawn
from engine.generate.scheduler import Limits
from engine.generate.text import TextStream
from engine.specs.sampling import Sampling

PAGE_TOKENS = 32  # of OpenVINO's pages on a CPU
LEAST_TOP_P = 1e-6  # 0 is refused there and means the likeliest token here
KEY_VALUE_BYTES = {"f32": 4.0, "u8": 1.0}
U8_SCALE_BYTES = 8  # scale and zero of one head's keys, or values, of a token

CAPABILITIES = frozenset(
    {
        "max_tokens",
        "min_tokens",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "repetition_penalty",
        "stop",
        "stop_token_ids",
        "ignore_end",
        "chosen_logprobs",
    }
)
"""Not among them: `seed` and `logit_bias`; presence and frequency penalties, which GenAI computes by another formula
(it moves logits towards zero, not down); probabilities beside the chosen token's; grammars."""


def needs(sampling: Sampling) -> frozenset[str]:
    """The options of a request that change its answer."""
    asked = {
        "min_tokens": sampling.min_tokens > 0,
        "presence_penalty": sampling.presence_penalty != 0,
        "frequency_penalty": sampling.frequency_penalty != 0,
        "repetition_penalty": sampling.repetition_penalty != 1,
        "logit_bias": bool(sampling.logit_bias),
        "stop": bool(sampling.stop),
        "stop_token_ids": bool(sampling.stop_token_ids),
        "ignore_end": sampling.ignore_end,
        "chosen_logprobs": sampling.logprobs is not None,
        "top_logprobs": bool(sampling.logprobs),
        "prompt_logprobs": sampling.prompt_logprobs is not None,
        "grammar": sampling.grammar is not None,
    }
    if not sampling.is_greedy:
        asked |= {
            "temperature": True,
            "top_p": sampling.top_p < 1,
            "top_k": sampling.top_k > 0,
            "min_p": sampling.min_p > 0,
            "seed": sampling.seed is not None,
        }
    return frozenset({"max_tokens", *(name for name, is_asked in asked.items() if is_asked)})


def lacking(sampling: Sampling) -> tuple[str, ...]:
    """What a request needs and this back end cannot do."""
    return tuple(sorted(needs(sampling) - CAPABILITIES))


def page_bytes(shape: dict[str, int], precision: str = "f32") -> int:
    """Memory of one page of keys and values of all layers."""
    width = shape["head_width"] * KEY_VALUE_BYTES[precision] + (U8_SCALE_BYTES if precision == "u8" else 0)
    return int(2 * shape["layers"] * shape["kv_heads"] * width * PAGE_TOKENS)


@dataclass
class _Writing:
    """What is kept of a request that the pipeline answers."""

    request: Request
    handle: Any
    text: TextStream


class OpenVinoLoop:
    """Answers on one converted model; one thread calls it.

    ValueError when `cache_bytes` cannot hold one context: then an answer could neither go on nor make room.
    """

    def __init__(
        self,
        place: Path,
        *,
        decode: Callable[[Sequence[int]], str],
        ends: Sequence[int],
        cache_bytes: int,
        limits: Limits | None = None,
        threads: int = 1,
        cache_precision: str = "f32",
        adapter: str = "",
    ) -> None:
        self.shape: dict[str, int] = read_manifest(place)["shape"]
        self.limits = limits or Limits(context_tokens=self.shape["context_tokens"])
        pages = cache_bytes // page_bytes(self.shape, cache_precision)
        if pages * PAGE_TOKENS < self.limits.context_tokens:
            raise ValueError(f"{cache_bytes} bytes cannot hold one context of {self.limits.context_tokens} tokens")
        self.adapter = adapter
        self._pipeline = _pipeline(place, self.limits, pages=pages, threads=threads, cache_precision=cache_precision)
        self._decode = decode
        self._ends = frozenset(ends)
        self._waiting: list[Request] = []
        self._writings: dict[str, _Writing] = {}
        self._cancelled: list[Request] = []
        self._arrivals = 0
        self._prompt_tokens = 0

    def add(self, request: Request) -> None:
        """Let a request wait; ValueError for what this back end cannot do, by name, or a prompt that does not fit."""
        if lacks := lacking(request.sampling):
            raise ValueError(f"this back end does not know {', '.join(lacks)}")
        if request.adapter != self.adapter:
            raise ValueError(f"this back end answers with adapter {self.adapter!r}, not {request.adapter!r}")
        if self._find(request.key) is not None:
            raise ValueError(f"request {request.key} is here already")
        if not request.prompt or request.length >= self.limits.context_tokens:
            raise ValueError(f"a prompt has 1 to {self.limits.context_tokens - 1} tokens, not {len(request.prompt)}")
        if not all(0 <= token < self.shape["vocabulary_size"] for token in request.prompt):
            raise ValueError("a token of the prompt is not in the vocabulary")
        request.arrival = self._arrivals
        self._arrivals += 1
        self._prompt_tokens += len(request.prompt)
        self._waiting.append(request)

    def cancel(self, key: str) -> None:
        """End a request before the next step."""
        request = self._find(key)
        if request is not None and request not in self._cancelled:
            self._cancelled.append(request)

    def step(self) -> list[Delta]:
        """One step; what it added to whom."""
        deltas = [self._end(request, Finish.CANCELLED) for request in self._cancelled]
        self._cancelled = []
        self._admit()
        if self._pipeline.has_non_finished_requests():
            self._pipeline.step()
        return deltas + [delta for writing in list(self._writings.values()) for delta in self._read(writing)]

    def load(self) -> Load:
        """How busy it is; the pipeline does not tell how often it preempted."""
        share = self._pipeline.get_metrics().cache_usage / 100 if self._writings else 0.0  # of the last step
        return Load(len(self._writings), len(self._waiting), share, self._prompt_tokens, 0, 0)

    def _find(self, key: str) -> Request | None:
        if key in self._writings:
            return self._writings[key].request
        return next((request for request in self._waiting if request.key == key), None)

    def _admit(self) -> None:
        """Give the pipeline as many requests as may run: the urgent ones, then of the workspace that has the fewest there."""
        while self._waiting and len(self._writings) < self.limits.running:
            here = [writing.request.tenant for writing in self._writings.values()]
            request = min(self._waiting, key=lambda one: (one.priority, here.count(one.tenant), one.arrival))
            self._waiting.remove(request)
            request.status = Status.RUNNING
            self._writings[request.key] = _Writing(
                request, self._started(request), TextStream(self._decode, request.sampling.stop)
            )

    def _started(self, request: Request) -> Any:
        import openvino

        ids = openvino.Tensor(np.array([request.prompt], dtype=np.int64))
        return self._pipeline.add_request(request.arrival, ids, self._config(request))

    def _config(self, request: Request) -> Any:
        """The request's options in the pipeline's words; stop texts and stop tokens are looked for here."""
        import openvino_genai

        sampling, config = request.sampling, openvino_genai.GenerationConfig()
        config.max_new_tokens = min(sampling.max_tokens, self.limits.context_tokens - len(request.prompt))
        # A model without an end token is given one that it never writes: GenAI insists on having one.
        config.stop_token_ids = set(self._ends) or {self.shape["vocabulary_size"]}
        config.eos_token_id = min(config.stop_token_ids)
        if self._ends:  # ends are forbidden up to here
            config.min_new_tokens = config.max_new_tokens if sampling.ignore_end else sampling.min_tokens
        config.repetition_penalty = sampling.repetition_penalty
        config.logprobs = 0 if sampling.logprobs is None else 1
        config.do_sample = not sampling.is_greedy
        if config.do_sample:
            config.rng_seed = secrets.randbits(63)
            config.temperature = sampling.temperature
            config.top_p = max(sampling.top_p, LEAST_TOP_P)
            config.min_p = sampling.min_p
            if sampling.top_k:
                config.top_k = sampling.top_k
        return config

    def _read(self, writing: _Writing) -> list[Delta]:
        """What the pipeline has written for a request since the last step."""
        request, handle = writing.request, writing.handle
        deltas = []
        while request.status == Status.RUNNING and handle.can_read():
            for output in handle.read().values():
                for at, token in enumerate(output.generated_ids):
                    if request.status == Status.RUNNING:
                        logprob = None if request.sampling.logprobs is None else output.generated_log_probs[at]
                        deltas.append(self._written(writing, Drawn(token, logprob)))
        state = handle.get_status().name
        if request.status == Status.RUNNING and state != "RUNNING" and not handle.can_read():
            message = f"the pipeline ended this answer: {state}"
            deltas.append(self._end(request, Finish.ERROR, message=message))
        return deltas

    def _written(self, writing: _Writing, drawn: Drawn) -> Delta:
        """Add a token to an answer and see whether it ends."""
        request, sampling = writing.request, writing.request.sampling
        if drawn.token in self._ends:
            return self._end(request, Finish.STOP, tokens=(drawn,))
        if drawn.token in sampling.stop_token_ids:
            return self._end(request, Finish.STOP, tokens=(drawn,), stopped_by=drawn.token)
        request.output.append(drawn.token)
        found = writing.text.add(drawn.token)
        if found.stop is not None:
            return self._end(request, Finish.STOP, text=found.text, tokens=(drawn,), stopped_by=found.stop)
        if len(request.output) >= sampling.max_tokens or request.length >= self.limits.context_tokens:
            return self._end(request, Finish.LENGTH, text=found.text, tokens=(drawn,))
        return Delta(request.key, found.text, (drawn,))

    def _end(
        self,
        request: Request,
        finish: Finish,
        *,
        text: str = "",
        tokens: tuple[Drawn, ...] = (),
        stopped_by: str | int | None = None,
        message: str = "",
    ) -> Delta:
        writing = self._writings.pop(request.key, None)
        if writing is None:
            self._waiting.remove(request)
        else:
            writing.handle.cancel()  # its pages are free with the next step; no harm when it has ended
            if not isinstance(stopped_by, str):
                rest = writing.text.end()
                text += rest.text
                stopped_by = rest.stop or stopped_by
        request.status, request.finish = Status.FINISHED, finish
        return Delta(request.key, text, tokens, finish, stopped_by, message=message)


def _pipeline(place: Path, limits: Limits, *, pages: int, threads: int, cache_precision: str) -> Any:
    import openvino_genai

    config = openvino_genai.SchedulerConfig()
    config.num_kv_blocks = pages
    config.max_num_batched_tokens = limits.step_tokens
    config.max_num_seqs = limits.running
    config.dynamic_split_fuse = True
    config.enable_prefix_caching = False
    properties = {
        "INFERENCE_PRECISION_HINT": "f32",
        "KV_CACHE_PRECISION": cache_precision,
        "INFERENCE_NUM_THREADS": threads,
    }
    return openvino_genai.ContinuousBatchingPipeline(place, config, "CPU", properties)
