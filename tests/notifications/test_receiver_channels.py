"""Mail, chat services and people as receivers: each through its real way, in the receiver's language and words."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import Membership, User
from apps.notifications import services
from apps.notifications.channels import apprise as chat
from apps.notifications.channels.apprise import SERVICES, plugin_for
from apps.notifications.messages import File, Message
from apps.notifications.models import Delivery, Notice, Receiver
from core.access import Actor
from core.errors import Refused
from tests.fixtures.outside import Hook, SmtpServer
from words import say
from workers import tasks

MAILS = ["press@example.com", "board@example.com"]


def story(**columns: Any) -> Message:
    given: dict[str, Any] = {
        "kind": "digest",
        "event_key": "digest-1",
        "title": say("Negative articles about “{name}” surge", name="Harbour <b>"),
        "lines": ["Line <one>."],
        "facts": [(say("Negative share"), "61 %")],
        "page": "monitors/1",
        "payload": {"rule": {"name": "Surge {title}"}},
    }
    return Message(**{**given, **columns})


def made(actor: Actor, kind: str, **columns: Any) -> Receiver:
    receiver, _secret = services.create_receiver(actor=actor, kind=kind, name=f"{kind} one", **columns)
    return receiver


def brought(receiver: Receiver, message: Message) -> list[Delivery]:
    dispatch = services.send(receiver, message)
    assert dispatch is not None
    for delivery in Delivery.objects.filter(dispatch=dispatch):
        tasks.deliver(delivery.pk)
    return list(Delivery.objects.filter(dispatch=dispatch).order_by("id"))


def parts_of(mail: Any) -> dict[str, str]:
    return {
        part.get_content_type(): part.get_payload(decode=True).decode(errors="replace")
        for part in mail.walk()
        if not part.is_multipart()
    }


def test_a_mail_has_text_and_html_in_the_receivers_language(actor: Actor, smtp: SmtpServer) -> None:
    receiver = made(actor, "mail", addresses=MAILS, language="zh-hans")

    rows = brought(receiver, story(files=[File("digest.pdf", "application/pdf", b"%PDF-1.7 \x00")]))

    assert [row.state for row in rows] == ["sent", "sent"] and [mail["To"] for mail in smtp.mails] == MAILS
    parts = parts_of(smtp.mails[0])
    assert "负面占比：61 %" in parts["text/plain"] and "在灵犀中打开：http" in parts["text/plain"]
    assert "Line &lt;one&gt;." in parts["text/html"] and "负面占比" in parts["text/html"]
    assert "<style" not in parts["text/html"] and "<script" not in parts["text/html"]
    assert parts["application/pdf"].startswith("%PDF-1.7")
    assert smtp.mails[0]["Message-ID"] != smtp.mails[1]["Message-ID"]


def test_of_several_addresses_only_the_one_that_failed_is_tried_again(actor: Actor, smtp: SmtpServer) -> None:
    smtp.answers["RCPT"] = "451 later|board@"
    receiver = made(actor, "mail", addresses=MAILS)

    rows = brought(receiver, story())

    assert [row.state for row in rows] == ["sent", "waiting"] and rows[1].status == 451
    smtp.answers.clear()
    Delivery.objects.update(next_try_at=timezone.now())
    for row in rows:
        tasks.deliver(row.pk)
    assert [mail["To"] for mail in smtp.mails] == MAILS


def test_without_a_mail_server_the_log_says_so(actor: Actor, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"

    (row, _other) = brought(made(actor, "mail", addresses=MAILS), story())

    assert row.state == "failed" and "LINGXI_SMTP_HOST" in row.last_error


def test_people_get_notices_and_one_event_is_told_to_each_once(actor: Actor, bob: User, alice: User) -> None:
    both = made(actor, "people", people=[alice, bob])
    (row,) = brought(both, story())
    only_bob, _secret = services.create_receiver(actor=actor, kind="people", name="Bob", people=[bob])
    brought(only_bob, story())

    assert row.state == "sent" and sorted(Notice.objects.values_list("user__email", flat=True)) == [
        alice.email,
        bob.email,
    ]
    Membership.objects.filter(user=bob).delete()
    (gone,) = brought(only_bob, story(event_key="later"))
    assert gone.state == "failed" and Notice.objects.count() == 2


def test_own_words_fill_places_and_never_read_a_value_as_a_place(actor: Actor, smtp: SmtpServer) -> None:
    receiver = made(
        actor,
        "mail",
        addresses=MAILS[:1],
        subject_template="{severity}: {payload.rule.name}\nx",
        body_template="{{hello}} {title}\nRule: {payload.rule.name}\nMissing: {payload.rule.no}\n\n{facts}",
    )

    brought(receiver, story())

    body = parts_of(smtp.mails[0])["text/plain"]
    assert smtp.mails[0]["Subject"] == "Information: Surge {title} x"
    assert "{hello} Negative articles about “Harbour <b>” surge" in body and "Rule: Surge {title}" in body
    assert "Missing" not in body and "Negative share: 61 %" in body


@pytest.mark.parametrize(
    "template", ["{title.__class__}", "{0}", "{}", "{ title }", "{payload}", "{settings}", "a } b"]
)
def test_a_template_has_only_named_places(template: str, actor: Actor) -> None:
    with pytest.raises(Refused):
        made(actor, "mail", addresses=MAILS, body_template=template)


def test_the_preview_reads_in_both_languages_and_stores_nothing(actor: Actor, page: Any, alice: User) -> None:
    client, address = page(alice), f"/w/{actor.workspace.slug}/receivers/preview"

    english = client.post(address, {"language": "en"}).content.decode()
    chinese = client.post(
        address, {"language": "zh-hans", "body_template": "{facts} {payload.observed}"}
    ).content.decode()
    wrong = client.post(address, {"language": "en", "body_template": "{secret}"}).content.decode()

    assert "42 negative articles" in english and "负面占比：61 %" in chinese and "42</pre>" in chinese
    assert "is no place" in wrong and not Receiver.objects.exists()


@pytest.fixture
def local_chat(monkeypatch: pytest.MonkeyPatch, hook: Hook) -> Hook:
    """Apprise's plain JSON service stands in for chats: it can name a host and a port."""
    monkeypatch.setitem(SERVICES, "json", "JSON")
    return hook


def chat_url(hook: Hook, more: str = "") -> str:
    return f"json://user:pa55word@{hook.address.removeprefix('http://')}/hidden-token{more}"


def test_a_chat_is_sent_by_our_way_out_and_its_address_stays_hidden(actor: Actor, local_chat: Hook) -> None:
    receiver = made(actor, "apprise", url=chat_url(local_chat), language="zh-hans")

    (row,) = brought(receiver, story())

    (request,) = local_chat.taken
    assert row.state == "sent" and row.status == 200 and row.address == "json://••• (JSON)"
    assert request.path == "/hidden-token" and request.headers["Authorization"].startswith("Basic ")
    assert "关于“Harbour <b>”的负面文章激增" in request.json["title"] and "负面占比：61 %" in request.json["message"]


def test_a_chat_at_a_private_address_is_refused(actor: Actor, local_chat: Hook, settings: Any) -> None:
    receiver = made(actor, "apprise", url=chat_url(local_chat))
    settings.OUTBOUND_ALLOW = []

    (row,) = brought(receiver, story())

    assert row.state == "failed" and "private network" in row.last_error and local_chat.taken == []
    assert "pa55word" not in row.last_error and "hidden-token" not in row.last_error


@pytest.mark.parametrize("more", ["", "?redirect=yes"])
def test_a_chat_that_redirects_to_a_private_address_is_not_followed(
    more: str, actor: Actor, local_chat: Hook, settings: Any
) -> None:
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    local_chat.status, local_chat.headers = 302, {"Location": "http://127.0.0.2:1/inside"}

    (row,) = brought(made(actor, "apprise", url=chat_url(local_chat, more)), story())

    assert row.state == "failed" and len(local_chat.taken) == 1


@pytest.mark.parametrize(("status", "state"), [(429, "waiting"), (500, "waiting"), (404, "failed")])
def test_what_a_chat_answers_decides_and_nothing_is_tried_twice_at_once(
    status: int, state: str, actor: Actor, local_chat: Hook
) -> None:
    local_chat.status, local_chat.headers = status, {"Retry-After": "1800"}

    (row,) = brought(made(actor, "apprise", url=chat_url(local_chat, "?retry=5&wait=0")), story())

    assert row.state == state and row.status == status and len(local_chat.taken) == 1
    if state == "waiting":
        assert (row.next_try_at - row.created_at).total_seconds() > 1_700


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("mailto://a:b@example.com", "unknown_service"),
        ("syslog://", "unknown_service"),
        ("json://127.0.0.1", "unknown_service"),
        ("nothing", "unknown_service"),
        ("feishu://", "bad_service_url"),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/?template=/etc/passwd", "local_file"),
        ("tgram://123456789:abcdefg_hijklmnopqrstuvwxyz12345/1/?template=/etc/passwd", "local_file"),
    ],
)
def test_only_services_that_go_our_way_and_read_no_file_of_ours(url: str, code: str, actor: Actor) -> None:
    with pytest.raises(Refused) as caught:
        made(actor, "apprise", url=url)

    assert caught.value.code == code


CONNECTING = {"socket", "smtplib", "urllib.request", "http.client", "httpx", "aiohttp", "ssl", "asyncio", "subprocess"}


def imports_of(source: str) -> set[str]:
    """Modules that a source names in full."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module or "")
    return found


def test_plug_ins_that_are_allowed_open_no_connection_but_by_requests() -> None:
    plugin_for("feishu://token12345")  # loads all of them
    import apprise

    manager = apprise.manager_plugins.NotificationManager()
    for schema in SERVICES:
        spec = importlib.util.find_spec(manager[schema].__module__)
        assert spec is not None and spec.origin is not None
        found = imports_of(Path(spec.origin).read_text(encoding="utf-8"))
        assert "requests" in found and not found & CONNECTING, schema


TOKEN = "3ccdd113474722377935511fc85d3dd4"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("dingtalk://abcdefabcdef", "dingtalk://••• (DingTalk 钉钉)"),
        ("feishu://abcdefabcdef", "feishu://••• (Feishu 飞书)"),
        ("lark://abcdef-abcdef", "lark://••• (Lark)"),
        ("wecombot://botkey-12345-67890", "wecombot://••• (WeCom 企业微信)"),
        ("workflows://host:443/workflow1d/signature", "workflows://••• (Microsoft Teams)"),
        ("tgram://123456789:abcdefg_hijklmnopqrstuvwxyz12345/1", "tgram://••• (Telegram)"),
        ("https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "slack://••• (Slack)"),
        ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", "discord://••• (Discord)"),
        (f"mmost://127.0.0.1:1/{TOKEN}", "mmost://••• (Mattermost)"),
        (f"mmosts://chat.example.com/{TOKEN}", "mmosts://••• (Mattermost)"),
        (f"rocket://{TOKEN[:16]}/{TOKEN}{TOKEN[:11]}@127.0.0.1/#general", "rocket://••• (Rocket.Chat)"),
        (f"zulip://bot@example/{TOKEN}/general", "zulip://••• (Zulip)"),
        (f"gotifys://push.example.com/{TOKEN}", "gotifys://••• (Gotify)"),
        ("ntfys://push.example.com/topic", "ntfys://••• (ntfy)"),
        (f"barks://push.example.com/{TOKEN}", "barks://••• (Bark)"),
        ("schan://abc123", "schan://••• (ServerChan Server酱)"),
        (f"pagerduty://{TOKEN}@{TOKEN}", "pagerduty://••• (PagerDuty)"),
        (f"opsgenie://{TOKEN}", "opsgenie://••• (Opsgenie)"),
    ],
)
def test_the_shown_address_of_a_chat_names_the_service_only(url: str, told: str) -> None:
    assert chat.shown(url) == told


def test_the_web_starts_without_apprise() -> None:
    program = "import os, sys, django; django.setup(); import config.urls; sys.exit('apprise' in sys.modules)"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings.test", "PYTHONPATH": "platform:."}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
