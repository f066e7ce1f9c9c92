"""Pages and API of topics and entities: tables, forms, files, filters, and what an article is about."""

import csv
import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from apps.sentiment import services
from apps.sentiment.collecting.items import Item
from apps.sentiment.models import Alias, Article, Entity, Monitor, Source, Topic
from apps.sentiment.services.understanding import Targets
from apps.sentiment.tables import csv_lines, read_csv
from core.access import Actor
from core.errors import Refused
from tests.fixtures.meaning import TONES, HearingModel, HearingModels
from workers.scoring import score_next

Written = Callable[..., Item]
Api = Callable[..., APIClient]


@pytest.fixture
def room(client: Client, actor: Actor) -> str:
    """Alice is logged in; the address of her monitors."""
    client.force_login(actor.user)
    return f"/w/{actor.workspace.slug}/monitors/"


@pytest.fixture
def read_article(heard_source: Source, acme: Entity, moutai: Entity, recall_topic: Topic, written: Written) -> Article:
    """Spoken of badly, and well, and about a topic."""
    now = timezone.now()
    text = "negative: Acme 召回, positive for Moutai"
    services.ingest(
        heard_source, [written(1, "Acme negative", body=text, published_at=now), written(2, published_at=now)], now=now
    )
    score_next(HearingModels({int(heard_source.monitor.sentiment_model): HearingModel(TONES)}))  # type: ignore[arg-type]
    return Article.objects.order_by("id")[0]


def form(*aliases: dict[str, str], **columns: str) -> dict[str, str]:
    rows = {f"aliases-{at}-{name}": value for at, row in enumerate(aliases) for name, value in row.items()}
    count = {"aliases-TOTAL_FORMS": str(len(aliases)), "aliases-INITIAL_FORMS": "0"}
    return {"kind": "company", "is_enabled": "on", **count, **rows, **columns}


def test_an_entity_is_made_and_changed_with_its_aliases(client: Client, room: str) -> None:
    assert "No entity yet" in client.get(f"{room}entities").content.decode()
    first = form({"text": "Orchard", "is_ambiguous": "on", "required": "phone, 手机"}, {"text": ""}, name="Orchard Inc")

    assert client.post(f"{room}entities/new", {**first, "tickers": "ORCH，0700.hk"}).status_code == 302

    entity = Entity.objects.get()
    assert entity.tickers == ["ORCH", "0700.HK"]
    assert list(entity.aliases.order_by("id").values_list("text", "is_ambiguous", "required")) == [
        ("Orchard Inc", False, []),
        ("Orchard", True, ["phone", "手机"]),
    ]
    page = client.get(f"{room}entities/{entity.pk}").content.decode()
    assert "phone, 手机" in page
    client.post(f"{room}entities/{entity.pk}", form({"text": "Orchard Phones"}, name="Orchard Inc"))
    assert list(Alias.objects.values_list("text", flat=True)) == ["Orchard Phones"]
    refused = client.post(f"{room}entities/new", form(name="orchard inc"))
    assert refused.status_code == 422
    assert "There is an entity of this name already." in refused.content.decode()


def test_the_table_is_searched_by_name_alias_and_ticker_and_says_what_was_written(
    client: Client, room: str, read_article: Article
) -> None:
    def names(words: str) -> list[bool]:
        page = client.get(f"{room}entities", {"q": words}).content.decode()
        return [f">{name}</a>" in page for name in ("Acme", "贵州茅台")]

    assert [names(words) for words in ("", "moutai", "600519", "acm", "zzz")] == [
        [True, True],
        [False, True],
        [False, True],
        [True, False],
        [False, False],
    ]
    assert "100.0" in client.get(f"{room}entities").content.decode()


def test_a_text_is_tried_out_with_the_reason_of_each_mention(client: Client, room: str, moutai: Entity) -> None:
    page = client.post(f"{room}entities/try", {"text": "<b>Moutai</b> 600519.SH"}).content.decode()

    assert '<mark class="lx-span"' in page
    assert "&lt;b&gt;" in page
    assert "a ticker" in page
    assert client.post(f"{room}entities/try", {"text": ""}).status_code == 422


def test_an_article_shows_its_topics_and_who_is_spoken_of_how(
    client: Client, room: str, read_article: Article, heard_source: Source
) -> None:
    page = client.get(f"{room}articles/{read_article.pk}").content.decode()

    assert page.count('<mark class="lx-span"') == 3
    for words in ("Recall", "Acme · Negative", "贵州茅台 · Positive"):
        assert words in page
    overview = client.get(f"{room}{heard_source.monitor_id}").content.decode()
    for words in ("Recall", "贵州茅台", "?entity=Acme"):
        assert words in overview


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("entity=acme", 1),
        ("entity=Moutai", 1),
        ("entity=nobody", 0),
        ("topic={topic}", 1),
        ("topic={above}", 1),
        ("topic={other}", 0),
        ("", 2),
    ],
)
def test_articles_are_filtered_by_topic_and_entity_on_the_page_and_in_the_api(
    client: Client,
    room: str,
    api: Api,
    actor: Actor,
    read_article: Article,
    recall_topic: Topic,
    query: str,
    count: int,
) -> None:
    above = services.create_topic(actor=actor, name="Quality")
    services.change_topic(actor=actor, topic=recall_topic, parent=above)
    other = services.create_topic(actor=actor, name="Prices")
    asked = query.format(topic=recall_topic.pk, above=above.pk, other=other.pk)

    page = client.get(f"{room}{read_article.monitor_id}/articles?{asked}").content.decode()
    found = api(actor).get(f"/api/v1/monitors/{read_article.monitor_id}/articles?{asked}").json()["results"]

    assert len(found) == count
    assert (f'articles/{read_article.pk}"' in page) == (count > 0)


def test_the_api_says_what_an_article_is_about(api: Api, actor: Actor, read_article: Article, acme: Entity) -> None:
    found = api(actor).get(f"/api/v1/articles/{read_article.pk}").json()

    assert [row["topic"]["key"] for row in found["topics"]] == ["recall"]
    entity = found["entities"][0]
    assert (entity["name"], entity["spans"], entity["in_title"]) == ("Acme", [[0, 4], [24, 28]], True)
    assert entity["scores"][0]["sentiment"] == "negative"


def test_a_table_goes_out_and_comes_back_the_same(actor: Actor, moutai: Entity) -> None:
    aliases = [
        {"text": "=cmd", "is_ambiguous": True, "required": ["酒", "股"], "forbidden": ["x"]},
        {"text": "B", "language": "en"},
    ]
    services.create_entity(actor=actor, name="+Odd", kind="brand", tickers=["AAPL", "0700.HK"], aliases=aliases)

    for guarded in (False, True):
        text = "".join(csv_lines(Entity.objects.order_by("id"), for_spreadsheets=guarded))
        cells = [cell for row in csv.reader(io.StringIO(text.lstrip("\ufeff"))) for cell in row]
        assert any(cell.startswith(("=", "+")) for cell in cells) != guarded
        results = services.upsert_entities(actor=actor, items=read_csv(text.encode()))
        assert [each.state for each in results] == ["unchanged", "unchanged"]


def test_a_file_is_imported_and_says_what_was_refused(client: Client, room: str, acme: Entity) -> None:
    table = "Name,tickers,alias\nAcme,ACME,Acme Corp\nAcme,,Acme\nBeta,?,Beta\n"

    page = client.post(f"{room}entities/import", {"file": SimpleUploadedFile("t.csv", table.encode())})

    assert "“?” is no ticker" in page.content.decode()
    acme.refresh_from_db()
    assert acme.tickers == ["ACME"]
    assert set(acme.aliases.values_list("text", flat=True)) == {"Acme", "Acme Corp"}


def test_two_topics_of_one_name_do_not_stand_beside_one_another(actor: Actor, brand_monitor: Monitor) -> None:
    recalls = services.create_topic(actor=actor, name="Recalls")
    below = services.create_topic(actor=actor, name="Recalls", key="below", parent=recalls)
    services.create_topic(actor=actor, name="Recalls", key="own", monitor=brand_monitor)

    with pytest.raises(Refused) as made:
        services.create_topic(actor=actor, name="recalls", key="again")
    with pytest.raises(Refused) as moved:
        services.change_topic(actor=actor, topic=below, parent=None)
    services.change_topic(actor=actor, topic=below, words=["recall"])

    assert made.value.code == moved.value.code == "name_taken"
    assert Topic.objects.count() == 3


def test_a_new_entity_is_found_by_its_own_name_beside_its_aliases(actor: Actor) -> None:
    table = "name,alias,is_ambiguous\nKestrel Bank,北门银行,no\nApple,apple,yes\n"

    services.upsert_entities(actor=actor, items=read_csv(table.encode()))
    services.create_entity(actor=actor, name="Vela Airlines", aliases=[{"text": "Vela", "is_ambiguous": True}])

    names = list(Alias.objects.order_by("id").values_list("entity__name", "text", "is_ambiguous"))
    assert names == [
        ("Kestrel Bank", "Kestrel Bank", False),
        ("Kestrel Bank", "北门银行", False),
        ("Apple", "apple", True),
        ("Vela Airlines", "Vela Airlines", False),
        ("Vela Airlines", "Vela", True),
    ]
    services.upsert_entities(actor=actor, items=read_csv("name,alias\nKestrel Bank,北门银行\n".encode()))
    assert list(Alias.objects.filter(entity__name="Kestrel Bank").values_list("text", flat=True)) == ["北门银行"]


def test_a_row_without_a_name_or_with_a_word_that_means_neither_is_refused(client: Client, room: str) -> None:
    table = "name,is_enabled,alias,is_ambiguous\n,yes,Lost,no\nMaybe,perhaps,Maybe,no\nOdd,yes,Odd,sometimes\n,,,\nGood,否,Good,是\n"

    page = client.post(f"{room}entities/import", {"file": SimpleUploadedFile("t.csv", table.encode())}).content.decode()

    assert "A row without a name" in page
    assert "“perhaps” is neither yes nor no" in page
    assert "“sometimes” is neither yes nor no" in page
    assert list(Entity.objects.values_list("name", "is_enabled")) == [("Good", False)]
    assert Alias.objects.get().is_ambiguous


def test_words_of_a_cell_are_parted_by_commas_where_there_is_no_semicolon(actor: Actor) -> None:
    table = 'name,alias,required,forbidden\nVela,Vela,"airline, 航班，flight","late, very;ship"\n'

    services.upsert_entities(actor=actor, items=read_csv(table.encode()))

    alias = Alias.objects.get()
    assert (alias.required, alias.forbidden) == (["airline", "航班", "flight"], ["late, very", "ship"])
    alias.required = ["one, two"]
    alias.save()
    written = "".join(csv_lines(Entity.objects.all(), for_spreadsheets=False))
    assert read_csv(written.encode())[0]["aliases"][0]["required"] == ["one, two"]


@pytest.mark.parametrize("name", ["贵州茅台", "朱镕基研究中国的公司和银行", "华晨堃钰股份有限公司的中国公司"])
def test_a_table_that_a_chinese_spreadsheet_saved_is_read(name: str) -> None:
    assert read_csv(f"name,kind\n{name},company\n".encode("gb18030"))[0]["name"] == name


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("name\nMüller & Söhne\nCafé\n".encode("cp1252"), "not_utf8"),
        (b"\xff\xfe", "not_utf8"),
        (b"alias\nx\n", "no_name_column"),
        (b"name\n" + b"x" * 2_000 + b"\n", "bad_csv"),
    ],
)
def test_a_file_that_is_no_table_is_refused(data: bytes, code: str) -> None:
    limit = csv.field_size_limit(1_000)
    try:
        with pytest.raises(Refused) as refused:
            read_csv(data)
    finally:
        csv.field_size_limit(limit)

    assert refused.value.code == code


def test_topics_are_made_changed_and_deleted(client: Client, room: str, brand_monitor: Monitor) -> None:
    assert "No topic yet" in client.get(f"{room}topics").content.decode()
    columns = {
        "name": "Recalls",
        "words": "recall，召回",
        "labels": "",
        "is_enabled": "on",
        "monitor": str(brand_monitor.pk),
    }

    assert client.post(f"{room}topics/new", columns).status_code == 302

    topic = Topic.objects.get()
    assert (topic.key, topic.words, topic.monitor) == ("Recalls", ["recall", "召回"], brand_monitor)
    assert client.post(f"{room}topics/new", {**columns, "name": "recalls"}).status_code == 422
    client.post(f"{room}topics/{topic.pk}", {**columns, "name": "Callbacks", "key": "recall"})
    assert "Callbacks" in client.get(f"{room}topics").content.decode()
    client.post(f"{room}topics/{topic.pk}/delete")
    assert not Topic.objects.exists()


def test_earlier_articles_are_looked_through_on_demand(
    client: Client, room: str, api: Api, actor: Actor, brand_monitor: Monitor
) -> None:
    client.post(f"{room}link-again", {"back": "topics"})
    assert Monitor.objects.get().linking_below is not None
    Monitor.objects.update(linking_below=None)

    answer = api(actor).post("/api/v1/entities/relink", {"monitor": brand_monitor.pk}, format="json")

    assert (answer.status_code, answer.json()) == (202, {"monitor_count": 1})
    assert Monitor.objects.get().linking_below is not None


def test_programs_keep_the_table_and_try_it(api: Api, actor: Actor) -> None:
    caller = api(actor)
    items = [
        {"name": "Acme", "tickers": ["acme"], "aliases": [{"text": "Acme"}, {"text": "AC", "is_ambiguous": True}]},
        {"name": "Bad", "tickers": ["?"]},
        {"aliases": "none"},
    ]

    bulk = caller.post("/api/v1/entities/bulk", {"items": items}, format="json")

    assert bulk.status_code == 207
    results = bulk.json()["results"]
    assert [row["state"] for row in results] == ["created", "refused", "refused"]
    assert results[1]["problems"][0]["code"] == "bad_ticker"
    tried = caller.post("/api/v1/entities/link", {"text": "Buy $ACME"}, format="json").json()
    assert [(row["surface"], row["evidence"], row["name"]) for row in tried["mentions"]] == [
        ("$ACME", "ticker", "Acme")
    ]
    pk = results[0]["entity"]
    changed = caller.patch(f"/api/v1/entities/{pk}", {"aliases": [{"text": "Acme"}]}, format="json")
    assert [row["text"] for row in changed.json()["aliases"]] == ["Acme"]
    assert "Acme,company,ACME" in b"".join(caller.get("/api/v1/entities/file").streaming_content).decode()
    assert caller.delete(f"/api/v1/entities/{pk}").status_code == 204
    topic = caller.post("/api/v1/topics", {"name": "Recalls", "words": ["recall"]}, format="json")
    assert (topic.status_code, topic.json()["key"]) == (201, "Recalls")


def test_a_topic_of_strangers_is_no_parent(api: Api, actor: Actor, stranger: Any) -> None:
    foreign = Topic.objects.create(workspace=stranger.workspace, name="Theirs", key="theirs")

    answer = api(actor).post("/api/v1/topics", {"name": "Ours", "parent": foreign.pk}, format="json")

    assert answer.status_code == 422


def test_figures_are_those_of_the_newest_version_alone(
    actor: Actor, read_article: Article, acme: Entity, hearing_version: Any
) -> None:
    from apps.sentiment.models import Dimension
    from apps.sentiment.selectors_meaning import shares
    from apps.sentiment.services.scoring import Said

    later = hearing_version("later")
    services.record_understanding(
        [read_article],
        version=later,
        said=[Said(read_article, {"negative": 0.1, "neutral": 0.8, "positive": 0.1})],
        targets=Targets(later, [], is_dedicated=False),
    )

    found = shares([read_article.monitor], Dimension.ENTITY, since=timezone.now() - timedelta(days=2))[acme.pk]

    assert (found.article_count, found.scored_count, found.negative_count) == (1, 1, 0)
