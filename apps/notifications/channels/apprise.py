"""Chat services by Apprise: its plug-ins write the requests, our checked way out carries them."""

from typing import Any

from apps.notifications.channels.outcome import NotDelivered, Outcome, judged, not_reached
from apps.notifications.channels.webhook import address_lost
from apps.notifications.models import Delivery, Severity
from apps.notifications.wording import worded
from core.errors import Refused
from words import say

SERVICES = {
    "slack": "Slack",
    "feishu": "Feishu 飞书",
    "lark": "Lark",
    "dingtalk": "DingTalk 钉钉",
    "wecombot": "WeCom 企业微信",
    "workflow": "Microsoft Teams",
    "workflows": "Microsoft Teams",
    "tgram": "Telegram",
    "discord": "Discord",
    "mmost": "Mattermost",
    "mmosts": "Mattermost",
    "rocket": "Rocket.Chat",
    "rockets": "Rocket.Chat",
    "gchat": "Google Chat",
    "wxteams": "Webex",
    "webex": "Webex",
    "zulip": "Zulip",
    "gotify": "Gotify",
    "gotifys": "Gotify",
    "ntfy": "ntfy",
    "ntfys": "ntfy",
    "bark": "Bark",
    "barks": "Bark",
    "schan": "ServerChan Server酱",
    "pushplus": "PushPlus",
    "wxpusher": "WxPusher",
    "pagerduty": "PagerDuty",
    "opsgenie": "Opsgenie",
}
"""Schema -> service: plug-ins that speak HTTP by `requests` only. A test looks at their source."""

TYPES = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "failure"}
HIDDEN = "•••"


def bring(delivery: Delivery) -> Outcome:
    """Let the plug-in send it; what was answered last decides how it went."""
    dispatch = delivery.dispatch
    assert dispatch is not None
    if not dispatch.receiver.url:
        raise address_lost()
    try:
        plugin = plugin_for(dispatch.receiver.url)
    except Refused as refused:
        raise NotDelivered(refused.message, is_final=True) from refused
    # requests is loaded only where something is sent
    from apps.notifications.channels.carrier import carried

    words = worded(dispatch, dispatch.receiver)
    with carried(plugin) as trip:
        went = _apprise(plugin).notify(
            title=words.subject, body=words.body or words.subject, notify_type=TYPES[Severity(dispatch.severity)],
            body_format="text",
        )  # fmt: skip
    if went:
        return Outcome(trip.status, trip.answer)
    if trip.refused is not None:
        raise not_reached(trip.refused)
    if trip.status is not None and not 200 <= trip.status < 300:
        judged(trip.status, trip.answer, trip.wait_seconds)
    raise NotDelivered(say("The service did not accept the message."), status=trip.status, answer=trip.answer)


def plugin_for(url: str) -> Any:
    """The plug-in that an address names; Refused when there is none, or when it would read files of ours."""
    import apprise  # takes a fifth of a second: only who sends or checks an address waits for it

    parts = _read(url)
    if any("template" in str(name).lower() or "file" in str(name).lower() for name in (*parts, *parts.get("qsd", {}))):
        raise Refused("local_file", say("The address may not name a template or a file."), field="url")
    plugin: Any = apprise.Apprise.instantiate(url, asset=_asset())
    if plugin is None:
        raise Refused("bad_service_url", say("The service does not understand this address."), field="url")
    plugin.retry, plugin.redirects = 0, False  # trying again is our part
    return plugin


def shown(url: str) -> str:
    """The service without its secrets."""
    plugin_for(url)
    schema = _read(url)["schema"]  # a plug-in may call itself otherwise
    return f"{schema}://{HIDDEN} ({SERVICES[schema]})"


def _read(url: str) -> dict[str, Any]:
    """An address in its parts; Refused when it is none of a service that messages can go to."""
    from apprise.plugins import url_to_dict

    parts: dict[str, Any] = url_to_dict(url, secure_logging=True) or {}  # type: ignore[no-untyped-call]
    if str(parts.get("schema", "")) not in SERVICES:
        raise Refused(
            "unknown_service",
            say("This is no address of a service that messages can go to."),
            field="url",
            hint=say("Services: {names}.", names=", ".join(dict.fromkeys(SERVICES.values()))),
        )
    return parts


def _asset() -> Any:
    import apprise

    return apprise.AppriseAsset(
        app_id="Lingxi", app_desc="Lingxi", app_url="", image_url_mask="", image_url_logo="",
        storage_mode="memory", async_mode=False, secure_logging=True, http_redirects=False,
    )  # fmt: skip


def _apprise(plugin: Any) -> Any:
    import apprise

    made = apprise.Apprise(asset=_asset())
    made.add(plugin)
    return made
