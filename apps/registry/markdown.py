"""Markdown as HTML for pages; raw HTML stays text."""

from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

_RENDERER = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image"])


def as_html(text: str) -> SafeString:
    """Safe HTML: tags in `text` are escaped, script links dropped, images not loaded."""
    return mark_safe(str(_RENDERER.render(text)))  # noqa: S308 - the renderer escapes
