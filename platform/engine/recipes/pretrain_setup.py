"""What a pretraining run is made of before it starts: rows by part, vocabulary, tokens, network, problems."""

from functools import partial
from pathlib import Path

from tokenizers import Tokenizer

from engine import vocabulary as vocabularies
from engine.corpus import Membership, membership
from engine.gpt import GptConfig
from engine.gpt.config import gpt2_shape
from engine.specs.pretrain import PretrainSpec
from engine.vocabulary import Vocabulary


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
    """The decoder of a spec over a vocabulary."""
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
