"""Forms of rules, silences and replays."""

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.notifications.models import Receiver, Severity
from apps.sentiment import rule_words
from apps.sentiment.alerting.phrases import MOST_PHRASES
from apps.sentiment.alerting.rule_options import ArrivalOptions, arrival_of, fields_of
from apps.sentiment.forms_within import WithinForm
from apps.sentiment.models import Clock, Dimension, Entity, Grouping, Measure, Monitor, Rule, RuleKind, Source, Topic
from apps.sentiment.models.rules import ON_ARRIVAL
from apps.sentiment.selectors_cells import names_within
from apps.sentiment.services.rules import MOST_WAIT_SECONDS
from apps.sentiment.within import NAMES, Within
from engine.specs.fields import FieldInfo

OPTION = "option_"
RELATIONS = ("receivers", "escalates_to", "inhibited_by")
TOLD = (
    "name",
    "severity",
    "grouping",
    "wait_seconds",
    "repeat_minutes",
    "escalate_minutes",
    "tells_resolved",
    "is_enabled",
)
MOST_NAMED = 300  # series that a form offers one by one
DAYS = (_("Mon"), _("Tue"), _("Wed"), _("Thu"), _("Fri"), _("Sat"), _("Sun"))
EACH = {
    Dimension.SOURCE: _("Each source"),
    Dimension.LANGUAGE: _("Each language"),
    Dimension.TOPIC: _("Each topic"),
    Dimension.ENTITY: _("Each entity"),
}


class RuleForm(WithinForm):
    """A rule of one kind; the kind is chosen before."""

    name = forms.CharField(label=_("Name"), max_length=120)
    severity = forms.ChoiceField(label=_("Severity"), choices=Severity.choices, initial=Severity.WARNING)
    measure = forms.ChoiceField(label=_("What is counted"), choices=Measure.choices, initial=Measure.NEGATIVE)
    series = forms.ChoiceField(label=_("Where"))
    seconds = forms.TypedChoiceField(label=_("Bucket"), coerce=int)
    words = forms.CharField(
        label=_("Words or phrases"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=_("One a line. Latin words stand alone, Chinese ones anywhere."),
    )
    without = forms.CharField(
        label=_("Not where these stand"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("One a line."),
    )
    sentiment = forms.ChoiceField(
        label=_("Meant"),
        required=False,
        choices=[
            ("", _("However it is meant")),
            ("negative", _("Negative")),
            ("positive", _("Positive")),
            ("neutral", _("Neutral")),
        ],
    )
    least_weight = forms.TypedChoiceField(
        label=_("Sources"),
        coerce=int,
        choices=[(1, _("All sources")), (2, _("Weight 2 and 3")), (3, _("First-rate sources"))],
    )
    minutes = forms.IntegerField(label=_("Minutes without an article"), min_value=1, max_value=43_200, initial=120)
    hold_minutes = forms.IntegerField(
        label=_("Holds for (minutes)"),
        min_value=0,
        max_value=10_080,
        initial=0,
        help_text=_("It fires after it has held so long."),
    )
    keep_minutes = forms.IntegerField(
        label=_("Kept firing for (minutes)"),
        min_value=0,
        max_value=10_080,
        initial=0,
        help_text=_("After it last held."),
    )
    receivers = forms.ModelMultipleChoiceField(
        label=_("Who is told"), queryset=Receiver.objects.none(), required=False, widget=forms.CheckboxSelectMultiple
    )
    grouping = forms.ChoiceField(label=_("One message for"), choices=Grouping.choices, initial=Grouping.RULE)
    wait_seconds = forms.IntegerField(
        label=_("Wait for others (seconds)"),
        min_value=0,
        max_value=MOST_WAIT_SECONDS,
        initial=10,
        help_text=_("Before the first message, so that alerts that fire together are told together."),
    )
    repeat_minutes = forms.IntegerField(
        label=_("Tell again after (minutes)"),
        min_value=0,
        max_value=43_200,
        initial=240,
        help_text=_("While nobody has answered; 0: never."),
    )
    escalate_minutes = forms.IntegerField(
        label=_("Escalate after (minutes)"),
        min_value=0,
        max_value=10_080,
        initial=0,
        help_text=_("Where nobody has answered; 0: never."),
    )
    escalates_to = forms.ModelMultipleChoiceField(
        label=_("Escalates to"), queryset=Receiver.objects.none(), required=False, widget=forms.CheckboxSelectMultiple
    )
    tells_resolved = forms.BooleanField(label=_("Tell when it is over"), required=False, initial=True)
    inhibited_by = forms.ModelMultipleChoiceField(
        label=_("Quiet while these fire"),
        queryset=Rule.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    mute_days = forms.TypedMultipleChoiceField(
        label=_("Quiet on"),
        coerce=int,
        required=False,
        choices=list(enumerate(DAYS)),
        widget=forms.CheckboxSelectMultiple,
    )
    mute_begin = forms.TimeField(
        label=_("Quiet from"), required=False, widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M")
    )
    mute_end = forms.TimeField(
        label=_("Quiet until"), required=False, widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M")
    )
    is_enabled = forms.BooleanField(label=_("Is on"), required=False, initial=True)

    def __init__(self, *args: Any, monitor: Monitor, kind: str, rule: Rule | None = None, **kwargs: Any) -> None:
        kwargs["initial"] = _initial(rule, kind) if rule else None
        super().__init__(*args, **kwargs)
        self.monitor, self.kind, self.rule = monitor, kind, rule
        self._keep_what_counts()
        self._offer()
        for info in fields_of(kind):
            options = rule.options if rule else {}
            self.fields[OPTION + info.name] = _field(info, options.get(info.name, info.default))

    def _keep_what_counts(self) -> None:
        arrival, silence = self.kind in ON_ARRIVAL, self.kind == RuleKind.NO_DATA
        dropped = [] if arrival else ["words", "without", "sentiment", "least_weight"]
        dropped += [] if silence else ["minutes"]
        dropped += ["measure", "series", "seconds", "hold_minutes"] if arrival else []
        dropped += ["measure", "seconds"] if silence else []
        dropped += ["measure"] if self.kind == RuleKind.SHARE else []
        dropped += ["hold_minutes"] if self.kind == RuleKind.SCORE else []
        dropped += list(NAMES) if silence else ["topic"] if arrival else []
        for name in dropped:
            self.fields.pop(name, None)
        if self.kind == RuleKind.NEW_STORY and self.rule is None:
            self.fields["least_weight"].initial = 3

    def _offer(self) -> None:
        """The choices that depend on the monitor."""
        fields: dict[str, Any] = self.fields
        self.offer(self.monitor)
        for name in ("entity", "language"):
            if name in fields:
                fields[name].widget.attrs.pop("size")  # as wide as the others
        receivers = Receiver.objects.filter(workspace=self.monitor.workspace_id).order_by("name")
        rules = Rule.objects.filter(monitor=self.monitor).order_by("name")
        rules = rules.exclude(pk=self.rule.pk) if self.rule else rules
        for name, rows in (("receivers", receivers), ("escalates_to", receivers), ("inhibited_by", rules)):
            fields[name].queryset = rows
            if not rows:  # nothing to tick
                del fields[name]
        if "series" in fields:
            fields["series"].choices = _series(self.monitor, silence=self.kind == RuleKind.NO_DATA)
        if "seconds" in fields:
            fields["seconds"].choices = Rule._meta.get_field("seconds").choices
            fields["seconds"].initial = 3_600

    def first_options(self) -> list[Any]:
        """The fields of the options that matter most."""
        return [self[OPTION + name] for name in rule_words.FIRST.get(self.kind, ())]

    def other_options(self) -> list[Any]:
        """The others."""
        first = rule_words.FIRST.get(self.kind, ())
        return [self[OPTION + info.name] for info in fields_of(self.kind) if info.name not in first]

    def named(self, *names: str) -> list[Any]:
        """Fields of these names that this kind has."""
        return [self[name] for name in names if name in self.fields]

    def what(self) -> list[Any]:
        """What is watched."""
        return self.named("measure", "series", "seconds", "words", "without", "sentiment", "least_weight", "minutes")

    def course(self) -> list[Any]:
        """When it fires and ends."""
        return self.named("hold_minutes", "keep_minutes")

    def telling(self) -> list[Any]:
        """Who is told."""
        return self.named("receivers", "grouping", "repeat_minutes", "tells_resolved")

    def quiet(self) -> list[Any]:
        """What is seldom needed."""
        return self.named(
            "wait_seconds", "escalate_minutes", "escalates_to", "inhibited_by", "mute_days", "mute_begin", "mute_end"
        )

    def columns(self) -> dict[str, Any]:
        """What services take."""
        data = self.cleaned_data
        found = {name: data[name] for name in TOLD}
        found |= {name: data[name] for name in ("measure", "seconds", "hold_minutes", "keep_minutes") if name in data}
        found["kind"] = self.kind
        if "series" in data:
            found["dimension"], found["key"] = data["series"].split(":", 1)
        found["within"] = self.within().plain()
        found["options"] = self._options()
        found["mute_times"] = self._mute_times()
        return found

    def relations(self) -> dict[str, Any]:
        """Who is told and who keeps it quiet."""
        return {name: list(self.cleaned_data[name]) for name in RELATIONS if name in self.fields}

    def _options(self) -> dict[str, Any]:
        data = self.cleaned_data
        if self.kind in ON_ARRIVAL:
            return {
                "words": _lines(data["words"]), "without": _lines(data["without"]), "sentiment": data["sentiment"],
                "least_weight": data["least_weight"],
            }  # fmt: skip
        if self.kind == RuleKind.NO_DATA:
            return {"minutes": data["minutes"]}
        return {info.name: data[OPTION + info.name] for info in fields_of(self.kind)}

    def _mute_times(self) -> list[dict[str, Any]]:
        data = self.cleaned_data
        kept = self.rule.mute_times[1:] if self.rule else []  # more than one is made by the API
        if not data["mute_days"] or data["mute_begin"] is None or data["mute_end"] is None:
            return kept
        first = {"days": data["mute_days"], "begin": f"{data['mute_begin']:%H:%M}", "end": f"{data['mute_end']:%H:%M}"}
        return [first, *kept]


def _initial(rule: Rule, kind: str) -> dict[str, Any]:
    names = ("name", "severity", "measure", "seconds", "hold_minutes", "keep_minutes", "grouping", "wait_seconds", "repeat_minutes",
             "tells_resolved", "escalate_minutes", "is_enabled")  # fmt: skip
    found: dict[str, Any] = {name: getattr(rule, name) for name in names}
    found["series"] = f"{rule.dimension}:{rule.key}"
    found |= rule.within
    if "entity" in rule.within:
        found["entity"] = names_within(rule.monitor, Within.of(rule.within)).get("entity", rule.within["entity"])
    if kind in ON_ARRIVAL:
        options: ArrivalOptions = arrival_of(rule.options, kind)
        found |= {"words": "\n".join(options.words), "without": "\n".join(options.without)}
        found |= {"sentiment": options.sentiment, "least_weight": options.least_weight}
    if kind == RuleKind.NO_DATA:
        found["minutes"] = rule.options["minutes"]
    if rule.mute_times:
        first = rule.mute_times[0]
        found |= {"mute_days": first["days"], "mute_begin": first["begin"], "mute_end": first["end"]}
    if rule.pk:
        found |= {name: getattr(rule, name).all() for name in RELATIONS}
    return found


def _series(monitor: Monitor, *, silence: bool) -> list[Any]:
    """All, each of a dimension, and single ones by name."""
    single = [
        (f"source:{pk}", name)
        for pk, name in Source.objects.filter(monitor=monitor).order_by("name").values_list("pk", "name")
    ]
    found: list[Any] = [("total:", _("All articles")), ("source:", EACH[Dimension.SOURCE])]
    if not silence:
        found += [(f"{dimension}:", EACH[dimension]) for dimension in EACH if dimension != Dimension.SOURCE]
    if single:
        found.append((_("One source"), single))
    if silence:
        return found
    topics = Topic.objects.filter(Q(monitor=None) | Q(monitor=monitor), workspace=monitor.workspace_id, is_enabled=True)
    entities = Entity.objects.filter(workspace=monitor.workspace_id, is_enabled=True)
    for title, kind, rows in ((_("One topic"), "topic", topics), (_("One entity"), "entity", entities)):
        named = [(f"{kind}:{pk}", name) for pk, name in rows.order_by("name").values_list("pk", "name")[:MOST_NAMED]]
        if named:
            found.append((title, named))
    return found


def _field(info: FieldInfo, initial: Any) -> forms.Field:
    words: dict[str, Any] = {
        "label": rule_words.LABELS[info.name], "help_text": rule_words.MEANINGS[info.name], "initial": initial
    }  # fmt: skip
    if info.choices:
        return forms.ChoiceField(choices=[(each, rule_words.VALUES[each]) for each in info.choices], **words)
    if info.type == "integer":
        return forms.IntegerField(min_value=int(info.minimum or 0), max_value=int(info.maximum or 0), **words)
    return forms.FloatField(
        min_value=info.minimum, max_value=info.maximum, widget=forms.NumberInput(attrs={"step": "any"}), **words
    )


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()][: MOST_PHRASES + 1]


class SpanForm(forms.Form):
    """A span in the past, by days of the monitor."""

    begin = forms.DateField(label=_("From day"), widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))
    end = forms.DateField(label=_("To day"), widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))
    clock = forms.ChoiceField(
        label=_("By which time"),
        choices=Clock.choices,
        help_text=_(
            "By the time of arrival: what would have happened. By that of publication: with history that was brought in later."
        ),
    )

    def __init__(self, *args: Any, monitor: Monitor, **kwargs: Any) -> None:
        today = timezone.localdate(timezone=ZoneInfo(monitor.time_zone))
        kwargs["initial"] = {"begin": today - timedelta(days=7), "end": today, "clock": Clock.RECEIVED.value}
        super().__init__(*args, **kwargs)


class SilenceForm(forms.Form):
    """A silence from now on, or from a moment."""

    rule = forms.ModelChoiceField(
        label=_("Rule"), queryset=Rule.objects.none(), required=False, empty_label=_("All rules")
    )
    hours = forms.TypedChoiceField(
        label=_("How long"), coerce=int,
        choices=[(1, _("1 hour")), (4, _("4 hours")), (24, _("1 day")), (72, _("3 days")), (168, _("1 week"))],
    )  # fmt: skip
    reason = forms.CharField(label=_("Reason"), max_length=300)

    def __init__(self, *args: Any, monitor: Monitor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rule: Any = self.fields["rule"]
        rule.queryset = Rule.objects.filter(monitor=monitor).order_by("name")
