"""Forms of the registry's pages."""

from django import forms
from django.utils.translation import gettext_lazy as _

from apps.registry.models import BaseKind, BaseModel, CardRevision


class DescriptionForm(forms.Form):
    """The free text of a version."""

    description = forms.CharField(
        label=_("Description"), required=False, max_length=5000, widget=forms.Textarea(attrs={"rows": 3})
    )


class CardForm(forms.ModelForm):  # type: ignore[type-arg]
    """What people write on a card."""

    class Meta:
        model = CardRevision
        fields = ("intended_use", "limits", "licence", "privacy", "notes")
        labels = {
            "intended_use": _("Intended use"),
            "limits": _("Limits"),
            "licence": _("Licence"),
            "privacy": _("Personal data"),
            "notes": _("Notes"),
        }
        help_texts = {
            "intended_use": _("Who should use the model, for what?"),
            "limits": _("Where does it fail, what must it not decide?"),
            "privacy": _("Which personal data were in the texts, and on what ground were they used?"),
            "notes": _("Markdown is allowed."),
        }
        widgets = {name: forms.Textarea(attrs={"rows": 3}) for name in ("intended_use", "limits", "privacy", "notes")}


class ImportForm(forms.Form):
    """A zip of a Hugging Face folder."""

    name = forms.CharField(
        label=_("Model name"), max_length=80, help_text=_("A known name adds a version, a new name starts a model.")
    )
    file = forms.FileField(
        label=_("Zip file"),
        help_text=_(
            "config.json, model.safetensors and tokenizer.json of a text classifier or a chat model. No pickle, no code."
        ),
    )
    description = forms.CharField(
        label=_("Description"), required=False, max_length=5000, widget=forms.Textarea(attrs={"rows": 2})
    )


class ConnectionForm(forms.Form):
    """A model on another server."""

    name = forms.CharField(
        label=_("Model name"), max_length=80, help_text=_("A known name adds a version, a new name starts a model.")
    )
    address = forms.CharField(
        label=_("Address"), max_length=300, help_text=_("Up to /v1, for example https://vllm.example.com/v1")
    )
    model = forms.CharField(label=_("Its name there"), max_length=300)
    dialect = forms.ChoiceField(
        label=_("The server knows"),
        choices=[
            ("openai", _("OpenAI’s own options")),
            ("vllm", _("vLLM’s options too (top_k, min_p, regular expressions …)")),
        ],
        help_text=_("vLLM, SGLang and Lingxi know more; of llama.cpp and Ollama expect OpenAI’s own."),
    )
    context_tokens = forms.IntegerField(
        label=_("Longest context in tokens"),
        required=False,
        min_value=1,
        max_value=100_000_000,
        help_text=_("Leave empty where the server decides."),
    )
    description = forms.CharField(
        label=_("Description"), required=False, max_length=5000, widget=forms.Textarea(attrs={"rows": 2})
    )


class BaseModelForm(forms.Form):
    """A base model to start training from."""

    name = forms.CharField(label=_("Name"), max_length=120)
    kind = forms.ChoiceField(label=_("Kind"), choices=BaseKind.choices)
    reference = forms.CharField(
        label=_("Reference"), max_length=300, help_text=_("Package name, folder on the server, or hub id (owner/name).")
    )
    revision = forms.CharField(
        label=_("Revision"), required=False, max_length=80, help_text=_("Hub only: branch, tag or commit.")
    )
    task_family = forms.ChoiceField(label=_("Architecture"), choices=BaseModel.FAMILIES)
    languages = forms.CharField(
        label=_("Languages"), required=False, max_length=200, help_text=_("Codes with commas: en, zh.")
    )
    licence = forms.CharField(label=_("Licence"), required=False, max_length=80)
    note = forms.CharField(label=_("Remark"), required=False, max_length=2000)

    def clean_languages(self) -> list[str]:
        """As a list of codes."""
        codes = [part.strip().lower() for part in self.cleaned_data["languages"].split(",") if part.strip()]
        if any(len(code) > 10 for code in codes):
            raise forms.ValidationError(_("A language code has at most 10 characters."))
        return codes
