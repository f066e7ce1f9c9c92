"""Forms of the dataset pages."""

import json
from collections.abc import Mapping as Values
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.datasets.formats.encodings import ENCODINGS
from apps.datasets.formats.mapping import COMMON, FIELDS
from apps.datasets.formats.offsets import UNITS
from apps.datasets.formats.options import READABLE
from apps.datasets.formats.tagging import SCHEMES
from apps.datasets.formats.writers import formats_for
from apps.datasets.models import Dataset, DatasetVersion, Example, Kind, Split
from apps.datasets.tokens import TOKENIZERS
from engine.specs.records import FIELDS as RECORD_FIELDS

FORMAT_NAMES = {
    "csv": _("CSV"),
    "csv_spreadsheet": _("CSV for spreadsheets"),
    "tsv": _("TSV (tab separated)"),
    "jsonl": _("JSON Lines"),
    "json": _("JSON"),
    "parquet": _("Parquet"),
    "xlsx": _("Excel"),
    "text": _("Plain text, one line each"),
    "conll": _("CoNLL (token and tag)"),
    "openai_chat": _("OpenAI chat"),
    "alpaca": _("Alpaca"),
    "sharegpt": _("ShareGPT"),
    "huggingface": _("Hugging Face datasets"),
}
FIELD_NAMES = {
    "external_id": _("Id"),
    "split": _("Split"),
    "meta": _("Extra values (an object)"),
    "text": _("Text"),
    "label": _("Label"),
    "labels": _("Labels"),
    "spans": _("Spans"),
    "tokens": _("Word tokens"),
    "tags": _("Tags"),
    "source": _("Source text"),
    "target": _("Target text"),
    "instruction": _("Instruction"),
    "input": _("Input"),
    "output": _("Output"),
    "question": _("Question"),
    "context": _("Context"),
    "answers": _("Answers"),
    "answer_text": _("Answer"),
    "answer_start": _("Start of the answer"),
    "messages": _("Messages"),
    "system": _("System message"),
    "history": _("History"),
    "prompt": _("Prompt"),
    "chosen": _("Better answer"),
    "rejected": _("Worse answer"),
}


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


class DatasetForm(forms.Form):
    """What people say of a dataset; the kind is chosen once."""

    name = forms.CharField(label=_("Name"), max_length=120)
    kind = forms.ChoiceField(label=_("Kind"), choices=Kind.choices, widget=forms.RadioSelect)
    multi_label = forms.BooleanField(
        label=_("A text may carry several labels"), required=False, help_text=_("For classification only.")
    )
    labels = forms.CharField(
        label=_("Labels"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("One a line, in the order you want to see them. Imports add those that are new."),
    )
    description = forms.CharField(
        label=_("Description"), required=False, max_length=5000, widget=forms.Textarea(attrs={"rows": 2})
    )
    language = forms.CharField(
        label=_("Language"), required=False, max_length=20, help_text=_("For example en, zh or en, zh.")
    )

    def clean_labels(self) -> list[str]:
        """The lines of the field."""
        return _lines(self.cleaned_data["labels"])


class SettingsForm(DatasetForm):
    """The same for a dataset that exists: its kind stays."""

    kind = None  # type: ignore[assignment]

    def __init__(self, *args: Any, dataset: Dataset, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial = {name: getattr(dataset, name) for name in ("name", "multi_label", "description", "language")}
        self.initial["labels"] = "\n".join(dataset.labels)
        if dataset.kind != Kind.CLASSIFICATION:
            del self.fields["multi_label"]
        if not dataset.has_labels:
            del self.fields["labels"]


class UploadForm(forms.Form):
    """A file or an address."""

    file = forms.FileField(label=_("File"), required=False, max_length=1000)
    url = forms.CharField(
        label=_("Or an address"),
        required=False,
        max_length=2000,
        widget=forms.URLInput(attrs={"placeholder": "https://"}),
        help_text=_("A public address of the file itself."),
    )

    def clean(self) -> dict[str, Any]:
        """One of the two is needed."""
        values: dict[str, Any] = super().clean() or {}
        if not self.errors and not values.get("file") and not values.get("url"):
            raise forms.ValidationError(_("Choose a file or give an address."))
        return values


class ReadForm(forms.Form):
    """How a file is read; only what matters for its format is shown."""

    format = forms.ChoiceField(label=_("Format"), choices=[(name, FORMAT_NAMES[name]) for name in READABLE])
    encoding = forms.ChoiceField(label=_("Encoding"), choices=[(name, name) for name in ENCODINGS])
    delimiter = forms.ChoiceField(
        label=_("Columns are separated by"),
        choices=[(",", _("Comma")), ("\t", _("Tab")), (";", _("Semicolon")), ("|", _("Vertical bar"))],
    )
    header = forms.BooleanField(label=_("The first row holds the names of the columns"), required=False)
    quoting = forms.BooleanField(label=_("Values may stand in quotation marks"), required=False)
    sheet = forms.CharField(label=_("Sheet"), required=False, max_length=100)
    list_path = forms.CharField(
        label=_("Path of the list"), required=False, max_length=200, help_text=_("Empty when the file is a list.")
    )
    whole_file = forms.BooleanField(label=_("The whole file is one text"), required=False)
    token_column = forms.IntegerField(label=_("Column of the tokens"), help_text=_("Counted from 0."))
    tag_column = forms.IntegerField(label=_("Column of the tags"), help_text=_("-1 is the last one."))

    _SHOWN = {
        "csv": ("encoding", "delimiter", "header", "quoting"),
        "tsv": ("encoding", "delimiter", "header", "quoting"),
        "jsonl": ("encoding",),
        "json": ("encoding", "list_path"),
        "xlsx": ("sheet", "header"),
        "text": ("encoding", "whole_file"),
        "conll": ("encoding", "token_column", "tag_column"),
    }

    def __init__(self, *args: Any, options: Values[str, Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial = dict(options)
        shown = ("format", *self._SHOWN.get(str(options.get("format", "")), ()))
        for name in [name for name in self.fields if name not in shown]:
            del self.fields[name]


class MappingForm(forms.Form):
    """Which column is which field of the kind."""

    def __init__(self, *args: Any, kind: str, columns: list[str], mapping: Values[str, Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        held = dict(mapping.get("columns", {}))
        names = [*columns, *(column for column in held.values() if column not in columns)]
        choices = [("", "–"), *((name, name) for name in names)]
        self.names = (*FIELDS[kind], *COMMON)
        for name in self.names:
            self.fields[f"column_{name}"] = forms.ChoiceField(
                label=FIELD_NAMES[name], choices=choices, required=False, initial=held.get(name, "")
            )
        if kind == Kind.CLASSIFICATION:
            self.fields["label_separator"] = forms.CharField(
                label=_("Several labels are separated by"),
                required=False,
                max_length=5,
                initial=mapping.get("label_separator", ""),
                help_text=_("Empty: a cell is one label."),
            )
        if kind in {Kind.SPANS, Kind.QA}:
            self.fields["offset_unit"] = forms.ChoiceField(
                label=_("Offsets count"),
                choices=[
                    ("codepoint", _("characters (code points)")),
                    ("utf16", _("UTF-16 units (JavaScript, Java)")),
                    ("byte", _("UTF-8 bytes")),
                ],
                initial=mapping.get("offset_unit", "codepoint"),
            )
        self.fields["split"] = forms.ChoiceField(
            label=_("Split of rows that name none"),
            choices=Split.choices,
            required=False,
            initial=mapping.get("split", ""),
        )

    def mapping(self) -> dict[str, Any]:
        """The changes to the mapping as plain values."""
        values = self.cleaned_data
        found: dict[str, Any] = {
            name: values[name] for name in ("label_separator", "offset_unit", "split") if name in values
        }
        columns = {name: values[f"column_{name}"] for name in self.names if values[f"column_{name}"]}
        return {**found, "columns": columns}


class ExampleForm(forms.Form):
    """One example: texts as they are, lists as JSON."""

    def __init__(self, *args: Any, dataset: Dataset, example: Example | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dataset, self.before = dataset, example.record if example else {}
        for name in RECORD_FIELDS[dataset.kind]:
            self.fields[name] = self._field(name, self.before.get(name))
        self.fields["split"] = forms.ChoiceField(
            label=_("Split"), choices=Split.choices, required=False, initial=example.split if example else ""
        )
        self.fields["meta"] = forms.JSONField(
            label=_("Extra values (an object)"),
            required=False,
            initial=(example.meta if example else {}) or {},
            widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        )
        self.fields["revision"] = forms.IntegerField(
            widget=forms.HiddenInput, required=False, initial=example.revision if example else None
        )

    def _field(self, name: str, value: Any) -> forms.Field:
        label = FIELD_NAMES[name]
        if name == "labels" and self.dataset.multi_label:
            return forms.CharField(
                label=label, required=False, initial="\n".join(value or []), help_text=_("One a line."),
                widget=forms.Textarea(attrs={"rows": 3}),
            )  # fmt: skip
        if name == "labels":
            first = (value or [""])[0]
            known = list(dict.fromkeys([*self.dataset.labels, *([first] if first else [])]))
            if known:
                choices = [("", _("No label")), *((each, each) for each in known)]
                return forms.ChoiceField(label=_("Label"), choices=choices, required=False, initial=first)
            return forms.CharField(label=_("Label"), required=False, max_length=200, initial=first)
        if name in {"spans", "answers", "messages", "prompt"}:
            return forms.JSONField(
                label=label,
                initial=value if value is not None else _EMPTY.get(name, []),
                required=False,
                empty_value=[],
                encoder=json.JSONEncoder,
                widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false"}),
                help_text=_("As JSON."),
            )
        return forms.CharField(
            label=label, strip=False, initial=value or "", widget=forms.Textarea(attrs={"rows": 6, "dir": "auto"})
        )

    def record(self) -> dict[str, Any]:
        """The canonical record; line breaks that only the browser added are taken out again."""
        found: dict[str, Any] = {}
        for name in RECORD_FIELDS[self.dataset.kind]:
            value = self.cleaned_data[name]
            if name == "labels":
                value = _lines(value) if self.dataset.multi_label else [value] if value else []
            elif isinstance(value, str) and "\r\n" not in str(self.before.get(name, "")):
                value = value.replace("\r\n", "\n")
            found[name] = [] if value is None else value
        if meta := self.cleaned_data["meta"]:
            found["meta"] = meta
        return found


_EMPTY: dict[str, Any] = {
    "messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}],
    "prompt": [{"role": "user", "content": ""}],
}


class SplitForm(forms.Form):
    """How to divide a dataset; shares in percent."""

    method = forms.ChoiceField(
        label=_("Method"),
        choices=[
            ("stratified", _("Stratified: every label meets the shares")),
            ("group", _("By group: equal values of an extra column stay together")),
            ("random", _("By the text alone")),
        ],
    )
    train = forms.DecimalField(label=_("Train, %"), min_value=0, max_value=100, initial=80)
    dev = forms.DecimalField(label=_("Dev, %"), min_value=0, max_value=100, initial=10)
    test = forms.DecimalField(label=_("Test, %"), min_value=0, max_value=100, initial=10)
    group_key = forms.CharField(
        label=_("Extra column of the groups"),
        required=False,
        max_length=200,
        help_text=_("For example customer or article: what belongs together must not be in train and test."),
    )
    seed = forms.IntegerField(label=_("Seed"), initial=0, min_value=0, max_value=2**31 - 1)
    keep = forms.BooleanField(
        label=_("Examples that have a split keep it"),
        required=False,
        initial=True,
        help_text=_("Leave it on when the dataset has grown: nothing moves, new examples fill up."),
    )

    def plan(self) -> dict[str, Any]:
        """Plain values with shares 0..1."""
        values = dict(self.cleaned_data)
        return values | {name: round(float(values[name]) / 100, 6) for name in ("train", "dev", "test")}


class FreezeForm(forms.Form):
    """What a person says of a version."""

    note = forms.CharField(label=_("Remark"), required=False, max_length=500)


class ExportForm(forms.Form):
    """What goes out and how."""

    version = forms.ModelChoiceField(
        label=_("Contents"),
        queryset=DatasetVersion.objects.none(),
        required=False,
        empty_label=_("The dataset as it is now"),
    )
    format = forms.ChoiceField(label=_("Format"))
    split = forms.ChoiceField(
        label=_("Split"),
        choices=[
            ("all", _("All")),
            ("train", _("Train")),
            ("dev", _("Dev")),
            ("test", _("Test")),
            ("none", _("No split")),
        ],
        required=False,
        initial="all",
    )
    tokenizer = forms.ChoiceField(
        label=_("Tokens (CoNLL)"), choices=[(name, name) for name in TOKENIZERS], required=False
    )
    scheme = forms.ChoiceField(label=_("Tags (CoNLL)"), choices=[(name, name) for name in SCHEMES], required=False)
    offset_unit = forms.ChoiceField(label=_("Offsets count"), choices=[(name, name) for name in UNITS], required=False)

    def __init__(self, *args: Any, dataset: Dataset, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = DatasetVersion.objects.filter(dataset=dataset).select_related("dataset").order_by("-number")
        self.fields["version"].queryset = rows  # type: ignore[attr-defined]
        names = formats_for(dataset.kind)
        self.fields["format"].choices = [(name, FORMAT_NAMES[name]) for name in names]  # type: ignore[attr-defined]
        if dataset.kind != Kind.SPANS:
            del self.fields["tokenizer"], self.fields["scheme"]
        if dataset.kind not in {Kind.SPANS, Kind.QA}:
            del self.fields["offset_unit"]

    def options(self) -> dict[str, str]:
        """Options of the writer."""
        names = ("tokenizer", "scheme", "offset_unit")
        return {name: self.cleaned_data[name] for name in names if self.cleaned_data.get(name)}
