"""What is measured of versions that write: names, and the bounds of histograms. Prometheus calls them as vLLM does."""

from typing import Final

ROLE: Final = "writing"  # under which writing processes tell how they are

FAST: Final = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0,
)  # fmt: skip
SLOW: Final = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0)
TOKENS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0)

COUNTERS: Final = {
    "prompt_tokens": "Tokens read of prompts.",
    "generation_tokens": "Tokens written.",
    "prefix_cache_queries": "Tokens of prompts that were looked for in the prefix cache.",
    "prefix_cache_hits": "Tokens of prompts that were found in the prefix cache.",
    "num_preemptions": "Times that a request gave its place in memory away.",
}
HISTOGRAMS: Final = {
    "time_to_first_token_seconds": ("From the request to its first token.", FAST),
    "inter_token_latency_seconds": ("Between two tokens of an answer.", FAST),
    "request_time_per_output_token_seconds": ("Mean time of a token behind the first, of a request.", FAST),
    "e2e_request_latency_seconds": ("From the request to its end.", SLOW),
    "request_queue_time_seconds": ("From the request to the moment a worker took it.", SLOW),
    "request_prompt_tokens": ("Tokens of the prompts of a request.", TOKENS),
    "request_generation_tokens": ("Tokens written for a request.", TOKENS),
}
SUCCESS: Final = "request_success"  # by version and finished_reason
