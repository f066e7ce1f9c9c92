"""What a sweep may try: values and ranges are checked against the recipe's own options."""

from typing import Any

import pytest

from engine.specs.search import grid, parse_space


def codes(space: Any, strategy: str = "tpe") -> list[tuple[str, str]]:
    return [(one.code, one.field) for one in parse_space("classify", {}, space, strategy)[1]]


@pytest.mark.parametrize(
    ("space", "code", "field"),
    [
        ({}, "required", "space"),
        ({"learning_rat": [1]}, "unknown_field", "space.learning_rat"),
        ({"epochs": []}, "bad_values", "space.epochs"),
        ({"epochs": [2, 2]}, "bad_values", "space.epochs"),
        ({"method": {"low": 1, "high": 2}}, "no_range", "space.method"),
        ({"epochs": {"low": 3, "high": 3}}, "bad_range", "space.epochs"),
        ({"epochs": {"low": 1.5, "high": 3}}, "bad_range", "space.epochs"),
        ({"learning_rate": {"low": 0, "high": 1, "log": True}}, "bad_range", "space.learning_rate"),
        ({"learning_rate": {"low": 0.1}}, "bad_range", "space.learning_rate"),
        ({"epochs": {"low": 0, "high": 5}}, "out_of_range", "space.epochs"),
        ({"method": ["full", "half"]}, "bad_choice", "space.method"),
        ({"seed": ["x"]}, "wrong_type", "space.seed"),
    ],
)
def test_what_cannot_be_searched_is_named(space: Any, code: str, field: str) -> None:
    assert codes(space) == [(code, field)]


def test_all_problems_of_a_space_come_at_once() -> None:
    found = codes({"epochs": [0], "learning_rat": [1], "method": ["half"]})

    assert {field for _code, field in found} == {"space.epochs", "space.learning_rat", "space.method"}


def test_a_grid_needs_values_and_walks_them_in_order() -> None:
    assert codes({"epochs": {"low": 1, "high": 3}}, "grid") == [("no_grid", "space.epochs")]

    axes, problems = parse_space("classify", {}, {"epochs": [1, 2], "method": {"values": ["full", "frozen"]}}, "grid")

    assert problems == []
    assert grid(axes) == [
        {"epochs": 1, "method": "full"},
        {"epochs": 1, "method": "frozen"},
        {"epochs": 2, "method": "full"},
        {"epochs": 2, "method": "frozen"},
    ]
