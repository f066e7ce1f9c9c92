"""Translations are compiled when they changed, and a broken one is named."""

import gettext
import os
from pathlib import Path

import pytest

from core.translations import TranslationError, compile_translations

TEXT = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n\nmsgid "Home"\nmsgstr "首页"\n'


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "apps/datasets/locale/zh_Hans/LC_MESSAGES/django.po"
    path.parent.mkdir(parents=True)
    path.write_text(TEXT)
    return path


def test_only_what_changed_is_compiled(source: Path, tmp_path: Path) -> None:
    first = compile_translations(tmp_path)
    second = compile_translations(tmp_path)
    os.utime(source, ns=(1, source.with_suffix(".mo").stat().st_mtime_ns + 1))
    third = compile_translations(tmp_path)

    assert (first, second, third) == ([source], [], [source])
    with source.with_suffix(".mo").open("rb") as compiled:
        assert gettext.GNUTranslations(compiled).gettext("Home") == "首页"


def test_a_broken_translation_is_named(source: Path, tmp_path: Path) -> None:
    source.write_text(TEXT + '\nmsgid "broken\n')

    with pytest.raises(TranslationError, match=r"django\.po"):
        compile_translations(tmp_path)
