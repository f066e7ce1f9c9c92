"""The live page: what is new appears, what is shown is not sent again, badges follow scores."""

from collections.abc import Callable

from django.test import Client

from apps.sentiment import services
from apps.sentiment.collecting.items import Item
from apps.sentiment.models import Article, Source
from core.access import Actor


def test_new_articles_and_scores_are_sent_and_what_is_shown_already_is_not(
    client: Client, actor: Actor, heard_source: Source, written: Callable[..., Item]
) -> None:
    client.force_login(actor.user)
    here = f"/w/{actor.workspace.slug}/monitors/{heard_source.monitor_id}/live"
    first = client.get(here, {"q": "召回"})
    services.ingest(heard_source, [written(1, "召回部分产品"), written(2, "Harbour opens")])

    def ask(seen: str) -> tuple[int, str]:
        answer = client.get(here, {"q": "召回", "seen": seen})
        return answer.status_code, answer.context["seen"] if answer.context else ""

    assert ask(first.context["seen"])[0] == 200
    page = client.get(here, {"q": "召回", "seen": first.context["seen"]})
    assert "召回部分产品" in page.content.decode() and "Harbour" not in page.content.decode()
    assert "<html" not in page.content.decode()
    seen = page.context["seen"]
    assert ask(seen) == (204, "")
    article = Article.objects.get(title="召回部分产品")
    article.scores.create(
        model_version_id=int(heard_source.monitor.sentiment_model), sentiment="negative", probability=1
    )
    status, newer = ask(seen)
    assert status == 200 and newer != seen


def test_a_paused_page_does_not_ask(client: Client, actor: Actor, heard_source: Source) -> None:
    client.force_login(actor.user)
    here = f"/w/{actor.workspace.slug}/monitors/{heard_source.monitor_id}/live"

    assert "every 3s" in client.get(here).content.decode()
    paused = client.get(here, {"paused": "1", "q": "a"}).content.decode()

    assert "every 3s" not in paused and "?q=a" in paused
