"""An explained sentence as the page draws it: for a chosen layer, head and token, each formula's numbers as words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from apps.inference.selectors import attention_rows
from engine.specs.explanation import Row, logsumexp, softmax

VISIBLE = str.maketrans({" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍"})
LISTED = 12  # tokens a position looks at, the strongest of them
FIRST = 4  # numbers of a vector that are written out
NUMBERED = 14  # tokens up to which a map has room for its numbers
STRONG = 0.65  # a field this dark carries light letters
Told = Mapping[str, Any]


@dataclass(frozen=True)
class Choice:
    """What is looked at; an address that names something else is brought back to what there is."""

    layer: int
    head: int
    token: int

    def address(self, **changed: int) -> str:
        """The query of this choice with some of it changed."""
        return "?" + urlencode({"layer": self.layer, "head": self.head, "token": self.token} | changed)


def picture(told: Told, query: Mapping[str, str]) -> dict[str, Any]:
    """All that the template needs."""
    choice = _choice(told, query)
    rows = attention_rows(dict(told), choice.layer, choice.head)
    return {
        "choice": choice,
        "token": _word(told, choice.token),
        "chips": _chips(told, choice),
        "shape": told["shape"] | {"tokens": len(told["tokens"])},
        "embedding": _embedding(told, choice),
        "layers": [(layer, choice.address(layer=layer)) for layer in told["scores"]["layers"]],
        "some_layers": len(told["scores"]["layers"]) < told["shape"]["layers"],
        "heads": [(head, choice.address(head=head)) for head in range(told["shape"]["heads"])],
        "group": choice.head * told["shape"]["kv_heads"] // told["shape"]["heads"],
        "map": _map(told, rows, choice),
        "numbered": len(rows) <= NUMBERED,
        "attention": _attention(told, rows[choice.token], choice),
        "block": _block(told, choice),
        "next": _next(told, choice.token),
        "loss": _loss(told, choice.token),
    }


def number(value: float) -> str:
    """A number with as many digits as help: 1,234 · 12.34 · 0.1234 · 3.2e−5."""
    size = abs(value)
    if size >= 1000:
        text = f"{value:,.0f}"
    elif size >= 10:
        text = f"{value:.2f}"
    else:
        text = f"{value:.4f}" if size >= 0.0005 or value == 0 else f"{value:.1e}".replace("e-0", "e-")
    return text.replace("-", "−")


def _choice(told: Told, query: Mapping[str, str]) -> Choice:
    """The last layer kept, its first head and the last token, unless the address says otherwise."""
    layers, last = told["scores"]["layers"], len(told["tokens"]) - 1
    layer = _whole(query.get("layer"), layers[-1])
    head, token = _whole(query.get("head"), 0), _whole(query.get("token"), last)
    return Choice(
        layer=layer if layer in layers else layers[-1],
        head=head if head < told["shape"]["heads"] else 0,
        token=min(token, last),
    )


def _whole(text: str | None, default: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 6 else default


def _word(told: Told, at: int) -> str:
    return visible(told["tokens"][at]["text"])


def visible(text: str) -> str:
    """Spaces and line ends as signs, so that a token shows where it begins."""
    return text.translate(VISIBLE)


def _chips(told: Told, choice: Choice) -> list[dict[str, Any]]:
    knows_nothing = math.log(told["shape"]["vocabulary_size"])
    chips = []
    for at, token in enumerate(told["tokens"]):
        target = told["next"][at - 1]["target"] if at else None
        chips.append(
            {
                "at": at,
                "id": token["id"],
                "text": visible(token["text"]),
                "chosen": at == choice.token,
                "address": choice.address(token=at),
                "loss": None if target is None else number(target["loss"]),
                "share": None if target is None else f"{min(1.0, target['loss'] / knows_nothing):.3f}",
            }
        )
    return chips


def _embedding(told: Told, choice: Choice) -> dict[str, Any]:
    """The chosen token's vectors in numbers, and every token's as strips of colour."""
    vector = told["vectors"][choice.token]
    strips = [_strips(told, "token")]
    found: dict[str, Any] = {"token": _first(vector["token"]), "token_length": number(vector["token_length"])}
    if vector["place"] is not None:
        strips.append(_strips(told, "place"))
        sums = [token + place for token, place in zip(vector["token"], vector["place"], strict=True)]
        found |= {"place": _first(vector["place"]), "place_length": number(vector["place_length"]), "sum": _first(sums)}
    if told["angles"] is not None:
        found |= {"frequencies": _first(told["frequencies"]), "angles": _first(told["angles"][choice.token])}
        found["base"] = f"{told['shape']['rope_theta']:.10g}"
    found["rows"] = [
        {
            "text": _word(told, at),
            "chosen": at == choice.token,
            "strips": [strip[at] for strip in strips],
            "dials": told["angles"] and [_hand(angle) for angle in told["angles"][at]],
        }
        for at in range(len(told["tokens"]))
    ]
    return found


def _first(values: Sequence[float]) -> list[str]:
    return [number(value) for value in values[:FIRST]]


def _strips(told: Told, name: str) -> list[list[dict[str, str]]]:
    """Each vector's first numbers as colours: how strong against the largest of all, and of which sign."""
    rows = [vector[name] for vector in told["vectors"]]
    largest = max(abs(value) for row in rows for value in row) or 1.0
    return [
        [
            {"sign": "minus" if value < 0 else "plus", "share": f"{abs(value) / largest:.2f}", "value": number(value)}
            for value in row
        ]
        for row in rows
    ]


def _hand(angle: float) -> dict[str, str]:
    """Where the hand of a dial of radius 8 ends."""
    return {"x": f"{10 + 8 * math.cos(angle):.2f}", "y": f"{10 - 8 * math.sin(angle):.2f}", "angle": number(angle)}


def _map(told: Told, rows: Sequence[Row], choice: Choice) -> list[dict[str, Any]]:
    """The weights of a head, a row for each position; None where the mask hides a token."""
    found = []
    for at, row in enumerate(rows):
        weights = [
            {"weight": f"{weight:.3f}", "shade": f"{_shade(weight, len(rows)):.3f}", "strong": weight > STRONG}
            for weight in row.weights
        ]
        cells = [*weights, *[None] * (len(rows) - at - 1)]
        found.append({"text": _word(told, at), "at": at, "cells": cells, "chosen": at == choice.token})
    return found


def _shade(weight: float, tokens: int) -> float:
    """How dark a field is: its weight, or the root of it where many tokens share the attention and no number stands."""
    return weight if tokens <= NUMBERED else math.sqrt(weight)


def _attention(told: Told, row: Row, choice: Choice) -> dict[str, Any]:
    """The chosen position's row: each formula with the numbers of the token it looks at most."""
    width, weights = told["shape"]["head_width"], row.weights
    best = max(range(len(weights)), key=weights.__getitem__)
    unscaled = softmax([score * math.sqrt(width) for score in row.scores])
    strongest = sorted(sorted(range(len(weights)), key=lambda at: -weights[at])[:LISTED])
    listed = [
        {
            "text": _word(told, at),
            "at": at,
            "product": number(row.scores[at] * math.sqrt(width)),
            "score": number(row.scores[at]),
            "weight": number(weights[at]),
            "share": f"{weights[at]:.4f}",
        }
        for at in strongest
    ]
    return {
        "best": listed[strongest.index(best)],
        "root": number(math.sqrt(width)),
        "total": number(logsumexp(row.scores)),
        "listed": listed,
        "left_out": len(weights) - len(listed),
        "unscaled": max(unscaled),
        "scaled": max(weights),
        "future": None if choice.token == len(told["tokens"]) - 1 else row.future_share,
    }


def _block(told: Told, choice: Choice) -> dict[str, Any]:
    """The chosen token through the chosen block, and through all of them."""
    steps = [layer["steps"][choice.token] for layer in told["layers"]]
    longest = max(max(step["before"], step["after"]) for step in steps) or 1.0
    names = ("before", "attention", "feed_forward", "after")
    step = steps[choice.layer]
    return {
        "step": {name: number(value) for name, value in step.items()},
        "layers": [
            {
                "layer": at,
                "chosen": at == choice.layer,
                "values": [{"text": number(each[name]), "share": f"{each[name] / longest:.3f}"} for name in names],
            }
            for at, each in enumerate(steps)
        ],
    }


def _next(told: Told, at: int) -> dict[str, Any]:
    """What is expected after the chosen token."""
    found = told["next"][at]
    followed = found["target"]["id"] if found["target"] else None
    top = [
        {
            "text": visible(row["text"]),
            "id": row["id"],
            "logit": number(row["logit"]),
            "probability": row["probability"],
            "share": f"{row['probability']:.4f}",
            "followed": row["id"] == followed,
        }
        for row in found["top"]
    ]
    target = found["target"] and {**found["target"], "text": visible(found["target"]["text"])}
    shown = any(row["followed"] for row in top)
    return {"total": number(found["logsumexp"]), "top": top, "first": top[0], "target": target, "shown": shown}


def _loss(told: Told, at: int) -> dict[str, Any]:
    """How surprising the chosen token was to the model that had read what stands before it."""
    target = told["next"][at - 1]["target"] if at else None
    knows_nothing = math.log(told["shape"]["vocabulary_size"])
    return {
        "before": _word(told, at - 1) if at else "",
        "probability": None if target is None else number(target["probability"]),
        "value": None if target is None else number(target["loss"]),
        "mean": None if told["loss"] is None else number(told["loss"]),
        "perplexity": None if told["loss"] is None else number(math.exp(min(told["loss"], 700.0))),
        "count": len(told["tokens"]) - 1,
        "knows_nothing": number(knows_nothing),
    }
