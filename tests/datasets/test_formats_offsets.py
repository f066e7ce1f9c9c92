"""Offsets: one unit is stored, three are understood, none is ever off by one.

Cases from threads of other tools, typed by hand: label-studio #1347, #3078, #4929; doccano #2290, #2114; argilla #5729.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.datasets.formats.mapping import Mapped, Mapping, apply_mapping
from apps.datasets.formats.offsets import from_codepoints, to_codepoints
from apps.datasets.formats.problems import Position, RawRow

FIREFIGHTER = "\U0001f9d1\U0001f3fb\u200d\U0001f692"  # person, skin tone, ZWJ, fire engine
GOLDEN = [  # text, surface, (code points), (UTF-16 units), (UTF-8 bytes)
    ("\U0001f4a9This is an annotation.", "annotation", (12, 22), (13, 23), (15, 25)),
    (f"{FIREFIGHTER} firemen drive firetrucks", "firetrucks", (19, 29), (22, 32), (30, 40)),
    ("\U0001f431 Warning: This is a test text", "Warning", (2, 9), (3, 10), (5, 12)),
    ("Some text yeah \U0001f680 rocket", "rocket", (17, 23), (18, 24), (20, 26)),
    ("Text: Berlin,  Germany.", "Berlin,  Germany", (6, 22), (6, 22), (6, 22)),
    ("a\r\nBerlin\r\n", "Berlin", (3, 9), (3, 9), (3, 9)),
    ("我在北京上班", "北京", (2, 4), (2, 4), (6, 12)),
    ("𠮷野家在东京", "东京", (4, 6), (5, 7), (13, 19)),
    ("cafe\u0301 ole\u0301", "ole\u0301", (6, 10), (6, 10), (7, 12)),
    ("café olé", "olé", (5, 8), (5, 8), (6, 10)),
    ("مرحبا يا بيروت", "بيروت", (9, 14), (9, 14), (16, 26)),
]


def mapped(text: str, spans: object, unit: str = "codepoint") -> Mapped | list[str]:
    mapping = Mapping({"text": "text", "spans": "spans"}, offset_unit=unit)
    found = apply_mapping("spans", mapping, RawRow(1, {"text": text, "spans": spans}, Position()))
    return found if isinstance(found, Mapped) else [error.code for error in found]


@pytest.mark.parametrize(("text", "surface", "codepoints", "utf16", "octets"), GOLDEN)
def test_golden_offsets(
    text: str, surface: str, codepoints: tuple[int, int], utf16: tuple[int, int], octets: tuple[int, int]
) -> None:
    assert text[slice(*codepoints)] == surface
    for unit, (start, end) in (("codepoint", codepoints), ("utf16", utf16), ("byte", octets)):
        assert (to_codepoints(text, start, unit), to_codepoints(text, end, unit)) == codepoints
        assert tuple(from_codepoints(text, at, unit) for at in codepoints) == (start, end)
        found = mapped(text, [{"start": start, "end": end, "label": "X", "text": surface}], unit)
        assert isinstance(found, Mapped)
        assert found.record["spans"] == [{"start": codepoints[0], "end": codepoints[1], "label": "X"}]
        assert found.record["text"] == text


@given(st.text(min_size=1), st.data())
def test_every_unit_goes_there_and_back(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))

    for unit in ("codepoint", "utf16", "byte"):
        assert to_codepoints(text, from_codepoints(text, at, unit), unit) == at


@pytest.mark.parametrize(("unit", "offset"), [("utf16", 1), ("byte", 2), ("byte", 9), ("utf16", 4), ("codepoint", -1)])
def test_offsets_inside_a_character_or_beyond_the_text_are_refused(unit: str, offset: int) -> None:
    with pytest.raises(ValueError):
        to_codepoints("😀a", offset, unit)


@pytest.mark.parametrize(
    ("spans", "code"),
    [
        ([{"start": 0, "end": 3, "label": "A", "text": "no"}], "span_mismatch"),
        ([[0, 99, "A"]], "span_outside"),
        ([[2, 2, "A"]], "span_outside"),
        ([[3, 1, "A"]], "span_outside"),
        ([[-1, 1, "A"]], "span_outside"),
        ([[0, 1, ""]], "empty"),
        ([[0, 1, None]], "wrong_type"),
        ([["0", 1, "A"]], "wrong_type"),
        ([[0, 1]], "wrong_type"),
        ({"start": 1}, "wrong_type"),
        ("[[0, 1,", "invalid_json"),
    ],
)
def test_wrong_spans_are_refused_with_a_reason(spans: object, code: str) -> None:
    assert mapped("text", spans) == [code]


def test_overlapping_spans_are_kept() -> None:
    found = mapped("New York Times", [[0, 8, "LOC"], [0, 14, "ORG"], [4, 14, "X"]])

    assert isinstance(found, Mapped)
    assert len(found.record["spans"]) == 3


@pytest.mark.parametrize(
    "spans",
    [
        '[[5, 11, "LOC"]]',
        [[5, 11, "LOC"]],
        [{"start_offset": 5, "end_offset": 11, "label": "LOC"}],
        [{"begin": 5, "end": 11.0, "type": "LOC"}],
        [{"value": {"start": 5, "end": 11, "text": "Berlin", "labels": ["LOC"]}, "id": "x"}],
        [{"start": 5, "end": 11, "entity_group": "LOC", "word": "Berlin"}],
    ],
)
def test_spans_in_the_spelling_of_other_tools(spans: object) -> None:
    found = mapped("Near Berlin", spans)

    assert isinstance(found, Mapped)
    assert found.record["spans"] == [{"start": 5, "end": 11, "label": "LOC"}]
