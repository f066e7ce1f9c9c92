"""What a pretraining run is made of before it starts: rows by part, vocabulary, tokens, network, problems."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

from tokenizers import Tokenizer

from engine import base_models
from engine import vocabulary as vocabularies
from engine.corpus import Membership, membership
from engine.failures import RunFailed
from engine.gpt import Gpt, GptConfig
from engine.gpt.config import gpt2_shape
from engine.gpt.hugging_face import load_gpt, read_config
from engine.specs.pretrain import PretrainSpec
from engine.vocabulary import Vocabulary
from words import say


def rows_of(spec: PretrainSpec, data: Path) -> Membership:
    """Which rows are train, dev and test."""
    splits = {"train": spec.train_split, "dev": spec.dev_split, "test": spec.test_split}
    return membership(data, splits, holdout_share=spec.holdout_share, seed=spec.seed)


def learn_vocabulary(spec: PretrainSpec, rows: Membership) -> Vocabulary:
    """The vocabulary of a spec, learnt on the training texts as they stream by, or taken over."""
    if spec.vocabulary == "base_model":
        return vocabularies.taken_over(spec.base_model)
    if spec.vocabulary == "byte":
        return vocabularies.own(vocabularies.bytes_alone())
    learn = vocabularies.characters if spec.vocabulary == "character" else vocabularies.byte_level_bpe
    return vocabularies.own(learn(rows.texts("train"), spec.vocabulary_size))


def stored_vocabulary(spec: PretrainSpec, text: str) -> Vocabulary:
    """The vocabulary of a checkpoint, which holds the tokenizer as `text`."""
    if spec.vocabulary == "base_model":
        return vocabularies.taken_over(spec.base_model)
    return vocabularies.own(Tokenizer.from_str(text))


def model_config(spec: PretrainSpec, vocabulary_size: int) -> GptConfig:
    """The decoder of a spec over a vocabulary, or that of its base model.

    RunFailed when a base model is missing, of another shape, or reads fewer tokens than a sequence holds.
    """
    if spec.goes_on:
        return base_config(spec)
    # The exact GELU: on a CPU the approximation by tanh, which GPT-2 was published with, is the slower one.
    shape = partial(gpt2_shape, activation="gelu") if spec.shape == "gpt2" else GptConfig
    return shape(
        vocabulary_size=vocabulary_size,
        context_tokens=spec.context_tokens,
        layers=spec.layers,
        heads=spec.heads,
        width=spec.width,
        kv_heads=spec.kv_heads,
        feed_forward=spec.feed_forward,
        tied=spec.tie_embeddings,
        dropout=spec.dropout,
    )


def base_config(spec: PretrainSpec) -> GptConfig:
    """The decoder of a base model, read in sequences of the spec's length."""
    path = base_models.fetched(spec.base_model) / "config.json"
    found = replace(read_config(json.loads(path.read_text(encoding="utf-8"))), dropout=spec.dropout)
    if found.context_tokens < spec.context_tokens:
        raise RunFailed(
            "not_together",
            say("The base model reads {tokens} tokens, and a sequence holds more.", tokens=found.context_tokens),
            say("Lower context_tokens."),
        )
    return found


def network(spec: PretrainSpec, vocabulary_size: int) -> Gpt:
    """The network with the weights it begins with; seed torch before a new one is made."""
    config = model_config(spec, vocabulary_size)
    return load_gpt(base_models.fetched(spec.base_model), dropout=spec.dropout) if spec.goes_on else Gpt(config)
