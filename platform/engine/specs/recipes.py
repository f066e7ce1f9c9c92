"""The recipes by name, and their specs as plain mappings."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from engine.specs.classify import ClassifySpec
from engine.specs.common import Spec
from engine.specs.distil import DistilSpec
from engine.specs.distil_text import DistilTextSpec
from engine.specs.embed import EmbedSpec
from engine.specs.extract import ExtractSpec
from engine.specs.few_shot import FewShotSpec
from engine.specs.fields import FieldInfo, infos, read
from engine.specs.machine import machine_problems
from engine.specs.prefer import PreferSpec
from engine.specs.pretrain import PretrainSpec
from engine.specs.problems import Problem, has_errors
from engine.specs.rerank import RerankSpec
from engine.specs.sft import SftSpec
from engine.specs.tag import TagSpec
from words import say


@dataclass(frozen=True)
class Recipe:
    """What a recipe is asked with, what it learns from and what it makes."""

    spec: type[Any]
    data_kinds: tuple[str, ...]  # dataset kinds it learns from, the usual one first
    task: str  # of the model version it makes
    dev_metrics: tuple[str, ...] = ("loss",)  # measured on dev after each epoch; a sweep looks for the first
    least_labels: int = 0  # that the dataset version must know
    least_rows: int = 8  # to learn from; with fewer a run is not started
    starts_from: tuple[str, ...] = ()  # tasks of versions it may start from besides its own


CLASS_METRICS = ("accuracy", "macro_f1", "micro_f1", "weighted_f1", "loss")
VECTOR_METRICS = (
    "mrr",
    "ndcg",
    "recall_at_1",
    "recall_at_5",
    "recall_at_10",
    "centroid_accuracy",
    "spearman",
    "loss",
)
RANK_METRICS = ("mrr", "ndcg", "recall_at_1", "recall_at_5", "recall_at_10", "mrr_gain", "spearman", "loss")
SPAN_METRICS = ("entity_f1", "precision", "recall", "macro_f1", "weighted_f1", "loss")
CORPUS_METRICS = ("loss", "perplexity", "bits_per_byte", "token_accuracy")
LOWER_IS_BETTER = ("loss", "perplexity", "bits_per_byte")

RECIPES: dict[str, Recipe] = {
    "classify": Recipe(
        ClassifySpec, ("classification",), "classification", CLASS_METRICS, least_labels=2, starts_from=("generation",)
    ),
    "tag": Recipe(TagSpec, ("spans",), "tagging", SPAN_METRICS, least_labels=1),
    "extract": Recipe(ExtractSpec, ("qa",), "extraction", ("f1", "exact_match", "loss")),
    "few_shot": Recipe(
        FewShotSpec, ("classification",), "classification", CLASS_METRICS, least_labels=2, starts_from=("generation",)
    ),
    "embed": Recipe(EmbedSpec, ("pairs", "classification"), "embedding", VECTOR_METRICS),
    "rerank": Recipe(RerankSpec, ("pairs", "classification"), "reranking", RANK_METRICS, starts_from=("embedding",)),
    "distil": Recipe(DistilSpec, ("classification",), "classification", CLASS_METRICS),
    "prefer": Recipe(PreferSpec, ("preference",), "generation", ("loss", "win_rate", "reward_margin")),
    "sft": Recipe(SftSpec, ("chat", "pairs", "qa"), "generation", ("loss", "perplexity")),
    "distil_text": Recipe(DistilTextSpec, ("chat", "pairs", "qa"), "generation", ("loss", "perplexity")),
    "pretrain": Recipe(PretrainSpec, ("corpus",), "generation", CORPUS_METRICS, least_rows=1),
}


def parse_spec(recipe: str, mapping: Mapping[str, Any]) -> tuple[Spec | None, list[Problem]]:
    """The spec, or None and all problems at once; warnings may come beside a spec."""
    if recipe not in RECIPES:
        return None, [
            Problem(
                "bad_choice",
                "recipe",
                say("There is no recipe “{recipe}”.", recipe=recipe),
                say("Choose one of: {recipes}.", recipes=", ".join(RECIPES)),
            )
        ]
    if not isinstance(mapping, Mapping):
        return None, [Problem("wrong_type", "", say("The spec must be a JSON object."), say("Give options by name."))]
    values, problems = read(RECIPES[recipe].spec, mapping)
    spec = RECIPES[recipe].spec(**values)
    wrong = {known.field for known in problems}
    problems += [found for found in [*spec.problems(), *machine_problems(recipe, spec)] if found.field not in wrong]
    return (None if has_errors(problems) else spec), problems


def spec_fields(recipe: str) -> tuple[FieldInfo, ...]:
    """Name, type, default, bounds, choices and meaning of each option; KeyError for an unknown recipe."""
    return infos(RECIPES[recipe].spec)


def to_mapping(spec: Spec) -> dict[str, Any]:
    """The spec as plain JSON; parse_spec gives the same spec back."""
    found: dict[str, Any] = dataclasses.asdict(cast(Any, spec), dict_factory=_named)
    return found


def _named(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """Without where a base model lies on this machine."""
    return {name: value for name, value in items if name != "place"}


def spec_hash(spec: Spec) -> str:
    """sha256 of the canonical JSON of a spec and its recipe, as hex: checkpoints and preflights are known by it.

    So that they stay known when a recipe gets a new option, that option counts only where it is not the default.
    """
    recipe = next(name for name, known in RECIPES.items() if type(spec) is known.spec)
    later = {info.name: info.default for info in infos(type(spec)) if info.later}
    said = {
        name: value
        for name, value in to_mapping(spec).items()
        if name not in later or getattr(spec, name) != later[name]
    }
    canonical = json.dumps([recipe, said], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
