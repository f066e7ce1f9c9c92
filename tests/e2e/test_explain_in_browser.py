"""How it works in a real browser: a token is chosen, the map is walked over by keys, a phone does not scroll sideways."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from apps.accounts.models import User, Workspace
from apps.inference.models import OnlineKind, OnlineRequest, OnlineState
from engine.gpt.explain import load_explainer
from engine.specs.explanation import DEFAULT_SENTENCE


@pytest.fixture
def asked(workspace: Workspace, chat_version: Callable[..., Any], tiny_chat: Callable[..., Path]) -> OnlineRequest:
    told = load_explainer(tiny_chat()).explain(DEFAULT_SENTENCE)
    return OnlineRequest.objects.create(
        workspace=workspace,
        model_version=chat_version(),
        kind=OnlineKind.EXPLAIN,
        texts=[DEFAULT_SENTENCE],
        state=OnlineState.DONE,
        results=[told],
    )


def test_a_token_is_chosen_and_the_map_is_read_by_keys(visit: Any, alice: User, asked: OnlineRequest) -> None:
    page = visit(alice, f"/w/harbour/predictions/how-it-works/{asked.pk}?token=5")

    page.locator("#token-2").click()
    expect(page).to_have_url(re.compile(r"token=2"))
    expect(page.locator("#token-2")).to_have_attribute("aria-current", "true")
    expect(page.locator(".lx-heat tr.chosen th")).to_have_text(page.locator("#token-2 .text").inner_text())

    page.locator(".lx-heat tr.chosen td.cell").first.focus()
    page.keyboard.press("ArrowRight")
    weight = page.locator(".lx-heat tr.chosen td.cell").nth(1).text_content()
    expect(page.locator("#heat-says")).to_contain_text(page.locator("#token-1 .text").inner_text())
    expect(page.locator("#heat-says")).to_contain_text(f"with weight {weight}")

    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
