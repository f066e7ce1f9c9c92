"""A lineage graph as boxes and lines with fixed places, for an SVG without a library."""

import unicodedata
from dataclasses import dataclass

from apps.dashboard.lineage import Graph, Key, Node

WIDTH, HEIGHT = 196, 56  # of a box
BETWEEN, BELOW = 28, 14  # room between columns and rows
MARGIN = 2
TEXT_UNITS, SMALL_UNITS = 19.0, 26.0  # of the lines in a box; a wide character is two


@dataclass(frozen=True)
class Box:
    """A node and where it stands."""

    node: Node
    x: int
    y: int

    @property
    def title(self) -> str:
        """As much of the title as fits."""
        return fitting(self.node.title, TEXT_UNITS)

    @property
    def below(self) -> str:
        """The kind, and as much of the detail as fits."""
        node = self.node
        return fitting(f"{node.words} · {node.detail}" if node.detail else str(node.words), SMALL_UNITS)

    @property
    def text_x(self) -> int:
        """Where the lines begin, behind the icon."""
        return self.x + 38


@dataclass(frozen=True)
class Drawing:
    """All a template needs."""

    boxes: list[Box]
    lines: list[str]  # paths of SVG
    width: int
    height: int


def drawn(graph: Graph) -> Drawing:
    """Layers as columns; the boxes of a column near the middle of what they come from."""
    places: dict[Key, Box] = {}
    columns = graph.layers()
    tallest = max((len(column) for column in columns), default=1)
    for at, column in enumerate(columns):
        order = sorted(column, key=lambda node: (_middle(graph, node, places), node.kind))
        start = (tallest - len(column)) * (HEIGHT + BELOW) // 2
        for row, node in enumerate(order):
            places[node.key] = Box(node, MARGIN + at * (WIDTH + BETWEEN), MARGIN + start + row * (HEIGHT + BELOW))
    return Drawing(
        boxes=list(places.values()),
        lines=[_line(places[one], places[two]) for one, two in graph.edges],
        width=2 * MARGIN + len(columns) * (WIDTH + BETWEEN) - BETWEEN,
        height=2 * MARGIN + tallest * (HEIGHT + BELOW) - BELOW,
    )


def _middle(graph: Graph, node: Node, places: dict[Key, Box]) -> float:
    above = [places[found.key].y for found in graph.before(node.key) if found.key in places]
    return sum(above) / len(above) if above else 0.0


def _line(one: Box, two: Box) -> str:
    """A curve from the right side of one box to the left side of another."""
    x, y, to_x, to_y = one.x + WIDTH, one.y + HEIGHT // 2, two.x, two.y + HEIGHT // 2
    bend = (to_x - x) // 2
    return f"M{x} {y} C{x + bend} {y} {to_x - bend} {to_y} {to_x} {to_y}"


def fitting(text: str, units: float) -> str:
    """The text, cut with an ellipsis where it is wider than `units` narrow characters."""
    filled = 0.0
    for at, sign in enumerate(text):
        filled += 2.0 if unicodedata.east_asian_width(sign) in "WF" else 1.0
        if filled > units:
            return text[: max(1, at - 1)] + "…"
    return text
