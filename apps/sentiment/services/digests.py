"""Digests are written in each receiver's language and sent; schedules do so every day or week."""

from collections.abc import Mapping, Sequence
from datetime import time
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from apps.accounts.services import audit
from apps.notifications.messages import File, Message
from apps.notifications.models import Receiver, ReceiverKind
from apps.notifications.services import send
from apps.sentiment.digest_pdf import pdf_of
from apps.sentiment.digest_words import facts_of, html_of, span_words, title_of
from apps.sentiment.digests import Digest, Period, digest_of
from apps.sentiment.models import Monitor
from core.access import Actor
from core.errors import Refused
from core.schedules import services as schedules
from core.schedules.actions import Action, Planned
from core.schedules.models import Schedule
from words import say

NAME = "sentiment.digest"
MOST_RECEIVERS = 20


def send_digest(*, monitor: Monitor, period: str, until: Any, receivers: Sequence[Receiver]) -> int:
    """Send the digest that ends at `until`; returns to how many receivers it is new. The same one is sent to each once."""
    digest = digest_of(monitor, period=period, until=until)
    pdfs: dict[str, bytes] = {}
    sent = 0
    for receiver in receivers:
        with translation.override(receiver.language):
            if receiver.kind == ReceiverKind.MAIL and receiver.language not in pdfs:
                pdfs[receiver.language] = pdf_of(digest, base_url(monitor))
            sent += send(receiver, _message(digest, receiver, pdfs)) is not None
    return sent


def _message(digest: Digest, receiver: Receiver, pdfs: Mapping[str, bytes]) -> Message:
    """Whole for a mail, the figures in a few lines for all others."""
    facts = facts_of(digest)
    is_mail = receiver.kind == ReceiverKind.MAIL
    name = f"digest-{digest.end_at:%Y-%m-%d}.pdf"
    return Message(
        kind="digest",
        event_key=f"digest-{digest.monitor.pk}-{digest.period}-{digest.end_at.timestamp():.0f}",
        title=title_of(digest),
        lines=[span_words(digest), *(f"• {article}"[:200] for article in digest.worth_reading[:3])],
        facts=[(fact.name, f"{fact.value} ({fact.change})") for fact in facts],
        page=page_of(digest.monitor.pk),
        payload=plain(digest),
        html=html_of(digest, base_url(digest.monitor)) if is_mail else "",
        files=[File(name, "application/pdf", pdfs[receiver.language])] if is_mail else [],
    )


def plain(digest: Digest) -> dict[str, Any]:
    """The figures as JSON, for programs."""
    return {
        "monitor": digest.monitor.pk,
        "period": digest.period,
        "start_at": digest.start_at.isoformat(),
        "end_at": digest.end_at.isoformat(),
        "article_count": digest.articles.value,
        "article_count_before": digest.articles.before,
        "story_count": digest.stories.value,
        "story_count_before": digest.stories.before,
        "negative_share": digest.negative_share.value,
        "negative_share_before": digest.negative_share.before,
        "top_stories": [
            {"story": line.story.pk, "title": line.story.title, "article_count": line.article_count,
             "source_count": line.source_count, "negative_count": line.negative_count}
            for line in digest.top_stories
        ],
        "sources": [
            {"source": line.source.pk, "name": line.source.name, "article_count": line.article_count,
             "negative_share": line.negative_share, "state": line.health.state}
            for line in digest.sources
        ],
        "alerts": [
            {"alert": alert.pk, "name": str(alert), "severity": alert.severity, "state": alert.state,
             "fired_at": alert.fired_at.isoformat() if alert.fired_at else None}
            for alert in digest.alerts
        ],
        "worth_reading": [
            {"article": article.pk, "title": str(article), "url": article.url, "source": article.source.name}
            for article in digest.worth_reading
        ],
    }  # fmt: skip


def base_url(monitor: Monitor) -> str:
    """The begin of the workspace's pages."""
    return f"{settings.SITE_URL.rstrip('/')}/w/{monitor.workspace.slug}/"


def page_of(monitor_id: int) -> str:
    """Path of the digest's page below the workspace."""
    return f"monitors/{monitor_id}/digest"


@transaction.atomic
def schedule_digest(
    *, actor: Actor, monitor: Monitor, period: str, at: time, weekday: int, receivers: Sequence[Receiver]
) -> Schedule:
    """Send it every day, or on one day of the week (1 Monday to 7 Sunday), at a time of the monitor's zone."""
    template = _("Weekly digest: {name}") if period == Period.WEEK else _("Daily digest: {name}")
    label = str(template).format(name=monitor.open_name)
    schedule = schedules.create(
        workspace=actor.workspace,
        by=actor.user,
        action_name=NAME,
        name=_free_name(actor, label[:120]),
        arguments={"monitor": monitor.pk, "period": period, "receivers": [receiver.pk for receiver in receivers]},
        expression=f"{at.minute} {at.hour} * * {weekday % 7 if period == Period.WEEK else '*'}",
        time_zone=monitor.time_zone,
    )
    audit(actor=actor, action="schedule.create", obj=schedule, after={"arguments": schedule.arguments})
    return schedule


def _free_name(actor: Actor, wanted: str) -> str:
    """A name that no schedule of the workspace has yet."""
    taken = {name.lower() for name in Schedule.objects.filter(workspace=actor.workspace).values_list("name", flat=True)}
    names = [wanted, *(f"{wanted[:110]} ({number})" for number in range(2, schedules.MOST_SCHEDULES + 2))]
    return next(name[:120] for name in names if name.lower() not in taken)


def schedules_of(monitor: Monitor) -> Any:
    """Schedules that send digests of a monitor."""
    rows = Schedule.objects.filter(workspace=monitor.workspace, action=NAME, arguments__monitor=monitor.pk)
    return rows.order_by("name", "id")


def _check(workspace: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Refused unless they name a monitor, a period and receivers of the workspace."""
    if set(arguments) != {"monitor", "period", "receivers"}:
        raise _bad(say("Arguments are monitor, period and receivers."))
    if arguments["period"] not in Period.values:
        raise _bad(say("The period is day or week."))
    _monitor, receivers = _found(workspace, arguments)
    if len(receivers) != len(set(arguments["receivers"])):
        raise _bad(say("There is no such receiver."))
    return dict(arguments)


def _found(workspace: Any, arguments: Mapping[str, Any]) -> tuple[Monitor, list[Receiver]]:
    """(the monitor, those of the receivers that are still there)"""
    pk, ids = arguments["monitor"], arguments["receivers"]
    monitors = Monitor.objects.select_related("workspace").filter(workspace=workspace)
    monitor = monitors.filter(pk=pk).first() if _is_id(pk) else None
    if monitor is None:
        raise _bad(say("There is no such monitor."))
    if not isinstance(ids, list) or not 1 <= len(ids) <= MOST_RECEIVERS or not all(_is_id(each) for each in ids):
        raise _bad(say("Choose 1 to {most} receivers.", most=MOST_RECEIVERS))
    receivers = Receiver.objects.select_related("workspace").filter(workspace=workspace, pk__in=ids)
    return monitor, list(receivers.order_by("pk"))


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63


def _bad(message: str) -> Refused:
    return Refused("bad_arguments", message, field="arguments")


def _run(planned: Planned) -> str:
    monitor, receivers = _found(planned.workspace, planned.arguments)
    if not receivers:
        raise Refused("no_receiver", say("All its receivers are deleted. Choose others."))
    sent = send_digest(monitor=monitor, period=planned.arguments["period"], until=planned.at, receivers=receivers)
    return say("Sent to {count} of {all} receivers.", count=sent, all=len(receivers))


DIGEST = Action(
    title=_("Digest of a monitor"),
    permission="sentiment.write",
    check=_check,
    run=_run,
    page=lambda arguments: page_of(arguments["monitor"]),
)
