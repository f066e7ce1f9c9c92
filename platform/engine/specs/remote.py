"""Servers that answer in the place of a model of our own: what they may know beside OpenAI's own fields."""

DIALECTS = ("openai", "vllm")
"""The second also knows top_k, min_p, repetition_penalty, min_tokens, stop_token_ids, ignore_eos and structured_outputs."""
