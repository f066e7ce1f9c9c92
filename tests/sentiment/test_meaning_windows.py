"""Which part of a text speaks of an entity."""

import pytest

from apps.sentiment.meaning.windows import LONGEST, MOST_WINDOWS, windows


def of(text: str, name: str, *others: str) -> list[str]:
    def spans(word: str) -> list[tuple[int, int]]:
        return [(at, at + len(word)) for at in range(len(text)) if text.startswith(word, at)]

    found = windows(text, spans(name), [span for other in others for span in spans(other)])
    assert all(surface == name for surface, _window in found)
    return [window for _surface, window in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Alpha fell. Beta rose 3.5 percent.", ["Alpha fell."]),
        ("阿尔法下跌。贝塔上涨！", ["阿尔法下跌。"]),
        ("Alpha fell, but Beta rose", ["Alpha fell,"]),
        ("Alpha, maker of boats, fell while Beta rose", ["Alpha, maker of boats, fell"]),
        ("受此影响，阿尔法跌停，贝塔却大涨", ["受此影响，阿尔法跌停，"]),
        ("Beta beat Alpha in court", ["Beta beat Alpha in court"]),
        ("Alpha fell\nAlpha fell", ["Alpha fell"]),
    ],
)
def test_a_window_ends_where_somebody_else_is_spoken_of(text: str, expected: list[str]) -> None:
    name, other = ("阿尔法", "贝塔") if "阿" in text else ("Alpha", "Beta")

    assert of(text, name, other) == expected


def test_a_text_of_one_sentence_and_one_entity_is_its_own_window() -> None:
    assert of("阿尔法股价大跌，投资者受损", "阿尔法") == ["阿尔法股价大跌，投资者受损"]


def test_windows_are_few_and_short() -> None:
    text = "\n".join(f"{'x' * 300} {number} Alpha {'y' * 300}" for number in range(5))

    found = of(text, "Alpha")

    assert len(found) == MOST_WINDOWS
    assert all(len(window) <= LONGEST and "Alpha" in window for window in found)


def test_mentions_in_a_text_that_was_let_go_have_no_window() -> None:
    assert windows("Alpha", [(0, 5), (700, 705)], []) == [("Alpha", "Alpha")]
