"""The playground in a real browser, answered by the real engine: streamed, side by side, refused."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from apps.accounts.models import User
from apps.inference.models import Generation, GenerationState


@pytest.fixture
def bots(workspace: Any, chat_version: Callable[..., Any]) -> None:
    for seed in (1, 2):
        chat_version(seed=seed)


def test_two_versions_answer_side_by_side_and_the_talk_goes_on(
    visit: Any, alice: User, bots: None, writer: None
) -> None:
    page = visit(alice, "/w/harbour/predictions/playground")
    page.get_by_role("button", name="Side by side").click()
    page.get_by_label("Longest answer, tokens").fill("8")
    page.get_by_label("Show how sure each token was").check()
    page.get_by_label("Your message").fill("where is my card?")
    page.keyboard.press("Enter")
    for side in "ab":
        expect(page.locator(f"[data-talk={side}] [data-figures]")).to_contain_text("tokens read", timeout=20_000)
    page.get_by_label("Your message").fill("and now?")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("[data-talk=a] article")).to_have_count(4)
    expect(page.get_by_role("button", name="Send")).to_be_enabled(timeout=20_000)

    rows = list(Generation.objects.order_by("pk"))
    assert len(rows) == 4 and {row.state for row in rows} == {GenerationState.DONE}
    assert len({row.model_version_id for row in rows}) == 2
    last = next(row for row in rows[2:] if len(row.messages) == 3)
    answered = next(row for row in rows[:2] if row.model_version_id == last.model_version_id)
    assert last.messages[1] == {"role": "assistant", "content": answered.answers[0]["text"]}
    tokens = page.locator("[data-talk=a] article.assistant").first.locator(".token")
    assert tokens.count() == rows[0].answer_tokens or tokens.count() == rows[1].answer_tokens
    assert "probability" in tokens.first.get_attribute("title")
    assert "chat/completions" in page.locator("#play-curl").text_content()
    assert '"bot:2"' in page.locator("#play-python").text_content()
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_what_cannot_be_asked_is_said_and_comes_back_to_be_mended(
    visit: Any, alice: User, bots: None, writer: None
) -> None:
    page = visit(alice, "/w/harbour/predictions/playground")
    long = "where is my card and why? " * 20 + "!"
    page.get_by_label("Your message").fill(long)
    page.get_by_role("button", name="Send").click()
    expect(page.locator("[data-error]")).to_contain_text("context has room")
    expect(page.get_by_label("Your message")).to_have_value(long)

    expect(page.locator("[data-talk=a] article")).to_have_count(0)

    page.get_by_label("Your message").fill("hello")
    page.get_by_label("Temperature").fill("0")
    page.get_by_label("Longest answer, tokens").fill("4096")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("[data-talk=a] article")).to_have_count(2)
    expect(page.get_by_role("button", name="Send")).to_be_enabled(timeout=20_000)
    assert Generation.objects.latest("pk").state == GenerationState.DONE


def test_without_a_version_that_writes_the_page_says_what_to_do(visit: Any, alice: User, workspace: Any) -> None:
    page = visit(alice, "/w/harbour/predictions/playground")
    expect(page.get_by_text("No version that writes yet")).to_be_visible()
