"""Specs: every mistake at once, bounds and meanings for forms, and no torch."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from engine.specs import (
    RECIPES,
    BaseModel,
    ClassifySpec,
    SftSpec,
    parse_spec,
    spec_fields,
    spec_hash,
    to_mapping,
)
from engine.specs.machine import SHARDED, refused_sharding


def test_all_problems_of_a_spec_are_reported_at_once() -> None:
    spec, problems = parse_spec(
        "classify",
        {
            "epochs": 0,
            "leaning_rate": 1e-4,
            "pooling": "max",
            "multi_label": "yes",
            "seed": 1.5,
            "base_model": {"kind": "zip", "name": "x"},
            "dev_split": "train",
        },
    )

    assert spec is None
    assert {(problem.code, problem.field) for problem in problems} == {
        ("out_of_range", "epochs"),
        ("unknown_field", "leaning_rate"),
        ("bad_choice", "pooling"),
        ("wrong_type", "multi_label"),
        ("wrong_type", "seed"),
        ("bad_choice", "base_model.kind"),
        ("same_split", "dev_split"),
    }
    assert all(problem.hint for problem in problems)
    assert "learning_rate" in next(problem.hint for problem in problems if problem.code == "unknown_field")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, None, [], "1e-4"])
def test_a_number_must_be_a_finite_number(value: object) -> None:
    assert parse_spec("classify", {"learning_rate": value})[0] is None


def test_heads_and_width_of_a_decoder_must_fit() -> None:
    _, problems = parse_spec("sft", {"width": 100, "heads": 8, "kv_heads": 3})

    assert {problem.field for problem in problems} == {"width", "kv_heads"}


def test_an_unknown_recipe_is_a_problem() -> None:
    assert parse_spec("dance", {})[1][0].field == "recipe"


NEEDED = {
    "distil": {"teacher": "version:7"},
    "distil_text": {"teacher": "version:7"},
    "prefer": {"base_model": "folder:/models/small"},
}  # options that have no default of their own


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_a_spec_survives_its_mapping(recipe: str) -> None:
    spec, _ = parse_spec(recipe, {**NEEDED.get(recipe, {}), "epochs": 3})

    assert spec is not None
    assert parse_spec(recipe, to_mapping(spec)) == (spec, [])


def test_the_hash_tells_specs_apart_and_ignores_the_way_they_were_written() -> None:
    written, _ = parse_spec("classify", {"epochs": 3.0, "base_model": "folder:/models/small"})
    made = ClassifySpec(epochs=3, base_model=BaseModel("folder", "/models/small"))

    assert written is not None
    assert spec_hash(written) == spec_hash(made) != spec_hash(ClassifySpec())
    assert spec_hash(SftSpec()) != spec_hash(ClassifySpec())


def test_an_option_that_came_later_changes_a_hash_only_where_it_was_chosen() -> None:
    # A hash from before there were these options: checkpoints and preflights are known by it.
    before = "432c0a9ed4b6398f3c78f0127f3d3ab2ae659dc63da20b5956365e1472d6693a"
    spec = ClassifySpec(base_model=BaseModel("folder", "x"))

    assert spec_hash(spec) == spec_hash(replace(spec, processes=0)) == before
    assert len({spec_hash(replace(spec, **{name: value})) for name, value in CHOSEN.items()} | {before}) == 5


def test_specs_keep_the_hashes_that_checkpoints_of_theirs_are_known_by() -> None:
    known = {
        "classify": "db0f8e18f0b7aebdbbc9e0548d6b6fe59cbf2d577c7e66218df7a5fbb5115ac4",
        "tag": "62f83d821503352f3237d613f6ad9e6ee31ac8711381b040435f98c036ecf73f",
        "extract": "8e23e4451cd41cda58f4f36a7187371f19a067560e05a039541be5815706584c",
        "few_shot": "05b802279b0e7b3d9c4629ec0954143eb5bf853808d874dc1ff082505617cb85",
        "embed": "8ac68298e9bc539f29e8d97f676ed2bc17ab76d34761894b0f896df83033456b",
        "rerank": "4ae3a9ecaf1d128f2df4927b5d2f868b88083202eba1a5236334b9b9d1d38aad",
        "distil_text": "4f01db40580151c620733deab87fa82b5255193afa10fbef65a367d9efdeb4c2",
        "distil": "b348badf513ff1bb48b6ab65dadd5ae5ef39cc34422967e9de83a197dbbf9b22",
        "prefer": "fd9e022afa063901ba39557a345044348d87523ac3b74968ec93abc27d9458c1",
        "sft": "5993c43cd1e1ad939fbdf6aab523a97ca99d627485331d7c926e73f77418cf8f",
        "pretrain": "18ef5a04bd2686b2452eb4a08edb726180a6e0a1424e03ce829af20b5724162d",
    }

    assert {name: spec_hash(RECIPES[name].spec()) for name in known} == known


CHOSEN = {"processes": 2, "sharding": "sharded", "precision": "fp32", "gradient_checkpointing": True}


@pytest.mark.parametrize(
    ("recipe", "options", "field"),
    [
        ("classify", {"sharding": "sharded", "processes": 1}, "sharding"),
        ("classify", {"sharding": "sharded", "method": "adalora"}, "sharding"),
        ("tag", {"sharding": "sharded"}, "sharding"),
        ("extract", {"sharding": "sharded"}, "sharding"),
        ("sft", {"sharding": "sharded"}, None),
        ("pretrain", {"sharding": "sharded", "processes": 4}, None),
    ],
)
def test_what_cannot_be_shared_is_refused_with_a_sentence(
    recipe: str, options: dict[str, object], field: str | None
) -> None:
    _, problems = parse_spec(recipe, options)

    assert [problem.field for problem in problems] == ([field] if field else [])
    assert all(problem.message and problem.hint for problem in problems)


def test_every_recipe_says_whether_processes_may_share_its_weights() -> None:
    assert all(bool(refused_sharding(recipe)) == (recipe not in SHARDED) for recipe in RECIPES)


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_every_field_carries_its_meaning_and_an_allowed_default(recipe: str) -> None:
    for info in spec_fields(recipe):
        assert len(info.meaning) > 10
        given = {info.name: info.default, **NEEDED.get(recipe, {})}
        assert parse_spec(recipe, given)[1] == [], info.name
        if info.type in ("integer", "number"):
            assert info.minimum is not None and info.maximum is not None, info.name


def test_specs_are_importable_without_torch_and_numpy() -> None:
    blocked = "import sys\nfor name in ('torch', 'numpy', 'transformers', 'pyarrow'): sys.modules[name] = None\n"
    code = blocked + "import engine.specs; assert engine.specs.parse_spec('classify', {})[0]"

    found = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2] / "platform", capture_output=True, text=True
    )

    assert found.returncode == 0, found.stderr
