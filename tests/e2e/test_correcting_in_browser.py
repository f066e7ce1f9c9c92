"""Topics and entities of an article are corrected in a real browser, by click and by key."""

from collections.abc import Callable
from typing import Any

from apps.datasets.models import Correction
from apps.sentiment import services
from apps.sentiment.models import Entity, Source, Topic
from core.access import Actor

PHONE = {"width": 390, "height": 844}


def test_what_an_article_speaks_of_is_corrected_where_it_stands(
    visit: Callable[..., Any],
    alice: Any,
    actor: Actor,
    pushed_source: Source,
    acme: Entity,
    recall_topic: Topic,
    written: Any,
) -> None:
    storms = services.create_topic(actor=actor, name="Storms", key="storms")
    [taken] = services.ingest(pushed_source, [written(1, "Acme 召回")])
    assert taken.article is not None
    article = taken.article.pk
    page = visit(alice, f"/w/{actor.workspace.slug}/monitors/articles/{article}", viewport=PHONE)

    page.click(f"#correct-{article}-topic-{recall_topic.pk}-no")
    page.wait_for_selector("#spoken .lx-struck")
    focused = page.evaluate("document.activeElement.id")
    page.select_option("#another-topic", label="Storms")
    page.press("#another-topic-said", "Enter")
    page.wait_for_selector(f"#correct-{article}-topic-{storms.pk}-yes[aria-pressed=true]")
    page.click(f"#correct-{article}-target-{acme.pk}-negative")
    page.wait_for_selector(f"#correct-{article}-target-{acme.pk}-negative[aria-pressed=true]")
    page.click(f"#correct-{article}-topic-{storms.pk} [name=undo]")
    page.wait_for_selector("#another-topic")

    said = Correction.objects.filter(is_current=True).order_by("aspect").values_list("aspect", "label")
    assert list(said) == [
        (f"target:{acme.pk}", "negative"),
        (f"topic:{recall_topic.pk}", "no"),
        (f"topic:{storms.pk}", ""),
    ]
    assert focused == f"correct-{article}-topic-{recall_topic.pk}-no"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
