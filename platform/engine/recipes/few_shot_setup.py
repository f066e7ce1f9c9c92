"""What a few-shot run is made of before it starts: the texts drawn of each class, what reads them, and the words of labels."""

import dataclasses
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch

from engine import base_models
from engine.continuing import Earlier, earlier_rows, joined, union
from engine.data import TextRows, parts_of, read_texts
from engine.encoder import TextClassifier, can_pack
from engine.gpt import Gpt, GptConfig
from engine.gpt.hugging_face import LLAMA_LIKE, load_gpt, read_config
from engine.methods import Attached, attach
from engine.predict import encode
from engine.preflight_classify import classification_problems
from engine.preflight_rows import naming
from engine.recipes.classify_setup import attach_method, parameter_groups, reading_length
from engine.recipes.sft_setup import attach_method as attach_to_writer
from engine.recipes.sft_setup import parameter_groups as writer_groups
from engine.specs import Problem
from engine.specs.few_shot import FewShotSpec
from engine.specs.methods import VIRTUAL
from engine.texts import normalised
from engine.verbaliser import CONTENT_FREE, MaskedWords, Reading, WordScorer, WrittenWords
from engine.verbaliser_folder import masked_network, says_words_at_a_mask
from words import say

Model = TextClassifier | WordScorer
WRITES = ("gpt2", *LLAMA_LIKE)
UNCUT = 1 << 20


def arrange(
    spec: FewShotSpec, splits: Mapping[str, TextRows]
) -> tuple[dict[str, TextRows], dict[int, list[int]], list[str], list[Problem]]:
    """(rows by part, positions in train by count, labels in order, problems).

    Train holds what the largest count draws; the positions of each count hold those of every smaller one. Dev is held out
    of train when the dataset has none.
    """
    parts = parts_of(spec, splits, TextRows, groups=lambda rows: rows.labels)
    for name, part in parts.items():
        parts[name] = part.pick([at for at, labels in enumerate(part.labels) if labels])
    whole = parts["train"]
    labels = sorted({label for names in whole.labels for label in names})
    problems = _missing(spec, whole, labels)
    ranks = draw(whole, spec.seed)
    largest = spec.counts[-1]
    parts["train"] = whole.pick([at for at, rank in enumerate(ranks) if not largest or rank < largest])
    kept = [rank for rank in ranks if not largest or rank < largest]
    drawn = {count: [at for at, rank in enumerate(kept) if not count or rank < count] for count in spec.counts}
    problems += classification_problems(spec, parts, labels)
    if len(spec.counts) > 1 and not len(parts["dev"]):
        problems.append(
            Problem(
                "no_dev",
                "curve",
                say("A learning curve is measured on dev rows, and there are none."),
                say("Split the dataset, raise holdout_share, or leave the curve empty."),
            )
        )
    return parts, drawn, labels, problems


def rehearsed(
    spec: FewShotSpec,
    parts: dict[str, TextRows],
    drawn: dict[int, list[int]],
    labels: list[str],
    earlier: Sequence[Earlier],
) -> tuple[dict[int, list[int]], list[str], list[range]]:
    """(positions by count, labels, where earlier tasks stand) once rows of earlier tasks stand behind those of train.

    As many texts of each of their classes are drawn as of the new ones; their labels are learnt beside the new ones.
    RunFailed when there are no such rows.
    """
    if not spec.rehearses:
        return drawn, labels, []
    measured = [parts["dev"], parts["test"]]
    rows = earlier_rows(spec, earlier, lambda task: read_texts(task.path), lambda part: part.texts, measured)
    rows = [part.pick([at for at, names in enumerate(part.labels) if len(names) == 1]) for part in rows]
    parts["train"], tasks = joined(parts["train"], rows)
    found = {count: list(places) for count, places in drawn.items()}
    for part, task in zip(rows, tasks, strict=True):
        ranks = draw(part, spec.seed)
        for count, places in found.items():
            places += [at for at, rank in zip(task, ranks, strict=True) if not count or rank < count]
    known = sorted({label for part in rows for names in part.labels for label in names})
    return found, union(known, labels), tasks


def draw(rows: TextRows, seed: int) -> list[int]:
    """The place of each row within its class in a seeded order of the class's rows; equal texts go to the end."""
    order = np.random.default_rng(seed).permutation(len(rows)).tolist()
    seen: set[tuple[tuple[str, ...], str]] = set()
    again = []
    ranks, used = [0] * len(rows), defaultdict[tuple[str, ...], int](int)
    for at in order:
        key = (rows.labels[at], normalised(rows.texts[at]))
        if key in seen:
            again.append(at)
            continue
        seen.add(key)
        ranks[at] = used[rows.labels[at]]
        used[rows.labels[at]] += 1
    for at in again:
        ranks[at] = used[rows.labels[at]]
        used[rows.labels[at]] += 1
    return ranks


def _missing(spec: FewShotSpec, rows: TextRows, labels: Sequence[str]) -> list[Problem]:
    """Classes with fewer different texts than the largest count asks for."""
    problems: list[Problem] = []
    wanted = spec.counts[-1]
    for label in labels:
        own = [at for at, names in enumerate(rows.labels) if label in names]
        count = len({normalised(rows.texts[at]) for at in own})
        if count < wanted:
            problems += naming(
                [rows.ids[at] for at in own],
                "too_few_shots",
                "shots",
                say(
                    "The label “{label}” has {count} different texts, not {wanted}.",
                    label=label,
                    count=count,
                    wanted=wanted,
                ),
                say("Ask for fewer texts a class, or label more."),
            )
    return problems


@dataclass(frozen=True)
class Beginning:
    """What a run starts from: the base model's place, tokenizer and configuration, and how a text becomes token ids."""

    spec: FewShotSpec
    labels: Sequence[str]
    place: str
    tokenizer: Any
    config: Any  # of transformers
    limit: int  # tokens of one text, or of one filled pattern
    gpt: GptConfig | None = None  # the shape of a model that writes

    def read(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids as the model reads them."""
        return self.reading(texts) if self.spec.way == "verbaliser" else encode(self.tokenizer, texts, self.limit)

    def whole_lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, or of its pattern, if nothing were cut."""
        if self.spec.way == "verbaliser":
            return self.reading.whole_lengths(texts)
        return [len(ids) for ids in encode(self.tokenizer, texts, UNCUT)]

    @property
    def reading(self) -> Reading:
        """The pattern, bound to the tokenizer."""
        return Reading(self.tokenizer, self.spec.pattern, self.limit, is_masked=self.gpt is None)

    @property
    def words(self) -> dict[str, list[str]]:
        """The words of each label, in the order of the labels."""
        given = self.spec.words
        return {label: list(given.get(label, (spoken(label),))) for label in self.labels}

    @property
    def word_ids(self) -> list[list[list[int]]]:
        """The tokens of each word of each label."""
        return [[self.reading.word_ids(word) for word in words] for words in self.words.values()]

    def model(self) -> Model:
        """The network with its weights, calibrated where the spec says so; seed torch before."""
        revision = self.spec.base_model.revision
        if self.spec.way == "contrastive":
            network = base_models.load_network(self.place, len(self.labels), revision=revision)
            return TextClassifier(network, len(self.labels), pooling="mean", dropout=self.spec.dropout)
        if self.gpt is not None:
            folder = base_models.fetched(self.spec.base_model)
            made: WordScorer = WrittenWords(load_gpt(folder, dropout=self.spec.dropout), self.word_ids)
        else:
            network = masked_network(self.place, revision)
            mask = self.tokenizer.mask_token_id
            made = MaskedWords(network, self.word_ids, mask_id=mask, dropout=self.spec.dropout)
        if self.spec.calibrate:
            made.calibrate(self.reading(CONTENT_FREE))
        return made

    def empty_model(self) -> Model:
        """The network on the meta device: shapes without memory."""
        from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification

        with torch.device("meta"):
            if self.spec.way == "contrastive":
                self.config.num_labels = max(len(self.labels), 1)
                network = AutoModelForSequenceClassification.from_config(self.config)
                return TextClassifier(network, max(len(self.labels), 1), pooling="mean")
            if self.gpt is not None:
                return WrittenWords(Gpt(self.gpt), self.word_ids)
            return MaskedWords(AutoModelForMaskedLM.from_config(self.config), self.word_ids, mask_id=0)


def spoken(label: str) -> str:
    """A label's name as words."""
    return label.replace("_", " ").strip()


def beginning(spec: FewShotSpec, labels: Sequence[str]) -> tuple[Beginning | None, list[Problem]]:
    """(where the run starts, what of the base model, the pattern and the words does not fit)."""
    place = base_models.locate(spec.base_model)
    config = base_models.load_config(place, spec.base_model.revision)
    writes = config.model_type in WRITES
    if spec.way == "contrastive" and not can_pack(config):
        return None, [_no_encoder(config.model_type)]
    if spec.way == "verbaliser" and not writes and not says_words_at_a_mask(config):
        return None, [_no_words(config.model_type)]
    tokenizer = base_models.load_tokenizer(place, spec.base_model.revision)
    if not writes:
        made = Beginning(spec, labels, place, tokenizer, config, reading_length(spec, config, tokenizer))
        return made, _words_problems(made) if spec.way == "verbaliser" else []
    folder = base_models.fetched(spec.base_model)
    gpt = read_config(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    gpt = dataclasses.replace(gpt, dropout=spec.dropout)
    virtual = spec.virtual_tokens if spec.method in VIRTUAL else 0
    limit = min(spec.max_length_tokens, gpt.context_tokens - virtual)
    made = Beginning(spec, labels, place, tokenizer, config, limit, gpt)
    longest = max((len(word) - 1 for words in made.word_ids for word in words), default=0)
    made = dataclasses.replace(made, limit=min(limit, gpt.context_tokens - virtual - longest))
    return made, _words_problems(made)


def _no_encoder(kind: str) -> Problem:
    return Problem(
        "not_together",
        "base_model",
        say("The contrastive way reads a BERT- or RoBERTa-like encoder, and this base model is {kind}.", kind=kind),
        say("Choose such an encoder, or the way “verbaliser”."),
    )


def _no_words(kind: str) -> Problem:
    return Problem(
        "no_word_head",
        "base_model",
        say("This base model ({kind}) has no head that says words, which the verbaliser needs.", kind=kind),
        say("Choose a BERT- or RoBERTa-like masked language model, a model that writes, or the way “contrastive”."),
    )


def _words_problems(start: Beginning) -> list[Problem]:
    """A pattern without room, words of labels that do not exist, words without tokens, labels that share all of them."""
    found = []
    spec, reading = start.spec, start.reading
    if start.gpt is not None and not spec.pattern.rstrip().endswith("{label}"):
        found.append(
            Problem(
                "bad_pattern",
                "pattern",
                say("A model that writes says the word at the end, so the pattern must end with {{label}}."),
                say("Write it like “{{text}} This is about {{label}}”."),
            )
        )
    if reading.fixed_tokens >= start.limit:
        found.append(
            Problem(
                "no_room",
                "max_length_tokens",
                say("The pattern alone has {count} tokens and leaves no room for a text.", count=reading.fixed_tokens),
                say("Raise max_length_tokens, or shorten the pattern."),
            )
        )
    found += [
        Problem(
            "unknown_label",
            "label_words",
            say("No training row has the label “{label}”.", label=label),
            say("Write the labels as they stand in the data."),
        )
        for label in sorted(set(spec.words) - set(start.labels))
    ]
    taken: dict[str, str] = {}
    unknown = start.tokenizer.unk_token_id
    for (label, words), ids in zip(start.words.items(), start.word_ids, strict=True):
        wordless = [word for word, tokens in zip(words, ids, strict=True) if not tokens or unknown in tokens]
        if wordless:
            found.append(
                Problem(
                    "unknown_word",
                    "label_words",
                    say(
                        "The base model has no tokens for “{word}”, a word of “{label}”.", word=wordless[0], label=label
                    ),
                    say("Give the label a word that the model knows."),
                )
            )
        other = taken.setdefault(
            json.dumps(sorted(sorted(tokens) if start.gpt is None else tokens for tokens in ids)), label
        )
        if other != label:
            found.append(
                Problem(
                    "same_words",
                    "label_words",
                    say("The labels “{one}” and “{other}” have the same words.", one=other, other=label),
                    say("Give each label words of its own."),
                )
            )
    return found


def attached(model: Model, spec: FewShotSpec, vocabulary: int) -> Attached | None:
    """Put the spec's adapter into the network; what is not trained by AdamW stands still.

    A head for words stays as it came beside an adapter, and the head of the contrastive way is fitted, not trained.
    """
    if isinstance(model, WrittenWords):
        return attach_to_writer(model.gpt, cast(Any, spec)) if vocabulary else _bare(model.gpt, spec)
    assert isinstance(model, TextClassifier | MaskedWords)
    made = attach_method(model, spec, vocabulary)
    if isinstance(model, TextClassifier):
        model.head.requires_grad_(False)
    elif spec.is_adapter:
        model.said.requires_grad_(False)
    return made


def _bare(gpt: Gpt, spec: FewShotSpec) -> Attached | None:
    """The adapter without the values it begins with, for a network without weights."""
    return attach(gpt, spec) if spec.is_adapter else None


def groups(model: Model, spec: FewShotSpec) -> list[dict[str, Any]]:
    """AdamW groups with their peak rate; of an encoder each layer below the top is slower."""
    if isinstance(model, WrittenWords):
        rate = spec.adapter_learning_rate if spec.is_adapter else spec.learning_rate
        return [{"peak": rate, **group} for group in writer_groups(model.gpt, cast(Any, spec))]
    assert isinstance(model, TextClassifier | MaskedWords)
    return parameter_groups(model, spec)
