"""Texts in CSV files that are opened by spreadsheet programs: none of them runs as a formula."""

FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")  # full width: Excel in East Asia


def harmless(text: str) -> str:
    """With an apostrophe in front where a program would run it as a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text


def as_written(text: str) -> str:
    """Without the apostrophe that `harmless` puts in front."""
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else text
